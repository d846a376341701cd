"""A density model as one file: written from the store, checked, and put into another store.

A ZIP of ``manifest.json`` (format and version), ``model.json`` (the record) and ``weights.bin`` (float32, little-endian).
Files come from strangers: nothing is unpacked under a name of its own, and the network is built here, from the parameters of the
record.
"""

from __future__ import annotations

import json
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE, DEFAULT, family_of
from imperv.layers.features import FEATURE_SETS
from imperv.layers.network.unet import NetworkParameters
from imperv.layers.network.weights import flat_weights
from imperv.tasks.errors import InputError, writing
from imperv.tasks.job import Job, utc_now
from imperv.tasks.networks.registry import (
    IMPORTED,
    OUTPUTS,
    Wanted,
    imported,
    load,
    members_of,
    trouble,
    weights_digest,
)
from imperv.tasks.networks.symbols import is_network, model_symbol
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import Store, with_measured

FORMAT = {"format": "imperv-model", "version": 2}

LIMITS = {"manifest.json": 2**20, "model.json": 2**24, "weights.bin": 2**32}
"""Parts of a file, and the most bytes of each: ten members of 64 filters and four levels take 1.3 GB."""

ARCHITECTURE = ("features", "base_filters", "depth")
"""Parameters that the shapes of the weights follow from."""


def export_model(store: Store, product: str, tile: Tile, output: Path, family: str = DEFAULT) -> None:
    """Write the model of a tile as one file, at once or not at all; InputError if it is no network, missing or damaged."""
    symbol = model_symbol(family, product)
    folder = f"{CATALOGUE[symbol].model_folder}/{tile}"
    if not is_network(symbol):
        raise InputError(f"{symbol} is no density network, and only these become one file; copy {folder} of {store.url}")
    record = store.read_record(f"{folder}/model.json")
    if record is None:
        raise InputError(f"{symbol} of tile {tile} is not in {store.url}; `imperv model list` shows what is")
    if not record.made:
        raise InputError(f"{symbol} of tile {tile} was not trained ({record.reason}); export a neighbour's")
    if not store.data_in_place(record):
        raise InputError(f"{symbol} of tile {tile}: its data are gone or damaged; run the tile again")
    weights = flat_weights(load(store, record)[0]).astype("<f4", copy=False)
    temporary = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
    try:
        with writing(output, "--output"):
            with zipfile.ZipFile(temporary, "w") as archive:
                archive.writestr("manifest.json", json.dumps({**FORMAT, "created": utc_now()}))
                archive.writestr("model.json", record.to_json(), zipfile.ZIP_DEFLATED)
                archive.writestr("weights.bin", weights.tobytes())  # they do not compress
            temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def read_model(path: Path) -> tuple[Record, Any]:
    """Record and Keras model of a file, both checked; InputError if anything is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_parts(path, archive)
            manifest, text, weights = (archive.read(name) for name in LIMITS)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); name a file of `imperv model export`") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _wrong(path, f"it is no sound ZIP file ({error})") from None
    _check_manifest(path, manifest)
    try:
        record = Record.from_json(text.decode("utf-8"))
    except ValueError as error:
        raise _wrong(path, f"model.json is {error}") from None
    _check_record(path, record)
    return record, _network(path, record, weights)


def _wrong(path: Path, why: str) -> InputError:
    return InputError(f"{path}: {why}; export it again with `imperv model export`")


def _check_parts(path: Path, archive: zipfile.ZipFile) -> None:
    """Exactly the parts that there must be, none too large."""
    names = [entry.filename for entry in archive.infolist()]
    if sorted(names) != sorted(LIMITS):
        missing = sorted(set(LIMITS) - set(names))
        strange = sorted(set(names) - set(LIMITS)) or missing or sorted(names)
        listed = ", ".join(repr(n[:60]) for n in strange[:3])
        raise _wrong(path, f"it {'lacks' if missing else 'holds'} {listed}; a model file holds {', '.join(LIMITS)}")
    for entry in archive.infolist():
        if entry.file_size > LIMITS[entry.filename]:
            raise _wrong(path, f"{entry.filename} would take {entry.file_size} bytes, more than {LIMITS[entry.filename]}")


def _check_manifest(path: Path, data: bytes) -> None:
    try:
        manifest = json.loads(data)
    except ValueError:
        raise _wrong(path, "manifest.json is no JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT["format"]:
        raise _wrong(path, "it is not a model file")
    if manifest.get("version") != FORMAT["version"]:
        raise InputError(
            f"{path}: format version {manifest.get('version')}, only {FORMAT['version']} is known; "
            "export it again with the same version of imperv"
        )


def _check_record(path: Path, record: Record) -> None:
    """The record is of a trained model of any algorithm and year, and sound in itself."""
    made_of = record.ingredients if isinstance(record.ingredients, Mapping) else {}
    has = made_of.get("parameters", {})
    sound = isinstance(has, Mapping) and isinstance(record.statistics, Mapping)
    if not sound or not record.made or not (record.symbol in CATALOGUE and is_network(record.symbol)):
        raise _wrong(path, "model.json is not the record of a trained model")
    try:
        Tile(record.tile)
    except ValueError as error:
        raise _wrong(path, f"model.json: {error}") from None
    features = has.get("unet.features")
    if features not in FEATURE_SETS:
        raise _wrong(path, f"its features {features!r} are not known (there are {', '.join(FEATURE_SETS)})")
    if why := trouble(record, Wanted(str(made_of.get("algorithm")), features, outputs=tuple(record.statistics.get(OUTPUTS, ())))):
        raise _wrong(path, why)


def _network(path: Path, record: Record, data: bytes) -> Any:
    """The network that the record describes, with the weights of the file."""
    from imperv.layers.network.unet import rebuild

    has, count = record.ingredients["parameters"], members_of(record)
    try:
        parameters = NetworkParameters(members=count, **{name: has[f"unet.{name}"] for name in ARCHITECTURE})
        model = rebuild(parameters, np.frombuffer(data, "<f4"), len(record.statistics.get(OUTPUTS, ())) or 1)
    except (KeyError, ValidationError):
        raise _wrong(path, "its record does not describe a network") from None
    except ValueError as error:
        raise _wrong(path, str(error)) from None
    if weights_digest(model, record.statistics["normalisation"]) != record.digest:
        raise _wrong(path, "its weights are not those of its record")
    return model


def import_model(production: Production, path: Path, tile: str | None = None, replace_own: bool = False) -> tuple[Record, str]:
    """Put the model of a file into the store of a production, its record last: the record, and a note.

    It belongs to `tile`, by default the one of its training. The note says why it takes no part in predictions of other tiles;
    empty if it does. InputError if the file is damaged, of no use to the production, or, without `replace_own`, a model is there.
    """
    from imperv.layers.network.unet import save_model

    source, model = read_model(path)
    symbol = source.symbol
    if family_of(symbol) != production.product:
        raise InputError(f"{path}: {symbol} is of product {family_of(symbol)}; name a production of it with --config")
    job = Job.of(production, tile or source.tile)
    if why := trouble(source, Wanted.of(production, symbol, same=False)):
        raise InputError(f"{path}: of no use to this production: {why}; import another model or change the production file")
    origin = {"tile": source.tile, "version": source.version, "file": path.name}
    made_of = {**source.ingredients, IMPORTED: origin}
    with job.store.tile_lock(job.tile), tempfile.TemporaryDirectory() as folder:
        place, there = job.place(symbol), job.record(symbol)
        if there is not None and there.made and not replace_own:
            what = "imported" if imported(there) else "trained"
            raise InputError(f"{symbol} of tile {job.tile} is there already, {what} {there.created}; --replace takes its place")
        network = Path(folder) / "model.keras"
        save_model(model, network)
        job.store.remove_record(place.record)
        job.store.put_file(network, place.data)
        record = replace(
            source,
            tile=str(job.tile),
            key=digest_of(made_of),
            ingredients=made_of,
            href=place.data,
            statistics={**source.statistics, IMPORTED: {**origin, "when": utc_now()}},
        )
        record = with_measured(record, job.store)
        job.store.write_record(place.record, record)
    return record, trouble(record, Wanted.of(production, symbol))


def remove_model(job: Job, product: str) -> bool:
    """Remove the model of a tile, its record first; False if there is none. InputError for a model of another product."""
    symbol = model_symbol(job.family, product)
    if family_of(symbol) != job.family:  # which may be at work on the tile under a lease of its own
        raise InputError(f"{symbol} is of product {family_of(symbol)}, not {job.family}; name a production of it with --config")
    with job.store.tile_lock(job.tile):
        place = job.place(symbol)
        there = job.store.read_text(place.record) is not None
        job.store.remove_record(place.record)
        with suppress(FileNotFoundError):
            job.store.fs.rm_file(job.store.full(place.data))
    return there
