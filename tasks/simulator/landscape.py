"""The simulated landscape of both years as one drawing: fields, forest, water, roads, settlements, planted changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imperv.tasks.simulator.changes import Planted, plant
from imperv.tasks.simulator.covers import Cover
from imperv.tasks.simulator.settlement import (
    LAKE,
    PARCEL,
    RIVER,
    ROAD,
    SHORE,
    TRACK,
    TRUNK,
    Builder,
    lone_farm,
    settle,
)
from imperv.tasks.simulator.shapes import Drawing, Shapes, Warp, Waves, blob, densify, polygon_area, rectangles, ribbon

MARGIN = 100.0
"""The landscape goes on this far beyond the site, metres; scenes have no data beyond."""

REGION = 5120.0
"""One town with villages, a lake and a quarry to each square of this edge, metres."""


class Places:
    """Circles of the plane that are taken, found quickly by where they are."""

    _EDGE = 2500.0  # Of a cell of the index, metres; no circle and gap reach farther than one cell.

    def __init__(self) -> None:
        self.circles: list[tuple[float, float, float]] = []
        self._cells: dict[tuple[int, int], list[int]] = {}

    def add(self, x: float, y: float, radius: float) -> None:
        """Take a circle."""
        self._cells.setdefault((int(x // self._EDGE), int(y // self._EDGE)), []).append(len(self.circles))
        self.circles.append((float(x), float(y), float(radius)))

    def near(self, points: NDArray) -> NDArray[np.float64]:
        """Circles (n, 3) that may touch points (k, 2)."""
        (i0, j0), (i1, j1) = ((np.asarray(f(axis=0)) // self._EDGE).astype(int) for f in (points.min, points.max))
        found = [k for i in range(i0 - 1, i1 + 2) for j in range(j0 - 1, j1 + 2) for k in self._cells.get((i, j), ())]
        return np.array([self.circles[k] for k in found]).reshape(-1, 3)

    def inside(self, points: NDArray, gap: float, stretch: float = 1.0) -> NDArray[np.bool_]:
        """Which points lie in a circle whose radius is stretched and grown by a gap."""
        circles = self.near(points)
        away = np.hypot(points[:, None, 0] - circles[:, 0], points[:, None, 1] - circles[:, 1])
        return np.asarray((away <= stretch * circles[:, 2] + gap).any(axis=1))


@dataclass
class Terrain:
    """A landscape that is being planned."""

    shapes: Shapes
    rng: np.random.Generator
    extent: float
    """Edge of the site, metres."""
    keep: list[NDArray] = field(default_factory=list)
    """Points of rivers and trunk roads, which buildings avoid."""
    towns: Places = field(default_factory=Places)
    """Towns, villages, farms, lakes and quarries, planned coordinates."""
    fields: list[tuple[int, NDArray, Cover]] = field(default_factory=list)
    """Number, outline and cover of farmed parcels and forest stands."""
    built: list[Builder] = field(default_factory=list)

    def free(self, points: NDArray, distance: float) -> bool:
        """Whether points keep a distance from water and trunk roads."""
        return bool((self._water.query(np.vstack([points, points.mean(0)]))[0] > distance).all())

    @cached_property
    def _water(self) -> cKDTree:
        return cKDTree(np.concatenate(self.keep))

    @cached_property
    def farmland(self) -> tuple[cKDTree, NDArray[np.bool_]]:
        """Centres of parcels, and which of them are forest."""
        centres = cKDTree(np.array([polygon.mean(0) for _, polygon, _ in self.fields]))
        return centres, np.array([cover in (Cover.CONIFER, Cover.DECIDUOUS) for _, _, cover in self.fields])


@dataclass(frozen=True)
class Landscape:
    """A simulated piece of land in two years."""

    drawing: Drawing
    """Every object as a polygon."""
    extent: float
    """Edge of the site, metres."""
    changes: tuple[Planted, ...]
    """Planted changes between the years."""
    seed: tuple[int, ...]
    """Seed of everything random about the objects."""


def build(extent: float, seed: tuple[int, ...]) -> Landscape:
    """Lay out a landscape of `extent` metres each way; the same seed gives the same landscape."""
    rng = np.random.default_rng([*seed, 1])
    shapes = Shapes(Warp(rng))
    land = Terrain(shapes, rng, extent)
    whole = rectangles(extent / 2, extent / 2, extent + 4000, extent + 4000)[0]
    shapes.add(whole, Cover.MEADOW, PARCEL)
    _parcels(land)
    _rivers(land)
    _trunk_roads(land)
    _regions(land)
    replaced, planted = plant(land)
    return Landscape(shapes.freeze(replaced), extent, tuple(planted), seed)


def _halves(polygon: NDArray, point: NDArray, direction: NDArray) -> tuple[NDArray, NDArray]:
    """A convex polygon cut in two by a line."""
    normal = np.array([-direction[1], direction[0]])
    side = (polygon - point) @ normal
    parts: tuple[list, list] = ([], [])
    for i, here in enumerate(polygon):
        j = (i + 1) % len(polygon)
        parts[int(side[i] > 0)].append(here)
        if (side[i] > 0) != (side[j] > 0):
            cut = here + (polygon[j] - here) * (side[i] / (side[i] - side[j]))
            parts[0].append(cut)
            parts[1].append(cut)
    return np.array(parts[0]), np.array(parts[1])


def _parcels(land: Terrain) -> None:
    """Split the land again and again: first cuts are roads, later ones tracks and hedges, the pieces parcels."""
    rng, extent, add = land.rng, land.extent, land.shapes.add
    wooded, needles, small = Waves(rng, 900, 4500), Waves(rng, 1200, 6000), Waves(rng, 1500, 6000)
    stack = [rectangles(extent / 2, extent / 2, extent + 700, extent + 700)[0]]
    while stack:
        polygon = stack.pop()
        area, centre = polygon_area(polygon) / 1e4, polygon.mean(0)
        forest = bool(wooded(*centre) > 0.75)
        limit = 9.0 if forest else 2.6 * float(np.exp(0.45 * small(*centre)))
        edges = np.roll(polygon, -1, 0) - polygon
        longest = edges[np.argmax(np.hypot(*edges.T))]
        if area < limit * rng.uniform(0.7, 1.5) or len(polygon) < 3:
            _parcel(land, polygon, forest, float(needles(*centre)))
            continue
        tilt = rng.normal(0, 0.22 if area > 150 else 0.05)
        angle = np.arctan2(longest[1], longest[0]) + np.pi / 2 + tilt
        direction = np.array([np.cos(angle), np.sin(angle)])
        a, b = polygon[np.argmin(polygon @ longest)], polygon[np.argmax(polygon @ longest)]
        point = a + (b - a) * rng.uniform(0.36, 0.64)
        first, second = _halves(polygon, point, direction)
        if min(len(first), len(second)) < 3:
            _parcel(land, polygon, forest, float(needles(*centre)))
            continue
        stack += [first, second]
        shared = np.array([p for p in first if np.abs((p - point) @ [-direction[1], direction[0]]) < 1e-6])
        if len(shared) < 2 or area < 7:
            continue
        line = densify(shared[:2], 40)
        if area > 90:
            add(ribbon(line, 6.5), Cover.ASPHALT, ROAD)
        elif area > 22:
            add(ribbon(line, 3.6), Cover.ASPHALT if rng.random() < 0.45 else Cover.GRAVEL, TRACK)
        elif rng.random() < 0.16 and not forest:
            add(ribbon(line, rng.uniform(5, 11)), Cover.TREE, TRACK)


def _parcel(land: Terrain, polygon: NDArray, forest: bool, needles: float) -> None:
    """One field or forest stand."""
    rng = land.rng
    if forest:
        cover = Cover.CONIFER if needles + 0.5 * rng.standard_normal() > -0.2 else Cover.DECIDUOUS
    else:
        kinds = [Cover.MEADOW, Cover.WINTER_CROP, Cover.SUMMER_CROP, Cover.DECIDUOUS, Cover.CONIFER]
        cover = Cover(int(rng.choice(kinds, p=(0.36, 0.33, 0.26, 0.03, 0.02))))
    outline = densify(np.vstack([polygon, polygon[:1]]), 45)[:-1]
    (number,) = land.shapes.add(outline, cover, PARCEL)
    land.fields.append((int(number), polygon, cover))


def _across(land: Terrain, rng: np.random.Generator, sway: float) -> NDArray:
    """A winding line through the site from edge to edge."""
    extent = land.extent
    t = np.linspace(-0.15, 1.15, max(16, int(extent * 1.3 / 25)))
    bend = Waves(rng, 600, max(1500.0, extent))
    across = extent * rng.uniform(0.2, 0.8) + sway * bend(t * extent, 0 * t) + (t - 0.5) * extent * rng.uniform(-0.4, 0.4)
    line = np.stack([t * extent, across], axis=1)
    return line if rng.random() < 0.5 else line[:, ::-1]


def _rivers(land: Terrain) -> None:
    """Meandering rivers with wooded banks, and their widths."""
    for _ in range(max(1, round(land.extent / 4 / REGION))):
        line = _across(land, land.rng, 110)
        width = 30 + 6 * Waves(land.rng, 400, 1500)(*line.T)
        width = np.clip(width, 14, 48) * min(1, 0.4 + land.extent / REGION)
        land.shapes.add(ribbon(line, width + 34), Cover.MEADOW, SHORE)
        land.shapes.add(ribbon(line, width + 17), Cover.DECIDUOUS, SHORE)
        land.shapes.add(ribbon(line, width), Cover.WATER, RIVER)
        land.keep.append(line)


def _trunk_roads(land: Terrain) -> None:
    """A motorway with a green strip between its carriageways, and a railway."""
    if land.extent < 2500:
        return
    for _ in range(max(1, round(land.extent / 6 / REGION))):
        line = _across(land, land.rng, 30)
        land.shapes.add(ribbon(line, 42), Cover.GARDEN, ROAD)
        land.shapes.add(ribbon(line, 27), Cover.ASPHALT, TRUNK)
        land.shapes.add(ribbon(line, 4), Cover.GARDEN, TRUNK)
        land.keep.append(line)
        line = _across(land, land.rng, 30)
        land.shapes.add(ribbon(line, 20), Cover.MEADOW, ROAD)
        land.shapes.add(ribbon(line, 10), Cover.GRAVEL, TRUNK)
        land.keep.append(line)


def _place(land: Terrain, x0: float, y0: float, edge: float, radius: float) -> tuple[float, float] | None:
    """A place in a square that keeps off settlements already there."""
    inset = min(radius, edge / 3)
    for _ in range(40):
        x, y = land.rng.uniform((x0 + inset, y0 + inset), (x0 + edge - inset, y0 + edge - inset))
        if not land.towns.inside(np.array([[x, y]]), 1.2 * radius + 60, 1.2).any():
            return float(x), float(y)
    return None


def _regions(land: Terrain) -> None:
    """Towns, villages, farms, lakes and quarries, region by region."""
    rng, shapes = land.rng, land.shapes
    count = max(1, round(land.extent / REGION))
    edge = land.extent / count
    scale = edge / REGION
    for i in range(count):
        for j in range(count):
            x0, y0 = i * edge, j * edge
            radius = max(170.0, rng.uniform(820, 960) * scale)
            # The first town lies across the middle of the site, where scenes of two tiles may meet.
            middle = rng.uniform(0.42, 0.58, 2) * edge if count == 1 else rng.uniform(0.3, 0.7, 2) * edge
            _settlement(land, x0 + middle[0], y0 + middle[1], radius, village=False)
            if at := _place(land, x0, y0, edge, size := rng.uniform(190, 300) * max(scale, 0.3)):
                shapes.add((outline := blob(rng, *at, size)), Cover.DECIDUOUS, LAKE)
                shapes.add(at + 0.84 * (outline - at), Cover.WATER, LAKE)
                land.towns.add(*at, size)
            if at := _place(land, x0, y0, edge, size := rng.uniform(90, 150) * max(scale, 0.3)):
                shapes.add(blob(rng, *at, size), Cover.BARE, SHORE)
                land.towns.add(*at, size)
            for _ in range(rng.integers(3, 5) if scale > 0.5 else 1):
                if at := _place(land, x0, y0, edge, size := rng.uniform(150, 300)):
                    _settlement(land, *at, size, village=True)
            for _ in range(round(9 * scale**2)):
                if at := _place(land, x0, y0, edge, 60):
                    builder = Builder(shapes, rng, *at, rng.uniform(0, np.pi))
                    if land.free(np.array([at]), 90):
                        lone_farm(builder)
                        land.towns.add(*at, 50)


def _settlement(land: Terrain, x: float, y: float, radius: float, *, village: bool) -> None:
    builder = Builder(land.shapes, land.rng, x, y, land.rng.uniform(0, np.pi / 2))
    settle(builder, radius, land.free, village=village)
    land.towns.add(x, y, radius)
    if not village:
        land.built.append(builder)
