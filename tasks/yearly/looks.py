"""Yearly features of a block from all looks at it: what is read when (ATBD 4.2.1; docs/dev/algorithms.md, sections 1 to 3).

Each file is read once a block. First the classification of all scenes, which tells the weights and what need not be read; then
band after band, the next one being read while the present one is computed. Stacks are (y, time, x): a row of pixels lies
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids.mapping import CELL
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.kernels.resampling import cells_with_weight, other_weights, take_better
from imperv.layers.scl import scl_weights
from imperv.layers.yearly import yearly_ndvi, yearly_quantile
from imperv.tasks.scenes.access import LOCAL, files_at_once
from imperv.tasks.scenes.reading import Target, Window, read_window
from imperv.tasks.scenes.scenes import REFLECTANCE_20M, SCL, Scene, SceneList
from imperv.tasks.scenes.streams import WAITING_BYTES, Streams, streamable
from imperv.tasks.settings.periods import year_fraction
from imperv.tasks.settings.scenes import SceneAccess

QUANTILE = 0.2
"""Quantile of reflectance (ATBD Table 3)."""
NDVI_QUANTILE = 0.9
"""Quantile of NDVI (ATBD Table 3)."""
CLEAR_WEIGHT = 50
"""SCL weight of vegetation, soil and water (ATBD Table 6)."""

STEPS = (("B04", "B08"), ("B05",), ("B06",), ("B07",), ("B8A",), ("B11",), ("B12",), ("B02",), ("B03",))
"""Bands in the order in which they are read; those of one step are in memory together, with those of the next. NDVI, the largest
step, is followed by 20 m bands, which are small."""

ROWS = 16
"""Rows of pixels in one call of a kernel: enough to keep all threads busy to the end of a small block."""

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


def block_bytes(pixels: int, overpasses: int, granules: int, threads: int) -> int:
    """Projected memory, bytes, of a block of `pixels` pixels of 10 m, with `threads` files read at once.

    It counts weights at 10 and 20 m; red, near infrared and the next band at 20 m; the classification of overpasses in several
    granules; features; and for each thread a window of a file (a fifth more pixels than the block), a granule on the grid and two
    arrays of weights.
    """
    per_look = 1 + 1 / 4 + 2 * 2 + 2 / 4
    several = min(granules, 2 * (granules - overpasses))
    features = len(QUANTILE_BANDS) * 2 + 8 * 4 + 2
    reading = 2 * 1.2 + (2 + 1 + 1 if several else 0)
    return round(pixels * (overpasses * per_look + several * 1.2 / 4 + features + threads * reading))


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
class _Observed:
    """Weights of a block."""

    rows: tuple[int, ...]
    """Overpasses with weight."""
    groups: tuple[tuple[_Granule, ...], ...]
    """Their granules with weight."""
    weights: Mapping[Target, np.ndarray]
    """(y, time, x) uint8 on each grid."""
    access: SceneAccess
    told: Callable[[int], None]
    streams: Streams


@dataclass(frozen=True)
class _Stack:
    """One band of a block."""

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


def yearly_features(
    looks: Looks,
    grid: GeoBox,
    threads: int,
    done: Callable[[], None] = lambda: None,
    told: Callable[[int], None] = lambda count: None,
    streams: Streams | None = None,
) -> dict[str, np.ndarray]:
    """Features of all pixels of a grid.

    Parameters
    ----------
    looks : Looks
        Scenes.
    grid : GeoBox
        10 m pixels, an even number of rows and columns, edges on 20 m pixels.
    threads : int
        Threads that compute, and as many that read local files; of remote ones more are read at once.
    done : callable
        Called after each of `STEPS`.
    told : callable
        Called with the bytes of a file that a reading took, from any thread.
    streams : dict, optional
        Files that were read for the grid above this one; they are left for the one below.

    Returns
    -------
    dict
        ``quantiles`` (10, y, x) uint16, ``ndvi_q90`` (y, x) float32, ``harmonics`` (7, y, x) float32 and ``observations``
        (y, x) uint16: number of overpasses with a clear look.

    Raises
    ------
    SceneError
        If a band of a scene cannot be read.
    """
    fine, coarse = Target(grid), Target(grid.zoom_out(2))
    result = {
        "quantiles": np.zeros((len(QUANTILE_BANDS), *fine.shape), "uint16"),
        "ndvi_q90": np.full(fine.shape, np.nan, "float32"),
        "harmonics": np.full((7, *fine.shape), np.nan, "float32"),
        "observations": np.zeros(fine.shape, "uint16"),
    }
    looks = looks.at(grid)
    with ThreadPoolExecutor(looks.readers(threads), "read") as readers, ThreadPoolExecutor(threads, "compute") as kernels:
        observed = _observe(looks, (fine, coarse), readers, told, {} if streams is None else streams)
        if observed.rows:
            times = np.array([looks.times[row] for row in observed.rows])
            for bands, stacks in _stacks(observed, fine, coarse, readers):
                if len(stacks) == 2:
                    _ndvi(bands, stacks, times, result, kernels)
                else:
                    _quantile(bands[0], stacks[0], result, kernels)
                del stacks
                done()
        else:
            for _ in STEPS:
                done()
    return result


def _observe(
    looks: Looks, targets: tuple[Target, Target], readers: ThreadPoolExecutor, told: Callable[[int], None], streams: Streams
) -> _Observed:
    """Read all classifications and bring their weights to both grids."""
    fine, coarse = targets
    scenes = [scene for group in looks.overpasses for scene in group]
    read = zip(scenes, readers.map(lambda s: _classes(s, fine, looks.access, told, streams), scenes), strict=True)
    windows = {scene.id: window for scene, window in read if window is not None}
    rows = [k for k, group in enumerate(looks.overpasses) if any(s.id in windows for s in group)]
    weights = {t: np.zeros((t.shape[0], len(rows), t.shape[1]), "uint8") for t in targets}

    def weigh(k: int) -> tuple[_Granule, ...]:
        shown = [s for s in looks.overpasses[rows[k]] if s.id in windows]
        found = []
        for scene in shown:
            window, cells = windows.pop(scene.id), {}
            for target in targets:
                own, place = (weights[target], k) if len(shown) == 1 else (_empty(target, "uint8"), 0)
                window.weights(target, WEIGHT_OF_CLASS, own, place)
                cells[target] = cells_with_weight(own, place)
                if len(shown) > 1:
                    np.maximum(weights[target][:, k], own[:, 0], out=weights[target][:, k])
            if any(c.any() for c in cells.values()):
                found.append(_Granule(scene, window if len(shown) > 1 else None, cells))
        return tuple(found)

    groups = tuple(readers.map(weigh, range(len(rows))))
    return _Observed(tuple(rows), groups, weights, looks.access, told, streams)


def _classes(scene: Scene, target: Target, access: SceneAccess, told: Callable[[int], None], streams: Streams) -> Window | None:
    """Classification of a scene; None where it has no weight near the target."""
    window = read_window(scene.bands[SCL], scene.id, target, classes=True, access=access, streams=streams)
    told(window.stored if window is not None else 0)
    return window if window is not None and WEIGHT_OF_CLASS[window.pixels].any() else None


def _pixels(cells: np.ndarray, target: Target) -> np.ndarray:
    """Pixels (y, x) of cells."""
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: target.shape[0], : target.shape[1]]


def _empty(target: Target, dtype: str) -> np.ndarray:
    return np.zeros((target.shape[0], 1, target.shape[1]), dtype)


def _stacks(
    observed: _Observed, fine: Target, coarse: Target, readers: ThreadPoolExecutor
) -> Iterator[tuple[tuple[str, ...], list[_Stack]]]:
    """Bands step by step; while one is in use the next is read."""

    def start(bands: tuple[str, ...]) -> list[tuple[np.ndarray, Target, list[Future[np.ndarray | None]]]]:
        begun = []
        for band in bands:
            target = coarse if band in REFLECTANCE_20M else fine
            values = np.empty((target.shape[0], len(observed.rows), target.shape[1]), "uint16")
            jobs = [readers.submit(_fill, band, observed, k, target, values) for k in range(len(observed.rows))]
            begun.append((values, target, jobs))
        return begun

    following = start(STEPS[0])
    try:
        for n, bands in enumerate(STEPS):
            ready = []
            for values, target, jobs in following:
                others = {k: other for k, job in enumerate(jobs) if (other := job.result()) is not None}
                ready.append(_Stack(values, observed.weights[target], others))
            following = start(STEPS[n + 1]) if n + 1 < len(STEPS) else []
            yield bands, ready
            del ready, values, jobs
    finally:
        for _, _, jobs in following:
            for job in jobs:
                job.cancel()


def _fill(band: str, observed: _Observed, k: int, target: Target, values: np.ndarray) -> np.ndarray | None:
    """Read one band of an overpass; returns its weights (y, 1, x) where they are not those of the classification."""

    def read(granule: _Granule) -> Window | None:
        path = granule.scene.bands[band]
        window = read_window(
            path, granule.scene.id, target, granule.cells[target], access=observed.access, streams=observed.streams
        )
        observed.told(window.stored if window is not None else 0)
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
            granule.classes.weights(target, WEIGHT_OF_CLASS, seen, 0, own)
            take_better(pixels, seen, own, best, values, k)
    if not shared.any():
        return None
    others: np.ndarray = other_weights(best, shared, observed.weights[target], k)
    return others if others.size else None


def _ndvi(
    bands: tuple[str, ...], stacks: list[_Stack], times: np.ndarray, result: dict[str, np.ndarray], kernels: ThreadPoolExecutor
) -> None:
    """Reflectance of red and near infrared, NDVI, its harmonics and the clear looks, from one reading of memory."""
    places = [QUANTILE_BANDS.index(band) for band in bands]

    def compute(first: int) -> None:
        rows = slice(first, first + ROWS)
        (red, red_weights), (nir, nir_weights) = (stack.part(first, first + ROWS) for stack in stacks)
        found = yearly_ndvi(
            red, nir, red_weights, nir_weights, times,
            reflectance_quantile=QUANTILE, ndvi_quantile=NDVI_QUANTILE, clear_weight=CLEAR_WEIGHT,
        )  # fmt: skip
        result["quantiles"][places[0], rows], result["quantiles"][places[1], rows] = found.red, found.nir
        result["ndvi_q90"][rows] = found.ndvi
        result["harmonics"][:, rows] = found.harmonics
        result["observations"][rows] = found.observations

    list(kernels.map(compute, range(0, len(stacks[0].values), ROWS)))


def _quantile(band: str, stack: _Stack, result: dict[str, np.ndarray], kernels: ThreadPoolExecutor) -> None:
    """Reflectance of one band; a 20 m pixel gives its value to four of 10 m."""
    out = result["quantiles"][QUANTILE_BANDS.index(band)]
    factor = len(out) // len(stack.values)

    def compute(first: int) -> None:
        values, weights = stack.part(first, first + ROWS)
        reduced = yearly_quantile(values, weights, QUANTILE)
        out[factor * first : factor * (first + ROWS)] = reduced.repeat(factor, axis=0).repeat(factor, axis=1)

    list(kernels.map(compute, range(0, len(stack.values), ROWS)))
