"""Sentinel-2 on its native UTM grid, without a production: looks of an area as the instrument gave them."""
