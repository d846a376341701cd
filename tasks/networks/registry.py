"""The density models in the store: which are there, which take part for a tile and why others do not, loading one (ATBD 4.7).

A model is ``model.keras`` with its record ``model.json``.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from imperv.grids import Tile, nearest_tiles, window_geobox
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import FEATURE_SETS
from imperv.layers.network.unet import Normalisation
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.networks.symbols import KERAS, is_network
from imperv.tasks.settings.production import Area, Production
from imperv.tasks.store.file_systems import read_together
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import Store

AT_ONCE = 10
"""Records read in one go, nearest first: as many as take part at most, so that a search is one listing and one reading."""

OUTPUTS = "outputs"
"""Statistic of a model that tells classes apart: their names, in order."""

IMPORTED = "imported"
"""Ingredient that tells an imported model from one trained here."""


# what is asked of a model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a model must be to be of use."""

    algorithm: str
    """Symbol and version of the node that makes it, such as ``"IMD_model 1"``."""
    features: str
    """Feature set; empty for models that are no networks."""
    period: tuple[str, str] | None = None
    """First and last day of the year that it was trained for; None for any."""
    parameters: Mapping[str, Any] | None = None
    """Training parameters that it must share, by dotted name; None for any."""
    area: Area | None = None
    """Area of the production. Where parameters must agree, a model of a window must be of this one."""
    outputs: tuple[str, ...] = ()
    """Classes that it tells apart; none where it answers with a fraction."""

    @classmethod
    def of(cls, production: Production, symbol: str, same: bool | None = None) -> Wanted:
        """What a production asks of models: `same` by ``parameters.ensemble.accept``, if not given."""
        layer, parameters = CATALOGUE[symbol], production.parameters
        algorithm, period = f"{layer.stem} {layer.version}", None if layer.any_period else period_of(production, symbol)
        if not is_network(symbol):
            return cls(algorithm, "", period)
        if same is None:
            same = parameters.ensemble.accept == "same"
        return cls(
            algorithm,
            parameters.unet.features,
            period,
            parameters.pick(layer.parameters) if same else None,
            production.area,
            tuple(family(production.product).outputs(production)),
        )


def period_of(production: Production, symbol: str) -> tuple[str, str]:
    """First and last day that a layer of a production describes."""
    year = production.periods.of(CATALOGUE[symbol].role)[0]
    return str(year.start), str(year.end)


def trouble(record: Record, wanted: Wanted) -> str:
    """Why a model is of no use, in a few words; empty if it is."""
    if not record.made:
        return f"not trained: {record.reason}"
    made_of, period = record.ingredients, (record.start, record.end)
    if made_of.get("algorithm") != wanted.algorithm:
        return f"another version: {made_of.get('algorithm', 'unknown')}, expected {wanted.algorithm}"
    has: Mapping[str, Any] = made_of.get("parameters", {})
    if wanted.features and has.get("unet.features") != wanted.features:
        return f"other features: {has.get('unet.features', 'unknown')}, expected {wanted.features}"
    if wanted.features and _names(record) != FEATURE_SETS[wanted.features]:
        return "its normalisation is not that of its features"
    if tuple(record.statistics.get(OUTPUTS, ())) != wanted.outputs:
        has_classes = ", ".join(record.statistics.get(OUTPUTS, ())) or "none"
        return f"other classes: {has_classes}, expected {', '.join(wanted.outputs) or 'none'}"
    if wanted.period and period != wanted.period:
        return f"another year: {describe_period(*period)}, expected {describe_period(*wanted.period)}"
    if wanted.parameters is None:
        return ""
    different = [k for k in sorted(set(has) | set(wanted.parameters)) if has.get(k) != wanted.parameters.get(k)]
    if different:
        shown = [f"{k} is {has.get(k, 'unknown')}, expected {wanted.parameters.get(k, 'none')}" for k in different[:3]]
        return f"other parameters: {'; '.join(shown)}" + (f"; {len(different) - 3} more" if len(different) > 3 else "")
    if record.windowed and record.bbox != _window(record.tile, wanted.area):
        return "trained on another window of its tile"
    return ""


def _names(record: Record) -> tuple[str, ...]:
    """Features of the network's input, in order; empty where the record does not tell."""
    try:
        return Normalisation.from_json(record.statistics["normalisation"]).names
    except (KeyError, TypeError, ValueError):
        return ()


def _window(tile: str, area: Area | None) -> tuple[float, ...] | None:
    try:
        box = window_geobox(Tile(tile), 10, area.of(Tile(tile)) if area else None).boundingbox
    except ValueError:  # the area does not touch it
        return None
    return box.left, box.bottom, box.right, box.top


def describe_period(start: str, end: str) -> str:
    """The year, or both days of twelve months that are no calendar year."""
    return start[:4] if (start[4:], end[4:]) == ("-01-01", "-12-31") and start[:4] == end[:4] else f"{start}/{end}"


def members_of(record: Record) -> int:
    """Networks in a model."""
    count: Any = record.statistics.get("members", 1)
    return count if isinstance(count, int) and count > 0 else 1


# what is there --------------------------------------------------------------------------------------------------


def list_models(store: Store, product: str, file: str = KERAS) -> dict[Tile, dict[str, int]]:
    """Files, with their bytes, of every tile with a model in ``models/<product>``; one without a record is not finished."""
    found: dict[Tile, dict[str, int]] = {}
    for path, size in store.find(f"models/{product}").items():
        name = PurePosixPath(path)
        if name.name not in ("model.json", file):  # such as the state of a training
            continue
        try:
            tile = Tile(name.parent.name)
        except ValueError:
            continue
        found.setdefault(tile, {})[name.name] = size
    return found


def read_records(store: Store, product: str, tiles: Sequence[Tile]) -> dict[Tile, Record]:
    """Records of models, without missing or unreadable ones; OSError if the store does not answer."""
    paths = {f"models/{product}/{tile}/model.json": tile for tile in tiles}
    found = {}
    for path, text in read_together(store, list(paths)).items():
        try:
            found[paths[path]] = Record.from_json(text)
        except ValueError:
            continue
    return found


def whole(record: Record, tile: Tile, product: str, files: Mapping[str, int], file: str = KERAS) -> bool:
    """True where a record speaks of the model that lies beside it."""
    own = record.tile == str(tile) and record.href == f"models/{product}/{tile}/{file}"
    return own and record.files == 1 and files.get(file) == record.size


# who takes part -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Models that take part in a prediction, and those that do not."""

    models: tuple[Record, ...] = ()
    """Nearest first."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Tiles whose models were looked at and left out, with the reason."""
    farther: int = 0
    """Models within reach that were not looked at, because nearer ones were enough."""
    beyond: int = 0
    """Models beyond reach."""

    @property
    def members(self) -> int:
        """Networks of all models."""
        return sum(members_of(record) for record in self.models)

    def to_json(self) -> dict[str, Any]:
        """For the record of a prediction."""
        return {
            "models": [record.tile for record in self.models],
            "models_left_out": dict(self.left_out),
            "models_farther": self.farther,
            "models_beyond_reach": self.beyond,
        }


def find(store: Store, symbol: str, tile: Tile, wanted: Wanted, members: int, reach: float) -> Found:
    """The nearest useful models within `reach` kilometres of a tile, without its own: at most `members` networks.

    A model with more networks than are still missing is left out. The result has the reason for every model that was looked at
    and not taken.
    """
    product = symbol.removesuffix("_model")
    listed = list_models(store, product)
    near = [other for other in listed if tile.distance(other) <= reach * 1000]
    order = nearest_tiles(tile, near, len(near))
    models: list[Record] = []
    left_out: dict[str, str] = {}
    looked = 0
    for start in range(0, len(order), AT_ONCE):
        if members <= 0:
            break
        group = order[start : start + AT_ONCE]
        records = read_records(store, product, group)
        for other in group:
            if members <= 0:
                break
            looked += 1
            record = records.get(other)
            why = _unusable(record, other, product, listed[other], wanted)
            if record is not None and not why and members_of(record) > members:
                why = f"it has {members_of(record)} members, {members} more are wanted"
            if record is None or why:
                left_out[str(other)] = why
                continue
            models.append(record)
            members -= members_of(record)
    beyond = len(listed) - len(near)
    return Found(tuple(models), left_out, len(order) - looked, beyond)


def _unusable(record: Record | None, tile: Tile, product: str, files: Mapping[str, int], wanted: Wanted) -> str:
    if record is None:
        return "its record is missing or cannot be read"
    if why := trouble(record, wanted):
        return why
    return "" if whole(record, tile, product, files) else "its data are gone or damaged"


def ensemble_models(job: Job, symbol: str) -> Found:
    """Models that predict a tile: its own, whole, then the nearest useful, up to `parameters.ensemble.members` (ATBD 4.7)."""
    settings = job.production.parameters.ensemble
    own = job.record(symbol)
    mine = (own,) if own is not None and own.made else ()
    room = settings.members - sum(map(members_of, mine))
    found = find(job.store, symbol, job.tile, Wanted.of(job.production, symbol), room, settings.reach)
    left_out = dict(found.left_out)
    if own is not None and not own.made:
        left_out = {str(job.tile): f"not trained: {own.reason}", **left_out}
    return Found((*mine, *found.models), left_out, found.farther, found.beyond)


def ensemble_versions(job: Job, symbol: str) -> dict[str, str]:
    """Models of other tiles that take part, with their versions."""
    return {record.tile: record.version for record in ensemble_models(job, symbol).models if record.tile != str(job.tile)}


# imported models ------------------------------------------------------------------------------------------------


def imported(record: Record | None) -> bool:
    """True for the record of an imported model."""
    return record is not None and IMPORTED in record.ingredients


def imported_reason(job: Job, symbol: str, record: Record) -> str:
    """Why an imported model of the tile is used whatever it was trained from; InputError if it is of no use to the production."""
    product = symbol.removesuffix("_model")
    why = trouble(record, Wanted.of(job.production, symbol, same=False))
    if not why and not job.store.data_in_place(record):
        why = "its data are gone or damaged"
    if why:
        raise InputError(
            f"{symbol} of tile {job.tile} was imported and cannot be used: {why}; import another one with --replace, or let "
            f"the tile train its own after `imperv model remove {product} {job.tile}`"
        )
    return f"imported from {record.ingredients[IMPORTED].get('file', 'a file')}; used until it is removed"


# loading --------------------------------------------------------------------------------------------------------


def weights_digest(model: Any, normalisation: Mapping[str, Any]) -> str:
    """Hash of the weights of a model and of what belongs to them."""
    hasher = hashlib.blake2b(json.dumps(normalisation).encode(), digest_size=16)
    for weights in model.get_weights():
        hasher.update(np.ascontiguousarray(weights).data)
    return hasher.hexdigest()


def load(store: Store, record: Record) -> tuple[Any, Normalisation]:
    """A stored model and the normalisation of its features."""
    from imperv.layers.network.unet import load_model

    normalisation = Normalisation.from_json(record.statistics["normalisation"])
    try:
        home = store.home(record.href)
        if home.is_local:
            return load_model(home.full(record.href)), normalisation
        with tempfile.TemporaryDirectory() as folder:
            home.fs.get_file(home.full(record.href), f"{folder}/model.keras")
            return load_model(f"{folder}/model.keras"), normalisation
    except ValueError as error:
        raise WorkError(
            f"{record.symbol} of tile {record.tile}: {error}; remove it with "
            f"`imperv model remove {record.symbol.removesuffix('_model')} {record.tile}`, and it is trained again"
        ) from None
