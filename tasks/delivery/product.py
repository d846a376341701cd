"""What is known of one product when the files beside it are written: all that metadata, catalogues and styles say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from odc.geo.geobox import GeoBox

from imperv.grids import Tile
from imperv.layers.catalogue import Layer
from imperv.layers.palette import Palette
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.settings.delivery import DeliverySettings
from imperv.tasks.store.records import TO_LONLAT


@dataclass(frozen=True)
class Product:
    """One product."""

    layer: Layer
    tile: Tile
    name: str
    """File name without its ending."""
    collection: str
    """Name of all products of the production."""
    grid: GeoBox
    start: dt.date
    end: dt.date
    counts: Mapping[int, int]
    """Pixels of each code; of a quantity that is not coded of no data, and of the rest as one code."""
    created: str
    """When its pixels were computed, UTC, ISO 8601: the same store gives the same metadata."""
    windowed: bool
    lineage: Lineage
    settings: DeliverySettings
    values: Mapping[str, float] = field(default_factory=dict)
    """Range, mean and standard deviation of a quantity that is not coded."""

    @property
    def palette(self) -> Palette | None:
        """Codes, names and colours; None for a quantity that is not coded."""
        return self.layer.delivery.palette if self.layer.delivery else None

    @property
    def lonlat(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        west, south, east, north = TO_LONLAT.transform_bounds(*self.bounds, densify_pts=21)
        return west, south, east, north

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in EPSG:3035."""
        box = self.grid.boundingbox
        return box.left, box.bottom, box.right, box.top

    @property
    def valid_percent(self) -> float:
        """Percent of the pixels that are not outside."""
        total = sum(self.counts.values())
        nodata = self.layer.nodata
        outside = self.counts.get(-1 if nodata != nodata else int(nodata), 0)
        return 100 * (total - outside) / total if total else 0.0

    @property
    def version(self) -> str:
        """Of the product; empty where its form has none."""
        return ""

    @property
    def title(self) -> str:
        """A line."""
        given = self.layer.delivery.title if self.layer.delivery else ""
        return f"{given or self.layer.description}, raster {self.layer.resolution:g} m, tile {self.tile}"

    @property
    def abstract(self) -> str:
        """A paragraph."""
        where = f"{'A window of' if self.windowed else 'The whole of'} the 100 km tile {self.tile} of the EEA reference grid"
        pixels = f"pixels of {self.layer.resolution:g} m in {self.grid.crs}"
        return f"{self.layer.description}. {where}, {pixels}. Derived from Sentinel-2 images."
