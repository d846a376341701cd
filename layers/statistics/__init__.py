"""Scores, reliability, accuracy from samples, the dark end of reflectance."""
