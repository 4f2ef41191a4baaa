"""Learned Vertex Descent (Corona et al., ECCV 2022): a backbone, a displacement field, and descent along it.

Coordinates are those of the **crop frame**: x right, y up, z toward the camera, the origin at the crop's centre. Its
unit of length is the **crop unit**, half of the crop's side, so that a crop spans -1..1 in x and y. A point's
pixel-aligned feature is the feature map's value at the point's (x, y).

Where to find what:
    descent         the update rule (Eq. 2), `descent.iterate`
    field           g, the displacement field as published; `folded_field` is the same function, rewritten to be fast
    backbones       f, from a crop to its features; says how to add one
    network         f and g together, and what they are fed with
    volume          the same for voxelised scans: features, backbones, network
    presets         the networks to choose from
    uncertainty     Eq. 3
    weights         files
    runtime         what runs a network on a CPU or on CUDA

Encoding a crop goes `network.LVD.encode` -> `features.CropFeatures` -> `folded_field.PreparedCrop`, once per picture;
each iteration of descent then reads the prepared crop.
"""

from __future__ import annotations
