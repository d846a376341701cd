"""Sentinel-2 scenes: found, chosen, frozen, read."""
