"""Training Learned Vertex Descent on synthetic people."""
