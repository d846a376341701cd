"""A density model as one file: written from the store, checked, and put into another store.

The file is a ZIP of ``manifest.json``, ``model.json`` (the record) and ``model.keras``. Files come from strangers: nothing of one
is unpacked under a name of its own, and no code of its network is run that is not on a list.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imperv.grids import Tile
from imperv.layers.features import FEATURE_SETS
from imperv.layers.network.unet import Normalisation
from imperv.tasks.errors import InputError, writing
from imperv.tasks.job import Job, utc_now
from imperv.tasks.networks.registry import IMPORTED, PRODUCTS, Wanted, imported, members_of, trouble, weights_digest
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import Store, with_measured

FORMAT = "imperv-model"
FORMAT_VERSION = 1

LIMITS = {"manifest.json": 2**20, "model.json": 2**24, "model.keras": 2**32}
"""What a file holds, and the most bytes of each: ten members of 64 filters and four levels take 1.3 GB."""

NETWORK_LIMITS = {"metadata.json": 2**20, "config.json": 2**24, "model.weights.h5": 2**32}
"""The same of the parts of ``model.keras``."""

ALLOWED_LAYERS = {
    "Activation", "Add", "Average", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Conv2DTranspose",
    "DepthwiseConv2D", "Dropout", "GaussianNoise", "GroupNormalization", "InputLayer", "LayerNormalization", "LeakyReLU",
    "MaxPooling2D", "Multiply", "ReLU", "SeparableConv2D", "SpatialDropout2D", "UpSampling2D",
}  # fmt: skip
"""Keras layers that an imported network may be built of: none that runs code, or reads a file, of its description."""

ALLOWED_OTHERS: dict[str, set[str] | None] = {
    "keras.src.models.functional": {"Functional"},
    "keras": {"DTypePolicy", "Functional"},
    "keras.models": {"Functional", "Model"},
    "keras.initializers": None,
    "keras.regularizers": None,
    "builtins": set(),
}  # fmt: skip
"""What else its description may name, by module; None for everything of it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What a model file says about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["imperv-model"] = "imperv-model"
    version: int = FORMAT_VERSION
    """Of the format."""
    product: Literal["IMD", "IBUD"]
    tile: str
    """Where it was trained."""
    algorithm: str
    """Symbol and version of the node that made it."""
    features: str
    """Feature set."""
    weights: str
    """Hash of weights and normalisation."""
    files: dict[str, _Part]
    """Size and digest of the other parts."""
    software: dict[str, str] = Field(default_factory=dict)
    """Versions that trained it."""
    created: str = ""
    """When the file was written, UTC."""


# writing --------------------------------------------------------------------------------------------------------


def export_model(store: Store, product: str, tile: Tile, output: Path) -> Manifest:
    """Write the model of a tile as one file, at once or not at all; InputError if it is missing or damaged."""
    symbol, path = PRODUCTS[product], f"models/{product}/{tile}/model.json"
    text = store.read_text(path)
    record = store.read_record(path)
    if text is None or record is None:
        raise InputError(f"{symbol} of tile {tile} is not in {store.url}; `imperv model list` shows what is")
    if not record.made:
        raise InputError(f"{symbol} of tile {tile} was not trained ({record.reason}); export a neighbour's")
    if not store.data_in_place(record):
        raise InputError(f"{symbol} of tile {tile}: its data are gone or damaged; run the tile again")
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "model.keras"
        home = store.home(record.href)
        home.fs.get_file(home.full(record.href), str(network))
        (Path(folder) / "model.json").write_text(text, encoding="utf-8")
        manifest = Manifest(
            product=product,  # type: ignore[arg-type]
            tile=str(tile),
            algorithm=record.ingredients.get("algorithm", ""),
            features=record.ingredients.get("parameters", {}).get("unet.features", ""),
            weights=record.digest,
            files={name: _measure(Path(folder) / name) for name in ("model.json", "model.keras")},
            software=dict(record.software),
            created=utc_now(),
        )
        temporary = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
        try:
            with writing(output, "--output"):
                with zipfile.ZipFile(temporary, "w") as archive:
                    archive.writestr("manifest.json", manifest.model_dump_json(indent=1))
                    archive.write(Path(folder) / "model.json", "model.json", zipfile.ZIP_DEFLATED)
                    archive.write(network, "model.keras")  # weights do not compress
                temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    return manifest


def _measure(path: Path) -> _Part:
    with path.open("rb") as file:
        return _Part(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


# reading --------------------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[tuple[Manifest, Record, Path]]:
    """Manifest, record and network of a model file, checked (else InputError); the network's folder goes when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "model.keras"
        try:
            with zipfile.ZipFile(path) as archive:
                _check_parts(path, archive, LIMITS)
                manifest = _manifest(path, _read(path, archive, "manifest.json"))
                text = _read(path, archive, "model.json")
                with network.open("wb") as target, archive.open("model.keras") as source:
                    _copy(path, source, target, LIMITS["model.keras"])
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); name a file of `imperv model export`"
            ) from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            raise _wrong(path, f"it is no sound ZIP file ({error})") from None
        (Path(folder) / "model.json").write_bytes(text)
        for name, part in manifest.files.items():
            if _measure(Path(folder) / name) != part:
                raise _wrong(path, f"{name} is not the one of its manifest, it was changed or damaged")
        try:
            record = Record.from_json(text.decode("utf-8"))
        except ValueError as error:
            raise _wrong(path, f"model.json is {error}") from None
        _check_record(path, manifest, record)
        _check_network(path, network)
        yield manifest, record, network


def _wrong(path: Path, why: str) -> InputError:
    return InputError(f"{path}: {why}; export it again with `imperv model export`")


def _check_parts(path: Path, archive: zipfile.ZipFile, limits: Mapping[str, int]) -> None:
    """Exactly the parts that there must be, none too large."""
    names = [entry.filename for entry in archive.infolist()]
    if sorted(names) != sorted(limits):
        strange = sorted(set(names) - set(limits)) or sorted(set(limits) - set(names)) or sorted(names)
        what = "it lacks" if set(limits) - set(names) else "it holds"
        raise _wrong(path, f"{what} {', '.join(repr(n[:60]) for n in strange[:3])}; a model file holds {', '.join(limits)}")
    for entry in archive.infolist():
        if entry.file_size > limits[entry.filename]:
            raise _wrong(path, f"{entry.filename} would take {entry.file_size} bytes, more than {limits[entry.filename]}")


def _read(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as source:
        data = source.read(LIMITS[name] + 1)
    if len(data) > LIMITS[name]:
        raise _wrong(path, f"{name} takes more than {LIMITS[name]} bytes")
    return data


def _copy(path: Path, source: IO[bytes], target: IO[bytes], limit: int) -> None:
    while piece := source.read(2**20):
        target.write(piece)
        if target.tell() > limit:
            raise _wrong(path, f"its network takes more than {limit} bytes")


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        raw = json.loads(data)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise _wrong(path, "it is not a model file")
        if raw.get("version") != FORMAT_VERSION:
            raise InputError(f"{path}: format version {raw.get('version')}, only {FORMAT_VERSION} is known; use a newer imperv")
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise _wrong(path, f"manifest.json: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError:
        raise _wrong(path, "manifest.json is no JSON") from None
    if set(manifest.files) != {"model.json", "model.keras"}:
        raise _wrong(path, "manifest.json does not speak of model.json and model.keras")
    try:
        Tile(manifest.tile)
    except ValueError as error:
        raise _wrong(path, f"manifest.json: {error}") from None
    return manifest


def _check_record(path: Path, manifest: Manifest, record: Record) -> None:
    """The record is of a trained model, and says what the manifest says."""
    made_of = record.ingredients if isinstance(record.ingredients, Mapping) else {}
    has = made_of.get("parameters", {})
    if not isinstance(has, Mapping) or not isinstance(record.statistics, Mapping) or not record.made:
        raise _wrong(path, "model.json is not the record of a trained model")
    told = (PRODUCTS[manifest.product], manifest.tile, manifest.algorithm, manifest.features, manifest.weights)
    if told != (record.symbol, record.tile, made_of.get("algorithm"), has.get("unet.features"), record.digest):
        raise _wrong(path, "manifest.json and model.json contradict each other")
    if manifest.features not in FEATURE_SETS:
        raise _wrong(path, f"its features {manifest.features!r} are not known (there are {', '.join(FEATURE_SETS)})")
    # Of any algorithm and year, but sound in itself.
    if why := trouble(record, Wanted(manifest.algorithm, manifest.features)):
        raise _wrong(path, why)


def _check_network(path: Path, network: Path) -> None:
    """The description of the network names known classes only: Keras builds what it names."""
    try:
        with zipfile.ZipFile(network) as archive:
            _check_parts(path, archive, NETWORK_LIMITS)
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError):
        raise _wrong(path, "model.keras is no Keras file") from None
    for module, name in _classes(config):
        allowed = ALLOWED_LAYERS if module == "keras.layers" else ALLOWED_OTHERS.get(module, set())
        if allowed is not None and name not in allowed:
            raise _wrong(path, f"its network is built of {f'{module}.{name}'[:80]!r}, which is not allowed")


def _classes(node: Any) -> Iterator[tuple[str, str]]:
    """(module, class) of everything that a description of a network names."""
    stack = [node]
    while stack:
        entry = stack.pop()
        if isinstance(entry, dict):
            if "class_name" in entry:
                # Tensors and shapes of the network's calls have no module, and no code.
                plain = entry["class_name"] in ("__keras_tensor__", "__tuple__", "__numpy__") and "module" not in entry
                if not plain:
                    yield str(entry.get("module")), str(entry["class_name"])
                if entry.get("registered_name") not in (None, entry["class_name"]):
                    yield "registered", str(entry["registered_name"])
            stack.extend(entry.values())
        elif isinstance(entry, list):
            stack.extend(entry)


# into the store -------------------------------------------------------------------------------------------------


def import_model(production: Production, path: Path, tile: str | None = None, replace_own: bool = False) -> tuple[Record, str]:
    """Put the model of a file into the store of a production, its record last: the record, and a note.

    It belongs to `tile`, by default the one of its training. The note says why it takes no part in predictions of other tiles;
    empty if it does. InputError if the file is damaged, of no use to the production, or, without `replace_own`, a model is there.
    """
    with opened(path) as (manifest, source, network):
        symbol = PRODUCTS[manifest.product]
        job = Job.of(production, tile or manifest.tile)
        if why := trouble(source, Wanted.of(production, symbol, same=False)):
            raise InputError(f"{path}: of no use to this production: {why}; import another model or change the production file")
        _check_weights(path, network, source)
        with job.store.tile_lock(job.tile):
            place, there = job.place(symbol), job.record(symbol)
            if there is not None and there.made and not replace_own:
                what = "imported" if imported(there) else "trained"
                raise InputError(
                    f"{symbol} of tile {job.tile} is there already, {what} {there.created}; --replace takes its place"
                )
            origin = {
                "tile": source.tile,
                "version": source.version,
                "file": path.name,
                "sha256": manifest.files["model.keras"].sha256,
            }
            made_of = {**source.ingredients, IMPORTED: origin}
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


def _check_weights(path: Path, network: Path, record: Record) -> None:
    """The network can be loaded, and is the one that the record speaks of."""
    from imperv.layers.network.unet import load_model

    normalisation = Normalisation.from_json(record.statistics["normalisation"])
    try:
        model = load_model(network)
        shape = (model.input_shape[-1], model.output_shape[-1])
    except (ValueError, TypeError, AttributeError):
        raise _wrong(path, "its network cannot be read as a U-Net model") from None
    if shape != (len(normalisation.names), members_of(record)):
        raise _wrong(path, f"its network has {shape[0]} features and {shape[1]} members, its record tells otherwise")
    if weights_digest(model, record.statistics["normalisation"]) != record.digest:
        raise _wrong(path, "its weights are not those of its record")


def remove_model(job: Job, product: str) -> bool:
    """Remove the model of a tile, its record first; False if there is none."""
    with job.store.tile_lock(job.tile):
        place = job.place(PRODUCTS[product])
        there = job.store.read_text(place.record) is not None
        job.store.remove_record(place.record)
        with suppress(FileNotFoundError):
            job.store.fs.rm_file(job.store.full(place.data))
    return there
