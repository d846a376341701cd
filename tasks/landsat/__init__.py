"""Landsat Collection 2 Level 2: scenes, reading, metrics of a year, harmonisation with Sentinel-2."""
