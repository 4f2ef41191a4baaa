"""Sessions on disk: mesh sequences, overlay videos, and the rules by which files are written."""
