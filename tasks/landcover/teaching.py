"""What a portal asks of land cover to have it taught (`tasks.family.teaching`); the work is in `session`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from imperv.grids import Block, Bounds
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.landcover.classes import palette_of
from imperv.tasks.errors import InputError
from imperv.tasks.family.teaching import Taught, Teaching, View
from imperv.tasks.job import Job
from imperv.tasks.landcover.delivery import BASE, TUNED, with_own_classes
from imperv.tasks.landcover.maps import PIECE, Way, classes_of
from imperv.tasks.landcover.reference import check_labels
from imperv.tasks.landcover.rounds import FOLDER, numbers, read_round
from imperv.tasks.landcover.session import compare, preview, read_polygons, rounds, shown, suggest, way_of_table, without_base
from imperv.tasks.landcover.settings import ClassesParameters
from imperv.tasks.maps.kept import Kept
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import digest_of

ANSWER = "LC_probability"

LARGE = 64_000_000
"""Pixels of a tile above which rounds are neither shown nor compared without being made: half a minute of a processor."""

SPREAD = 64
"""Pieces of a tile that are searched for places to draw: half a minute of a processor, too."""

VIEW = 512
"""Longest edge of what is computed at once, pixels."""

PIECES = Kept(128 * 2**20, lambda codes: int(codes.nbytes))
"""Pieces of maps of rounds, for map tiles beside each other and for the next look."""


def classes_in(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Classes of a production file; FRAME's where it names none."""
    named = table.get("parameters", {}).get("classes", {}).get("list")
    return named if named is not None else [one.model_dump() for one in ClassesParameters().list]


def with_classes(classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Keys of the production file that name classes."""
    return {"parameters": {"classes": {"list": [dict(one) for one in classes]}}}


def check(production: Production) -> None:
    """InputError where nothing can tell the classes."""
    check_labels(Job.of(production, production.tile_names[0]), "LC_reference")


def missing(job: Job) -> str:
    """Why there is nothing to teach yet."""
    why = without_base(job)
    return f"{why}; start the run, which makes the base map" if why else ""


def state(job: Job) -> str:
    """Of the base map and the present round."""
    base = job.record(ANSWER)
    return digest_of([base.version if base else "", shown(job)])


def count(job: Job, path: Path) -> dict[str, int]:
    """Polygons of a file in a tile, by class."""
    return dict(Counter(sample.class_name for sample in read_polygons(job, path)))


def view(job: Job, path: Path, bounds: Bounds) -> View | None:
    """The tuned map of at most `VIEW` x `VIEW` pixels in the middle of a rectangle."""
    grid = job.grid_of(CATALOGUE[ANSWER])
    x0, y0 = ~grid.affine * (bounds[0], bounds[3])
    x1, y1 = ~grid.affine * (bounds[2], bounds[1])
    (top, bottom), (left, right) = _middle(y0, y1, grid.shape.y), _middle(x0, x1, grid.shape.x)
    if top >= bottom or left >= right:
        return None
    block = Block(top, left, bottom, right)
    codes, scores = preview(job, read_polygons(job, path), block)
    box = block.geobox(grid).boundingbox
    return View((box.left, box.bottom, box.right, box.top), codes, palette_of(job.production.parameters.classes.classes), scores)


def _middle(first: float, last: float, size: int) -> tuple[int, int]:
    """Pixels of a grid from one place to another; the middle ones where there are too many."""
    start, end = max(math.floor(first), 0), min(math.ceil(last), size)
    if end - start > VIEW:
        start = (start + end - VIEW) // 2
        end = start + VIEW
    return start, end


@dataclass(frozen=True)
class RoundPixels:
    """The map of a round as map tiles read it, computed in the pieces of the store and kept by them."""

    job: Job
    way: Way
    version: str
    labels: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """See `imperv.tasks.maps.pixels.Pixels`."""
        rows, columns = self.job.grid_of(CATALOGUE[ANSWER]).shape
        return rows, columns

    def read(self, rows: slice, columns: slice, bands: tuple[int, ...] | None = None) -> np.ndarray:
        """See `imperv.tasks.maps.pixels.Pixels`."""
        found = np.empty((rows.stop - rows.start, columns.stop - columns.start), "u1")
        for y in range(rows.start // PIECE * PIECE, rows.stop, PIECE):
            for x in range(columns.start // PIECE * PIECE, columns.stop, PIECE):
                piece = self._piece(y, x)
                top, left = max(y, rows.start), max(x, columns.start)
                part = piece[top - y : rows.stop - y, left - x : columns.stop - x]
                found[top - rows.start :, left - columns.start :][: part.shape[0], : part.shape[1]] = part
        return found[None]

    def _piece(self, y: int, x: int) -> np.ndarray:
        rows, columns = self.shape
        block = Block(y, x, min(y + PIECE, rows), min(x + PIECE, columns))
        parameters = self.job.production.parameters
        codes = tuple(one.code for one in parameters.classes.classes)
        found: np.ndarray = PIECES.made((self.version, y, x), lambda: classes_of(self.way, block, codes, parameters.map.sieve))
        return found


def taught(production: Production) -> list[Taught]:
    """Maps of the rounds that were finished on the present base maps."""
    found = []
    layer = with_own_classes(production, CATALOGUE[TUNED])
    for tile in production.tile_names:
        job = Job.of(production, tile)
        if job.store.entries(f"{FOLDER}/{tile}") and not is_large(job) and not without_base(job):
            found += [one for number in numbers(job) if (one := _taught(job, layer, number)) is not None]
    return found


def _taught(job: Job, layer: Layer, number: int) -> Taught | None:
    base = job.record(ANSWER)
    if base is None:
        return None
    try:
        table = read_round(job, number)
        if "networks" in table:
            return None
        way = way_of_table(job, number, table)
    except InputError:  # it was not finished, or is of another base map: restoring makes it
        return None
    version = digest_of([str(job.tile), base.version, table["head"], layer.codes, job.production.parameters.map.sieve])
    period = PurePosixPath(job.place(TUNED).data).parent.name
    pixels = RoundPixels(job, way, version)
    return Taught(number, str(job.tile), job.bounds, version, layer, period, pixels, lambda: _stands(job, base.version))


def _stands(job: Job, version: str) -> bool:
    base = job.usable(ANSWER)
    return base is not None and base.version == version


def is_large(job: Job) -> bool:
    """Whether a tile is too large to be computed while somebody waits."""
    rows, columns = job.grid_of(CATALOGUE[ANSWER]).shape
    return bool(rows * columns > LARGE)


def compared(job: Job, first: int, second: int) -> dict[str, Any]:
    """Two rounds; InputError where the tile is too large to be compared while somebody waits."""
    if is_large(job):
        command = f"imperv landcover compare {job.tile} {first} {second}"
        raise InputError(
            f"tile {job.tile} has more than {LARGE // 10**6} million pixels, too many to be compared here; use `{command}`"
        )
    for number in (first, second):
        _require_head(job, number, f"imperv landcover compare {job.tile} {first} {second}")
    return compare(job, first, second)


def places(job: Job, most: int) -> list[dict[str, Any]]:
    """Where a polygon would tell most, as squares of three pixels."""
    _require_head(job, shown(job), f"imperv landcover suggest {job.tile}")
    grid = job.grid_of(CATALOGUE[ANSWER])
    found = []
    for one in suggest(job, most, SPREAD):
        box = Block(one.row - 1, one.column - 1, one.row + 2, one.column + 2).geobox(grid).boundingbox
        about = {"doubt": one.doubt, "base": one.base, "tuned": one.tuned, "second": one.other}
        found.append({"bounds": [box.left, box.bottom, box.right, box.top], **about})
    return found


def _require_head(job: Job, number: int, command: str) -> None:
    """InputError for a round whose networks were trained on: TensorFlow answers for it, which a portal does not load."""
    if number and "networks" in read_round(job, number):
        raise InputError(f"round {number} of tile {job.tile} has networks of its own, which are not asked here; use `{command}`")


TEACHING = Teaching(
    base=BASE, tuned=TUNED, confidence="LC_confidence", classes=classes_in, named=with_classes, check=check, missing=missing,
    state=state, count=count, view=view, rounds=rounds, taught=taught, compare=compared, suggest=places,
)  # fmt: skip
"""Of the family."""
