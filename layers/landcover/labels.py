"""Labels that the base model learns from, of what every European production has (docs/landcover.md, Labels).

CLC+ Backbone, building footprints, an imperviousness density, and the NDVI of the mosaic. Where they disagree there is no label.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.landcover.classes import BARE, BUILDINGS, CONIFERS, DECIDUOUS, GRASS, IMPERVIOUS, WATER

UNLABELLED = 0
"""Code of pixels that teach nothing."""

CLCPLUS_LABELS = {1: IMPERVIOUS, 2: CONIFERS, 3: DECIDUOUS, 4: DECIDUOUS, 6: GRASS, 9: BARE, 10: WATER}
"""Class of a class of CLC+ Backbone: sealed, needle-leaved, broadleaved (deciduous, evergreen), permanent herbaceous, sparsely
vegetated, water. Low woody plants (5), lichens and mosses (8) and snow (11) teach nothing."""

PERIODIC = 7
"""CLC+ class of fields (periodically herbaceous): grass or bare soil by the NDVI of the mosaic."""

INSIDE = 0.5
"""Share of a pixel inside footprints from which it is a building."""

UNSEALED, SEALED = 10, 50
"""Densities in percent: below the first, a building or sealed class disagrees; from the second, an open class does."""


def reference_labels(
    clcplus: np.ndarray, footprints: np.ndarray | None, density: np.ndarray | None, ndvi: np.ndarray, crop_ndvi: float = 0.5
) -> np.ndarray:
    """Labels (y, x) uint8: a class of FRAME, or `UNLABELLED`.

    All inputs are (y, x) on one grid: `clcplus` codes, `footprints` the share of a pixel inside of buildings (0..1; None where
    there are none), `density` imperviousness in percent (above 100 outside; None where there is none), `ndvi` of the mosaic (NaN
    no data).

    A pixel half inside footprints is a building, others take the class of CLC+; fields are grass from `crop_ndvi` on, else bare.
    Unlabelled is the edge of footprints (partly covered), whose place is known to some metres only; sealed ground or buildings
    that the density does not know; and open ground of a high density.
    """
    labels = np.zeros(clcplus.shape, "u1")
    for code, label in CLCPLUS_LABELS.items():
        labels[clcplus == code] = label
    field = (clcplus == PERIODIC) & np.isfinite(ndvi)
    labels[field] = np.where(ndvi[field] >= crop_ndvi, GRASS, BARE)
    if footprints is not None:
        labels[footprints >= INSIDE] = BUILDINGS
    if density is not None:
        known = density <= 100
        built = np.isin(labels, (BUILDINGS, IMPERVIOUS))
        labels[known & built & (density < UNSEALED) & ((labels == IMPERVIOUS) | (clcplus != 1))] = UNLABELLED
        labels[known & ~built & (density >= SEALED)] = UNLABELLED
    if footprints is not None:
        labels[(footprints > 0) & (footprints < 1)] = UNLABELLED
    return labels
