"""Delivery: final layers of a tile as the GeoTIFFs that are handed over, each checked before it gets its name.

A product is done if and only if its record, beside it, exists: it is written last and speaks for all files of the product.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imperv.layers.attributes import units_of
from imperv.layers.catalogue import Layer, resolve
from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.attribute_table import table_rows, write_table
from imperv.tasks.delivery.geotiff import write_geotiff
from imperv.tasks.delivery.quicklooks import write_quicklook
from imperv.tasks.delivery.stac import item_json
from imperv.tasks.delivery.styles import style_qml
from imperv.tasks.engine import measured
from imperv.tasks.errors import WorkError, disk_trouble
from imperv.tasks.imperviousness.checks.delivery_check import check_file, pixel_counts
from imperv.tasks.imperviousness.checks.verifying import check_meaning
from imperv.tasks.imperviousness.products.editions import period_of
from imperv.tasks.imperviousness.products.facts import Product, product_of
from imperv.tasks.imperviousness.products.metadata_xml import metadata_xml
from imperv.tasks.imperviousness.products.names import (
    Places,
    delivered_layer,
    delivered_symbols,
    file_name,
    form_of,
    places_of,
    product_paths,
)
from imperv.tasks.imperviousness.products.packages import write_package
from imperv.tasks.imperviousness.products.rules import Finding
from imperv.tasks.job import Job, software, utc_now
from imperv.tasks.nodes import Standing, State
from imperv.tasks.store.records import Record, digest_of, explain_difference
from imperv.tasks.store.store import TEMPORARY, with_measured

__all__ = ["VERSION", "deliver", "delivered_symbols", "delivery_standing", "file_name", "product_paths"]

VERSION = 3
"""Raised when the same layer would give other files."""


def delivery_standing(job: Job, symbol: str, changing: Mapping[str, State] | None = None) -> Standing:
    """Whether a product must be written, and why, with its record; `changing` as for `tasks.nodes.standing`."""
    layer, ahead = delivered_layer(symbol), (changing or {}).get(resolve(symbol))
    href, place = product_paths(job, symbol)
    made, record = job.record(layer.symbol), job.store.read_record(place)
    if made is None:
        return Standing(layer.symbol, "run", f"{layer.symbol} is not made yet", record)
    if ahead == "run":
        return Standing(layer.symbol, "run", f"{layer.symbol} will change", record)
    if not made.made:
        if record is None and not job.store.measure(href)[0]:
            return Standing(layer.symbol, "up to date", made.reason)
        return Standing(layer.symbol, "run", f"to be removed: {made.reason}", record)
    if record is None:
        return Standing(layer.symbol, "run", "not delivered yet")
    now = _ingredients(job, layer, made)
    if digest_of(now) != record.key:
        return Standing(layer.symbol, "run", explain_difference(record.ingredients, now), record)
    if not job.store.data_in_place(record):
        return Standing(layer.symbol, "maybe", "the file is gone or damaged", record)
    if ahead == "maybe":
        return Standing(layer.symbol, "up to date", f"as long as {layer.symbol} comes out the same", record)
    return Standing(layer.symbol, "up to date", "", record)


def deliver(job: Job, symbol: str) -> tuple[Record, bool]:
    """Write a final layer as the GeoTIFF that is handed over, unless it is up to date.

    Parameters
    ----------
    job : Job
        Tile.
    symbol : str
        Layer, done before.

    Returns
    -------
    record : Record
        The product's record; ``made`` is False, with the reason, where the layer itself is not made.
    ran : bool
        False if there was nothing to do.

    Raises
    ------
    InputError
        If the layer is not one that is handed over, or GDAL's Python bindings are missing.
    WorkError
        If the layer is not done, the file cannot be written, or it fails the delivery check. Nothing is left under its
        name but what was there before.
    """
    layer = delivered_layer(symbol)
    found, made = delivery_standing(job, symbol), job.record(layer.symbol)
    what = f"{layer.symbol} of tile {job.tile}: cannot be delivered"
    if made is None:
        raise WorkError(f"{what}, it is not made yet; run it first")
    if not made.made:
        if found.state != "up to date":
            _withdraw(job, symbol)
        return _record(job, layer, made, made=False, reason=made.reason), found.state != "up to date"
    if found.state == "up to date" and found.record is not None:
        return found.record, False
    if made.bbox != job.bounds:
        raise WorkError(f"{what}, it was made for another area; run it again")
    if not job.store.data_in_place(made):
        raise WorkError(f"{what}, its data are gone or damaged; run it again")
    places = places_of(job, symbol)
    try:
        with measured() as usage, _drafts(job, places.tif) as folder:
            draft = folder / PurePosixPath(places.tif).name
            grid, palette = job.grid(layer.resolution), form_of(layer).palette
            counts = write_geotiff(draft, grid, palette, _pixels(job, layer), layer.description, units_of(layer))
            product = product_of(job, layer, made, counts)
            write_table(
                folder / PurePosixPath(places.table).name,
                table_rows(counts, product.palette, layer.resolution),
                product.created[:10],
            )
            findings = _check(job, layer.symbol, draft, counts)
            files = {places.tif: draft} | _write_beside(product, places, folder, findings)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            _withdraw(job, symbol)
            for place, path in files.items():
                _put(job, path, place)
    except OSError as error:
        raise disk_trouble(error, places.tif) from error
    histogram = {str(code): counts[code] for code in sorted(counts)}
    pixels = {"pixels": sum(counts.values()), "outside": counts.get(OUTSIDE, 0), "histogram": histogram}
    more = {
        "digest": digest,
        "href": places.tif,
        "beside": tuple(place for place in files if place != places.tif),
        "statistics": {layer.symbol: pixels},
        "warnings": tuple(f"{f.check}: {f.text}" for f in findings if f.note),
    }
    record = _record(job, layer, made, **more, **asdict(usage))
    record = with_measured(record, job.store)
    job.store.write_record(places.record, record)
    return record, True


def _pixels(job: Job, layer: Layer) -> Any:
    """Function that gives rows of a layer as they are delivered."""
    array, folds = job.array(layer.symbol), _folds(job, layer)

    def rows(first: int, last: int) -> np.ndarray:
        strip = np.ascontiguousarray(array[first:last])
        if folds:
            strip[(strip == 11) | (strip == 12)] = 10
        return strip

    return rows


def _write_beside(product: Product, places: Places, folder: Path, findings: list[Finding]) -> dict[str, Path]:
    """Write what belongs to a GeoTIFF and its table into the folder of drafts; the files by their places."""
    files = {place: folder / PurePosixPath(place).name for place in (places.tif, *places.beside)}
    checks = tuple(f.check for f in findings)
    files[places.metadata].write_text(metadata_xml(product, checks), encoding="utf-8")
    files[places.style].write_text(style_qml(product), encoding="utf-8")
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


def _put(job: Job, path: Path, place: str) -> None:
    """Give a finished file its name."""
    if job.store.is_local:
        with job.store.writing(place) as temporary:
            path.replace(temporary)
    else:
        job.store.put_file(path, place)


def _folds(job: Job, layer: Layer) -> bool:
    """True where classes 11 and 12 are written as 10; no other layer has a check that refuses them."""
    return job.production.delivery.fold_built_up_classes and form_of(layer).part == "IBUC"


def _ingredients(job: Job, layer: Layer, made: Record) -> dict[str, Any]:
    """Everything that a product's key is made of."""
    href, _ = product_paths(job, layer.symbol)
    return {
        "algorithm": f"delivery {VERSION}",
        "name": Path(href).name,
        "palette": digest_of(asdict(form_of(layer).palette)),
        "settings": _told(job),
        "parameters": {"delivery.fold_built_up_classes": _folds(job, layer)},
        "inputs": {layer.symbol: made.version},
    }


def _told(job: Job) -> dict[str, Any]:
    """Settings that files beside the GeoTIFF tell of."""
    told = job.production.delivery.model_dump(mode="json", include={"contact", "licence", "conditions", "zip"})
    return {f"delivery.{name}": value for name, value in told.items()}


def _record(job: Job, layer: Layer, source: Record, **more: Any) -> Record:
    """Record of the product of a layer with the record `source`."""
    ingredients = _ingredients(job, layer, source)
    first, last = period_of(job, layer.symbol)
    return Record(
        symbol=layer.symbol,
        tile=str(job.tile),
        key=digest_of(ingredients),
        ingredients=ingredients,
        bbox=source.bbox,
        windowed=source.windowed,
        start=first,
        end=last,
        software=software(),
        created=utc_now(),
        **more,
    )


def _withdraw(job: Job, symbol: str) -> None:
    """Remove a product, its record first, and what other programs left beside it for it."""
    places = places_of(job, symbol)
    job.store.remove_record(places.record)
    for path in (places.tif, f"{places.tif}.aux.xml", *places.beside):
        with contextlib.suppress(FileNotFoundError):
            job.store.fs.rm_file(job.store.full(path))


@contextlib.contextmanager
def _drafts(job: Job, href: str) -> Iterator[Path]:
    """A folder that is gone afterwards; inside a local store, so that a file is moved and not copied."""
    if not job.store.is_local:
        with tempfile.TemporaryDirectory(prefix="imperv-") as name:
            yield Path(name)
        return
    # The name marks what a killed run leaves, for the store to sweep; the file inside has its own for the check.
    folder = Path(f"{job.store.full(href).removesuffix('.tif')}{TEMPORARY}{uuid.uuid4().hex[:8]}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(job: Job, symbol: str, draft: Path, counts: Mapping[int, int]) -> list[Finding]:
    """Hold a written file and its table against the delivery check, other layers, and the pixels that were meant."""
    findings = check_file(draft, window=job.windowed)
    # Blocks that never reached the disk are read as no data, without an error.
    if all(f.ok or f.check != "readable" for f in findings) and pixel_counts(draft) != counts:
        raise WorkError(f"{draft.name}: does not hold the pixels that were written; check the disk and run again")
    if all(f.ok for f in findings):
        findings += check_meaning(job, symbol, draft)
    if wrong := [f"{f.check}: {f.text}" for f in findings if not f.ok]:
        raise WorkError(f"{draft.name}: the delivery check failed, {'; '.join(wrong)}; it is not delivered")
    return findings
