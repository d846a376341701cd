"""Towns and villages of the simulated landscape: a street grid, and blocks filled by kind of use.

Everything is laid out in the settlement's own turned frame (u along, v across) and added to `shapes` as polygons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imperv.tasks.simulator.covers import Cover
from imperv.tasks.simulator.shapes import BOTH, Shapes, blob, rectangles

# Painter's layers, low to high. A loss lies on top of everything in `now`.
PARCEL, TRACK, SHORE, RIVER, ROAD, LAKE, TRUNK, STREET, BLOCK, PAVED, BUILDING, CROWN, CLEARED = range(13)

ROOFS = np.array([Cover.TILE_ROOF, Cover.DARK_ROOF, Cover.METAL_ROOF])


@dataclass(frozen=True)
class Block:
    """Ground between streets, in a settlement's frame, metres."""

    u0: float
    v0: float
    u1: float
    v1: float

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the block."""
        return (self.u0 + self.u1) / 2, (self.v0 + self.v1) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Length along u and v."""
        return self.u1 - self.u0, self.v1 - self.v0

    def shrunk(self, by: float) -> Block:
        """The block less a margin."""
        return Block(self.u0 + by, self.v0 + by, self.u1 - by, self.v1 - by)


@dataclass
class Builder:
    """Puts ground, buildings and trees of blocks into `shapes`."""

    shapes: Shapes
    rng: np.random.Generator
    x: float
    y: float
    angle: float
    years: int = BOTH
    change: int = 0
    blocks: list[tuple[str, Block]] = field(default_factory=list)

    def plan(self, points: NDArray) -> NDArray:
        """Frame coordinates (..., 2) turned and moved into planned coordinates."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return points @ np.array([[c, s], [-s, c]]) + (self.x, self.y)

    def frame(self, points: NDArray) -> NDArray:
        """Planned coordinates (..., 2) in the frame."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return (points - (self.x, self.y)) @ np.array([[c, -s], [s, c]])

    def put(self, polygons: NDArray, cover: int | NDArray, layer: int) -> None:
        """Add polygons given in the frame."""
        if len(polygons):
            self.shapes.add(self.plan(polygons), cover, layer, years=self.years, change=self.change)

    def ground(self, block: Block, cover: Cover, layer: int = BLOCK) -> None:
        """Cover a block, its edges cut so that they bend with the streets."""
        u, v = np.linspace(block.u0, block.u1, 4), np.linspace(block.v0, block.v1, 4)
        one = np.ones(3)
        edge = np.concatenate(
            [
                np.stack([u[:-1], one * block.v0], 1),
                np.stack([one * block.u1, v[:-1]], 1),
                np.stack([u[:0:-1], one * block.v1], 1),
                np.stack([one * block.u0, v[:0:-1]], 1),
            ]
        )
        self.put(edge[None], cover, layer)

    def roofs(self, count: int, share: tuple[float, float, float]) -> NDArray:
        """Roof covers drawn at random: shares of tile, dark and metal."""
        return self.rng.choice(ROOFS, count, p=share)

    def trees(self, block: Block, count: int, low: float = 2.0, high: float = 4.5) -> None:
        """Crowns at random places of a block, as hexagons."""
        rng, n = self.rng, max(0, int(count))
        inner = block.shrunk(high)
        if not n or min(inner.size) <= 0:
            return
        centre = rng.uniform((inner.u0, inner.v0), (inner.u1, inner.v1), (n, 2))
        angle = np.arange(6) * np.pi / 3
        ring = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(low, high, (n, 1, 1))
        self.put(centre[:, None] + ring, Cover.TREE, CROWN)


def residential(b: Builder, block: Block) -> None:
    """Detached and row houses in gardens along both long sides, with drives, garages and trees."""
    rng = b.rng
    b.ground(block, Cover.GARDEN)
    w, h = block.size
    area = w * h
    lot = rng.uniform(13, 21)
    n = max(1, int(w / lot))
    u = block.u0 + (np.arange(n) + 0.5) * w / n
    for side in (1, -1) if h > 40 else (1,):
        keep = rng.random(n) < 0.95
        k = int(keep.sum())
        if not k:
            continue
        edge = block.v0 if side > 0 else block.v1
        width, depth = rng.uniform(9, min(14, w / n), k), rng.uniform(9, 14, k)
        setback = rng.uniform(4, 7, k)
        at = u[keep] + rng.uniform(-1.5, 1.5, k)
        b.put(rectangles(at, edge + side * (setback + depth / 2), width, depth), b.roofs(k, (0.72, 0.24, 0.04)), BUILDING)
        drive = at + rng.choice([-1, 1], k) * (width / 2 + 1.2)
        paved = rng.choice([Cover.CONCRETE, Cover.ASPHALT, Cover.GRAVEL], k, p=(0.6, 0.25, 0.15))
        b.put(rectangles(drive, edge + side * (setback + 3) / 2, 4.2, setback + 5), paved, PAVED)
        some = rng.random(k) < 0.6
        b.put(
            rectangles(drive[some], edge + side * (setback + 8)[some], 3.6, 6.5),
            b.roofs(int(some.sum()), (0.3, 0.6, 0.1)),
            BUILDING,
        )
        b.put(rectangles(at, edge + side * (setback + depth + 1.8), width * 0.7, 3.6), Cover.CONCRETE, PAVED)
    b.trees(block, rng.poisson(area / 420))


def core(b: Builder, block: Block) -> None:
    """Closed perimeter of old houses around a court, paved or green."""
    rng, depth = b.rng, b.rng.uniform(11, 15)
    b.ground(block, Cover.CONCRETE if rng.random() < 0.6 else Cover.GARDEN)
    inner = block.shrunk(1.0)
    w, h = inner.size
    for length, along in ((w, True), (h - 2 * depth, False)):
        n = max(1, int(length / rng.uniform(12, 22)))
        step = length / n
        centre = (np.arange(n) + 0.5) * step
        for far in (False, True):
            keep = rng.random(n) < 0.93
            k = int(keep.sum())
            if along:
                v = inner.v1 - depth / 2 if far else inner.v0 + depth / 2
                boxes = rectangles(inner.u0 + centre[keep], v, step, depth)
            else:
                u = inner.u1 - depth / 2 if far else inner.u0 + depth / 2
                boxes = rectangles(u, inner.v0 + depth + centre[keep], depth, step)
            b.put(boxes, b.roofs(k, (0.75, 0.2, 0.05)), BUILDING)
    b.trees(block.shrunk(depth + 2), rng.poisson(w * h / 2500))


def apartments(b: Builder, block: Block) -> None:
    """Long slabs in lawn, with a strip of parking."""
    rng = b.rng
    b.ground(block, Cover.GARDEN)
    w, h = block.size
    b.put(rectangles(block.u0 + w / 2, block.v0 + 9, w * 0.85, 15), Cover.ASPHALT, PAVED)
    n = max(1, int((h - 22) / rng.uniform(28, 38)))
    v = block.v0 + 24 + (np.arange(n) + 0.5) * (h - 26) / n
    m = max(1, int(w / 60))
    u = block.u0 + (np.arange(m) + 0.5) * w / m
    uu, vv = (a.ravel() for a in np.meshgrid(u, v))
    b.put(rectangles(uu, vv, w / m * 0.72, 13), b.roofs(len(uu), (0.15, 0.7, 0.15)), BUILDING)
    b.trees(block, rng.poisson(w * h / 500), 2.5, 5)


def industry(b: Builder, block: Block) -> None:
    """Halls on a sealed yard, with lawn left at the edge."""
    rng = b.rng
    b.ground(block, Cover.MEADOW if rng.random() < 0.5 else Cover.GARDEN)
    yard = block.shrunk(rng.uniform(2, 8))
    b.ground(yard, Cover.ASPHALT if rng.random() < 0.6 else Cover.CONCRETE, PAVED)
    w, h = yard.size
    n, m = max(1, round(w / rng.uniform(60, 110))), max(1, round(h / rng.uniform(50, 90)))
    for i in range(n):
        for j in range(m):
            if rng.random() < 0.14 and n * m > 1:
                continue  # A place to park or store.
            share = rng.uniform(0.5, 0.8, 2)
            u, v = yard.u0 + (i + 0.5) * w / n, yard.v0 + (j + 0.5) * h / m
            b.put(rectangles(u, v, w / n * share[0], h / m * share[1]), b.roofs(1, (0.05, 0.6, 0.35)), BUILDING)


def market(b: Builder, block: Block) -> None:
    """A large parking lot with rows of small trees and one hall."""
    rng = b.rng
    b.ground(block, Cover.ASPHALT)
    w, h = block.size
    b.put(rectangles(block.u0 + w * 0.3, block.v0 + h / 2, w * 0.45, h * 0.7), b.roofs(1, (0, 0.6, 0.4)), BUILDING)
    b.trees(Block(block.u0 + w * 0.55, block.v0, block.u1, block.v1), rng.poisson(w * h / 900), 1.5, 2.5)


def park(b: Builder, block: Block) -> None:
    """Lawn with groups of trees."""
    b.ground(block, Cover.GARDEN)
    w, h = block.size
    b.trees(block, b.rng.poisson(w * h / 160), 3, 6)


def school(b: Builder, block: Block) -> None:
    """One large building, a paved yard and a playing field."""
    b.ground(block, Cover.GARDEN)
    w, h = block.size
    b.put(rectangles(block.u0 + w * 0.3, block.v0 + h * 0.35, w * 0.5, h * 0.6), Cover.CONCRETE, PAVED)
    b.put(rectangles(block.u0 + w * 0.3, block.v0 + h * 0.3, w * 0.42, h * 0.3), b.roofs(1, (0.3, 0.6, 0.1)), BUILDING)
    b.trees(block, b.rng.poisson(w * h / 800))


def farm(b: Builder, block: Block) -> None:
    """A farmyard: house, barns and a paved court among orchard and grass."""
    rng = b.rng
    b.ground(block, Cover.GARDEN)
    (u, v), (w, h) = block.centre, block.size
    b.put(rectangles(u, v, w * 0.5, h * 0.5), rng.choice([Cover.CONCRETE, Cover.GRAVEL, Cover.ASPHALT]), PAVED)
    b.put(
        rectangles([u - w * 0.24, u + w * 0.22], [v, v - h * 0.1], [13, 16], [17, 34]),
        b.roofs(2, (0.7, 0.2, 0.1)),
        BUILDING,
    )
    b.put(rectangles(u, v + h * 0.27, 24, 12), b.roofs(1, (0.6, 0.25, 0.15)), BUILDING)
    b.trees(block, rng.poisson(w * h / 300))


KINDS: dict[str, Callable[[Builder, Block], None]] = {
    f.__name__: f for f in (residential, core, apartments, industry, market, park, school, farm)
}
"""What fills a block, by name."""


def _lines(rng: np.random.Generator, reach: float, low: float, high: float) -> NDArray:
    """Positions of parallel streets from -reach to reach, irregularly spaced."""
    steps = rng.uniform(low, high, int(2 * reach / low) + 2)
    at = np.cumsum(steps) - steps[0]
    return at[at <= 2 * reach + high] - reach


def _use(rng: np.random.Generator, near: float, works: float, village: bool) -> str:
    """Kind of a block from its relative distance to the centre, and whether it faces the industrial quarter."""
    if village:
        return str(rng.choice(["residential", "farm", "park", "market"], p=(0.62, 0.32, 0.04, 0.02)))
    if works > 0.8 and near > 0.45:
        return str(rng.choice(["industry", "market"], p=(0.85, 0.15)))
    if near < 0.33:
        return str(rng.choice(["core", "park", "market"], p=(0.88, 0.06, 0.06)))
    if near < 0.55:
        return str(rng.choice(["core", "apartments", "residential", "school", "park"], p=(0.2, 0.3, 0.4, 0.05, 0.05)))
    return str(rng.choice(["residential", "apartments", "park", "school", "market"], p=(0.8, 0.08, 0.05, 0.04, 0.03)))


def settle(
    b: Builder, radius: float, free: Callable[[NDArray, float], bool], *, village: bool = False
) -> list[tuple[str, Block]]:
    """Build a town, or a village: one or two streets of houses and farms; the blocks with their kinds.

    `radius` is the mean radius of the outline, metres; `free` says whether points (planned coordinates) keep a distance from
    rivers and trunk roads.
    """
    rng = b.rng
    quarter, lobes = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi, 3)
    us = _lines(rng, radius * 1.3, 80, 150)
    for i in range(len(us) - 1):
        # Cross streets do not run through: each row of blocks has its own.
        vs = _lines(rng, radius * 1.3, 60, 110) + rng.uniform(-30, 30)
        for j in range(len(vs) - 1):
            half = rng.choice([3.0, 3.5, 5.0], p=(0.6, 0.25, 0.15))
            outer = Block(us[i], vs[j], us[i + 1], vs[j + 1])
            u, v = outer.centre
            angle = np.arctan2(v, u)
            outline = 1 + sum(0.16 * np.sin(k * angle + p) for k, p in zip((1, 2, 4), lobes, strict=True))
            near = np.hypot(u, v) / (radius * outline)
            if near > 1 or not free(b.plan(rectangles(u, v, *outer.size)[0]), 25):
                continue
            kind = _use(rng, near, float(np.cos(angle - quarter)), village)
            # Streets are what the blocks leave of a slightly larger sealed ground.
            b.ground(outer.shrunk(-4.0), Cover.ASPHALT, STREET)
            inner = outer.shrunk(half)
            KINDS[kind](b, inner)
            b.blocks.append((kind, inner))
    return b.blocks


def lone_farm(b: Builder) -> None:
    """One farm in the fields."""
    farm(b, Block(-32, -30, 32, 30))
    b.put(blob(b.rng, 50, 0, 14, 12)[None], Cover.TREE, CROWN)
