"""A few typical pixels and their NDVI: harmonics of both periods, and the single observations where scenes are local files.

Pixels are chosen by rule from one block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.grids import Block
from imperv.layers.harmonics import evaluate
from imperv.layers.scl import scl_weights
from imperv.tasks.imperviousness.report.pixels import Bounds, made, window_block
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.projections import EEA, transformer
from imperv.tasks.scenes.access import environment, is_remote
from imperv.tasks.scenes.reading import open_full_resolution, read_valid
from imperv.tasks.scenes.scenes import SCL, Scene, SceneList
from imperv.tasks.settings.periods import year_fraction
from imperv.tasks.yearly.looks import CLEAR_WEIGHT

AROUND = 4000
"""Metres around the largest change from which typical pixels are taken."""

SEALED, FREE = 80, 0
"""Percent of density from which a pixel counts as sealed, and as free of sealing."""

CROPS, TREES = (6, 7), (2, 3, 4)
"""Classes of CLCplus Backbone: herbaceous, and trees."""

DAYS = 183
"""Points of a curve."""

MOST_SCENES = 400
"""Most scenes of a period whose observations are read, as each is opened."""

APART = 0.03
"""Mean distance in NDVI between clear observations and the fit from which the report explains it."""

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


def typical_pixels(job: Job, bounds: Bounds, lists: Mapping[str, SceneList | LandsatList]) -> list[Curve]:
    """Typical pixels around a window: sealed, gained, lost, crops, trees; those that do not occur are left out.

    Single observations are those of Sentinel-2 only.
    """
    middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    here = (middle[0] - AROUND, middle[1] - AROUND, middle[0] + AROUND, middle[1] + AROUND)
    block = window_block(job, here, 10)
    harmonics = {p: job.group(f"PP_{p}")["harmonics"][(slice(None), *block.slices)] for p in ("then", "now")}
    then, now = (job.array(symbol)[block.slices] for symbol in ("IMD_then", "IMD_now"))
    places = _choose(job, block, then, now, harmonics)
    left, _, _, top = job.bounds
    points = [(left + (block.x0 + column + 0.5) * 10, top - (block.y0 + row + 0.5) * 10) for row, column in places.values()]
    looks = {p: read_looks(job, p, scenes, points) for p, scenes in lists.items() if isinstance(scenes, SceneList)}
    time = np.linspace(0, 1, DAYS, endpoint=False)
    found = []
    for k, (title, (row, column)) in enumerate(places.items()):
        curves = {p: evaluate(h[:, row : row + 1, column : column + 1], time)[:, 0, 0] for p, h in harmonics.items()}
        seen = {p: tuple(of_points[k]) for p, of_points in looks.items()}
        found.append(Curve(title, *points[k], (int(then[row, column]), int(now[row, column])), time, curves, seen))
    return found


def distance_note(curve: Curve) -> str:
    """Mean distance of clear observations from each line, in words; empty below `APART`."""
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
    if made(job, "IMCC"):
        change = job.array("IMCC")[block.coarser(2).slices].repeat(2, axis=0).repeat(2, axis=1)
        masks["New sealing"] = (change == 1) & (now > then) & (now <= 100)
        masks["Loss of sealing"] = (change == 2) & (then > now) & (then <= 100)
    if made(job, "CLCP_now"):
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


def read_looks(job: Job, period: str, scenes: SceneList, points: Sequence[tuple[float, float]]) -> list[list[Look]]:
    """Observations of points (EPSG:3035) in every local scene, read as for the features; empty if there are too many."""
    wanted = [s for s in scenes.scenes if not is_remote(s.bands["B04"])]
    found: list[list[Look]] = [[] for _ in points]
    if len(wanted) > MOST_SCENES or not points:
        return found
    access = job.production.scenes.of(period).access

    def within(crs: str) -> np.ndarray:
        return np.array(transformer(EEA, crs).transform(*np.transpose(points)))

    def read(scene: Scene) -> list[tuple[int, Look]]:
        with environment(access, scene.bands["B04"]):
            return _looks_of(scene, within)

    with ThreadPoolExecutor(job.engine.settings.workers, "looks") as pool:
        for seen in pool.map(read, wanted):
            for k, look in seen:
                found[k].append(look)
    return found


def _looks_of(scene: Scene, within: Callable[[str], np.ndarray]) -> list[tuple[int, Look]]:
    """(number of the point, observation) of a scene; `within` gives the points in a reference system, (2, n)."""
    try:
        red, nir = (_sample(scene.bands[band], within, bilinear) for band in ("B04", "B08"))
        classes = _sample(scene.bands[SCL], within, nearest)
    except (RasterioError, OSError, KeyError):
        return []  # the features have already warned of it
    known = (red > 0) & (nir > 0)
    red, nir = (np.maximum(values - scene.subtract, 0) for values in (red, nir))
    time, clear = year_fraction(scene.day), scl_weights(classes.astype("u1")) >= CLEAR_WEIGHT
    seen = np.flatnonzero(known & (red + nir > 0))
    return [(int(k), (time, float((nir[k] - red[k]) / (nir[k] + red[k])), bool(clear[k]))) for k in seen]


def _sample(
    path: str, within: Callable[[str], np.ndarray], value: Callable[[rasterio.DatasetReader, float, float], float]
) -> np.ndarray:
    """Raster values at the points, resampled as for the features; 0 outside and without data."""
    with open_full_resolution(path) as source:
        columns, rows = ~source.transform * tuple(within(source.crs.to_string()))
        return np.array([value(source, column, row) for column, row in zip(columns, rows, strict=True)])


def nearest(source: rasterio.DatasetReader, column: float, row: float) -> float:
    """Nearest pixel at a place; 0 outside."""
    return float(_window(source, int(np.floor(column)), int(np.floor(row)), 1)[0, 0])


def bilinear(source: rasterio.DatasetReader, column: float, row: float) -> float:
    """Bilinear value at a place from the pixels with data; 0 where there is none."""
    (x, right), (y, down) = (divmod(place - 0.5, 1) for place in (column, row))
    pixels = _window(source, int(x), int(y), 2)
    weights = np.outer((1 - down, down), (1 - right, right)) * (pixels > 0)
    return float((pixels * weights).sum() / weights.sum()) if weights.any() else 0


def _window(source: rasterio.DatasetReader, x: int, y: int, edge: int) -> np.ndarray:
    """A square of pixels, 0 outside of the raster."""
    inside = 0 <= x <= source.width - edge and 0 <= y <= source.height - edge
    return read_valid(source, Window(x, y, edge, edge), boundless=not inside).astype(float)
