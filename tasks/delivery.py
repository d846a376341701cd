"""Delivery: final layers of a tile as the GeoTIFFs that are handed over, each checked before it gets its name.

A product is done if and only if its record, beside it, exists. Form and names follow the EEA product definitions;
the check is `tasks.delivery_check`, colours are `layers.palette`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from grids import Tile
from layers.catalogue import CATALOGUE, Delivery, Layer, resolve
from layers.palette import OUTSIDE
from tasks.delivery_check import check_file, pixel_counts
from tasks.engine import measured
from tasks.errors import InputError, WorkError
from tasks.job import Job, count_codes, software, utc_now
from tasks.nodes import Standing, State
from tasks.production import Production
from tasks.records import Record, digest_of, explain_difference
from tasks.store import TEMPORARY, disk_trouble, with_measured

VERSION = 1
"""Raised when the same layer would give another file."""

EPSG = 3035
"""Code that the coordinate reference system is written from: a definition without its code fails the EEA check."""

LAST_HRLNVLCC_YEAR = 2021
"""Up to this year of `now` the product line is HRLNVLCC, then NVLCC."""

CREATION = ("TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=LZW")
"""Creation options of GDAL's GTiff driver."""

STRIP_ROWS = 2048
"""Rows written at once: whole blocks of the TIFF, so that none is compressed twice; 20 MB of a tile at 10 m."""

LITTLE_ROOM = 2**20
"""Free bytes below which GDAL's failure to write is put down to a full disk; it does not say why itself."""

_BINDINGS = (
    "delivery needs GDAL's Python bindings, which cannot be imported ({error}); install those of the system's version: "
    'pip install "gdal[numpy]==$(gdal-config --version)" (numpy must be there when they are built)'
)


def delivered_symbols() -> tuple[str, ...]:
    """Layers that are handed over, in the order of the catalogue."""
    return tuple(symbol for symbol, layer in CATALOGUE.items() if layer.delivery is not None)


def file_name(layer: Layer, production: Production, tile: Tile) -> str:
    """Name of a delivered file, such as ``CLMS_NVLCC_IMD_S2024_R10m_E43N32_03035_V01_R00.tif``.

    Raises
    ------
    InputError
        If the layer is not one that is handed over.
    """
    form, settings = _form(layer), production.delivery
    then, now = production.periods.then.year, production.periods.now.year
    theme = settings.theme if settings.theme != "auto" else "HRLNVLCC" if now <= LAST_HRLNVLCC_YEAR else "NVLCC"
    timing = f"S{now}" if form.timing == "S" else f"C{then}-{now}"
    place = f"R{layer.resolution}m_{tile}_{EPSG:05d}"
    return f"CLMS_{theme}_{form.part}_{timing}_{place}_{settings.version}_{settings.release}.tif"


def product_paths(job: Job, symbol: str) -> tuple[str, str]:
    """Places of a product and of its record, relative to the store.

    Raises
    ------
    InputError
        If there is no such layer, or it is not one that is handed over.
    """
    href = f"products/{job.tile}/{file_name(_layer(symbol), job.production, job.tile)}"
    return href, f"{href.removesuffix('.tif')}.json"


def delivery_standing(job: Job, symbol: str, changing: Mapping[str, State] | None = None) -> Standing:
    """Whether a product must be written, and why.

    Parameters
    ----------
    job : Job
        Tile.
    symbol : str
        Layer.
    changing : mapping, optional
        For a plan: state of the layers, as for `tasks.nodes.standing`.

    Returns
    -------
    Standing
        The record in it is the product's.
    """
    layer, ahead = _layer(symbol), (changing or {}).get(resolve(symbol))
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
    layer = _layer(symbol)
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
    href, place = product_paths(job, symbol)
    try:
        with measured() as usage, _drafts(job, href) as folder:
            draft = folder / Path(href).name
            counts = _write(job, layer, draft)
            notes = _check(job, draft, counts)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            _withdraw(job, symbol)
            if job.store.is_local:
                with job.store.writing(href) as temporary:
                    draft.replace(temporary)
            else:
                job.store.put_file(draft, href)
    except OSError as error:
        raise disk_trouble(error, href) from error
    histogram = {str(code): counts[code] for code in sorted(counts)}
    pixels = {"pixels": sum(counts.values()), "outside": counts.get(OUTSIDE, 0), "histogram": histogram}
    more = {"digest": digest, "href": href, "statistics": {layer.symbol: pixels}, "warnings": notes}
    record = _record(job, layer, made, **more, **asdict(usage))
    record = with_measured(record, job.store)
    job.store.write_record(place, record)
    return record, True


def _layer(symbol: str) -> Layer:
    """The layer of a symbol or of another spelling, if it is handed over."""
    try:
        layer = CATALOGUE[resolve(symbol)]
    except ValueError as error:
        raise InputError(str(error)) from None
    _form(layer)
    return layer


def _form(layer: Layer) -> Delivery:
    if layer.delivery is None:
        raise InputError(f"{layer.symbol} is not handed over: choose among {', '.join(delivered_symbols())}")
    return layer.delivery


def _folds(job: Job, layer: Layer) -> bool:
    """True where classes 11 and 12 are written as 10; no other layer has a check that refuses them."""
    return job.production.delivery.fold_built_up_classes and _form(layer).part == "IBUC"


def _ingredients(job: Job, layer: Layer, made: Record) -> dict[str, Any]:
    """Everything that a product's key is made of."""
    href, _ = product_paths(job, layer.symbol)
    return {
        "algorithm": f"delivery {VERSION}",
        "name": Path(href).name,
        "palette": digest_of(asdict(_form(layer).palette)),
        "parameters": {"delivery.fold_built_up_classes": _folds(job, layer)},
        "inputs": {layer.symbol: made.version},
    }


def _record(job: Job, layer: Layer, source: Record, **more: Any) -> Record:
    """Record of the product of a layer with the record `source`."""
    ingredients = _ingredients(job, layer, source)
    periods = job.production.periods
    first = periods.now if _form(layer).timing == "S" else periods.then
    return Record(
        symbol=layer.symbol,
        tile=str(job.tile),
        key=digest_of(ingredients),
        ingredients=ingredients,
        bbox=source.bbox,
        windowed=source.windowed,
        start=str(first.start),
        end=str(periods.now.end),
        software=software(),
        created=utc_now(),
        **more,
    )


def _withdraw(job: Job, symbol: str) -> None:
    """Remove a product, its record first, and what other programs left beside it for it."""
    href, place = product_paths(job, symbol)
    job.store.remove_record(place)
    for path in (href, f"{href}.aux.xml"):
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


def _check(job: Job, draft: Path, counts: Mapping[int, int]) -> tuple[str, ...]:
    """Hold a written file against the delivery check and against the pixels that were meant; the check's notes."""
    findings = check_file(draft, window=job.windowed)
    if wrong := [f"{f.check}: {f.text}" for f in findings if not f.ok]:
        raise WorkError(f"{draft.name}: the delivery check failed, {'; '.join(wrong)}; it is not delivered")
    # Blocks that never reached the disk are read as no data, without an error.
    if pixel_counts(draft) != counts:
        raise WorkError(f"{draft.name}: does not hold the pixels that were written; check the disk and run again")
    return tuple(f"{f.check}: {f.text}" for f in findings if f.note)


def _write(job: Job, layer: Layer, path: Path) -> dict[int, int]:
    """Write a layer's pixels with GDAL, strip by strip; pixels of each code."""
    try:
        from osgeo import gdal, osr
    except ImportError as error:
        raise InputError(_BINDINGS.format(error=error)) from None
    if not gdal.GetUseExceptions():
        # Said aloud for GDAL 3.7 and later. Errors are asked for: what is raised while a file is closed reaches nobody.
        gdal.DontUseExceptions()
    array, total = job.array(layer.symbol), np.zeros(256, np.int64)
    rows, columns = array.shape
    folds, failure, dataset = _folds(job, layer), "", None
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    gdal.ErrorReset()
    try:
        dataset = _create(gdal, osr, path, job.grid(layer.resolution), layer)
        for row in range(0, rows, STRIP_ROWS):
            strip = np.ascontiguousarray(array[row : row + STRIP_ROWS])
            if folds:
                strip[(strip == 11) | (strip == 12)] = 10
            total += count_codes(strip)
            # Bytes and not WriteArray, which bindings built without numpy do not have.
            dataset.WriteRaster(0, row, columns, strip.shape[0], strip.reshape(-1).data)
            _raise_error(gdal)
        dataset.FlushCache()
        dataset = None
        _raise_error(gdal)
    except RuntimeError as error:
        failure = str(error)
    finally:
        dataset = None  # closed while errors are quiet
        gdal.PopErrorHandler()
    if failure and shutil.disk_usage(path.parent).free < LITTLE_ROOM:
        raise OSError(errno.ENOSPC, "no room left")
    if failure:
        raise WorkError(f"{path.name}: GDAL cannot write it ({' '.join(failure.split())})")
    return {int(code): int(total[code]) for code in np.nonzero(total)[0]}


def _create(gdal: Any, osr: Any, path: Path, grid: GeoBox, layer: Layer) -> Any:
    """An empty file with everything but its pixels: what stands before them cannot end up in a side file."""
    rows, columns = grid.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, 1, gdal.GDT_Byte, list(CREATION))
    _raise_error(gdal)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(EPSG)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.SetGeoTransform(grid.affine.to_gdal())
    table = gdal.ColorTable()
    for code, colour in enumerate(_form(layer).palette.colours):
        table.SetColorEntry(code, (*colour, 255))
    band = dataset.GetRasterBand(1)
    band.SetColorTable(table)
    band.SetNoDataValue(OUTSIDE)
    _raise_error(gdal)
    return dataset


def _raise_error(gdal: Any) -> None:
    """Raise what GDAL has noticed since its errors were reset."""
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise RuntimeError(gdal.GetLastErrorMsg())
