"""Series of Sentinel-2 of one place each: steps of a calendar, gaps filled in time, indices, and variants to learn from.

Arrays only; where samples come from is in `tasks.crops`, what learns from them in `models`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

STARTS = {"decades": (1, 11, 21), "months": (1,)}
"""Days of a month on which steps begin."""

INDICES = {"NDVI": ("B08", "B04"), "NDRE": ("B07", "B05"), "NDMI": ("B08", "B11"), "NDWI": ("B03", "B08")}
"""Normalised differences (first - second) / (first + second) that go with the bands: green, chlorophyll, water of leaves, open
water. Without B08 it is B8A that stands for it."""

EPSILON = 1e-3
"""Reflectance added below the stroke of an index, so that dark pixels give no noise of full height."""

FEWEST_LOOKS = 5
"""Looks that a variant keeps, our choice: with fewer even a person would not tell one crop from another."""


@dataclass(frozen=True)
class Calendar:
    """Steps of a season: decades or months from the first of a month on; or steps without dates."""

    kind: Literal["decades", "months", "steps"]
    """Ten days beginning on the 1st, 11th and 21st; months; or numbered steps, of which no dates are known."""
    count: int
    """Steps."""
    first_month: int = 9
    """Month of the first step; September is that of TimeSen2Crop's agronomic year."""

    def days(self, start: dt.date) -> tuple[dt.date, ...]:
        """First day of each step, and that after the last, of a season that begins on `start`."""
        found: list[dt.date] = []
        year, month = start.year, start.month
        while len(found) <= self.count:
            found += [dt.date(year, month, day) for day in STARTS[self.kind]]
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return tuple(found[: self.count + 1])

    def start_before(self, day: dt.date) -> dt.date:
        """First day of the season that a day lies in: the last first of `first_month` until it."""
        return dt.date(day.year - (day.month < self.first_month), self.first_month, 1)

    @property
    def names(self) -> tuple[str, ...]:
        """Step by step: ``09-01``, ``09-11``; numbers where no dates are known."""
        if self.kind == "steps":
            return tuple(str(k) for k in range(self.count))
        return tuple(f"{day:%m-%d}" for day in self.days(dt.date(2001, self.first_month, 1))[:-1])

    def __str__(self) -> str:
        if self.kind == "steps":
            return f"{self.count} steps without dates"
        return f"{self.count} {self.kind} from {dt.date(2001, self.first_month, 1):%B}"


@dataclass(frozen=True)
class Series:
    """Samples with their labels."""

    values: np.ndarray
    """(sample, step, band) float32 reflectance, NaN without a clear look."""
    labels: np.ndarray
    """(sample,) int64, number of the class."""
    groups: np.ndarray
    """(sample,) int64: samples of one group, such as a parcel, are learnt from together or not at all."""
    classes: tuple[str, ...]
    """Names of the classes by their number."""
    bands: tuple[str, ...]
    """Such as ``B02``; ``band 1`` and so on where they have no names."""
    calendar: Calendar

    def part(self, which: np.ndarray) -> Series:
        """Some of the samples, by number or bool."""
        return Series(self.values[which], self.labels[which], self.groups[which], self.classes, self.bands, self.calendar)


def to_steps(values: np.ndarray, days: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Medians of the looks of each step, (..., step, band) float32; NaN without any.

    `values` are (..., look, band) with NaN for what is not clear, `days` (look,) and `edges` (step + 1,) rising days as
    datetime64[D] (the harmonisation of AI4Copernicus 5.2.3). A look counts where all its bands are clear.
    """
    step = np.searchsorted(edges, days, side="right") - 1
    clear = np.isfinite(values).all(axis=-1)
    out = np.full((*values.shape[:-2], len(edges) - 1, values.shape[-1]), np.nan, "f4")
    for k in np.unique(step[(step >= 0) & (step < len(edges) - 1)]).tolist():
        seen = clear[..., step == k]
        looks = np.where(seen[..., None], values[..., step == k, :], np.nan)
        looks.sort(axis=-2)  # NaN behind all others
        middle = seen.sum(axis=-1)[..., None, None]
        low, high = (np.take_along_axis(looks, at, axis=-2)[..., 0, :] for at in (np.maximum(middle - 1, 0) // 2, middle // 2))
        out[..., k, :] = (low + high) / 2  # the first of no looks is NaN
    return out


def fill_gaps(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Straight lines in time between the looks on both sides, the nearest look before the first and after the last.

    `values` are (sample, step, band) float32, of any value where `seen`, (sample, step) bool, is not true; each sample is seen
    once at least.
    """
    count, steps, _ = values.shape
    axis, row = np.arange(steps), np.arange(count)[:, None]
    before = np.maximum.accumulate(np.where(seen, axis, -1), axis=1)
    after = np.minimum.accumulate(np.where(seen, axis, steps)[:, ::-1], axis=1)[:, ::-1]
    low, high = np.where(before < 0, after, before), np.where(after >= steps, before, after)
    share = ((axis - low) / np.maximum(high - low, 1)).astype("f4")[..., None]
    share = np.where((high > low)[..., None], share, np.float32(0))
    first = values[row, low]
    return np.asarray(first + share * (values[row, high] - first), "f4")


def index_bands(bands: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Indices that can be computed of these bands: places of their two bands."""
    near = "B08" if "B08" in bands else "B8A"
    pairs = {name: tuple(near if band == "B08" else band for band in pair) for name, pair in INDICES.items()}
    return {name: (bands.index(a), bands.index(b)) for name, (a, b) in pairs.items() if a in bands and b in bands}


def features_of(values: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """Bands without gaps, then the indices that they allow: (sample, step, feature) float32."""
    pairs = index_bands(bands)
    out = np.empty((*values.shape[:-1], len(bands) + len(pairs)), "f4")
    out[..., : len(bands)] = values
    for place, (a, b) in enumerate(pairs.values(), len(bands)):
        first, second = values[..., a], values[..., b]
        out[..., place] = np.clip((first - second) / (first + second + np.float32(EPSILON)), -1, 1)
    return out


@dataclass(frozen=True)
class Variation:
    """How variants of samples differ from them: what clouds, haze, soils and early or late springs do."""

    lost: float = 0.5
    """Largest share of the looks that a variant loses."""
    shift: int = 1
    """Most steps that it is moved in time."""
    brightness: float = 0.05
    """Standard deviation of a factor of all its bands."""
    noise: float = 0.02
    """Standard deviation of a factor of each look and band."""

    def __call__(self, values: np.ndarray, seen: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A variant of each sample: values as of `fill_gaps`, and which of them are seen."""
        count, steps, _ = values.shape
        kept = seen & (random.random(seen.shape) > self.lost * random.random((count, 1)))
        kept = np.where(kept.sum(axis=1, keepdims=True) < FEWEST_LOOKS, seen, kept)
        factor = 1 + self.brightness * random.standard_normal((count, 1, 1), "f4")
        varied = values * factor * (1 + self.noise * random.standard_normal(values.shape, "f4"))
        place = np.arange(steps)[None] - random.integers(-self.shift, self.shift + 1, (count, 1))
        inside = (place >= 0) & (place < steps)
        place, row = np.clip(place, 0, steps - 1), np.arange(count)[:, None]
        moved = kept[row, place] & inside
        still = ~moved.any(axis=1)
        varied, moved = varied[row, place], np.where(still[:, None], seen, moved)
        varied[still] = values[still]
        return varied.astype("f4"), moved
