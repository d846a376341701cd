"""Where pixels lie: EEA 100 km tiles, their GeoBoxes, blocks and halos, all in EPSG:3035; no raster is opened here."""

from imperv.grids.blocks import Block, block_grid, inner_slices, pad_clipped
from imperv.grids.tiles import CRS, EDITIONS, RESOLUTIONS, Tile, country_tiles, nearest_tiles, official_tiles
from imperv.grids.windows import Bounds, snap_outward, window_geobox

__all__ = [
    "CRS",
    "EDITIONS",
    "RESOLUTIONS",
    "Block",
    "Bounds",
    "Tile",
    "block_grid",
    "country_tiles",
    "inner_slices",
    "nearest_tiles",
    "official_tiles",
    "pad_clipped",
    "snap_outward",
    "window_geobox",
]
