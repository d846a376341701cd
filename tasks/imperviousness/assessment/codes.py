"""Meaning of the codes of a map: values and classes, for `imperv compare` and `imperv validate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal

import numpy as np

from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.palette import BUILT_UP, CHANGE, CONFIDENCE, DENSITY, OUTSIDE, Palette
from imperv.tasks.errors import InputError

Kind = Literal["density", "percent", "change", "binary", "classes", "codes", "values"]

SEALED = 1
"""Percent from which a density counts as sealed or built-up, unless a threshold is given."""

SEA = 253
"""CLC+ code of the sea; from it on, codes are outside."""


@dataclass(frozen=True)
class Reading:
    """Meaning of the 256 codes of a map."""

    kind: Kind
    value_of: np.ndarray
    """(256,) float64: percent, or the code itself; NaN outside and where codes are classes."""
    class_of: np.ndarray
    """(256,) int: class of each code, -1 outside."""
    names: tuple[str, ...]
    """Of the classes."""
    codes: tuple[int, ...] = ()
    """Of the classes, in class layers and masks; of densities their numbers, 0 and up."""
    threshold: float = SEALED
    """Percent from which a density is sealed, or a change a change."""

    @cached_property
    def valid(self) -> np.ndarray:
        """(256,) bool: codes with a value or a class."""
        return (self.class_of >= 0) | np.isfinite(self.value_of)

    @property
    def lowest(self) -> int:
        """Least percent of a density, or of a change."""
        return -100 if self.kind == "change" else 0

    def classes(self, density: np.ndarray) -> np.ndarray:
        """Class of reference densities or changes, percent."""
        if self.kind == "change":
            return np.select([density <= -self.threshold, density >= self.threshold], [0, 2], 1)
        return (density >= self.threshold).astype(np.int64)


@cache
def reading_of(layer: Layer | None, nodata: float | None = OUTSIDE) -> Reading:
    """Reading of a layer for comparisons; bare codes for an unknown one."""
    codes, nothing = np.arange(256), np.full(256, np.nan)
    if layer is None:
        valid = codes != nodata
        return Reading("codes", np.where(valid, codes, np.nan), np.where(valid, codes, -1), tuple(map(str, range(256))))
    if layer.codes == DENSITY.codes:
        value = np.where(codes <= 100, codes, np.nan)
        if layer.delivery and layer.delivery.palette is CONFIDENCE:
            return Reading("percent", value, np.full(256, -1), ())
        classes = np.where(codes <= 100, codes >= SEALED, -1)
        return Reading("density", value, classes, (f"below {SEALED} %", f"{SEALED} % and more"))
    if layer.codes == CHANGE.codes:
        value = np.where(codes <= 200, codes - 100.0, np.where(codes == 201, 0.0, np.nan))
        classes = np.select([codes > 201, codes == 201, value < 0, value > 0], [-1, 2, 0, 3], 1)
        return Reading("change", value, classes, ("decrease", "unchanged above 0", "unchanged at 0", "increase"))
    shown = tuple(code for code in layer.codes if code < SEA)
    classes = np.full(256, -1)
    classes[list(shown)] = range(len(shown))
    palette = meant(layer)
    names = tuple(f"{code} {palette.meaning(code)}" if palette else str(code) for code in shown)
    return Reading("binary" if shown == (0, 1) else "classes", nothing, classes, names, shown)


def meant(layer: Layer | None) -> Palette | None:
    """The palette whose class names are those of a layer; None where its codes have no names here."""
    if layer is None:
        return None
    return layer.delivery.palette if layer.delivery else BUILT_UP if layer.symbol.startswith("IBU_") else None


def legend_of(symbol: str, threshold: float) -> Reading:
    """Reading of a layer for validation; InputError if the layer cannot be validated, or the threshold is out of range.

    `threshold` is the percent from which a density counts as sealed or built-up, and a change of density as a change.
    """
    if not 0 < threshold <= 100:
        raise InputError(f"--threshold {threshold:g}: choose a percentage above 0, up to 100")
    layer = CATALOGUE[symbol]
    reading = replace(reading_of(layer), threshold=threshold)
    if reading.kind == "binary":
        return replace(reading, names=("0", "1"))
    if reading.kind == "classes" and layer.delivery:
        return reading
    if reading.kind not in ("density", "change"):
        raise InputError(f"--layer {symbol}: cannot be validated by a reference; choose IMD_now or IBU_now")
    names: tuple[str, ...] = ("decrease", "unchanged", "increase")
    if reading.kind == "density":
        names = (f"below {threshold:g} %", f"{threshold:g} % and more")
    classes = np.where(np.isnan(reading.value_of), -1, reading.classes(reading.value_of))
    return replace(reading, names=names, codes=tuple(range(len(names))), class_of=classes)
