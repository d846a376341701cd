"""Delivered files: GeoTIFFs, their metadata, styles, STAC Items, packages."""
