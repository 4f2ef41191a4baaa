"""Scans in, bodies out: reading, cleaning, descent on voxels, and registration of a body to points."""
