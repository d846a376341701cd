"""Accuracy of maps by a reference sample: post-stratification and results (docs/dev/algorithms.md, section 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imperv.layers.statistics.accuracy import (
    Accuracy,
    ClassAccuracy,
    DensityError,
    Estimate,
    accuracy,
    density_error,
    stratum_weights,
)
from imperv.tasks.imperviousness.assessment.codes import Kind, Reading


@dataclass(frozen=True)
class ClassResult:
    """One class of a map."""

    code: int
    name: str
    mapped_km2: float
    """Area on the map."""
    area_km2: Estimate
    """Area by the reference, with its interval."""
    accuracy: ClassAccuracy
    mapped_units: int
    """Points or pixels mapped as the class."""
    reference_units: int
    """Points or pixels of the class by the reference."""


@dataclass(frozen=True)
class DensityResult:
    """Densities of a map against the reference."""

    error: DensityError
    mapped_mean: float
    """Mean of the whole map, percent."""
    mapped_km2: float
    """Sealed area of the map: the sum of its densities."""
    area_km2: Estimate
    """Area corrected for bias: mean of the map minus mean difference in the sample, with its interval."""
    scatter: np.ndarray = field(repr=False)
    """Joint histogram (reference, map) by whole percent from `lowest` on, int64."""
    lowest: int
    """Percent of the first row and column of `scatter`: 0, or -100 for changes."""


@dataclass(frozen=True)
class PlaceResult:
    """Accuracy of one tile, or of all."""

    place: str
    """Tile, or ``all``."""
    units: int
    unit: str
    """Point or pixel."""
    design: str
    """Weighting of the sample, in words."""
    matrix: np.ndarray
    """Error matrix (class of the map, class of the reference), units, int64."""
    overall: Estimate
    classes: tuple[ClassResult, ...]
    density: DensityResult | None
    notes: tuple[str, ...] = ()
    """Units left out, and warnings."""


@dataclass(frozen=True)
class Validation:
    """Accuracy of a map by a reference."""

    layer: str
    reference: str
    kind: Kind
    threshold: float
    names: tuple[str, ...]
    """Classes in the order of the matrices."""
    places: tuple[PlaceResult, ...]
    """Tiles in alphabetical order, then all of them where there are several."""

    @property
    def total(self) -> PlaceResult:
        """The result for everything."""
        return self.places[-1]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: intervals as value, low and high; NaN as None."""
        return _plain(self)


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        numbers = {"value": value.value, "se": value.se, "low": value.low, "high": value.high}
        return {name: _plain(v) for name, v in numbers.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__ if name != "scatter"}
    return value


@dataclass(frozen=True)
class Sample:
    """Units of a sample, each a point or a block of pixels."""

    matrices: np.ndarray
    """(n, k, k) by class of the map and of the reference."""
    moments: np.ndarray | None
    """(n, 7) of `layers.statistics.accuracy.density_moments`; None where there are no densities."""
    scatter: np.ndarray | None
    """Joint histogram (reference, map) by whole percent."""
    weights: np.ndarray | None = None
    strata: np.ndarray | None = None

    @classmethod
    def joined(cls, samples: Sequence[Sample]) -> Sample:
        """Units of several places, without weights."""
        moments = [s.moments for s in samples if s.moments is not None]
        scatters = [s.scatter for s in samples if s.scatter is not None]
        matrices = np.concatenate([s.matrices for s in samples])
        return cls(matrices, np.concatenate(moments) if moments else None, np.sum(scatters, axis=0) if scatters else None)


def result(place: str, sample: Sample, legend: Reading, histogram: np.ndarray, pixel: int, unit: str, design: str,
           notes: tuple[str, ...] = ()) -> PlaceResult:  # fmt: skip
    """Accuracy of a map by a sample: `histogram` (256,) has the map's pixels by code, `pixel` their size in metres."""
    km2 = pixel**2 / 1e6
    pixels = np.array([histogram[legend.class_of == k].sum() for k in range(len(legend.names))])
    total = float(pixels.sum()) * km2
    found: Accuracy = accuracy(sample.matrices, sample.weights, sample.strata)
    counts = sample.matrices.sum(axis=0).astype(np.int64)
    classes = tuple(
        ClassResult(
            legend.codes[k], name, float(pixels[k]) * km2, c.share.times(total), c, int(counts[k].sum()), int(counts[:, k].sum())
        )
        for k, (name, c) in enumerate(zip(legend.names, found.classes, strict=True))
    )
    density = None
    if sample.moments is not None and sample.scatter is not None:
        error = density_error(sample.moments, sample.weights, sample.strata)
        known = ~np.isnan(legend.value_of)
        mean = float((histogram[known] * legend.value_of[known]).sum() / max(histogram[known].sum(), 1))
        adjusted = Estimate(mean - error.bias.value, error.bias.se).times(total / 100)
        density = DensityResult(error, mean, mean * total / 100, adjusted, sample.scatter, legend.lowest)
    return PlaceResult(place, int(counts.sum()), unit, design, counts, found.overall, classes, density, notes)


def post_stratified(mapped: np.ndarray, sizes: Mapping[Any, float]) -> tuple[np.ndarray | None, str, tuple[str, ...]]:
    """Post-stratified weights by the areas of the map's classes (None: too few points in a class), the design, and notes."""
    try:
        weights = stratum_weights(mapped, sizes)
    except ValueError as error:
        text = f"{str(error).replace('stratum', 'map class')} to weight by its area: points have equal weights"
        return None, "simple random", (text,)
    return weights, "post-stratified by the areas of the map's classes", ()


def scatter_of(mapped: np.ndarray, reference: np.ndarray, lowest: int) -> np.ndarray:
    """Joint histogram of densities by whole percent: (reference, map) int64."""
    size = 101 - lowest
    rows, columns = (np.clip(np.rint(v).astype(np.int64) - lowest, 0, size - 1) for v in (reference, mapped))
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
