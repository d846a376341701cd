"""Urban land cover: classes, features, labels, tuning by polygons, and built-up types (docs/landcover.md)."""
