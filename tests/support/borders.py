"""Two neighbouring tiles with one landscape across their border, and whether a layer steps there more than elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imperv.grids import Tile
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.simulator import granules, site_landscape, truth, write_catalogue, write_references, write_scenes, write_truth
from imperv.tasks.simulator.simulation import write_production

ONE_ZONE = ("E44N27", "E45N27"), 2_750_000
"""Tiles that touch within UTM zone 33, and the northing of a place on their border, EPSG:3035 metres."""

TWO_ZONES = ("E48N29", "E49N29"), 2_957_000
"""The same of tiles whose border is that of UTM zones 33 and 34, at 18 degrees east."""

YEARS = 2018, 2021

BEYOND = 4.0
"""Standard deviations of the lines within the tiles beyond which a border is seen."""


def simulate_border(
    out: Path, place: tuple[tuple[str, str], int], size: int, overpasses: int, more: str = "", seed: int = 1
) -> Path:
    """Simulate a square of `size` pixels of 10 m, half of it in either tile; the production file of both."""
    tiles, middle = place
    border, half = Tile(tiles[1]).bounds[0], 5 * size
    bounds = border - half, middle - half, border + half, middle + half
    land = site_landscape(bounds, YEARS, overpasses, seed)
    corner, parts = (bounds[0], bounds[3]), granules(bounds)
    real = truth(land)
    write_references(out, land, real, corner)
    write_truth(out, land, real, corner)
    write_catalogue(out, [i for k, y in enumerate(YEARS) for i in write_scenes(out, land, bounds, parts, y, k, overpasses)])
    return write_production(out, list(tiles), YEARS, f"bbox = {list(bounds)}", more=more)


def both_sides(production: Path, symbol: str, variable: str = "") -> tuple[np.ndarray, int]:
    """A stored layer of both tiles as one array (..., y, x), and its first column in the second tile."""
    config = Production.read(production)
    jobs = [Job.of(config, tile) for tile in config.tiles]
    first, second = (np.asarray((job.group(symbol)[variable] if variable else job.array(symbol))[:]) for job in jobs)
    return np.concatenate([first, second], axis=-1), first.shape[-1]


@dataclass(frozen=True)
class Border:
    """How many standard deviations of the lines within the tiles a border of tiles is away from their mean."""

    jump: float
    """In the mean size of the difference across it, less the slope on both sides; of codes in how many pairs differ."""
    step: float
    """In the mean difference across it, with its sign, less the slope; 0 for codes."""
    lag: float
    """In the shift along it that makes both sides alike, pixels; NaN for codes."""
    pixels: float
    """That shift, less the mean of the lines."""

    @property
    def seen(self) -> bool:
        """True beyond the noise."""
        return self.jump > BEYOND or abs(self.step) > BEYOND or abs(self.lag) > BEYOND


def border_of(values: np.ndarray, edge: int, reach: int = 100, coded: bool = False) -> Border:
    """The line before column `edge` beside every second one within `reach` pixels.

    `values` are (y, x), NaN no data; of codes (`coded`) only being different counts. Every second line, because bands of 20 m lie
    in cells of two pixels, and a border of tiles is an edge of such cells.
    """
    band = np.asarray(values, "f8")[:, edge - reach - 1 : edge + reach + 1]
    lines = np.arange(2 + (reach + 1) % 2, band.shape[1] - 1, 2)  # the first column after each line
    other = lines != reach + 1
    across = np.diff(band, axis=1)
    if coded:
        pairs = across[:, lines - 1]
        return Border(_away(np.nanmean(np.where(np.isnan(pairs), np.nan, pairs != 0), axis=0), other), 0.0, np.nan, np.nan)
    further = across[:, lines - 1] - (across[:, lines - 2] + across[:, lines]) / 2
    lags = np.array([_lag(band[:, x - 1], band[:, x]) for x in lines])
    shift = float(lags[~other][0] - lags[other].mean())
    sizes, signed = (np.nanmean(array, axis=0) for array in (np.abs(further), further))
    return Border(_away(sizes, other), _away(signed, other), _away(lags, other), shift)


def _away(lines: np.ndarray, other: np.ndarray) -> float:
    spread = lines[other].std()
    return float((lines[~other][0] - lines[other].mean()) / spread) if spread else 0.0


def _lag(one: np.ndarray, two: np.ndarray, most: int = 3) -> float:
    """Pixels by which a column lies behind the other: the top of the parabola through the best correlations of their slopes."""
    a, b = (np.nan_to_num(np.diff(column)) for column in (one, two))
    steps = range(-most, most + 1)
    fits = [np.corrcoef(a[most:-most], b[most + k : len(b) - most + k])[0, 1] for k in steps]
    best = int(np.clip(np.argmax(fits), 1, len(fits) - 2))
    before, at, after = fits[best - 1 : best + 2]
    return steps[best] + (before - after) / 2 / (before - 2 * at + after)
