"""What is known of one product when the files beside it are written: all that metadata, catalogues and styles say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odc.geo.geobox import GeoBox

from imperv.grids import Tile
from imperv.layers.catalogue import Layer
from imperv.layers.palette import Palette
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.projections import DEGREES, moved
from imperv.tasks.settings.delivery import DeliverySettings


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
    """Pixels of each code; empty for a quantity that is not coded."""
    created: str
    """When its pixels were computed, UTC, ISO 8601: the same store gives the same metadata."""
    windowed: bool
    lineage: Lineage
    settings: DeliverySettings
    values: Sequence[Mapping[str, float]] = ()
    """Range, mean, standard deviation and ``valid_percent`` of each band of a quantity that is not coded."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What the STAC Item says of it besides, or instead."""

    @property
    def palette(self) -> Palette | None:
        """Codes, names and colours; None for a quantity that is not coded."""
        return self.layer.delivery.palette if self.layer.delivery else None

    @property
    def lonlat(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees."""
        return moved(self.bounds, self.crs, DEGREES)

    @property
    def epsg(self) -> int:
        """Code of the reference system of its grid."""
        return int((self.grid.crs.epsg if self.grid.crs else None) or 0)

    @property
    def crs(self) -> str:
        """Reference system of its grid."""
        return f"EPSG:{self.epsg}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the reference system of its grid."""
        box = self.grid.boundingbox
        return box.left, box.bottom, box.right, box.top

    @property
    def valid_percent(self) -> float:
        """Percent of the pixels that are not outside."""
        total = sum(self.counts.values())
        return 100 * (total - self.counts.get(int(self.layer.variables[0].nodata), 0)) / total if total else 0.0

    @property
    def version(self) -> str:
        """Of the product; empty where its form has none."""
        return ""

    @property
    def title(self) -> str:
        """A line."""
        return f"{self.layer.title}, raster {self.layer.resolution:g} m, tile {self.tile}"

    @property
    def abstract(self) -> str:
        """A paragraph."""
        where = f"{'A window of' if self.windowed else 'The whole of'} the 100 km tile {self.tile} of the EEA reference grid"
        pixels = f"pixels of {self.layer.resolution:g} m in {self.grid.crs}"
        return f"{self.layer.description}. {where}, {pixels}. Derived from Sentinel-2 images."
