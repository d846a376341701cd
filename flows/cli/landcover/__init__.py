"""Commands of land cover."""
