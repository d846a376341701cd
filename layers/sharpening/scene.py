"""How a window of a scene is sharpened: all bands to 10 m, then to 5 m, each band ending consistent with what was measured.

A window is a mapping of band names to (y, x) float32, reflectance x 10 000, NaN without data, each band at the pixels that it was
measured at; windows begin and end on multiples of 60 m. What depends on the whole scene is in `SceneModel`, so that windows with
a margin of `MARGIN` show nothing of where they begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np

from imperv.layers.network.precision import Precision
from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.date_network import HALO, DateModel
from imperv.layers.sharpening.dates import fuse
from imperv.layers.sharpening.degradation import MTF, relative_spread
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.network import Model
from imperv.layers.sharpening.regression import detail, told_detail
from imperv.layers.sharpening.statistics import Statistics, Sums
from imperv.layers.sharpening.steps import STEPS, TEN

MARGIN = 960
"""Metres around a window that its pixels may depend on: 16 pixels of 60 m, of which back-projection reaches 12."""

ROUNDS = {"20to10": 12, "60to10": 60, "10to5": 20}
"""Rounds of back-projection at the end of each step: they leave less than 2 digital numbers of what the instrument saw. The wider
the point spread, the slower they are; what is kept from below `DARKEST` takes more of them."""

PACE = 1.6
"""Of back-projection: what is slow needs a third fewer rounds."""

DARKEST = 1.0
"""Least reflectance x 10 000 of a sharpened pixel: 0 is no data."""

PART = 384
"""Edge of the parts that the network of several dates sees at once, pixels of 10 m."""

AROUND = 11
"""Pixels of the square over which the strength of the detail is taken, for the deviation of a regression."""

TO_10 = ("20to10", "60to10")
"""Steps from the measured pixels to 10 m, in order: the second is guided by what the first gives."""

Window = Mapping[str, np.ndarray]


def steps_to(resolution: float) -> tuple[str, ...]:
    """Steps that take part where bands are sharpened to 10 m or 5 m."""
    return tuple(STEPS) if resolution < 10 else TO_10


@dataclass
class SceneModel:
    """What is the same for all windows of a scene."""

    statistics: Mapping[str, Statistics]
    """By step."""
    networks: Mapping[str, Model] = field(default_factory=dict)
    """By step; the regression alone where there is none."""
    several: DateModel | None = None
    """Network that tells detail from several dates; without it they are fused by optimisation alone."""
    spread: float | None = None
    """Point spread of coarse pixels, standard deviation in such pixels; that of the instrument where none is given."""

    @property
    def precision(self) -> Precision:
        """Numbers in which the networks predict; float32 where there is none."""
        return next((network.precision for network in self.networks.values()), "float32")

    def sigma(self, step: str) -> float:
        """Point spread of a step in fine pixels."""
        return sigma_of(step, self.spread)


def sigma_of(step: str, spread: float | None = None) -> float:
    """Point spread of a step in fine pixels: what the instrument's bands are blurred more than its bands of 10 m.

    One for all bands of a step, by the mean of their modulation transfers; those of one pixel size differ by a hundredth of it.
    At 5 m a sensor is taken that is as sharp in its own pixels as the instrument is in those of 10 m. A given `spread`, in coarse
    pixels, takes its place.
    """
    found = STEPS[step]
    if spread is not None:
        return spread * found.factor
    coarse, fine = (sum(MTF[band] for band in bands) / len(bands) for bands in (found.bands, TEN))
    return relative_spread(coarse, fine, found.factor)


@dataclass
class Dates:
    """Further dates of a window, for its bands of 10 m."""

    images: tuple[np.ndarray, ...]
    """(band, y, x) each, as a window's bands."""
    shifts: tuple[tuple[float, float], ...]
    """Of each, pixels of 10 m (`dates.Shift`)."""
    masks: tuple[np.ndarray, ...]
    """(y, x) bool, clear ground: first of the window itself."""
    noise: np.ndarray
    """(band,) of the window's bands; the same for all windows of a scene."""


class Fit:
    """Sums over the windows of a scene, from which its statistics follow."""

    def __init__(self, spread: float | None = None) -> None:
        self.sums = {name: Sums(STEPS[name], sigma_of(name, spread)) for name in (*TO_10, "10to5")}

    def add(self, window: Window) -> None:
        """Add a window; clouds count as ground, for their detail obeys the same rule."""
        for name, sums in self.sums.items():
            step = STEPS[name]
            coarse = np.stack([window[band] for band in step.bands])
            fine = (coarse.shape[1] * step.factor, coarse.shape[2] * step.factor)
            guides = [enlarge(window[g], fine[0] // len(window[g])) for g in step.guides]  # 20 m bands are not sharp yet
            sums.add(np.stack(guides) if guides else np.empty((0, *fine), np.float32), coarse)

    def join(self, other: Fit) -> None:
        """Add what another has seen."""
        for name, sums in other.sums.items():
            self.sums[name].join(sums)

    def solve(self) -> dict[str, Statistics]:
        """Statistics of each step."""
        return {name: sums.solve() for name, sums in self.sums.items()}


def statistics_to_json(statistics: Statistics) -> dict[str, Any]:
    """As a table."""
    return {name: value.tolist() for name, value in asdict(statistics).items()}


def statistics_from_json(table: Mapping[str, Any]) -> Statistics:
    """Read what `statistics_to_json` wrote."""
    return Statistics(**{name: np.array(value, np.float32) for name, value in table.items()})


def to_10(window: Window, model: SceneModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All bands of a window at 10 m, and their deviation; measured bands are as they were, with a deviation of 0."""
    sharp = {name: window[name] for name in TEN}
    deviation = {name: np.where(np.isnan(window[name]), np.float32(np.nan), np.float32(0)) for name in TEN}
    for name in TO_10:
        step = STEPS[name]
        coarse = np.stack([window[band] for band in step.bands])
        found, spread = sharpen(name, np.stack([sharp[guide] for guide in step.guides]), coarse, model)
        sharp |= dict(zip(step.bands, found, strict=True))
        deviation |= dict(zip(step.bands, spread, strict=True))
    return sharp, deviation


def sharpen(name: str, guides: np.ndarray, coarse: np.ndarray, model: SceneModel) -> tuple[np.ndarray, np.ndarray]:
    """Bands of a step on the pixels of their guides, back-projected, and their deviation; (band, y, x) float32."""
    step, sigma, statistics = STEPS[name], model.sigma(name), model.statistics[name]
    network = model.networks.get(name)
    if network is not None:
        found, deviation = network.predict(guides, coarse, sigma, statistics)
    elif step.guides:
        found, deviation = _regress(name, enlarge(coarse, step.factor), guides, sigma, step.factor, model)
    else:  # nothing tells detail: as much is missing as the octave below has
        found = enlarge(coarse, step.factor)
        deviation = enlarge(_strength(detail(coarse, step.octave, sigma)), step.factor, "nearest")
    return back_project(found, coarse, step.factor, sigma, ROUNDS[name], DARKEST, PACE), deviation


def _regress(
    name: str, plain: np.ndarray, guides: np.ndarray, sigma: float, factor: int, model: SceneModel
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarged bands with the detail that their guides tell, and its deviation."""
    statistics = model.statistics[name]
    told = told_detail(statistics.coefficients, detail(guides, factor, sigma), STEPS[name].neighbours)
    deviation = statistics.unexplained[:, None, None] * _strength(told)
    return plain + told, np.where(np.isnan(plain), np.float32(np.nan), deviation)


def _strength(details: np.ndarray) -> np.ndarray:
    """Root mean square of detail around each pixel."""
    return np.stack([np.sqrt(cv2.blur(band**2, (AROUND, AROUND)).clip(0)) for band in np.nan_to_num(details)])


def to_5(
    window: Window, sharp: Window, spread: Window, model: SceneModel, dates: Dates | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All bands of a window at 5 m, and their deviation, from what `to_10` gave (`sharp`, `spread`).

    The bands of 10 m come first, with the detail that other dates saw, and guide the others, whose detail at 10 m is inferred
    already: their deviations add up.
    """
    ten, sigma = np.stack([window[band] for band in TEN]), model.sigma("10to5")
    if dates is not None and dates.images and model.several is not None:
        guides, deviation = _by_network(model.several, ten, dates, sigma, model.statistics["10to5"])
        guides = back_project(guides, ten, 2, sigma, ROUNDS["10to5"], DARKEST, PACE)
    else:
        none = np.empty((0, *(2 * n for n in ten.shape[1:])), np.float32)
        guides, deviation = sharpen("10to5", none, ten, model)
        if dates is not None and dates.images:
            guides, scatter = fuse(ten, dates.images, dates.shifts, 2, sigma, dates.masks, guides, dates.noise)
            guides = back_project(guides, ten, 2, sigma, ROUNDS["10to5"], DARKEST, PACE)
            deviation = scatter if len(dates.images) > 1 else deviation
    deviation = np.where(np.isnan(guides), np.float32(np.nan), deviation)
    fine, errors = dict(zip(TEN, guides, strict=True)), dict(zip(TEN, deviation, strict=True))
    for name in TO_10:
        step = STEPS[name]
        half = np.stack([sharp[band] for band in step.bands])
        guides = np.stack([fine[guide] for guide in step.guides])
        found, deviation = _an_octave_finer(name, guides, half, model)
        coarse = np.stack([window[band] for band in step.bands])
        found = back_project(
            found, coarse, 2 * step.factor, finer_sigma(name, model), ROUNDS[name] + ROUNDS["10to5"], DARKEST, PACE
        )
        before = enlarge(np.stack([spread[band] for band in step.bands]), 2, "nearest")
        fine |= dict(zip(step.bands, found, strict=True))
        errors |= dict(zip(step.bands, np.hypot(deviation, before), strict=True))
    return fine, errors


def _by_network(
    network: DateModel, ten: np.ndarray, dates: Dates, sigma: float, statistics: Statistics
) -> tuple[np.ndarray, np.ndarray]:
    """Bands at 5 m and their deviation by the network of several dates, part by part: it takes much memory a pixel."""
    rows, columns = ten.shape[1:]
    found = np.empty((2, len(ten), 2 * rows, 2 * columns), np.float32)
    for y in range(0, rows, PART):
        for x in range(0, columns, PART):
            inner = (y, min(y + PART, rows), x, min(x + PART, columns))
            top, left = max(0, y - HALO // 2), max(0, x - HALO // 2)
            outer = (slice(top, inner[1] + HALO // 2), slice(left, inner[3] + HALO // 2))
            cut = (slice(None), *outer)
            part = network.predict(
                ten[cut], [image[cut] for image in dates.images], dates.shifts, sigma, [mask[outer] for mask in dates.masks],
                statistics,
            )  # fmt: skip
            kept = (slice(None), slice(2 * (y - top), 2 * (inner[1] - top)), slice(2 * (x - left), 2 * (inner[3] - left)))
            for k in (0, 1):
                found[k, :, 2 * y : 2 * inner[1], 2 * x : 2 * inner[3]] = part[k][kept]
    return found[0], found[1]


def finer_sigma(name: str, model: SceneModel) -> float:
    """Point spread of the measured bands of a step in pixels of 5 m: first to the bands of 10 m, then those to 5 m."""
    return float(np.hypot(2 * model.sigma(name), model.sigma("10to5")))


def _an_octave_finer(name: str, guides: np.ndarray, half: np.ndarray, model: SceneModel) -> tuple[np.ndarray, np.ndarray]:
    """Bands of a step that are sharp already, at half the pixel size, by the regression or network of the octave before."""
    if STEPS[name].factor == 2:
        return sharpen(name, guides, half, model)
    return _regress(name, enlarge(half, 2), guides, model.sigma("10to5"), 2, model)
