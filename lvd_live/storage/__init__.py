"""Files of arrays: written whole or not at all, streamed to disk, and read safely from anyone."""
