"""The EEA's form of delivery of imperviousness, by its product definitions and its delivery check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imperv.layers.attributes import units_of
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.attribute_table import table_rows, write_table
from imperv.tasks.delivery.delivery import delivered_symbols
from imperv.tasks.delivery.geotiff import load_gdal, write_geotiff
from imperv.tasks.delivery.quicklooks import write_quicklook
from imperv.tasks.delivery.stac import item_json
from imperv.tasks.delivery.stac_series import Series, refresh_series
from imperv.tasks.delivery.styles import style_qml
from imperv.tasks.engine import RESERVED
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import Cost, pixels_of
from imperv.tasks.family.findings import Finding, Remark, doubtful, fine
from imperv.tasks.family.form import Form, Places, Written
from imperv.tasks.imperviousness.checks.delivered import verify_delivered
from imperv.tasks.imperviousness.checks.delivery_check import check_file, pixel_counts
from imperv.tasks.imperviousness.checks.verifying import Request, check_meaning, verify
from imperv.tasks.imperviousness.products.editions import editions_note, other_editions, period_of
from imperv.tasks.imperviousness.products.facts import EEAProduct, product_of
from imperv.tasks.imperviousness.products.metadata_xml import metadata_xml
from imperv.tasks.imperviousness.products.names import EEAPlaces, collection_name, delivery_of, edition_years, eea_places
from imperv.tasks.imperviousness.products.packages import write_package
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of

VERSION = 3
"""Raised when the same layer would give other files."""

DELIVERY_NS: dict[float, float] = {10: 52.0, 20: 21.0, 100: 9.0}
"""Core nanoseconds by pixel of 10 m of a tile to write and check a product with all its files, by its resolution."""

PREFIX = "CLMS_"
"""Start of all file names."""

FOLDED = "IBUC"
"""The one layer whose classes 11 and 12 may be written as 10."""


def _write(job: Job, layer: Layer, made: Record, places: Places, folder: Path) -> Written:
    assert isinstance(places, EEAPlaces)
    draft = folder / PurePosixPath(places.tif).name
    palette = delivery_of(layer).palette
    assert palette is not None, layer.symbol
    counts = write_geotiff(draft, job.grid(layer.resolution), palette, _pixels(job, layer), layer.description, units_of(layer))
    product = product_of(job, layer, made, counts)
    table = folder / PurePosixPath(places.table).name
    write_table(table, table_rows(counts, palette, layer.resolution), product.created[:10])
    findings = _check(job, layer.symbol, draft, counts)
    files = {places.tif: draft} | _write_beside(product, places, folder, findings)
    histogram = {str(code): counts[code] for code in sorted(counts)}
    pixels = {"pixels": sum(counts.values()), "outside": counts.get(OUTSIDE, 0), "histogram": histogram}
    return Written(files, pixels, findings)


def _pixels(job: Job, layer: Layer) -> Any:
    """Function that gives rows of a layer as they are delivered."""
    array, folds = job.array(layer.symbol), _folds(job, layer)

    def rows(first: int, last: int) -> np.ndarray:
        strip = np.ascontiguousarray(array[first:last])
        if folds:
            strip[(strip == 11) | (strip == 12)] = 10
        return strip

    return rows


def _write_beside(product: EEAProduct, places: EEAPlaces, folder: Path, findings: list[Finding]) -> dict[str, Path]:
    """Write the files beside a GeoTIFF and its table into the folder of drafts; the files by their places."""
    files = {place: folder / PurePosixPath(place).name for place in (places.tif, *places.beside)}
    checks = tuple(f.check for f in findings)
    files[places.metadata].write_text(metadata_xml(product, checks), encoding="utf-8")
    files[places.style].write_text(style_qml(product.palette), encoding="utf-8")
    write_quicklook(files[places.quicklook], files[places.tif], product.palette)
    if product.settings.zip:
        inside = (places.tif, places.table, places.metadata)
        write_package(files[places.package], {_from_folder(place, places): files[place] for place in inside})
    assets = {
        "data": places.tif, "table": places.table, "metadata": places.metadata, "style": places.style,
        "quicklook": places.quicklook, "package": places.package,
    }  # fmt: skip
    assets = {key: place for key, place in assets.items() if files[place].exists()}
    links = {key: (f"./{_from_folder(place, places)}", files[place]) for key, place in assets.items()}
    files[places.stac].write_text(item_json(product, links), encoding="utf-8")
    return {place: path for place, path in files.items() if path.exists() and place != places.tif}


def _from_folder(place: str, places: Places) -> str:
    """Path of a file from the folder of the products of its tile."""
    return str(PurePosixPath(place).relative_to(PurePosixPath(places.tif).parent))


def _folds(job: Job, layer: Layer) -> bool:
    """True where classes 11 and 12 are written as 10; no other layer has a check that refuses them."""
    return job.production.delivery.fold_built_up_classes and delivery_of(layer).part == FOLDED


def _settings(job: Job, layer: Layer) -> dict[str, Any]:
    delivery = job.production.delivery.model_dump(mode="json", include={"contact", "licence", "conditions", "zip"})
    return {
        "palette": digest_of(asdict(delivery_of(layer))["palette"]),
        "settings": {f"delivery.{name}": value for name, value in delivery.items()},
        "parameters": {"delivery.fold_built_up_classes": _folds(job, layer)},
    }


def _check(job: Job, symbol: str, draft: Path, counts: Mapping[int, int]) -> list[Finding]:
    """Check a written file and its table: delivery check, relations to other layers, and the layer's pixels."""
    findings = check_file(draft, window=job.windowed)
    # Blocks that were not written are read as no data, without an error.
    if all(f.ok or f.check != "readable" for f in findings) and pixel_counts(draft) != counts:
        raise WorkError(f"{draft.name}: differs from the pixels that were written; check the disk and run again")
    if all(f.ok for f in findings):
        findings += check_meaning(job, symbol, draft)
    if wrong := [f"{f.check}: {f.text}" for f in findings if not f.ok]:
        raise WorkError(f"{draft.name}: the delivery check failed, {'; '.join(wrong)}; it is not delivered")
    return findings


def series_of(job: Job) -> Series:
    """Collection of a production."""
    production, contact = job.production, job.production.delivery.contact
    then, now = edition_years(production)
    periods = production.periods
    change = "" if periods.backward else f" and its change since {then}"
    return Series(
        name=collection_name(production),
        description=f"High Resolution Layer Imperviousness {now}{change}: all layers, by 100 km tiles of the "
        f"EEA reference grid, derived from {production.scenes.seen_by()}.",
        start=min(periods.then.start, periods.now.start),
        end=periods.last_day,
        licence=production.delivery.licence,
        resolutions=tuple(sorted({CATALOGUE[symbol].resolution for symbol in delivered_symbols(job.family)})),
        keywords=("imperviousness", "soil sealing", "built-up"),
        organisation=contact.organisation if contact else "",
        website=contact.website if contact else "",
    )


def _look(production: Production) -> Iterator[Remark]:
    if production.delivery.contact is None:
        yield doubtful(
            "delivery.contact is missing: the metadata of products will say so, and there are no packages; "
            "add [delivery.contact] with organisation and email"
        )
    yield fine(f"GDAL {load_gdal().__version__} writes the maps")


def _preflight() -> None:
    load_gdal()


def _finish(job: Job) -> str:
    refresh_series(job, series_of(job))
    return editions_note(job)


EEA = Form(
    name="EEA",
    version=VERSION,
    places=eea_places,
    period=lambda job, layer: period_of(job, layer.symbol),
    settings=_settings,
    write=_write,
    cost=lambda job, layer: Cost(pixels_of(job) * DELIVERY_NS[layer.resolution] / 1e9, RESERVED),
    preflight=_preflight,
    look=_look,
    finish=_finish,
    strangers=other_editions,
    options=("window", "then", "masks"),
    owns=lambda path: PurePosixPath(path).name.startswith(PREFIX),
    verify=lambda jobs, products, more: verify_delivered(jobs, products, Request(**more)),
    verify_files=lambda paths, jobs, more: verify(paths, Request(**more, jobs=jobs)),
)
"""GeoTIFF of bytes with attribute table, INSPIRE metadata, style, quicklook, STAC Item, and the package with `delivery.zip`."""
