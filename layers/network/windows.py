"""Prediction windows, cut so that none shows (ATBD 4.3.1: prediction by windows).

A U-Net's answer for a pixel depends on the ground within `reach` of it, and on where its pooling begins. A window is predicted
with that much ground around it and at multiples of 2 to the depth of the network, counted from the origin of EPSG:3035: then a
pixel has the same value in whatever window, strip or tile it is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass


def reach(depth: int) -> int:
    """Pixels around a window that a U-Net of this depth looks at, if the window lies at multiples of 2^depth.

    So far the double convolutions of all levels see from the first pixel of a window on; for a single halving two less would do.
    """
    return 6 * 2**depth - 2


@dataclass(frozen=True)
class Windows:
    """Windows of equal size, side by side, that cover an area."""

    shape: tuple[int, int]
    """Rows and columns of the area, pixels."""
    origin: tuple[int, int]
    """Global (row, column) of its first pixel: ``-top / 10 m``, ``left / 10 m``."""
    depth: int
    """Halvings of the deepest network."""
    most: int
    """Longest edge of a window, pixels."""

    @property
    def reach(self) -> int:
        """Context around a window, pixels."""
        return reach(self.depth)

    @property
    def edges(self) -> tuple[int, int]:
        """Rows and columns of a window, multiples of 2 to the depth."""
        rows, columns = (self._edge(axis) for axis in (0, 1))
        return rows, columns

    @property
    def tops(self) -> list[int]:
        """First rows of the windows, relative to the area."""
        return self._starts(0)

    @property
    def lefts(self) -> list[int]:
        """First columns of the windows, relative to the area."""
        return self._starts(1)

    @property
    def columns(self) -> tuple[int, int]:
        """First column that a window sees, and the end of the last, relative to the area."""
        lefts = self.lefts
        return lefts[0] - self.reach, lefts[-1] + self.edges[1] + self.reach

    @property
    def work(self) -> float:
        """Pixels that a padded network would see for the same work: deep levels see all of the context, the last ones little.

        Counted in products of the default network: 1.07 times the ground in windows of 1024 pixels, 1.15 of 512, 1.31 of 256.
        """
        rows, columns = (edge + 4.5 * 2**self.depth for edge in self.edges)
        return len(self.tops) * len(self.lefts) * rows * columns

    def _extent(self, axis: int) -> int:
        return self.origin[axis] % 2**self.depth + self.shape[axis]

    def _edge(self, axis: int) -> int:
        """As even as can be. Windows of a row are an even number, as networks take two at a time on a processor."""
        extent, unit = self._extent(axis), 2**self.depth
        count = -(-extent // self.most)
        count += axis * count % 2
        return -(-extent // (count * unit)) * unit

    def _starts(self, axis: int) -> list[int]:
        return list(range(-(self.origin[axis] % 2**self.depth), self.shape[axis], self._edge(axis)))
