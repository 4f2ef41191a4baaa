"""Synthetic people: bodies, clothes, poses, light, and what the person finder says of their pictures."""
