"""Check of the radiometric offset, decided from metadata, against a small sample of pixels of a dozen scenes of each kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from rasterio.windows import Window

from imperv.grids import CRS
from imperv.layers.catalogue import Layer
from imperv.layers.statistics.dark_end import DarkEnd, Verdict, dark_end, judge
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.projections import moved
from imperv.tasks.scenes.access import environment, files_at_once, patiently
from imperv.tasks.scenes.reading import extent, open_full_resolution, read_valid
from imperv.tasks.scenes.scenes import SCL, Scene, SceneList
from imperv.tasks.settings.scenes import SceneAccess

SAMPLED = ("B02", "B12")
"""Bands that are dark over vegetation or water."""

A_GROUP = 12
"""Scenes of one kind that are sampled."""

MOST_CLOUD = 70.0
"""Percent of clouds above which a scene is not worth a look."""

EDGE = 5120
"""Metres of the square that is read: within one block of a usual COG."""


def check_offsets(job: Job, layer: Layer, scenes: SceneList) -> dict[str, Any]:
    """Compare the dark end of clear pixels between scenes, and with possible reflectance (docs/dev/sentinel2.md, section 2).

    ``medians`` of the dark end are by digital numbers subtracted, after the subtraction; ``scenes`` is the number sampled;
    ``doubt`` is about what a setting has decided, or empty. InputError if an offset that no setting decided was decided wrongly;
    SceneError if a scene cannot be read.
    """
    chosen = sample(scenes.scenes)
    access = job.production.scenes.of(layer.role).access
    workers = files_at_once((s.bands[SCL] for s in chosen), job.production.engine.workers, access)
    with ThreadPoolExecutor(workers, "offset") as pool:
        found = zip(chosen, pool.map(lambda s: _dark_end_of(s, job.bounds, access), chosen), strict=True)
        ends = [DarkEnd(s.id, s.subtract, value, s.reason) for s, value in found if value is not None]
    verdict = judge(ends)
    if verdict.reason and job.production.scenes.boa_offset == "auto":
        raise InputError(f"{layer.symbol} of tile {job.tile}: {explain(verdict, scenes)}")
    doubt = explain(verdict, scenes) if verdict.reason else ""
    return {"medians": {str(k): v for k, v in verdict.medians.items()}, "scenes": len(ends), "doubt": doubt}


def explain(verdict: Verdict, scenes: SceneList) -> str:
    """What is wrong with the decided offset, in one line that names the items and the setting."""
    one = next(s for s in scenes.scenes if s.id == verdict.odd[0])
    names = f"{', '.join(verdict.odd[:3])}{', ...' if len(verdict.odd) > 3 else ''}"
    done = f"{one.subtract} was subtracted" if one.subtract else "nothing was subtracted"
    setting = "none" if one.subtract else "subtract"
    others = "" if len({(s.subtract, s.reason) for s in scenes.scenes}) == 1 else " if the files are all alike"
    return (
        f"the offset of {names} does not fit the pixels: {done} ({one.reason}), but {verdict.reason}; "
        f'set scenes.boa_offset = "{setting}"{others}, or correct the items in scenes.catalogue'
    )


def sample(scenes: tuple[Scene, ...]) -> list[Scene]:
    """A dozen scenes for every kind of decision, spread over the year, the cloudiest left out."""
    groups: dict[tuple[int, str], list[Scene]] = {}
    for scene in scenes:
        if scene.cloud is None or scene.cloud <= MOST_CLOUD:
            groups.setdefault((scene.subtract, scene.reason), []).append(scene)
    chosen = []
    for group in groups.values():
        places = np.unique(np.linspace(0, len(group) - 1, A_GROUP).round().astype(int))
        chosen += [group[k] for k in places]
    return chosen


def _dark_end_of(scene: Scene, area: tuple[float, float, float, float], access: SceneAccess) -> float | None:
    """Dark end of a scene around the middle of what it shows of an area."""
    scl = _read(scene, SCL, area, access)
    if scl is None or not scl.any():
        return None
    bands = [_read(scene, band, area, access) for band in SAMPLED]
    if any(band is None for band in bands):
        return None
    thinned = [_on(band, scl.shape) for band in bands if band is not None]
    rows, columns = (min(a.shape[k] for a in (scl, *thinned)) for k in (0, 1))
    return dark_end(tuple(a[:rows, :columns] for a in thinned), scl[:rows, :columns], scene.subtract)


def _on(band: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Every n-th pixel, so that a band has about the pixels of the classification."""
    step = max(1, round(band.shape[0] / shape[0]))
    return band[::step, ::step]


def _read(scene: Scene, band: str, area: tuple[float, float, float, float], access: SceneAccess) -> np.ndarray | None:
    """A square around the middle of what a band shows of an area; None where it shows nothing."""
    path = scene.bands[band]

    def read() -> np.ndarray | None:
        with environment(access, path), open_full_resolution(path) as source:
            box, shown = moved(area, str(CRS), source.crs.to_wkt()), extent(source)
            left, right = max(box[0], shown[0]), min(box[2], shown[2])
            bottom, top = max(box[1], shown[1]), min(box[3], shown[3])
            if left >= right or bottom >= top:
                return None
            # The grid of squares starts at the raster's corner, as blocks of files do.
            x0 = shown[0] + ((left + right) / 2 - shown[0]) // EDGE * EDGE
            y0 = shown[3] - (shown[3] - (top + bottom) / 2) // EDGE * EDGE
            square = (x0, max(y0 - EDGE, shown[1]), min(x0 + EDGE, shown[2]), y0)
            columns, rows = zip(*(~source.transform * corner for corner in (square[:2], square[2:])), strict=True)
            first, size = (min(columns), min(rows)), (abs(columns[1] - columns[0]), abs(rows[1] - rows[0]))
            pixels = read_valid(source, Window(*first, *size).round_offsets().round_lengths())
            # North up and west to the left, or bands that run otherwise would not lie on each other.
            return pixels[:: -1 if source.transform.e > 0 else 1, :: -1 if source.transform.a < 0 else 1]

    return patiently(path, scene.id, access, read)
