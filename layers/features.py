"""Input features of the U-Net models: yearly quantiles and NDVI harmonics, stacked (ATBD 4.1.2, 4.2.3, Table 3).

Which features a model sees, and in which order, is decided here only; computing quantiles and harmonics is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUANTILE_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Order of the bands in a stack of yearly 20 % quantiles."""

HARMONIC_NAMES = ("c0", "a1", "b1", "a2", "b2", "a3", "b3")
"""Order of the NDVI coefficients of degree 3 (docs/dev/algorithms.md, section 3: constant, then cosine and sine of each mode)."""

REFLECTANCE_SCALE = 1e-4
"""Reflectance of one digital number."""

ATBD12 = tuple(f"{band}_q20" for band in ("B02", "B03", "B04", "B08", "B12")) + tuple(f"NDVI_{name}" for name in HARMONIC_NAMES)
"""The twelve features the architecture is "optimized for" (ATBD 4.3.1)."""

FULL18 = (*ATBD12, "B05_q20", "B06_q20", "B07_q20", "B8A_q20", "B11_q20", "NDVI_q90")
"""All features of ATBD 4.2.3: the twelve, the other 20 m bands and the NDVI 90 % quantile."""

UNSTEADY = {"a1": 1.5, "b1": 1.5, "a2": 2.0, "b2": 2.0, "a3": 3.0, "b3": 3.0}
"""How much less a harmonic's two coefficients are the same in another year than the other features, by what is left of the
difference of two years beyond its median: 0.06 to 0.28 of a standard deviation for bands and the mean, 0.19 to 0.54 for the
first mode, 0.19 to 0.73 for the second, 0.32 to 1.06 for the third (docs/accuracy.md)."""

URBAN15 = (
    "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "NDVI", "NDWI", "NDBI", "BSI", "B08_sd",
)  # fmt: skip
"""Features of land cover at 5 m (`layers.landcover.features`): bands, indices, local deviation of the near infrared."""

URBAN24 = (*URBAN15, *(f"NDVI_{name}" for name in HARMONIC_NAMES[:5]), "NDVI_q90", "B04_q20", "B08_q20", "B11_q20")
"""The same with seasons of the year, which part conifers from broadleaves, meadows from fields."""

FEATURE_SETS = {"atbd12": ATBD12, "full18": FULL18, "urban15": URBAN15, "urban24": URBAN24}
"""Name of a feature set as written in a production file, and its features in order."""


def unsteadiness(names: Sequence[str]) -> np.ndarray:
    """How unsteady each feature is from year to year, (feature,) float64; 1 for most, see `UNSTEADY`."""
    return np.array([UNSTEADY.get(name.removeprefix("NDVI_"), 1.0) for name in names])


def stack_features(
    quantiles: np.ndarray,
    ndvi_q90: np.ndarray | None,
    harmonics: np.ndarray,
    names: Sequence[str] = ATBD12,
) -> np.ndarray:
    """Features of one year in the order a model expects, (feature, y, x) float32 (ATBD 4.1.2, 4.2.3, Table 3).

    `quantiles` are (10, y, x) uint16 in the order of `QUANTILE_BANDS`, reflectance x 10 000, 0 no data; `ndvi_q90` (y, x)
    float32, NaN no data, needed only if a name asks for it; `harmonics` (7, y, x) float32 in the order of `HARMONIC_NAMES`, NaN
    no data. Reflectance comes out as a fraction, NDVI features unchanged, NaN where a feature has no data. ValueError for shapes
    that do not fit, a name that is no feature, or a feature whose input is missing.
    """
    quantiles, harmonics = np.asarray(quantiles), np.asarray(harmonics)
    shape = quantiles.shape[1:]
    if quantiles.shape != (len(QUANTILE_BANDS), *shape) or len(shape) != 2:
        raise ValueError(f"quantiles have shape {quantiles.shape}: expected ({len(QUANTILE_BANDS)}, y, x)")
    if harmonics.shape != (len(HARMONIC_NAMES), *shape):
        raise ValueError(f"harmonics have shape {harmonics.shape}: expected ({len(HARMONIC_NAMES)}, *{shape})")
    if ndvi_q90 is not None and np.shape(ndvi_q90) != shape:
        raise ValueError(f"NDVI q90 has shape {np.shape(ndvi_q90)}: expected {shape}")
    out = np.empty((len(names), *shape), "f4")
    for plane, name in zip(out, names, strict=True):
        source, _, part = name.partition("_")
        if source in QUANTILE_BANDS and part == "q20":
            numbers = quantiles[QUANTILE_BANDS.index(source)]
            np.multiply(numbers, np.float32(REFLECTANCE_SCALE), out=plane, casting="unsafe")
            plane[numbers == 0] = np.nan
        elif source == "NDVI" and part in HARMONIC_NAMES:
            plane[...] = harmonics[HARMONIC_NAMES.index(part)]
        elif name == "NDVI_q90":
            if ndvi_q90 is None:
                raise ValueError("feature NDVI_q90 is asked for, but the NDVI quantile was not given")
            plane[...] = ndvi_q90
        else:
            raise ValueError(f"{name!r} is not a feature: choose from {', '.join(FULL18)}")
    return out
