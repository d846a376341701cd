"""Facts of one product for the files beside it: metadata, STAC Items and styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imperv.layers.catalogue import Layer
from imperv.layers.palette import Palette
from imperv.tasks.delivery.lineage import lineage_of
from imperv.tasks.delivery.product import Product
from imperv.tasks.imperviousness.products.names import collection_name, delivery_of, file_name, timing_of
from imperv.tasks.imperviousness.settings import EEADelivery
from imperv.tasks.job import Job
from imperv.tasks.store.records import Record

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
class EEAProduct(Product):
    """One product of imperviousness."""

    settings: EEADelivery

    timing: str = ""
    """``S2021`` or ``C2018-2021``."""
    seen_by: str = "Sentinel-2"
    """What saw its years."""

    @property
    def palette(self) -> Palette:
        """Codes, names and colours: all of these products are coded."""
        assert self.layer.delivery is not None and self.layer.delivery.palette is not None
        return self.layer.delivery.palette

    @property
    def part(self) -> str:
        """Layer part of the name, such as ``IMD``."""
        return delivery_of(self.layer).part

    @property
    def version(self) -> str:
        """Version and release, such as ``V01_R00``."""
        return f"{self.settings.version}_{self.settings.release}"

    @property
    def title(self) -> str:
        """For people."""
        years = self.timing[1:]
        return f"High Resolution Layer {NAMES[self.part]} {years}, raster {self.layer.resolution} m, tile {self.tile}"

    @property
    def abstract(self) -> str:
        """Abstract of the product."""
        support = self.part not in ABOUT
        about = ABOUT[self.part[:-1] if support else self.part]
        where = f"{'A window of' if self.windowed else 'The whole of'} the 100 km tile {self.tile} of the EEA reference grid"
        return (
            f"{about} {f'{TECHNICAL} ' if support else ''}{where}, pixels of {self.layer.resolution} m in ETRS89-LAEA "
            f"(EPSG:3035), 255 outside. Derived from a year of {self.seen_by} images."
        )


def product_of(job: Job, layer: Layer, made: Record, counts: Mapping[int, int]) -> EEAProduct:
    """Facts of a product of a layer with the record `made`."""
    roles = ("now",) if delivery_of(layer).timing == "S" else ("then", "now")
    first = getattr(job.production.periods, roles[0])
    return EEAProduct(
        layer=layer,
        tile=job.tile,
        name=file_name(layer, job.production, job.tile).removesuffix(".tif"),
        collection=collection_name(job.production),
        timing=timing_of(layer, job.production),
        seen_by=job.production.scenes.seen_by(*roles),
        grid=job.grid(layer.resolution),
        start=first.start,
        end=job.production.periods.now.end,
        counts=counts,
        created=made.created,
        windowed=made.windowed,
        lineage=lineage_of(job, layer, made),
        settings=job.production.delivery,
    )
