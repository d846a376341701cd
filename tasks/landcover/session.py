"""What a person does with a tile whose base map is there: tune, go back to a round, compare rounds, ask where to draw next.

The command line and a portal call these functions; the layers of the present round are made as `imperv run` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import geobox_union_conservative

from imperv.grids import Block, Tile
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.landcover.tuning import softmax
from imperv.layers.statistics.classes import joint_histogram
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job, utc_now
from imperv.tasks.landcover.maps import Answers, Headed, Way, block_of_tile, classes_of
from imperv.tasks.landcover.network_tuning import start_of
from imperv.tasks.landcover.rounds import BULKY, choose, numbers, present, read_round, write_round
from imperv.tasks.landcover.tuning import fit, present_change, scores_of_head, way_of
from imperv.tasks.networks.precision import PRECISION, precision_external
from imperv.tasks.nodes import make_node, standing
from imperv.tasks.samples import Sample, as_geojson, of_store, pixels_of, read_samples

TUNED = ("LC_training", "LC_tuned_model", "LC_tuned")
"""Layers of a round, in order."""

CELL = 50
"""Edge of the cells of which each gives at most one place to draw, pixels."""

NEAR = 4
"""Pixels around polygons where nothing is suggested."""


def without_base(job: Job) -> str:
    """Why a tile cannot be tuned: the base model has not answered yet, or has with other classes or settings; empty if it can."""
    for symbol in ("LC_probability", "LC_base"):
        record = job.usable(symbol)
        if record is None:
            return f"{symbol} of tile {job.tile} is not there for this area"
        numbers_differ = record.ingredients.get(PRECISION) != precision_external(job).get(PRECISION)
        if record.ingredients["parameters"] != job.pick(CATALOGUE[symbol]) or (symbol == "LC_probability" and numbers_differ):
            return f"{symbol} of tile {job.tile} was made with other classes or settings than the production file has now"
    return ""


def require_base(job: Job) -> None:
    """InputError where there is no base map to be tuned."""
    if why := without_base(job):
        raise InputError(f"{why}; first `imperv run {job.tile}`, which makes the base map")


def read_polygons(job: Job, path: Path | str) -> tuple[Sample, ...]:
    """Polygons of a file for a tile; InputError with all of its faults.

    A file may be of all tiles of a production: of each polygon the part in this tile is taken.
    """
    layer, classes = CATALOGUE["LC_probability"], job.production.parameters.classes.classes
    grids = [job.neighbour(Tile(name)).grid_of(layer) for name in job.production.tile_names]
    if len(grids) < 2:
        return read_samples(path, classes, job.grid_of(layer))
    found = read_samples(path, classes, geobox_union_conservative(grids))
    tile = shapely.box(*job.bounds)
    parts = [replace(sample, shape=_inside(sample.shape, tile)) for sample in found]
    return tuple(part for part in parts if not part.shape.is_empty and len(pixels_of(part, job.grid_of(layer))[0]))


def _inside(shape: shapely.Geometry, area: shapely.Geometry) -> shapely.Geometry:
    """The part of a polygon or point in an area, without edges that both only share."""
    parts = shapely.get_parts(shape.intersection(area))
    return shapely.union_all([part for part in parts if shapely.get_dimensions(part) == shapely.get_dimensions(shape)])


def tune_tile(job: Job, samples: Sequence[Sample], networks: bool = False) -> dict[str, Any]:
    """A round: the map tuned by polygons, made and delivered; what `read_round` gives.

    A head is fitted, in seconds, or `networks` of the base model are trained on, in minutes; a training that was stopped goes on
    where the round is restored. Without polygons the map is that of the base model, to the bit. InputError without a base map, or
    for networks without polygons or model; TileBusyError where another process works on the tile.
    """
    require_base(job)
    if networks:
        start_of(job)
        if not samples:
            raise InputError(f"tile {job.tile}: networks are not trained on without polygons; draw some, or leave --network out")
    with job.store.tile_lock(job.tile, job.engine.settings.lease):
        number = max(numbers(job), default=0) + 1
        polygons = json.loads(as_geojson(samples, degrees=False))
        begun = {"round": number, "created": utc_now(), "polygons": polygons, "finished": False}
        write_round(job, number, begun | ({"networks": {}} if networks else {}))
        return _switched(job, number)


def restore(job: Job, number: int) -> dict[str, Any]:
    """Go back to a round, 0 for the base map alone: its layers are made again and delivered."""
    require_base(job)
    with job.store.tile_lock(job.tile, job.engine.settings.lease):
        return _switched(job, number)


def _switched(job: Job, number: int) -> dict[str, Any]:
    """Make a round the present one, and its layers; where that fails or is stopped the round before stays the present one."""
    before = present(job)
    choose(job, number)
    try:
        if number:
            return _made(job, number)
        for symbol in TUNED:
            make_node(job, symbol)
        deliver(job, TUNED[-1])
    except BaseException:
        choose(job, before)
        raise
    return {"round": 0}


def _made(job: Job, number: int) -> dict[str, Any]:
    """Make and deliver the layers of the present round, and keep what they say of it."""
    records = {symbol: make_node(job, symbol)[0] for symbol in TUNED}
    deliver(job, TUNED[-1])
    tuned = records["LC_tuned"].statistics
    mapped = tuned["LC_tuned"]["pixels"] - tuned["LC_tuned"]["outside"]
    changed = sum(count for _, _, count in tuned["changed"])
    found = (
        read_round(job, number)
        | {
            "finished": True,
            "base": job.usable("LC_probability").version,  # type: ignore[union-attr]
            "scores": dict(records["LC_tuned_model"].statistics),
            "classes": records["LC_training"].statistics["classes"],
            "changed": tuned["changed"],
            "changed_share": changed / mapped if mapped else 0.0,
            "seconds": round(sum(record.seconds for record in records.values()), 3),
            "warnings": [line for record in records.values() for line in record.warnings],
        }
        | present_change(job)
    )
    write_round(job, number, found)
    return found


def shown(job: Job) -> int:
    """Round that the layers of the store are of; 0 for the base map.

    It is the present one, but for a switch that was killed: then the map is still that of the round before.
    """
    chosen, record = present(job), job.record(TUNED[-1])
    if all(standing(job, symbol).state == "up to date" for symbol in TUNED):
        return chosen
    return int(record.statistics["round"]) if record is not None and record.made else 0


def rounds(job: Job) -> list[dict[str, Any]]:
    """All rounds of a tile without their polygons and heads, oldest first, with ``present``: the one that the map is of."""
    now = shown(job)
    found = []
    for number in numbers(job):
        table = read_round(job, number)
        count = len(table["polygons"]["features"])
        short = {key: value for key, value in table.items() if key not in BULKY}
        short["way"] = "networks" if "networks" in table else "head"
        found.append(short | {"polygons": count, "present": number == now})
    return found


def way_of_round(job: Job, number: int) -> Way:
    """How a round answers that was finished on the present base model; 0 is the base model's own answer."""
    if number == 0:
        answers = Answers.of(job)
        return Headed(answers, answers.nothing)
    return way_of_table(job, number, read_round(job, number))


def way_of_table(job: Job, number: int, table: Mapping[str, Any]) -> Way:
    """The same of a round that was read."""
    base = job.record("LC_probability")
    if not table["finished"]:
        raise InputError(f"round {number} of tile {job.tile} was not finished; `imperv landcover restore` finishes it")
    if base is not None and table["base"] != base.version:
        raise InputError(
            f"round {number} of tile {job.tile} was tuned on another base map; `imperv landcover restore {job.tile} {number}` "
            "tunes the present one with its polygons"
        )
    return way_of(job, table)


def map_of_round(job: Job, number: int, block: Block) -> np.ndarray:
    """The map of a round, (y, x) uint8 codes of a block of 5 m, without making it the present one; 0 is the base map."""
    require_base(job)
    parameters = job.production.parameters
    codes = tuple(one.code for one in parameters.classes.classes)
    return classes_of(way_of_round(job, number), block, codes, parameters.map.sieve)


def preview(job: Job, samples: Sequence[Sample], block: Block) -> tuple[np.ndarray, dict[str, Any]]:
    """The tuned map of a block alone, (y, x) uint8 codes, and scores by left-out polygons; nothing is kept."""
    require_base(job)
    answers, parameters = Answers.of(job), job.production.parameters
    classes = parameters.classes.classes
    tuned, polygons = fit(job, answers, samples, parameters.tuning)
    codes = classes_of(Headed(answers, tuned.head), block, tuple(one.code for one in classes), parameters.map.sieve)
    return codes, scores_of_head(job, tuned, polygons)


def compare(job: Job, first: int, second: int) -> dict[str, Any]:
    """Two rounds, 0 for the base map: pixels by class in both maps, and scores of each."""
    require_base(job)
    parameters = job.production.parameters
    classes = parameters.classes.classes
    codes = tuple(one.code for one in classes)
    ways = [way_of_round(job, number) for number in (first, second)]
    table = np.zeros((256, 256), "i8")
    for block in block_of_tile(job):
        a, b = (classes_of(way, block, codes, parameters.map.sieve) for way in ways)
        table += joint_histogram(a, b)
    inside = table[np.ix_(codes, codes)]
    known = {number: read_round(job, number)["scores"] for number in (first, second) if number}
    return {
        "rounds": [first, second],
        "classes": [one.name for one in classes],
        "pixels": inside.tolist(),
        "changed_share": float(1 - np.trace(inside) / max(inside.sum(), 1)),
        "scores": {str(number): scores.get("scores", {}) for number, scores in known.items()},
    }


@dataclass(frozen=True)
class Suggestion:
    """A place where a polygon would tell most."""

    row: int
    column: int
    doubt: float
    """1 where the two most probable classes are alike, 0 where there is no doubt; 1 more where base and tuned map differ."""
    base: str
    tuned: str
    other: str
    """The second most probable class."""


def suggest(job: Job, count: int = 10, pieces: int | None = None) -> list[Suggestion]:
    """Where to draw next: where the base and the present map disagree or the margin is small, spread over the tile.

    Places nearer than `NEAR` pixels to a polygon of the present round are left out. At most so many `pieces` of the tile are
    searched, spread over it; all by default.
    """
    require_base(job)
    answers, classes = Answers.of(job), job.production.parameters.classes.classes
    number = shown(job)
    way = way_of_round(job, number)
    drawn = _drawn(job, number)
    found = []
    blocks = block_of_tile(job)
    taken = min(pieces or len(blocks), len(blocks))
    for block in (blocks[k * len(blocks) // taken] for k in range(taken)):
        logits, known = way.logits(block)
        if not known.any():
            continue
        base = np.asarray(answers.shares[(slice(None), *block.slices)])[:, known].argmax(axis=0)
        shares = softmax(logits)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :2]
        rows = np.arange(len(shares))
        doubt = np.full(known.shape, -1.0)
        doubt[known] = 1 - (shares[rows, order[:, 0]] - shares[rows, order[:, 1]]) + (base != order[:, 0])
        place = np.full(known.shape, -1)
        place[known] = rows
        for y, x in drawn:
            if block.y0 - NEAR <= y < block.y1 + NEAR and block.x0 - NEAR <= x < block.x1 + NEAR:
                a, b = y - block.y0, x - block.x0
                doubt[max(a - NEAR, 0) : max(a + NEAR + 1, 0), max(b - NEAR, 0) : max(b + NEAR + 1, 0)] = -1
        for cell in Block(0, 0, *block.shape).pieces(CELL):
            part = doubt[cell.slices]
            a, b = divmod(int(part.argmax()), part.shape[1])
            if part[a, b] < 0:
                continue
            y, x = a + cell.y0, b + cell.x0
            k = place[y, x]
            names = [classes[int(c)].name for c in (base[k], order[k, 0], order[k, 1])]
            found.append(Suggestion(block.y0 + y, block.x0 + x, round(float(doubt[y, x]), 4), *names))
    return _spread(found, count, job.grid_of(CATALOGUE["LC_probability"]).shape.yx)


def _drawn(job: Job, number: int) -> set[tuple[int, int]]:
    """Pixels of the polygons of a round."""
    if not number:
        return set()
    grid, classes = job.grid_of(CATALOGUE["LC_probability"]), job.production.parameters.classes.classes
    return {
        place for sample in of_store(read_round(job, number)["polygons"], classes)
        for place in zip(*(v.tolist() for v in pixels_of(sample, grid)), strict=True)
    }  # fmt: skip


def _spread(found: list[Suggestion], count: int, shape: tuple[int, int]) -> list[Suggestion]:
    """The most doubtful ones that lie apart; closer ones only where there are not enough."""
    ranked = sorted(found, key=lambda s: (-s.doubt, s.row, s.column))
    apart = 0.7 * float(np.sqrt(shape[0] * shape[1] / max(count, 1)))
    chosen: list[Suggestion] = []
    while len(chosen) < min(count, len(ranked)):
        for one in ranked:
            if len(chosen) == count:
                break
            if one not in chosen and all(np.hypot(one.row - o.row, one.column - o.column) >= apart for o in chosen):
                chosen.append(one)
        apart = apart / 2 if apart > 1 else 0
    return chosen


def suggestions_geojson(job: Job, found: Sequence[Suggestion]) -> str:
    """Places as squares of three pixels in degrees, to be drawn over."""
    grid = job.grid_of(CATALOGUE["LC_probability"])
    features = []
    for one in found:
        x, y = grid.affine * (one.column - 1, one.row + 2)
        shape = shapely.box(x, y, x + 3 * grid.resolution.x, y - 3 * grid.resolution.y)
        sample = Sample(0, shape, 0, "")
        feature = json.loads(as_geojson([sample]))["features"][0]
        about = {"doubt": one.doubt, "base": one.base, "tuned": one.tuned, "second": one.other}
        features.append(feature | {"properties": about})
    return json.dumps({"type": "FeatureCollection", "features": features}) + "\n"
