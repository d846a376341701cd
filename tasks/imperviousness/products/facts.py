"""What is known of one product when the files beside it are written: all that metadata, catalogues and styles tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from odc.geo.geobox import GeoBox

from imperv.grids import Tile
from imperv.layers.catalogue import Layer
from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.lineage import Lineage, lineage_of
from imperv.tasks.imperviousness.products.names import collection_name, file_name, form_of, timing_of
from imperv.tasks.job import Job
from imperv.tasks.settings.delivery import DeliverySettings
from imperv.tasks.store.records import TO_LONLAT, Record

NAMES = {
    "IMD": "Imperviousness Density", "IBU": "Impervious Built-Up", "SBU": "Share of Built-Up",
    "IMDC": "Imperviousness Change", "IMCC": "Imperviousness Change Classified", "IBUC": "Impervious Built-Up Change",
    "SBUC": "Share of Built-Up Change", "SBCC": "Share of Built-Up Change Classified",
    "IMDCS": "Imperviousness Change Support", "IMCCS": "Imperviousness Change Classified Support",
    "IBUCS": "Impervious Built-Up Change Support", "SBUCS": "Share of Built-Up Change Support",
    "SBCCS": "Share of Built-Up Change Classified Support",
    "IMDCL": "Imperviousness Density Confidence", "IBUCL": "Impervious Built-Up Confidence",
}  # fmt: skip
"""Titles of the layers (ATBD Table 1)."""

TECHNICAL = (
    "It holds the technical part of the difference of the two status maps: what is not inside the change mask. "
    "Change and technical change together are the whole difference."
)

ABOUT = {
    "IMD": "Percent of each pixel that is sealed, 0 to 100.",
    "IBU": "Where a pixel is covered by buildings and other built-up surface, 1, or not, 0.",
    "SBU": "Percent of each pixel of 100 m that is built-up, 0 to 100.",
    "IMDC": "Change of the imperviousness density between the two years, inside the change mask: "
    "100 plus the change in percent; 201 not sealed in both years.",
    "IMCC": "Change of the imperviousness density between the two years, inside the change mask, in classes.",
    "IBUC": "Change of built-up between the two years, inside the change mask, in classes.",
    "SBUC": "Change of the share of built-up between the two years: 100 plus the change in percent; 201 none in both years.",
    "SBCC": "Change of the share of built-up between the two years, in classes.",
    "IMDCL": "Agreement of the models that imperviousness density comes from, 50 to 100 percent.",
    "IBUCL": "Agreement of the models that built-up comes from, 50 to 100 percent.",
}
"""What a layer shows, in a sentence; change support layers as their change layer."""


@dataclass(frozen=True)
class Product:
    """One product."""

    layer: Layer
    tile: Tile
    name: str
    """File name without its ending."""
    collection: str
    """Name of all products of the production."""
    timing: str
    """``S2021`` or ``C2018-2021``."""
    grid: GeoBox
    start: dt.date
    end: dt.date
    counts: Mapping[int, int]
    """Pixels of each code."""
    created: str
    """When its pixels were computed, UTC, ISO 8601: the same store gives the same metadata."""
    windowed: bool
    lineage: Lineage
    settings: DeliverySettings

    @property
    def palette(self) -> Palette:
        """Codes, names and colours."""
        return form_of(self.layer).palette

    @property
    def part(self) -> str:
        """Layer part of the name, such as ``IMD``."""
        return form_of(self.layer).part

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
        return 100 * (total - self.counts.get(OUTSIDE, 0)) / total if total else 0.0

    @property
    def title(self) -> str:
        """For people."""
        years = self.timing[1:]
        return f"High Resolution Layer {NAMES[self.part]} {years}, raster {self.layer.resolution} m, tile {self.tile}"

    @property
    def abstract(self) -> str:
        """A paragraph for people."""
        support = self.part not in ABOUT
        about = ABOUT[self.part[:-1] if support else self.part]
        where = f"{'A window of' if self.windowed else 'The whole of'} the 100 km tile {self.tile} of the EEA reference grid"
        return (
            f"{about} {f'{TECHNICAL} ' if support else ''}{where}, pixels of {self.layer.resolution} m in ETRS89-LAEA "
            f"(EPSG:3035), 255 outside. Derived from a year of Sentinel-2 images."
        )


def product_of(job: Job, layer: Layer, made: Record, counts: Mapping[int, int]) -> Product:
    """Facts of a product of a layer with the record `made`."""
    first = job.production.periods.now if form_of(layer).timing == "S" else job.production.periods.then
    return Product(
        layer=layer,
        tile=job.tile,
        name=file_name(layer, job.production, job.tile).removesuffix(".tif"),
        collection=collection_name(job.production),
        timing=timing_of(layer, job.production),
        grid=job.grid(layer.resolution),
        start=first.start,
        end=job.production.periods.now.end,
        counts=counts,
        created=made.created,
        windowed=made.windowed,
        lineage=lineage_of(job, layer, made),
        settings=job.production.delivery,
    )
