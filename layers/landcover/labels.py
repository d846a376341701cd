"""Labels that the base model learns from, of what every European production has (docs/landcover.md, Labels).

CLC+ Backbone, building footprints, an imperviousness density, and the mosaic. Where they disagree there is no label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from imperv.layers.landcover.classes import BARE, BUILDINGS, CONIFERS, DECIDUOUS, GRASS, IMPERVIOUS, WATER

UNLABELLED = 0
"""Code of pixels that teach nothing."""

CLCPLUS_LABELS = {1: IMPERVIOUS, 2: CONIFERS, 3: DECIDUOUS, 4: DECIDUOUS, 6: GRASS, 9: BARE, 10: WATER}
"""Class of a class of CLC+ Backbone: sealed, needle-leaved, broadleaved (deciduous, evergreen), permanent herbaceous, sparsely
vegetated, water. Low woody plants (5), lichens and mosses (8) and snow (11) teach nothing."""

SEALED_CLASS, PERIODIC = 1, 7
"""CLC+ classes of sealed ground, and of fields (periodically herbaceous)."""

BUILDING, EDGE = 0.6, 0.2
"""Shares of a pixel inside footprints: from the first it is a building; from the second to it, the edge of one."""

UNSEALED, SEALED, FULL = 10, 50, 90
"""Densities in percent: below the first, sealed ground disagrees; from the second, open ground does; from the third no pixel of
5 m is green."""

STEP, FARTHEST = 0.5, 2.5
"""Shifts of footprints that are tried, pixels."""

CONTRAST = 4.0
"""Standard deviation of the Gaussian that the brightness around a roof is taken by, pixels."""

GAIN = 0.02
"""Gain of the correlation from which footprints are moved; our choice."""

Shift = tuple[float, float]
"""Pixels down and to the right."""


def reference_labels(
    clcplus: np.ndarray, footprints: np.ndarray | None, density: np.ndarray | None, ndvi: np.ndarray, green: float = 0.5
) -> np.ndarray:
    """Labels (y, x) uint8: a class of FRAME, or `UNLABELLED`.

    All inputs are (y, x) on one grid: `clcplus` codes, `footprints` the share of a pixel inside of buildings (0..1; None where
    there are none), `density` imperviousness in percent (above 100 outside; None where there is none), `ndvi` of the mosaic (NaN
    no data), `green` the NDVI from which ground is green.

    A pixel inside footprints is a building, others take the class of CLC+. Its pixels are coarser: fields are grass where they
    are green, else bare, and sealed ground that is green, and not all sealed by the density, is grass. Unlabelled are edges of
    footprints, sealed ground or buildings that the density does not know, and open ground of a high density.
    """
    labels = np.zeros(clcplus.shape, "u1")
    for code, label in CLCPLUS_LABELS.items():
        labels[clcplus == code] = label
    with np.errstate(invalid="ignore"):
        is_green = ndvi >= green
    field = (clcplus == PERIODIC) & np.isfinite(ndvi)
    labels[field] = np.where(is_green[field], GRASS, BARE)
    mixed = labels == IMPERVIOUS if density is None else (labels == IMPERVIOUS) & (density < FULL)
    labels[mixed & is_green] = GRASS
    if footprints is not None:
        labels[footprints >= BUILDING] = BUILDINGS
    if density is not None:
        known = density <= 100
        built = np.isin(labels, (BUILDINGS, IMPERVIOUS))
        labels[known & built & (density < UNSEALED) & ((labels == IMPERVIOUS) | (clcplus != SEALED_CLASS))] = UNLABELLED
        labels[known & ~built & (clcplus != SEALED_CLASS) & (density >= SEALED)] = UNLABELLED
    if footprints is not None:
        labels[(footprints >= EDGE) & (footprints < BUILDING)] = UNLABELLED
    return labels


def roof_contrast(red: np.ndarray) -> np.ndarray:
    """How much brighter a pixel is than what lies around it, (y, x) float32; NaN without data."""
    known = np.isfinite(red)
    weight = ndimage.gaussian_filter(known.astype("f4"), CONTRAST)
    around = ndimage.gaussian_filter(np.where(known, red, 0).astype("f4"), CONTRAST) / np.maximum(weight, 1e-6)
    return np.where(known, red - around, np.float32(np.nan)).astype("f4")


def moved(footprints: np.ndarray, shift: Shift) -> np.ndarray:
    """Shares of pixels inside footprints that are moved, linear between pixels; 0 from beyond the edge."""
    return np.asarray(ndimage.shift(footprints, shift, order=1), "f4") if any(shift) else footprints


def footprint_shift(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Shift, float]:
    """The shift that brings footprints onto the image, and the gain of the correlation; none where it does not gain `GAIN`.

    `parts` are footprints (shares, as of `reference_labels`) and `roof_contrast` of pieces of ground. Roofs are brighter than
    what lies around them; footprints of other sources lie some metres off the images, all alike in a tile.
    """
    steps = np.arange(-FARTHEST, FARTHEST + STEP / 2, STEP)
    sums = np.zeros((len(steps), len(steps), 6))
    for footprints, contrast in parts:
        known = np.isfinite(contrast)
        b = contrast[known].astype("f8")
        for i, dy in enumerate(steps):
            for j, dx in enumerate(steps):
                a = moved(footprints, (float(dy), float(dx)))[known].astype("f8")
                sums[i, j] += len(a), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(all="ignore"):
        correlation = (n * ab - a * b) / np.sqrt((n * aa - a * a) * (n * bb - b * b))
    if not np.isfinite(correlation).all():
        return (0.0, 0.0), 0.0
    i, j = divmod(int(correlation.argmax()), len(steps))
    middle = len(steps) // 2
    gain = float(correlation[i, j] - correlation[middle, middle])
    return ((float(steps[i]), float(steps[j])), gain) if gain >= GAIN else ((0.0, 0.0), 0.0)
