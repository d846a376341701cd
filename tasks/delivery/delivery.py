"""Delivery: final layers of a tile as the files of the family's form, each checked before it gets its name.

A product is done if and only if its record, beside it, exists: it is written last and speaks for all files of the product.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from imperv.layers.catalogue import CATALOGUE, DEFAULT, Layer, family_of, layers_of, resolve
from imperv.tasks.engine import measured
from imperv.tasks.errors import InputError, WorkError, disk_trouble
from imperv.tasks.families import family
from imperv.tasks.family.form import Form, Places
from imperv.tasks.files import file_digest
from imperv.tasks.job import Job, software, utc_now
from imperv.tasks.nodes import Standing, State
from imperv.tasks.store.records import Record, digest_of, explain_difference
from imperv.tasks.store.store import TEMPORARY, with_measured


def delivered_symbols(product: str = DEFAULT) -> tuple[str, ...]:
    """Layers of a product that are delivered, in the order of the catalogue."""
    return tuple(symbol for symbol, layer in layers_of(product).items() if layer.delivery is not None)


def delivered_layer(symbol: str) -> Layer:
    """The layer of a symbol, in any spelling; InputError if there is none, or it is not delivered."""
    try:
        layer = CATALOGUE[resolve(symbol)]
    except ValueError as error:
        raise InputError(str(error)) from None
    if layer.delivery is None:
        choice = ", ".join(delivered_symbols(family_of(layer.symbol)))
        raise InputError(f"{layer.symbol} is not delivered: choose among {choice}")
    return layer


def form_of(layer: Layer) -> Form:
    """The form that a layer is delivered in."""
    return family(family_of(layer.symbol)).form


def places_of(job: Job, symbol: str) -> Places:
    """Places of a product and of what belongs to it, relative to the store."""
    layer = delivered_layer(symbol)
    return form_of(layer).places(job, layer)


def product_paths(job: Job, symbol: str) -> tuple[str, str]:
    """Places of a product and of its record, relative to the store."""
    places = places_of(job, symbol)
    return places.tif, places.record


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
    """Write a final layer in the form of its family, unless it is up to date.

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
        If the layer is not one that is delivered, or what writes it is missing.
    WorkError
        If the layer is not done, the file cannot be written, or it fails a check. Nothing is left under its name but what was
        there before.
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
            written = form_of(layer).write(job, layer, made, places, folder)
            digest = file_digest(written.files[places.tif])
            _withdraw(job, symbol)
            for place, path in written.files.items():
                _put(job, path, place)
    except OSError as error:
        raise disk_trouble(error, places.tif) from error
    more = {
        "digest": digest,
        "href": places.tif,
        "beside": tuple(place for place in written.files if place != places.tif),
        "statistics": {layer.symbol: dict(written.statistics)},
        "warnings": tuple(f"{f.check}: {f.text}" for f in written.findings if f.note),
    }
    record = _record(job, layer, made, **more, **asdict(usage))
    record = with_measured(record, job.store)
    job.store.write_record(places.record, record)
    return record, True


def _put(job: Job, path: Path, place: str) -> None:
    """Give a finished file its name."""
    if job.store.is_local:
        with job.store.writing(place) as temporary:
            path.replace(temporary)
    else:
        job.store.put_file(path, place)


def _ingredients(job: Job, layer: Layer, made: Record) -> dict[str, Any]:
    """Everything that a product's key is made of."""
    form = form_of(layer)
    return {
        "algorithm": f"delivery {form.version}",
        "name": PurePosixPath(form.places(job, layer).tif).name,
        **form.settings(job, layer),
        "inputs": {layer.symbol: made.version},
    }


def _record(job: Job, layer: Layer, source: Record, **more: Any) -> Record:
    """Record of the product of a layer with the record `source`."""
    ingredients = _ingredients(job, layer, source)
    first, last = form_of(layer).period(job, layer)
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
