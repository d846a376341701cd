"""Scores of a finished map against the truth, beside those of the maps that a user has without it.

These are the map of then, used as if it were of now, and CLC+ Backbone: its sealed pixels at the mean density that the map of
then has there, and the difference of its two years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from imperv.calibration.mask import SEALED
from imperv.layers.aggregation import aggregate_mean
from imperv.layers.change import classify_change
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.scenes.reading import open_full_resolution, warp

GAIN, LOSS = (1, 11), (2, 12)
"""Classes of change."""

OUTSIDE = 255

SIMULATED = "references are simulated from the truth with small errors, and the run sees the satellite only"
OUTLINE = "density of now is calibrated to the old map, and 0 outside CLC+ (ATBD 4.3.2)"
MASK = "the change mask (ATBD 4.2.5) keeps false change out, and with it what is narrow, such as a new road"
"""Reasons why a map without this run may be better."""

TRUTHS = ("imd_then", "imd_now", "ibu_now", "change")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map of the state of now."""

    density: np.ndarray
    """(y, x) float32: percent, NaN unknown."""
    built: np.ndarray | None
    """(y, x) bool: built-up; None where it has none."""
    moved: np.ndarray | None
    """(y / 2, x / 2) int8: 1 gain, -1 loss, 0 none; None where it has no change."""


@dataclass(frozen=True)
class Score:
    """One row of the comparison: a value for each candidate, None where it has none."""

    name: str
    values: Mapping[str, float | None]
    digits: int = 1
    unit: str = ""
    higher: bool = False
    """Whether higher is better."""
    truth: float | None = None
    """Best value, where neither the highest nor the lowest is."""
    why: str = ""
    """Reason why a map without this run may be better."""

    @property
    def short(self) -> str:
        """The name without its details."""
        return self.name.split(",")[0]

    def loss(self, name: str) -> float:
        """Distance of a candidate from the best possible value; infinite without a value."""
        value = self.values[name]
        if value is None:
            return np.inf
        value = round(value, self.digits)
        return abs(value - round(self.truth, self.digits)) if self.truth is not None else -value if self.higher else value

    def text(self, name: str) -> str:
        """A value as text."""
        value = self.values[name]
        return "–" if value is None else f"{value:.{self.digits}f}{self.unit}"


def candidates(job: Job) -> dict[str, Candidate]:
    """This run and the maps without it, by name."""
    imd, then, clc = (job.array(symbol)[:] for symbol in ("IMD_now", "IMD_then", "CLCP_now"))
    before = job.array("CLCP_then")[:]
    classes = job.array("IMCC")[:]
    year = job.production.periods.then
    inside = (before == SEALED) & (then <= 100)
    mean = float(then[inside].mean()) if inside.any() else 0.0
    sealed = [np.where(a == SEALED, 100, np.where(a >= 253, OUTSIDE, 0)).astype("u1") for a in (before, clc)]
    difference = aggregate_mean(sealed[1], 2).astype("i2") - aggregate_mean(sealed[0], 2)
    return {
        "this run": Candidate(
            _percent(imd),
            job.array("IBU_now")[:] == 1,
            np.isin(classes, GAIN).astype("i1") - np.isin(classes, LOSS).astype("i1"),
        ),
        f"map of {year}": Candidate(_percent(then), job.array("IBU_then")[:] == 1, None),
        "CLC+ Backbone": Candidate(_percent(sealed[1]) * mean / 100, None, np.sign(difference).astype("i1")),
    }


def _percent(codes: np.ndarray) -> np.ndarray:
    return np.where(codes <= 100, codes, np.nan).astype("f4")


def compare(found: Mapping[str, Candidate], truth: Mapping[str, np.ndarray]) -> list[Score]:
    """Scores of maps by name, all on one grid, against a truth: density and built-up over the pixels that all maps know.

    `truth` has ``imd_then``, ``imd_now`` (percent), ``ibu_now`` (1 built-up) and ``change`` (1 sealing changed, 2 other change,
    0 none), (y, x) uint8, 255 outside. Changes are judged over the pixels of 20 m that it knows and that changed wholly or not at
    all.
    """
    known = truth["imd_now"] != OUTSIDE
    for one in found.values():
        known &= np.isfinite(one.density)
    real, changed = truth["imd_now"].astype("f4"), known & (truth["change"] == 1)
    rows = [
        Score(f"density error{where}", {n: _rms(c.density[at] - real[at]) for n, c in found.items()}, why=SIMULATED)
        for where, at in ((", percent (RMSE)", known), (" where sealing changed", changed), (" elsewhere", known & ~changed))
        if at.any()
    ]
    mean = float(real[known].mean())
    sealed = {n: float(c.density[known].mean()) for n, c in found.items()}
    built = truth["ibu_now"][known] == 1
    right = {n: None if c.built is None else f1(c.built[known], built) for n, c in found.items()}
    rows.append(Score(f"sealed share, truth {mean:.1f} %", sealed, 1, " %", truth=mean, why=OUTLINE))
    rows.append(Score("built-up: F1", right, 2, higher=True, why=SIMULATED))
    return rows + _changes(found, truth)


def _changes(found: Mapping[str, Candidate], truth: Mapping[str, np.ndarray]) -> list[Score]:
    """Detected share of the planted change, and false change; the map of then detects none."""
    inside, planted = _share(truth["change"] == OUTSIDE) == 0, _share(truth["change"] == 1)
    before, after = (aggregate_mean(np.ascontiguousarray(truth[key]), 2) for key in ("imd_then", "imd_now"))
    inside &= (before <= 100) & (after <= 100)
    step = after.astype("i2") - before
    real = classify_change(before, np.clip(100 + step, 0, 200).astype("u1"))
    rows = []
    for name, codes, sign in (("gain", GAIN, 1), ("loss", LOSS, -1)):
        cells = inside & (planted == 1) & np.isin(real, codes)
        if cells.any():
            hits = {n: 0.0 if c.moved is None else 100 * float((c.moved[cells] == sign).mean()) for n, c in found.items()}
            rows.append(Score(f"{name} found, of {int(cells.sum())} pixels of 20 m", hits, 0, " %", higher=True, why=MASK))
    changed = inside & (_share(truth["change"] == 1) > 0)
    right = {
        n: None if c.moved is None else _precision(c.moved[inside], np.where(changed, np.sign(step), 0)[inside])
        for n, c in found.items()
    }
    quiet = inside & (_share(truth["change"] > 0) == 0)
    false = {n: None if c.moved is None else 100 * float((c.moved[quiet] != 0).mean()) for n, c in found.items()}
    rows.append(Score("real, of all that is called change", right, 0, " %", higher=True, why=MASK))
    return [*rows, Score("change where there is none", false, 2, " %", why=MASK)]


def _precision(moved: np.ndarray, real: np.ndarray) -> float | None:
    """Precision of change and its direction, percent; None without any."""
    called = moved != 0
    return 100 * float((moved == real)[called].mean()) if called.any() else None


def read_truths(folder: Path, grid: GeoBox) -> dict[str, np.ndarray]:
    """Truth layers of a simulation or of the city kit, by key."""
    return {key: _read(folder / f"truth_{key}.tif", grid) for key in TRUTHS}


def _read(path: Path, grid: GeoBox) -> np.ndarray:
    try:
        with open_full_resolution(str(path)) as source:
            return warp(source, grid, rasterio.enums.Resampling.nearest, OUTSIDE)
    except rasterio.errors.RasterioIOError:
        raise InputError(f"{path}: cannot be read; simulate again") from None


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt((error.astype("f8") ** 2).mean()))


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    """F1 of two masks; 1 where both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def _share(mask: np.ndarray) -> np.ndarray:
    """Share of each 20 m pixel inside a 10 m mask."""
    rows, columns = mask.shape
    return mask.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
