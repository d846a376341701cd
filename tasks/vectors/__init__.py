"""Shapes of vector files: what OGR, lines of text and OpenStreetMap give, in batches."""
