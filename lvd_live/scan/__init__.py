"""Scans: point clouds and meshes of a person, and the body in them."""

from __future__ import annotations
