"""How fast it is: stages, references, roofline, scaling."""
