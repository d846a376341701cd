"""Names, by the EEA product definitions, and places of a final layer of a tile, the files beside it, and its record."""

from __future__ import annotations

from dataclasses import dataclass

from imperv.grids import Tile
from imperv.layers.catalogue import Delivery, Layer
from imperv.tasks.family.form import Places
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

EPSG = 3035
"""EPSG code of the coordinate reference system: a definition without it fails the EEA check."""

LAST_HRLNVLCC_YEAR = 2021
"""Up to this year of `now` the product line is HRLNVLCC, then NVLCC."""


@dataclass(frozen=True)
class EEAPlaces(Places):
    """Files of one product, relative to the store."""

    table: str
    """Attribute table, where the EEA check and GIS read it."""
    metadata: str
    """INSPIRE metadata, in the one folder that the EEA check reads."""
    package: str
    """ZIP for the EEA; only with `delivery.zip`."""

    @property
    def beside(self) -> tuple[str, ...]:
        """As `Places.beside`."""
        return self.table, self.metadata, self.style, self.quicklook, self.stac, self.package


def delivery_of(layer: Layer) -> Delivery:
    """How a final layer is delivered."""
    assert layer.delivery is not None, layer.symbol
    return layer.delivery


def edition_years(production: Production) -> tuple[int, int]:
    """The two years in names: those of the edition, or of the periods."""
    edition = production.delivery.edition
    if edition != "auto":
        then, now = edition.split("-")
        return int(then), int(now)
    return production.periods.then.year, production.periods.now.year


def theme_of(production: Production) -> str:
    """Product line, such as ``NVLCC``."""
    theme = production.delivery.theme
    if theme != "auto":
        return theme
    return "HRLNVLCC" if edition_years(production)[1] <= LAST_HRLNVLCC_YEAR else "NVLCC"


def timing_of(layer: Layer, production: Production) -> str:
    """What a product describes: ``S2021``, or ``C2018-2021`` for a change."""
    then, now = edition_years(production)
    return f"S{now}" if delivery_of(layer).timing == "S" else f"C{then}-{now}"


def file_name(layer: Layer, production: Production, tile: Tile) -> str:
    """Name of a delivered file, such as ``CLMS_NVLCC_IMD_S2024_R10m_E43N32_03035_V01_R00.tif``."""
    form, settings = delivery_of(layer), production.delivery
    place = f"R{layer.resolution}m_{tile}_{EPSG:05d}"
    timing = timing_of(layer, production)
    return f"CLMS_{theme_of(production)}_{form.part}_{timing}_{place}_{settings.version}_{settings.release}.tif"


def collection_name(production: Production) -> str:
    """Name of all products of a production together, such as ``CLMS_NVLCC_2021-2024_V01_R00``."""
    then, now = edition_years(production)
    return f"CLMS_{theme_of(production)}_{then}-{now}_{production.delivery.version}_{production.delivery.release}"


def eea_places(job: Job, layer: Layer) -> EEAPlaces:
    """Places of a product and of what belongs to it, relative to the store."""
    folder = f"products/{job.tile}"
    stem = file_name(layer, job.production, job.tile).removesuffix(".tif")
    path = f"{folder}/{stem}"
    return EEAPlaces(
        tif=f"{path}.tif",
        table=f"{path}.tif.vat.dbf",
        metadata=f"{folder}/Metadata/{stem}.xml",
        style=f"{path}.qml",
        quicklook=f"{path}.png",
        stac=f"{path}.stac.json",
        package=f"{path}.zip",
        record=f"{path}.json",
    )
