"""The body mesh: model files, skinning, parameters from vertices, other topologies, measurements."""
