"""Measuring: on synthetic people whose bodies are known, and on real pictures by their masks and landmarks."""
