"""Learned Vertex Descent on volumes (§3.5, Eq. 6): the same field and descent, on features of a voxelised scan.

Coordinates are those of the **cube frame**: -1..1 in x, y and z holds the whole scan, y is up (give or take a lean of
30°), the person faces anywhere about it; right-handed, one unit of length on all axes. A point's aligned features are
the trilinear values of several feature volumes at the point itself.

    voxels      points -> the network's input volume
    features    what the field reads
    pyramids    the backbones
    network     backbone and field under one name
"""

from __future__ import annotations
