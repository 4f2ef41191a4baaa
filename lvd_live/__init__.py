"""LVD Live: a body mesh that follows one person in front of one camera, by Learned Vertex Descent."""

__version__ = "0.1.0"
