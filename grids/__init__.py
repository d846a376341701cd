"""Where pixels lie: EEA 100 km tiles, their GeoBoxes, blocks and halos in EPSG:3035, UTM grids; no raster is opened here."""

from imperv.grids.blocks import Block, block_grid, inner_slices, pad_clipped
from imperv.grids.specs import SPECS, GridSpec, factor, snap_utm, spec_of, utm_code, utm_geobox
from imperv.grids.tiles import CRS, EDITIONS, Tile, country_tiles, nearest_tiles, official_tiles
from imperv.grids.windows import Bounds, snap_outward, window_geobox

__all__ = [
    "CRS",
    "EDITIONS",
    "SPECS",
    "Block",
    "Bounds",
    "GridSpec",
    "Tile",
    "block_grid",
    "country_tiles",
    "factor",
    "inner_slices",
    "nearest_tiles",
    "official_tiles",
    "pad_clipped",
    "snap_outward",
    "snap_utm",
    "spec_of",
    "utm_code",
    "utm_geobox",
    "window_geobox",
]
