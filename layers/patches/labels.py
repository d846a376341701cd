"""Labels of patches: which classes are learnt, and the groups of SEN12MS. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNLABELLED = 0
"""Code of an annotation where nothing is known."""

UNKNOWN = 255
"""Number of a pixel that teaches nothing."""

SEN12MS_GROUPS = {
    1: (1, 2, 3, 4, 5), 2: (6, 7), 3: (8, 9), 4: (10,), 5: (11,), 6: (12, 14), 7: (13,), 8: (15,), 9: (16,), 10: (17,),
}  # fmt: skip
"""Simplified classes of SEN12MS and the IGBP classes in each (Yokoya et al. 2020, IEEE GRSM 8(3), DFC2020): forest, shrubland,
savanna, grassland, wetlands, croplands, urban, snow and ice, barren, water."""

SEN12MS_NAMES = (
    "forest", "shrubland", "savanna", "grassland", "wetlands", "croplands", "urban", "snow and ice", "barren", "water",
)  # fmt: skip
"""Names of the groups, from 1."""


def simplified(labels: np.ndarray) -> np.ndarray:
    """IGBP classes of SEN12MS, (y, x) uint8, as their groups; other codes become unlabelled."""
    table = np.zeros(256, "u1")
    for group, classes in SEN12MS_GROUPS.items():
        table[list(classes)] = group
    found: np.ndarray = table[labels]
    return found


@dataclass(frozen=True)
class Classes:
    """The classes that a network learns."""

    codes: tuple[int, ...]
    """Codes of the annotations, 1 to 255, ascending."""
    background: bool
    """Whether all other pixels, unlabelled ones too, are one more class."""

    @classmethod
    def of(cls, codes: Sequence[int], background: bool = False) -> Classes:
        """Of the codes selected; one class alone is learnt against the background. ValueError for codes out of range."""
        chosen = tuple(sorted(set(codes)))
        if not chosen or chosen[0] < 1 or chosen[-1] > 255:
            raise ValueError(f"classes {', '.join(map(str, codes)) or 'none'}: codes are 1 to 255")
        background = background or len(chosen) == 1
        if background and chosen[-1] == 255:
            raise ValueError("class 255: with a background this code marks pixels without data; give the class another code")
        return cls(chosen, background)

    @property
    def outputs(self) -> int:
        """Classes that the network answers."""
        return len(self.codes) + self.background

    @property
    def map_codes(self) -> tuple[int, ...]:
        """Code of each output in a map: the background is 0."""
        return (0, *self.codes) if self.background else self.codes

    @property
    def nodata(self) -> int:
        """Code of pixels without data in a map."""
        return 255 if self.background else 0

    def numbers(self, labels: np.ndarray) -> np.ndarray:
        """Number of the output of each pixel of annotations, uint8; `UNKNOWN` where a pixel teaches nothing."""
        table = np.full(256, 0 if self.background else UNKNOWN, "u1")
        for number, code in enumerate(self.map_codes):
            table[code] = number
        found: np.ndarray = table[labels]
        return found
