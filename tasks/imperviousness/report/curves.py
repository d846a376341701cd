"""A few typical pixels and their NDVI: harmonics of both periods, and the single observations where scenes lie on this disk.

Pixels are chosen by rule among those of one block, never by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.grids import Block
from imperv.layers.harmonics import evaluate
from imperv.layers.scl import scl_weights
from imperv.tasks.job import Job
from imperv.tasks.report.pixels import Bounds, window_block
from imperv.tasks.scenes.access import environment, is_remote
from imperv.tasks.scenes.reading import open_full_resolution, read_valid
from imperv.tasks.scenes.scenes import SCL, Scene, SceneList
from imperv.tasks.settings.periods import year_fraction
from imperv.tasks.yearly.looks import CLEAR_WEIGHT

AROUND = 4000
"""Metres around the largest change within which typical pixels are looked for."""

SEALED, FREE = 80, 0
"""Percent of density from which a pixel counts as sealed, and as free of sealing."""

CROPS, TREES = (6, 7), (2, 3, 4)
"""Classes of CLCplus Backbone: herbaceous, and trees."""

DAYS = 183
"""Points of a curve."""

MOST_SCENES = 400
"""Scenes of a period above which observations are not read, as each is opened."""

APART = 0.03
"""Mean distance in NDVI between clear observations and a line from which the report says why."""

Look = tuple[float, float, bool]
"""Fraction of the year, NDVI, whether it is clear."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A pixel with its NDVI."""

    title: str
    x: float
    """EPSG:3035, centre."""
    y: float
    density: tuple[int, int]
    """Then and now, percent."""
    time: np.ndarray
    """Fraction of the year of the curves' points."""
    curves: Mapping[str, np.ndarray]
    """NDVI by period."""
    looks: Mapping[str, tuple[Look, ...]] = field(default_factory=dict)


def typical_pixels(job: Job, bounds: Bounds, lists: Mapping[str, SceneList]) -> list[Curve]:
    """Typical pixels around a window: sealed, gained, lost, crops, trees; those that do not occur are left out."""
    middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    here = (middle[0] - AROUND, middle[1] - AROUND, middle[0] + AROUND, middle[1] + AROUND)
    block = window_block(job, here, 10)
    harmonics = {p: job.group(f"PP_{p}")["harmonics"][(slice(None), *block.slices)] for p in ("then", "now")}
    then, now = (job.array(symbol)[block.slices] for symbol in ("IMD_then", "IMD_now"))
    places = _choose(job, block, then, now, harmonics)
    time = np.linspace(0, 1, DAYS, endpoint=False)
    left, _, _, top = job.bounds
    found = []
    for title, (row, column) in places.items():
        curves = {p: evaluate(h[:, row : row + 1, column : column + 1], time)[:, 0, 0] for p, h in harmonics.items()}
        x, y = left + (block.x0 + column + 0.5) * 10, top - (block.y0 + row + 0.5) * 10
        found.append(Curve(title, x, y, (int(then[row, column]), int(now[row, column])), time, curves))
    points = [(one.x, one.y) for one in found]
    looks = {p: read_looks(job, scenes, points) for p, scenes in lists.items()}
    return [
        Curve(one.title, one.x, one.y, one.density, time, one.curves, {p: tuple(seen[k]) for p, seen in looks.items()})
        for k, one in enumerate(found)
    ]


def distance_note(curve: Curve) -> str:
    """Where clear observations lie beside a line, as it is fitted to all observations by weight; empty where they meet it."""
    words = []
    for period, looks in curve.looks.items():
        clear = [(time, value) for time, value, seen_clear in looks if seen_clear]
        if period not in curve.curves or not clear:
            continue
        times, values = np.array(clear).T
        gap = float((values - np.interp(times, curve.time, curve.curves[period], period=1)).mean())
        if abs(gap) >= APART:
            words.append(f"{abs(gap):.2f} {'above' if gap > 0 else 'below'} the line of {period}")
    if not words:
        return ""
    return f"Clear observations lie on average {' and '.join(words)}, which is fitted to cloudy ones too, at less weight"


def _choose(
    job: Job, block: Block, then: np.ndarray, now: np.ndarray, harmonics: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, int]]:
    mean = harmonics["now"][0]
    known = np.isfinite(mean) & np.isfinite(harmonics["then"][0])
    free = (then == FREE) & (now == FREE)
    masks = {"Sealed, unchanged": (then >= SEALED) & (then <= 100) & (now >= SEALED) & (now <= 100)}
    if (record := job.record("IMCC")) is not None and record.made:
        half = Block(block.y0 // 2, block.x0 // 2, block.y1 // 2, block.x1 // 2)
        change = job.array("IMCC")[half.slices].repeat(2, axis=0).repeat(2, axis=1)
        masks["New sealing"] = (change == 1) & (now > then) & (now <= 100)
        masks["Loss of sealing"] = (change == 2) & (then > now) & (then <= 100)
    if (record := job.record("CLCP_now")) is not None and record.made:
        cover = job.array("CLCP_now")[block.slices]
        masks["Herbaceous, CLC+ 6 or 7"] = free & np.isin(cover, CROPS)
        masks["Trees, CLC+ 2 to 4"] = free & np.isin(cover, TREES)
    else:
        masks["Not sealed"] = free
    return {title: place for title, mask in masks.items() if (place := middle_of(mask & known, mean)) is not None}


def middle_of(mask: np.ndarray, values: np.ndarray) -> tuple[int, int] | None:
    """(row, column) of the pixel of a mask with the median value; None where the mask is empty."""
    places = np.flatnonzero(mask)
    if not places.size:
        return None
    order = np.argsort(values.ravel()[places], kind="stable")
    row, column = np.unravel_index(int(places[order[len(order) // 2]]), mask.shape)
    return int(row), int(column)


def read_looks(job: Job, scenes: SceneList, points: Sequence[tuple[float, float]]) -> list[list[Look]]:
    """Observations of points (EPSG:3035) in every scene on this disk, as for the features; empty if there are too many."""
    wanted = [s for s in scenes.scenes if not is_remote(s.bands["B04"])]
    found: list[list[Look]] = [[] for _ in points]
    if len(wanted) > MOST_SCENES or not points:
        return found
    access, placed = job.production.scenes.access, _Points(points)

    def read(scene: Scene) -> list[tuple[int, Look]]:
        with environment(access, scene.bands["B04"]):
            return _looks_of(scene, placed)

    with ThreadPoolExecutor(job.engine.settings.workers, "looks") as pool:
        for seen in pool.map(read, wanted):
            for k, look in seen:
                found[k].append(look)
    return found


class _Points:
    """Points of EPSG:3035 in the reference systems of rasters; each is transformed once, as that costs more than reading."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points, self._lock = points, threading.Lock()
        self._found: dict[str, list[tuple[float, float]]] = {}

    def __len__(self) -> int:
        return len(self._points)

    def within(self, crs: str) -> list[tuple[float, float]]:
        """The points in a reference system."""
        with self._lock:
            if crs not in self._found:
                to_raster = Transformer.from_crs("EPSG:3035", crs, always_xy=True)
                self._found[crs] = [to_raster.transform(x, y) for x, y in self._points]
            return self._found[crs]


def _looks_of(scene: Scene, points: _Points) -> list[tuple[int, Look]]:
    try:
        red, nir = (_sample(scene.bands[band], points, _between) for band in ("B04", "B08"))
        classes = _sample(scene.bands[SCL], points, _nearest)
    except (RasterioError, OSError, KeyError):
        return []  # what cannot be read was told when the features were made
    found = []
    time = year_fraction(scene.day)
    for k in range(len(points)):
        if not red[k] or not nir[k]:
            continue
        r, n = max(red[k] - scene.subtract, 0), max(nir[k] - scene.subtract, 0)
        if r + n:
            clear = int(scl_weights(np.array([classes[k]]).astype("u1"))[0]) >= CLEAR_WEIGHT
            found.append((k, (time, (n - r) / (n + r), clear)))
    return found


def _sample(path: str, points: _Points, value: Callable[[rasterio.DatasetReader, float, float], float]) -> list[float]:
    """A raster at the points, as it is resampled for the features; 0 outside and where there is no data."""
    with open_full_resolution(path) as source:
        places = (~source.transform * point for point in points.within(source.crs.to_string()))
        return [value(source, column, row) for column, row in places]


def _nearest(source: rasterio.DatasetReader, column: float, row: float) -> float:
    x, y = int(np.floor(column)), int(np.floor(row))
    if not (0 <= y < source.height and 0 <= x < source.width):
        return 0
    return float(read_valid(source, Window(x, y, 1, 1))[0, 0])


def _between(source: rasterio.DatasetReader, column: float, row: float) -> float:
    """Bilinear between the pixels around a place; those without data take no part."""
    (x, right), (y, down) = (divmod(place - 0.5, 1) for place in (column, row))
    weights = np.outer((1 - down, down), (1 - right, right))
    rows, columns = ((max(int(n), 0), min(int(n) + 2, size)) for n, size in ((y, source.height), (x, source.width)))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return 0
    pixels = read_valid(source, Window.from_slices(rows, columns)).astype(float)
    inside = (slice(k[0] - int(n), k[1] - int(n)) for k, n in ((rows, y), (columns, x)))
    weights = weights[tuple(inside)] * (pixels > 0)
    return float((pixels * weights).sum() / weights.sum()) if weights.any() else 0
