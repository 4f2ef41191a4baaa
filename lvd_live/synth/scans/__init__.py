"""Synthetic scans: dressed people as clouds of surface points, posed, and spoilt as scanners spoil them.

surfaces    shards of dressed people in the rest pose: made once, at some 20 a second
posed       bodies and clouds in random poses, made in the batch
scanner     what a scanner sees of a person, and what it adds
samples     all of it: clouds and truth in the cube frame, for training and for measuring
"""

from __future__ import annotations
