"""What is kept on disk: mesh sequences, overlay videos and recorded sessions."""
