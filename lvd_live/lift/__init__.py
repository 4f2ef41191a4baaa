"""From landmarks in a picture to landmarks in space: what bodies can do says more of depth than a picture does."""
