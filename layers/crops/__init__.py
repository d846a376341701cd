"""Crop types from series of Sentinel-2: classes, series, networks and trees that tell them apart, scores (docs/crops.md)."""
