"""Two sensors on one scale: a robust line a band, fitted on composites of the same ground (docs/landsat.md).

Both composites have errors, so the line is the major axis of the cloud of pixels, not a regression of one on the other, which
would come out too flat. Ground that changed between the composites has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LEAST_PIXELS = 200
"""Pixels below which no line is fitted."""

ROUNDS = 50
"""Most times that weights are found again."""

TUKEY = 4.685
"""Robust standard deviations from the line at which a pixel weighs nothing (biweight; 95 % efficient for normal errors)."""

MAD = 1.4826
"""Standard deviation of a normal distribution in its median absolute deviations."""

STEEPEST = 2.0
"""Gain, or its inverse, beyond which a line is not believed: bands that mean the same differ by a few percent."""


@dataclass(frozen=True)
class Line:
    """Reference = gain x value + offset, in reflectance x 10 000."""

    gain: float
    """Without unit."""
    offset: float
    """Reflectance x 10 000."""
    spread: float = 0.0
    """Robust standard deviation of the reference around the line, reflectance x 10 000."""
    pixels: int = 0
    """Pixels that the line was fitted to."""
    share: float = 1.0
    """Sum of their weights over their number: 1 where all lie on one line."""


def fit_line(values: np.ndarray, reference: np.ndarray) -> Line:
    """Robust line from one band to the same band of another sensor.

    Parameters
    ----------
    values, reference : ndarray of one shape
        Reflectance x 10 000 of the two sensors on one grid, as sharp as each other; 0 or NaN without data.

    Returns
    -------
    Line
        Major axis by weights of Tukey's biweight, found in turns.

    Raises
    ------
    ValueError
        If shapes differ, fewer than `LEAST_PIXELS` pixels have both, all have the same value, or the gain is beyond `STEEPEST`.
    """
    values, reference = np.asarray(values), np.asarray(reference)
    if values.shape != reference.shape:
        raise ValueError(f"values {values.shape} and reference {reference.shape} must have one shape")
    known = np.isfinite(values) & np.isfinite(reference) & (values > 0) & (reference > 0)
    x, y = values[known].astype(np.float64), reference[known].astype(np.float64)
    if x.size < LEAST_PIXELS:
        raise ValueError(f"{x.size} pixels that both sensors saw, {LEAST_PIXELS} are needed")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("all pixels have one value: no line can be fitted")
    # From the medians of the darker and the brighter third, which a few wrong pixels do not move.
    low, high = np.quantile(x, (1 / 3, 2 / 3))
    (x0, y0), (x1, y1) = ((np.median(x[part]), np.median(y[part])) for part in (x <= low, x >= high))
    gain = (y1 - y0) / (x1 - x0) if x1 > x0 else 1.0
    offset, scale, weights = float(np.median(y - gain * x)), 0.0, np.ones_like(x)
    for _ in range(ROUNDS):
        distance = (y - gain * x - offset) / math.hypot(gain, 1)
        scale = MAD * float(np.median(np.abs(distance)))
        if scale < 1e-9:
            break
        weights = np.clip(1 - (distance / (TUKEY * scale)) ** 2, 0, None) ** 2
        before, (gain, offset) = (gain, offset), _major_axis(x, y, weights)
        if abs(gain - before[0]) < 1e-7 and abs(offset - before[1]) < 1e-4:
            break
    if not 1 / STEEPEST < gain < STEEPEST:
        raise ValueError(
            f"the gain is {gain:.3g}, not within {1 / STEEPEST:g} to {STEEPEST:g}: the composites show different things"
        )
    return Line(float(gain), float(offset), scale * math.hypot(gain, 1), int(x.size), float(weights.mean()))


def _major_axis(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Gain and offset of the line with the least weighted sum of squared distances across it."""
    total = w.sum()
    mx, my = (w @ x) / total, (w @ y) / total
    sxx, syy, sxy = w @ (x - mx) ** 2, w @ (y - my) ** 2, w @ ((x - mx) * (y - my))
    gain = (syy - sxx + math.hypot(syy - sxx, 2 * sxy)) / (2 * sxy) if sxy else math.inf
    return gain, my - gain * mx


@dataclass(frozen=True)
class Harmonisation:
    """Lines of the bands of one sensor, with what they were fitted on."""

    sensor: str
    """Sensor whose values are changed."""
    reference: str
    """Sensor whose scale they are brought to."""
    fitted_on: str
    """Periods of both composites, in words."""
    lines: Mapping[str, Line]
    """By band of the sensor."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "lines": {band: asdict(line) for band, line in self.lines.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Harmonisation:
        """From `to_json`."""
        return cls(**{**data, "lines": {band: Line(**line) for band, line in data["lines"].items()}})

    def apply(self, values: np.ndarray, bands: Sequence[str]) -> np.ndarray:
        """Values (..., band, y, x) on the scale of the reference, in the same data type; no data (0, NaN) stays.

        Integers are rounded, and valid ones stay at least 1. ValueError for a band without a line.
        """
        if missing := [band for band in bands if band not in self.lines]:
            raise ValueError(f"no line was fitted for {', '.join(missing)} of {self.sensor}")
        gain, offset = (np.array([getattr(self.lines[b], part) for b in bands])[:, None, None] for part in ("gain", "offset"))
        found = values * gain + offset
        if values.dtype.kind not in "iu":
            return np.where(values == 0, 0, found).astype(values.dtype)
        top = np.iinfo(values.dtype).max
        return np.where(values == 0, 0, np.clip(np.rint(found), 1, top)).astype(values.dtype)


def harmonise(
    values: np.ndarray, reference: np.ndarray, bands: Sequence[str], sensor: str, to: str, fitted_on: str
) -> Harmonisation:
    """Fit a line a band, `fit_line`, of (band, y, x) composites on one grid; ValueError names the band."""
    lines = {}
    for band, own, other in zip(bands, values, reference, strict=True):
        try:
            lines[band] = fit_line(own, other)
        except ValueError as error:
            raise ValueError(f"{band}: {error}") from None
    return Harmonisation(sensor, to, fitted_on, lines)
