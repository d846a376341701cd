"""Changes between the two years of a simulated landscape: new and lost sealing, felled forest, rotated crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imperv.tasks.simulator.covers import Cover
from imperv.tasks.simulator.settlement import (
    BLOCK,
    CLEARED,
    PAVED,
    STREET,
    Block,
    Builder,
    apartments,
    industry,
    residential,
)
from imperv.tasks.simulator.shapes import NOW, densify, polygon_area, ribbon

if TYPE_CHECKING:
    from imperv.tasks.simulator.landscape import Terrain

SEALING, OTHER = 1, 2
"""Codes of the truth: a change of sealing, and a change that is none."""

FELLED, FELLED_BEFORE = 0.003, 0.006
"""Share of the land whose forest is felled between the years, and was in the years before `then` and is still open: it takes
longer to close than the years between. Without it models would see felled forest in the second year only."""


@dataclass(frozen=True)
class Planted:
    """One planted change."""

    number: int
    """From 1."""
    kind: str
    """residential, industrial, building, road, demolished, felled or rotated."""
    label: int
    """SEALING or OTHER."""


class _Planter:
    def __init__(self, land: Terrain) -> None:
        self.land = land
        self.rng = np.random.default_rng(land.rng.integers(2**62))
        self.log: list[Planted] = []
        self.replaced: dict[int, tuple[int, int, int]] = {}
        self.used = type(land.towns)()

    def mark(self, kind: str, label: int) -> int:
        """Number of a new change."""
        self.log.append(Planted(len(self.log) + 1, kind, label))
        return len(self.log)

    def inside(self, points: NDArray, margin: float = 60) -> bool:
        return bool((points > margin).all() and (points < self.land.extent - margin).all())

    def clear(self, points: NDArray, gap: float) -> bool:
        """Whether open land lies around points: inside the site, off settlements, water and other changes."""
        if not self.inside(points) or not self.land.free(points, 45 + gap):
            return False
        return not any(places.inside(points, gap).any() for places in (self.land.towns, self.used))

    def build(self, kind: str, u: float, v: float) -> None:
        """A new site of u x v metres on farmland, near a settlement if there is room."""
        rng, reach = self.rng, np.hypot(u, v) / 2
        for attempt in range(400):
            x, y, r = self.land.towns.circles[rng.integers(len(self.land.towns.circles))]
            away, angle = r * 1.25 + reach + rng.uniform(20, 120 + 3 * attempt), rng.uniform(0, 2 * np.pi)
            at = np.array([x + away * np.cos(angle), y + away * np.sin(angle)])
            ring = at + reach * np.stack([np.cos(t := np.arange(8) * np.pi / 4), np.sin(t)], 1)
            if self.clear(np.vstack([ring, at]), 15) and self.farmed(np.vstack([ring, at])):
                break
        else:
            return
        number = self.mark(kind, SEALING)
        self.used.add(at[0], at[1], reach)
        builder = Builder(self.land.shapes, rng, at[0], at[1], rng.uniform(0, np.pi), NOW, number)
        block = Block(-u / 2, -v / 2, u / 2, v / 2)
        if kind == "residential":
            builder.ground(block, Cover.ASPHALT, STREET)
            rows = max(1, round(v / 75))
            edges = np.linspace(-v / 2, v / 2, rows + 1)
            for low, high in zip(edges[:-1], edges[1:], strict=True):
                part = Block(-u / 2 + 3, low + 3, u / 2 - 3, high - 3)
                (apartments if rng.random() < 0.2 and v / rows > 55 else residential)(builder, part)
        elif kind == "industrial":
            industry(builder, block)
        else:
            builder.ground(block, Cover.CONCRETE, BLOCK)
            inner = block.shrunk(min(u, v) * 0.14)
            builder.ground(inner, Cover(int(builder.roofs(1, (0.2, 0.5, 0.3))[0])), PAVED + 1)

    def farmed(self, points: NDArray) -> bool:
        """Whether the parcels nearest to points are fields, not forest."""
        centres, wood = self.land.farmland
        return not bool(wood[centres.query(points)[1]].any())

    def road(self, width: float) -> None:
        """A new road over the most open land of many random curves."""
        rng, extent = self.rng, self.land.extent
        length = 0.32 * min(extent, 8000)
        best: tuple[float, NDArray | None] = (1e9, None)
        for _ in range(250):
            start, angle = rng.uniform(80, extent - 80, 2), rng.uniform(0, 2 * np.pi)
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            if not self.inside(end[None], 80):
                continue
            line = densify(np.stack([start, end]), 25)
            t = np.linspace(0, 1, len(line))[:, None]
            line = line + np.array([-np.sin(angle), np.cos(angle)]) * np.sin(np.pi * t) * length * rng.uniform(-0.12, 0.12)
            blocked = float(sum(places.inside(line, 20, 1.3).sum() for places in (self.land.towns, self.used)))
            if blocked < best[0]:
                best = blocked, line
        if best[1] is None:
            return
        number, add = self.mark("road", SEALING), self.land.shapes.add
        add(ribbon(best[1], width + 8), Cover.GARDEN, STREET, years=NOW, change=number)
        add(ribbon(best[1], width), Cover.ASPHALT, BLOCK, years=NOW, change=number)
        for x, y in best[1][::2]:
            self.used.add(x, y, 20.0)

    def demolish(self) -> None:
        """A built block of a town becomes grass."""
        places = [
            (builder, kind, block)
            for builder in self.land.built
            for kind, block in builder.blocks
            if kind in ("industry", "market", "apartments", "school", "core")
            and self.inside(builder.plan(np.array([block.centre])))
        ]
        if not places:
            return
        builder, _, block = min(
            (places[i] for i in self.rng.permutation(len(places))[:12]),
            key=lambda p: abs(p[2].size[0] * p[2].size[1] - 7000),
        )
        eraser = Builder(self.land.shapes, self.rng, builder.x, builder.y, builder.angle, NOW, self.mark("demolished", SEALING))
        eraser.ground(block, Cover.MEADOW, CLEARED)

    def swap(self, kind: str, covers: dict[Cover, Cover], hectares: float) -> None:
        """Give parcels another cover in `now` until an area is reached."""
        for number, cover in self.parcels(set(covers), hectares):
            self.replaced[number] = (cover, covers[cover], self.mark(kind, OTHER))

    def parcels(self, covers: set[Cover], hectares: float) -> Iterator[tuple[int, Cover]]:
        """Parcels by chance, off everything else, that together have an area: their numbers, and what covers them."""
        done = 0.0
        for i in self.rng.permutation(len(self.land.fields)):
            number, polygon, cover = self.land.fields[i]
            area = polygon_area(polygon) / 1e4
            if done >= hectares:
                return
            if cover not in covers or number in self.replaced or done + area > 1.2 * hectares:
                continue
            if not self.clear(np.vstack([polygon, polygon.mean(0)]), -20):
                continue
            done += area
            yield number, cover


def plant(land: Terrain) -> tuple[dict[int, tuple[int, int, int]], list[Planted]]:
    """Plant the changes of a landscape; polygons of `now` are added to its shapes.

    About 0.7 % of the site changes its sealing and 1.2 % changes otherwise, so that both fit above the 97.5th percentile of the
    change mask (ATBD 4.2). Real crop rotation is far more common. The first result has the objects with other covers: number ->
    (cover in `then`, cover in `now`, number of the change; 0 for none).
    """
    planter = _Planter(land)
    scale = min(1.0, max(0.42, land.extent / 5120))
    times = max(1, round((land.extent / 5120) ** 2))
    hectares = (land.extent / 100) ** 2
    for _ in range(times):
        planter.road(10)
        planter.build("residential", 260 * scale, 180 * scale)
        planter.build("industrial", 240 * scale, 190 * scale)
        planter.build("residential", 130 * scale, 75 * scale)
        planter.build("industrial", 110 * scale, 80 * scale)
        for u, v in ((60, 42), (45, 30), (34, 22), (26, 18))[: 4 if scale > 0.6 else 2]:
            planter.build("building", u, v)
        planter.demolish()
        planter.demolish()
    planter.swap("felled", {Cover.CONIFER: Cover.CLEARCUT, Cover.DECIDUOUS: Cover.CLEARCUT}, FELLED * hectares)
    turn = {Cover.WINTER_CROP: Cover.SUMMER_CROP, Cover.SUMMER_CROP: Cover.WINTER_CROP, Cover.MEADOW: Cover.SUMMER_CROP}
    planter.swap("rotated", turn, 0.009 * hectares)
    for number, _ in planter.parcels({Cover.CONIFER, Cover.DECIDUOUS}, FELLED_BEFORE * hectares):
        planter.replaced[number] = (Cover.CLEARCUT, Cover.CLEARCUT, 0)
    return planter.replaced, planter.log
