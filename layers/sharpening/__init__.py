"""Sharpening of bands: point spread, back-projection, regressions, networks, and their measures (docs/superresolution.md)."""
