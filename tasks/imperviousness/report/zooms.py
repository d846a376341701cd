"""The largest changes of a tile, close up: satellite and maps of then and now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imperv.tasks.imperviousness.report.maps import draw, draw_composite, stretch
from imperv.tasks.imperviousness.report.pixels import (
    CELL,
    Bounds,
    Picture,
    best_windows,
    made,
    movement,
    sealed_ground,
    window,
    window_block,
    window_composite,
)
from imperv.tasks.job import Job
from imperv.tasks.report.pictures import Map

EDGE, SMALL_EDGE = 2000, 1000
"""Edge of a window in metres, on large areas and on those below `SMALL_AREA`."""

SMALL_AREA = 6000
"""Metres."""

GAINS, LOSSES = 2, 1
"""Windows of the largest gains, and of the largest loss."""


Chosen = tuple[str, Bounds, float, float]
"""Title and place of a window, gain and loss in it in square kilometres."""


@dataclass(frozen=True)
class Frame:
    """Where a window lies on a map of the whole area, percent of its edges."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Zoom:
    """One window."""

    title: str
    text: str
    bounds: Bounds
    frame: Frame
    gain_km2: float
    loss_km2: float
    panels: tuple[Map, ...]
    """Satellite and density then, satellite and density now, change and its classes; those that exist."""


def choose(job: Job) -> list[Chosen]:
    """Windows of the largest gains and losses with their sums in km2; of the densest ground where nothing changed."""
    width, height = job.bounds[2] - job.bounds[0], job.bounds[3] - job.bounds[1]
    edge = SMALL_EDGE if min(width, height) < SMALL_AREA else EDGE
    if made(job, "IMDC"):
        moved = movement(job)
        gains = best_windows(job, moved[0], edge, GAINS)
        losses = best_windows(job, moved[1], edge, LOSSES, gains)
        if found := [("Gain", bounds) for bounds in gains] + [("Loss", bounds) for bounds in losses]:
            places = [(..., *window_block(job, bounds, CELL).slices) for _, bounds in found]
            return [(*one, *moved[place].sum(axis=(1, 2)) / 1e6) for one, place in zip(found, places, strict=True)]
    ground = sealed_ground(job, "IMD_now" if made(job, "IMD_now") else "IMD_then")
    return [("Densest ground", bounds, 0.0, 0.0) for bounds in best_windows(job, ground, edge, 1)]


def close_up(job: Job, title: str, bounds: Bounds, gain: float, loss: float) -> Zoom:
    """A window with its panels."""
    panels: list[Map] = []
    bands = {p: window_composite(job, p, bounds) for p in ("then", "now") if made(job, f"PP_{p}")}
    limits = stretch(*bands.values()) if bands else np.zeros((3, 2))
    for period in ("then", "now"):
        if period in bands:
            picture = Picture(bands[period][0], bounds, 10)
            panels.append(draw_composite(bands[period], limits, picture, f"{job.production.scenes.seen_by(period)}, {period}"))
        if made(job, f"IMD_{period}"):
            panels.append(draw(f"IMD_{period}", window(job, f"IMD_{period}", bounds), f"Density, {period}"))
    for symbol, name in (("IMDC", "Change, percentage points"), ("IMCC", "Change, classified")):
        if made(job, symbol):
            panels.append(draw(symbol, window(job, symbol, bounds), name))
    left, bottom, right, top = job.bounds
    frame = Frame(
        round(100 * (bounds[0] - left) / (right - left), 2),
        round(100 * (top - bounds[3]) / (top - bottom), 2),
        round(100 * (bounds[2] - bounds[0]) / (right - left), 2),
        round(100 * (bounds[3] - bounds[1]) / (top - bottom), 2),
    )
    middle = f"E {(bounds[0] + bounds[2]) / 2000:.1f} km, N {(bounds[1] + bounds[3]) / 2000:.1f} km"
    return Zoom(title, middle, bounds, frame, gain, loss, tuple(panels))
