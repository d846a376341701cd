"""Polygons of a simulated landscape: collecting them, drawing them as object numbers, and smooth random fields.

Coordinates are local metres: x east and y south from the upper-left corner of the site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

CELL = 2.0
"""Edge of a cell of the drawing, metres: 25 cells in a 10 m pixel, so that a 4 m lane gives a low density."""

THEN, NOW, BOTH = 1, 2, 3
"""Bit mask of the years in which a polygon is there."""

Floats = NDArray[np.float32]


class Waves:
    """A smooth random field as a sum of plane waves: defined everywhere, about zero mean and unit variance."""

    def __init__(self, rng: np.random.Generator, shortest: float, longest: float, count: int = 14) -> None:
        length = np.exp(rng.uniform(np.log(shortest), np.log(longest), count))
        angle = rng.uniform(0, 2 * np.pi, count)
        self._kx, self._ky = 2 * np.pi / length * np.cos(angle), 2 * np.pi / length * np.sin(angle)
        self._phase = rng.uniform(0, 2 * np.pi, count)
        # Long waves carry more of the variance, as in real terrain and ownership patterns.
        self._amplitude = np.sqrt(2 * length / length.sum())

    def __call__(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Value at points, of the points' shape."""
        xs, ys = np.asarray(x, float)[..., None], np.asarray(y, float)[..., None]
        return np.sin(xs * self._kx + ys * self._ky + self._phase) @ self._amplitude


class Warp:
    """A gentle bending of the plane, so that what is planned straight looks grown."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._east, self._south = Waves(rng, 1000, 4000, 6), Waves(rng, 1000, 4000, 6)
        self._reach = 28.0

    def __call__(self, points: NDArray) -> Floats:
        """Bent copies of points (..., 2)."""
        x, y = points[..., 0], points[..., 1]
        moved = np.stack([self._east(x, y), self._south(x, y)], axis=-1)
        return (points + self._reach * moved).astype(np.float32)


@dataclass(frozen=True)
class Drawing:
    """All polygons of a landscape in painter's order; the number of a polygon is the number of its object."""

    vertices: Floats
    """(vertex, 2) local metres."""
    starts: NDArray[np.int64]
    """First vertex of each polygon, and the total."""
    boxes: Floats
    """(polygon, 4): left, upper, right, lower."""
    layer: NDArray[np.uint8]
    """Painter's layer: higher hides lower."""
    cover: NDArray[np.uint8]
    """(2, polygon): cover in the year `then` and in `now`."""
    years: NDArray[np.uint8]
    """Bits THEN and NOW."""
    change: NDArray[np.int16]
    """Number of the planted change a polygon belongs to; 0 none."""

    def __len__(self) -> int:
        return len(self.layer)

    def polygon(self, number: int) -> Floats:
        """Vertices of one polygon, (n, 2)."""
        return self.vertices[self.starts[number] : self.starts[number + 1]]

    def draw(self, left: float, upper: float, shape: tuple[int, int], year: int) -> NDArray[np.int32]:
        """Number of the uppermost polygon at each cell's centre, int32; 0, the background, where there is no other.

        The window begins at `left`, `upper`, local metres, and has `shape` cells; `year` is 0 for `then`, 1 for `now`.
        """
        canvas = np.zeros(shape, np.int32)
        right, lower = left + shape[1] * CELL, upper + shape[0] * CELL
        b = self.boxes
        seen = (b[:, 0] < right) & (b[:, 2] > left) & (b[:, 1] < lower) & (b[:, 3] > upper)
        chosen = np.flatnonzero(seen & ((self.years & (NOW if year else THEN)) > 0))
        chosen = chosen[np.argsort(self.layer[chosen], kind="stable")]
        _fill(canvas, self.vertices, self.starts, chosen, left, upper, CELL)
        return canvas


class Shapes:
    """Collects polygons; `freeze` makes the drawing."""

    def __init__(self, warp: Warp) -> None:
        self._warp = warp
        self._vertices: list[Floats] = []
        self._counts: list[NDArray[np.int64]] = []
        self._columns: list[NDArray[np.int64]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        polygons: NDArray,
        cover: ArrayLike,
        layer: int,
        *,
        now: ArrayLike | None = None,
        years: int = BOTH,
        change: int = 0,
    ) -> NDArray[np.int64]:
        """Add polygons (n, vertices, 2), in planned (not yet bent) coordinates: the numbers of the new objects.

        `cover` is that of `then`, `now` that of `now` where it differs; `layer` is the painter's layer, `years` THEN, NOW or
        BOTH, `change` the number of a planted change.
        """
        stack = np.asarray(polygons, float)
        if stack.ndim == 2:
            stack = stack[None]
        n = len(stack)
        self._vertices.append(self._warp(stack).reshape(-1, 2))
        self._counts.append(np.full(n, stack.shape[1], np.int64))
        columns = np.empty((5, n), np.int64)
        columns[0], columns[1] = cover, cover if now is None else now
        columns[2], columns[3], columns[4] = layer, years, change
        self._columns.append(columns)
        self._count += n
        return np.arange(self._count - n, self._count)

    def freeze(self, replaced: dict[int, tuple[int, int, int]]) -> Drawing:
        """The drawing; `replaced` gives objects other covers: number -> (cover in `then`, cover in `now`, change)."""
        vertices = np.concatenate(self._vertices)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(self._counts))])
        low = np.minimum.reduceat(vertices, starts[:-1])
        high = np.maximum.reduceat(vertices, starts[:-1])
        then, now, layer, years, change = np.concatenate(self._columns, axis=1)
        for number, covers in replaced.items():
            then[number], now[number], change[number] = covers
        return Drawing(
            vertices,
            starts.astype(np.int64),
            np.concatenate([low, high], axis=1),
            layer.astype(np.uint8),
            np.stack([then, now]).astype(np.uint8),
            years.astype(np.uint8),
            change.astype(np.int16),
        )


def ribbon(line: NDArray, width: float | NDArray) -> NDArray:
    """Polygon of a band of some width (metres) along a polyline (n, 2)."""
    direction = np.gradient(line, axis=0)
    direction /= np.hypot(*direction.T)[:, None] + 1e-9
    across = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * (np.asarray(width, float) / 2).reshape(-1, 1)
    return np.concatenate([line + across, (line - across)[::-1]])


def densify(points: NDArray, step: float) -> NDArray:
    """Points on a polyline no more than about `step` metres apart, so that it bends with the plane."""
    pieces = []
    for a, b in zip(points[:-1], points[1:], strict=True):
        count = max(1, int(np.ceil(np.hypot(*(b - a)) / step)))
        pieces.append(a + (b - a) * (np.arange(count) / count)[:, None])
    return np.concatenate([*pieces, points[-1:]])


def polygon_area(polygon: NDArray) -> float:
    """Area of a polygon (n, 2)."""
    x, y = polygon.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def rectangles(x: ArrayLike, y: ArrayLike, width: ArrayLike, height: ArrayLike) -> NDArray:
    """Corners (n, 4, 2) of upright rectangles given by centre and size."""
    x, y, w, h = (np.atleast_1d(np.asarray(v, float)) for v in np.broadcast_arrays(x, y, width, height))
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    return np.stack([x, y], -1)[:, None] + signs * np.stack([w, h], -1)[:, None]


def blob(rng: np.random.Generator, x: float, y: float, radius: float, count: int = 40) -> NDArray:
    """A roundish polygon with a lobed outline."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    r = radius * (1 + sum(rng.uniform(0.05, 0.22) * np.sin(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3)))
    return np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], axis=1)


@numba.njit(cache=True, nogil=True)
def _fill(canvas, vertices, starts, chosen, left, upper, cell):  # type: ignore[no-untyped-def]
    """Fill polygons one over the other; a cell belongs to a polygon if its centre does (even-odd rule)."""
    rows, columns = canvas.shape
    crossing = np.empty(256)
    for number in chosen:
        a, b = starts[number], starts[number + 1]
        low = high = vertices[a, 1]
        for i in range(a, b):
            low, high = min(low, vertices[i, 1]), max(high, vertices[i, 1])
        first = max(0, int(np.floor((low - upper) / cell - 0.5)))
        last = min(rows - 1, int(np.ceil((high - upper) / cell - 0.5)))
        for row in range(first, last + 1):
            y, found = upper + (row + 0.5) * cell, 0
            for i in range(a, b):
                j = i + 1 if i + 1 < b else a
                y0, y1 = vertices[i, 1], vertices[j, 1]
                if (y0 <= y) != (y1 <= y) and found < 256:
                    t = (y - y0) / (y1 - y0)
                    crossing[found] = vertices[i, 0] + t * (vertices[j, 0] - vertices[i, 0])
                    found += 1
            crossing[:found].sort()
            for k in range(0, found - 1, 2):
                start = max(0, int(np.ceil((crossing[k] - left) / cell - 0.5)))
                stop = min(columns, int(np.ceil((crossing[k + 1] - left) / cell - 0.5)))
                for column in range(start, stop):
                    canvas[row, column] = number
