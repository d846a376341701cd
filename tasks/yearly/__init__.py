"""Features of a year from its scenes, block by block."""
