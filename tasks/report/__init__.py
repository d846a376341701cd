"""Reports for people: one HTML file a tile, and one for a whole production; self-contained, without a network."""
