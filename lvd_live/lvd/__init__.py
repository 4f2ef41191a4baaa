"""Learned Vertex Descent (Corona et al., ECCV 2022): backbone, field, descent.

Everything here lives in the **crop frame**: x right, y up, z toward the camera, half a crop = 1; a point's pixel-aligned feature is read at its (x, y).
"""
