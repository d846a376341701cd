"""Verification of maps against a reference: comparison, weights of the sample, result (docs/dev/algorithms.md, section 12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES, DENSITY, SHARE
from imperv.layers.statistics.accuracy import (
    Accuracy,
    ClassAccuracy,
    DensityError,
    Estimate,
    accuracy,
    density_error,
    stratum_weights,
)
from imperv.tasks.errors import InputError

Kind = Literal["density", "change", "binary", "classes"]

NEVER, SAME, OUTSIDE = 201, 100, 255
"""Codes of change layers, and outside."""


@dataclass(frozen=True)
class Legend:
    """How the codes of a layer are read."""

    kind: Kind
    names: tuple[str, ...]
    """Of the classes that are compared."""
    codes: tuple[int, ...]
    """Of these classes, in class layers and masks; of densities their numbers, 0 and up."""
    class_of: np.ndarray
    """(256,) int: class of every code, -1 outside."""
    value_of: np.ndarray
    """(256,) float: percent of every code, NaN outside and where codes are classes."""
    threshold: float
    """Percent from which a density is sealed, or a change a change."""

    def classes(self, density: np.ndarray) -> np.ndarray:
        """Class of reference densities, percent."""
        if self.kind == "change":
            return np.select([density <= -self.threshold, density >= self.threshold], [0, 2], 1)
        return (density >= self.threshold).astype(np.int64)


def legend_of(symbol: str, threshold: float) -> Legend:
    """How a layer is compared; InputError if it cannot be, or for a threshold out of range.

    `threshold` is the percent from which a density counts as sealed or built-up, and a change of density as a change.
    """
    if not 0 < threshold <= 100:
        raise InputError(f"--threshold {threshold:g}: choose a percentage above 0, up to 100")
    codes, layer = np.arange(256), CATALOGUE[symbol]
    nothing = np.full(256, np.nan)
    palette = layer.delivery.palette if layer.delivery else None
    if palette is BUILT_UP or (palette is None and layer.codes == BUILT_UP.codes):
        return Legend("binary", ("0", "1"), (0, 1), np.where(codes <= 1, codes, -1), nothing, threshold)
    if palette in (CLASSES, BUILT_UP_CLASSES):
        shown = tuple(c for c in palette.codes if c != OUTSIDE)
        place = np.full(256, -1)
        place[list(shown)] = range(len(shown))
        return Legend("classes", tuple(f"{c} {palette.meaning(c)}" for c in shown), shown, place, nothing, threshold)
    if palette is CHANGE or (palette is None and layer.codes == CHANGE.codes):
        value = np.where(codes < NEVER, codes - SAME, np.where(codes == NEVER, 0, np.nan)).astype(np.float64)
        names: tuple[str, ...] = ("decrease", "unchanged", "increase")
    elif palette in (DENSITY, SHARE) or (palette is None and layer.codes == DENSITY.codes):
        value = np.where(codes <= 100, codes, np.nan)
        names = ("below", "at or above")
    else:
        raise InputError(f"--layer {symbol}: no reference tells what it holds; take IMD_now or IBU_now")
    kind: Kind = "change" if len(names) == 3 else "density"
    legend = Legend(kind, names, tuple(range(len(names))), np.zeros(0), value, threshold)
    place = np.where(np.isnan(value), -1, legend.classes(value))
    shown_names = names if kind == "change" else (f"below {threshold:g} %", f"{threshold:g} % and more")
    return Legend(kind, shown_names, tuple(range(len(names))), place, value, threshold)


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
    """Points or pixels mapped as it."""
    reference_units: int
    """Points or pixels that are it."""


@dataclass(frozen=True)
class DensityResult:
    """Densities of a map against the reference."""

    error: DensityError
    mapped_mean: float
    """Mean of the whole map, percent."""
    mapped_km2: float
    """Sealed area of the map: the sum of its densities."""
    area_km2: Estimate
    """The same less the bias: mean of the map minus mean difference in the sample, with its interval."""
    scatter: np.ndarray = field(repr=False)
    """(reference, map) int64: pairs by whole percent, from `lowest` on."""
    lowest: int
    """Percent of the first row and column of `scatter`: 0, or -100 for changes."""


@dataclass(frozen=True)
class PlaceResult:
    """What was found in one tile, or in all."""

    place: str
    """Tile, or ``all``."""
    units: int
    """Points or pixels compared."""
    unit: str
    """What one is."""
    design: str
    """How the sample was weighted, in words."""
    matrix: np.ndarray
    """(class of the map, class of the reference) int64: units."""
    overall: Estimate
    classes: tuple[ClassResult, ...]
    density: DensityResult | None
    notes: tuple[str, ...] = ()
    """What was left out, and what to beware of."""


@dataclass(frozen=True)
class Validation:
    """A map held against a reference."""

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
    """(reference, map) pairs by whole percent."""
    weights: np.ndarray | None = None
    strata: np.ndarray | None = None


def result(place: str, sample: Sample, legend: Legend, histogram: np.ndarray, pixel: int, unit: str, design: str,
           notes: tuple[str, ...] = ()) -> PlaceResult:  # fmt: skip
    """What a sample says of a map: `histogram` (256,) has its pixels by code, `pixel` its pixel size in metres."""
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
        lowest = -100 if legend.kind == "change" else 0
        density = DensityResult(error, mean, mean * total / 100, adjusted, sample.scatter, lowest)
    return PlaceResult(place, int(counts.sum()), unit, design, counts, found.overall, classes, density, notes)


def post_stratified(mapped: np.ndarray, sizes: Mapping[Any, float]) -> tuple[np.ndarray | None, str, tuple[str, ...]]:
    """Weights by the areas of the map classes that points fell into (None: too few in a class), the design, and notes."""
    try:
        weights = stratum_weights(mapped, sizes)
    except ValueError as error:
        text = f"{str(error).replace('stratum', 'map class')} to weight by its area: points are weighted alike"
        return None, "simple random", (text,)
    return weights, "post-stratified by the areas of the map's classes", ()


def scatter_of(mapped: np.ndarray, reference: np.ndarray, lowest: int) -> np.ndarray:
    """Pairs of densities by whole percent: (reference, map) int64."""
    size = 101 - lowest
    rows, columns = (np.clip(np.rint(v).astype(np.int64) - lowest, 0, size - 1) for v in (reference, mapped))
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
