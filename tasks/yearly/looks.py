"""All looks at a block, band after band: what is read when (ATBD 4.2.1; docs/dev/algorithms.md, sections 1 to 3).

Each file is read once a block. First the classification of all scenes, which tells the weights and what need not be read; then
band after band, the next one being read while the present one is computed. Stacks are (y, time, x): a row of pixels lies
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids.mapping import CELL
from imperv.layers.kernels.resampling import cells_with_weight, other_weights, take_better
from imperv.layers.scl import scl_weights
from imperv.tasks.scenes.access import LOCAL, files_at_once
from imperv.tasks.scenes.reading import Target, Window, read_window
from imperv.tasks.scenes.scenes import REFLECTANCE_20M, SCL, Scene, SceneList
from imperv.tasks.scenes.streams import WAITING_BYTES, Streams, streamable
from imperv.tasks.settings.periods import year_fraction
from imperv.tasks.settings.scenes import SceneAccess

CLEAR_WEIGHT = 50
"""SCL weight of vegetation, soil and water (ATBD Table 6)."""

WEIGHT_OF_CLASS = scl_weights(np.arange(256, dtype="uint8")).astype("uint8")

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Looks:
    """Scenes of a period in a form that a block can be computed from."""

    overpasses: tuple[tuple[Scene, ...], ...]
    """Granules by overpass."""
    times: tuple[float, ...]
    """Fraction of the year of each overpass."""
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    """(left, bottom, right, top) of scenes in EPSG:3035, by id, at least their extent; what is not here may lie anywhere."""
    access: SceneAccess = LOCAL
    """How remote files are reached."""

    @classmethod
    def of(cls, scenes: SceneList, bounds: Mapping[str, Bounds] | None = None, access: SceneAccess = LOCAL) -> Looks:
        """Group the scenes by overpass."""
        groups = tuple(tuple(group) for group in scenes.overpasses.values())
        return cls(groups, tuple(year_fraction(group[0].day) for group in groups), bounds or {}, access)

    def at(self, grid: GeoBox) -> Looks:
        """Those that may show a part of a grid."""
        box = grid.boundingbox

        def touches(scene: Scene) -> bool:
            left, bottom, right, top = self.bounds.get(scene.id, tuple(box))
            return left < box.right and right > box.left and bottom < box.top and top > box.bottom

        groups = [tuple(s for s in group if touches(s)) for group in self.overpasses]
        kept = [k for k, group in enumerate(groups) if group]
        return Looks(tuple(groups[k] for k in kept), tuple(self.times[k] for k in kept), self.bounds, self.access)

    @property
    def granules(self) -> int:
        """Scenes in all."""
        return sum(map(len, self.overpasses))

    @property
    def streamed(self) -> bool:
        """True where no file is known to be other than a GeoTIFF on a disk: such files are read in strips, others in blocks."""
        return all(streamable(path) for group in self.overpasses for scene in group for path in scene.bands.values())

    def readers(self, threads: int) -> int:
        """Files read at once by as many threads: more where they are waited for."""
        paths = (scene.bands.get(SCL, "") for group in self.overpasses for scene in group)
        return files_at_once(paths, threads, self.access)


def block_bytes(pixels: int, overpasses: int, granules: int, threads: int, kept: int) -> int:
    """Projected memory, bytes, of a block of `pixels` pixels of 10 m, of which `kept` bytes each are left.

    It counts weights at 10 and 20 m; red, near infrared and the next band at 20 m; the classification of overpasses in several
    granules; what is kept; and for each of `threads` files that are read at once a window (a fifth more pixels than the block), a
    granule on the grid and two arrays of weights.
    """
    per_look = 1 + 1 / 4 + 2 * 2 + 2 / 4
    several = min(granules, 2 * (granules - overpasses))
    reading = 2 * 1.2 + (2 + 1 + 1 if several else 0)
    return round(pixels * (overpasses * per_look + several * 1.2 / 4 + kept + threads * reading))


FILE_BLOCK = 1024
"""Edge in pixels of the blocks of usual Cloud Optimized GeoTIFFs."""

TURN = 0.14
"""Angle, radians, between the axes of EPSG:3035 and of UTM up to which memory is planned for, 8 degrees: all of the Union but its
far corners. Of a file that lies turned more, more rows wait."""


def waiting_bytes(columns: int, overpasses: int, granules: int) -> int:
    """Projected memory, bytes, of files that wait between a strip of so many `columns` of 10 m and the one below.

    Of every file a block waits in each column of its blocks: its decompressor, and the rows of which the strip, as it lies
    turned, needed a part.
    """
    found = 0.0
    for files, pixel, size in ((4, 1, 2), (6, 2, 2), (1, 2, 1)):
        blocks = overpasses * columns / pixel / FILE_BLOCK + granules
        found += files * blocks * (WAITING_BYTES + TURN * FILE_BLOCK * FILE_BLOCK * size)
    return round(found)


@dataclass(frozen=True)
class _Granule:
    """A granule with weight in a block."""

    scene: Scene
    classes: Window | None
    """Its classification, where other granules show the same overpass."""
    cells: Mapping[Target, np.ndarray]
    """Cells with weight on each grid."""


@dataclass(frozen=True)
class _Reading:
    """How files are read, and classes weighed."""

    access: SceneAccess
    told: Callable[[int], None]
    streams: Streams
    table: np.ndarray


@dataclass(frozen=True)
class _Observed:
    """Weights of a block."""

    rows: tuple[int, ...]
    """Overpasses with weight."""
    groups: tuple[tuple[_Granule, ...], ...]
    """Their granules with weight."""
    weights: Mapping[Target, np.ndarray]
    """(y, time, x) uint8 on each grid."""
    reading: _Reading


@dataclass(frozen=True)
class Stack:
    """One band of all looks at a block."""

    values: np.ndarray
    """(y, time, x) uint16, 0 where there is no data; undefined where there is no weight."""
    weights: np.ndarray
    """(y, time, x) uint8 by the classification alone."""
    others: Mapping[int, np.ndarray]
    """(y, 1, x) weights of overpasses that are other than by the classification: a band may lack data where it has weight."""

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of some rows."""
        weights = self.weights[first:last]
        if self.others:
            weights = weights.copy()
            for k, other in self.others.items():
                weights[:, k] = other[first:last, 0]
        return self.values[first:last], weights


Use = Callable[[tuple[str, ...], "list[Stack]", np.ndarray, ThreadPoolExecutor], None]
"""Gets the bands of a step, their stacks, the time of each date as a fraction of its year, and a pool to compute in."""


def read_stacks(
    looks: Looks,
    grid: GeoBox,
    threads: int,
    steps: Sequence[tuple[str, ...]],
    use: Use,
    *,
    table: np.ndarray = WEIGHT_OF_CLASS,
    within: np.ndarray | None = None,
    done: Callable[[], None] = lambda: None,
    told: Callable[[int], None] = lambda count: None,
    streams: Streams | None = None,
) -> np.ndarray | None:
    """Give the bands of all looks at a grid to `use`, step by step; it is not called where no look has weight.

    Parameters
    ----------
    looks : Looks
        Scenes.
    grid : GeoBox
        10 m pixels, an even number of rows and columns, edges on 20 m pixels.
    threads : int
        Threads that compute, and as many that read local files; of remote ones more are read at once.
    steps : sequence of tuples of bands
        Bands of one step are in memory together, with those of the next.
    use : callable
        See `Use`. Bands of 20 m come on a grid of half as many rows and columns.
    table : ndarray (256,) uint8
        Weight of each class of SCL.
    within : ndarray (y, x) bool, optional
        Pixels that are wanted; others have no weight, and where none is near nothing is read.
    done : callable
        Called after each step.
    told : callable
        Called with the bytes of a file that a reading took, from any thread.
    streams : dict, optional
        Files that were read for the grid above this one; they are left for the one below.

    Returns
    -------
    ndarray (y, time, x) uint8, or None
        Weights of the looks on the grid; None where no look has any.

    Raises
    ------
    SceneError
        If a band of a scene cannot be read.
    """
    fine, coarse = Target(grid), Target(grid.zoom_out(2))
    looks = looks.at(grid)
    with ThreadPoolExecutor(looks.readers(threads), "read") as readers, ThreadPoolExecutor(threads, "compute") as kernels:
        reading = _Reading(looks.access, told, {} if streams is None else streams, table)
        observed = _observe(looks, (fine, coarse), readers, reading, within)
        if not observed.rows:
            for _ in steps:
                done()
            return None
        times = np.array([looks.times[row] for row in observed.rows])
        for bands, stacks in _stacks(observed, fine, coarse, readers, steps):
            use(bands, stacks, times, kernels)
            del stacks
            done()
        return observed.weights[fine]


def _observe(
    looks: Looks, targets: tuple[Target, Target], readers: ThreadPoolExecutor, reading: _Reading, within: np.ndarray | None
) -> _Observed:
    """Read all classifications and bring their weights to both grids."""
    fine, coarse = targets
    scenes = [scene for group in looks.overpasses for scene in group]
    read = zip(scenes, readers.map(lambda s: _classes(s, fine, reading), scenes), strict=True)
    windows = {scene.id: window for scene, window in read if window is not None}
    rows = [k for k, group in enumerate(looks.overpasses) if any(s.id in windows for s in group)]
    weights = {t: np.zeros((t.shape[0], len(rows), t.shape[1]), "uint8") for t in targets}
    wanted = {} if within is None else {fine: within, coarse: within.reshape(coarse.shape[0], 2, coarse.shape[1], 2).any((1, 3))}

    def weigh(k: int) -> tuple[_Granule, ...]:
        shown = [s for s in looks.overpasses[rows[k]] if s.id in windows]
        found = []
        for scene in shown:
            window, cells = windows.pop(scene.id), {}
            for target in targets:
                own, place = (weights[target], k) if len(shown) == 1 else (_empty(target, "uint8"), 0)
                window.weights(target, reading.table, own, place)
                if within is not None:
                    own[:, place] *= wanted[target]
                cells[target] = cells_with_weight(own, place)
                if len(shown) > 1:
                    np.maximum(weights[target][:, k], own[:, 0], out=weights[target][:, k])
            if any(c.any() for c in cells.values()):
                found.append(_Granule(scene, window if len(shown) > 1 else None, cells))
        return tuple(found)

    groups = tuple(readers.map(weigh, range(len(rows))))
    return _Observed(tuple(rows), groups, weights, reading)


def _classes(scene: Scene, target: Target, reading: _Reading) -> Window | None:
    """Classification of a scene; None where it has no weight near the target."""
    window = read_window(scene.bands[SCL], scene.id, target, classes=True, access=reading.access, streams=reading.streams)
    reading.told(window.stored if window is not None else 0)
    return window if window is not None and reading.table[window.pixels].any() else None


def _pixels(cells: np.ndarray, target: Target) -> np.ndarray:
    """Pixels (y, x) of cells."""
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: target.shape[0], : target.shape[1]]


def _empty(target: Target, dtype: str) -> np.ndarray:
    return np.zeros((target.shape[0], 1, target.shape[1]), dtype)


def _stacks(
    observed: _Observed, fine: Target, coarse: Target, readers: ThreadPoolExecutor, steps: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[Stack]]]:
    """Bands step by step; while one is in use the next is read."""

    def start(bands: tuple[str, ...]) -> list[tuple[np.ndarray, Target, list[Future[np.ndarray | None]]]]:
        begun = []
        for band in bands:
            target = coarse if band in REFLECTANCE_20M else fine
            values = np.empty((target.shape[0], len(observed.rows), target.shape[1]), "uint16")
            jobs = [readers.submit(_fill, band, observed, k, target, values) for k in range(len(observed.rows))]
            begun.append((values, target, jobs))
        return begun

    following = start(steps[0])
    try:
        for n, bands in enumerate(steps):
            ready = []
            for values, target, jobs in following:
                others = {k: other for k, job in enumerate(jobs) if (other := job.result()) is not None}
                ready.append(Stack(values, observed.weights[target], others))
            following = start(steps[n + 1]) if n + 1 < len(steps) else []
            yield bands, ready
            del ready, values, jobs
    finally:
        for _, _, jobs in following:
            for job in jobs:
                job.cancel()


def _fill(band: str, observed: _Observed, k: int, target: Target, values: np.ndarray) -> np.ndarray | None:
    """Read one band of an overpass; returns its weights (y, 1, x) where they are not those of the classification."""

    reading = observed.reading

    def read(granule: _Granule) -> Window | None:
        path = granule.scene.bands[band]
        cells = granule.cells[target]
        window = read_window(path, granule.scene.id, target, cells, access=reading.access, streams=reading.streams)
        reading.told(window.stored if window is not None else 0)
        return window

    group = [granule for granule in observed.groups[k] if granule.cells[target].any()]
    shared = sum((granule.cells[target].astype("uint8") for granule in group), np.uint8(0)) > 1
    best = _empty(target, "uint8")
    for granule in group:
        window, cells = read(granule), granule.cells[target]
        if window is None:
            values[:, k][_pixels(cells, target) & (best[:, 0] == 0)] = 0
            continue
        window.bilinear(target, cells & ~shared, granule.scene.subtract, values, k)
        if (own := cells & shared).any():
            assert granule.classes is not None
            pixels, seen = _empty(target, "uint16"), _empty(target, "uint8")
            window.bilinear(target, own, granule.scene.subtract, pixels, 0)
            granule.classes.weights(target, reading.table, seen, 0, own)
            take_better(pixels, seen, own, best, values, k)
    if not shared.any():
        return None
    others: np.ndarray = other_weights(best, shared, observed.weights[target], k)
    return others if others.size else None
