"""Crop types of a season: readers of training data, models in files, and the family that maps them (docs/crops.md)."""
