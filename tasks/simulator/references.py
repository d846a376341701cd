"""Truth of a simulated site, and a producer's reference layers with the errors of older products, on the site's 10 m EEA grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imperv.layers.palette import OUTSIDE
from imperv.tasks.projections import transformer
from imperv.tasks.simulator.archive import write_tif
from imperv.tasks.simulator.changes import SEALING
from imperv.tasks.simulator.covers import CLCPLUS, ROOF, SEALED, Cover
from imperv.tasks.simulator.landscape import Landscape
from imperv.tasks.simulator.settlement import BUILDING, ROAD, STREET, TRACK, TRUNK
from imperv.tasks.simulator.shapes import CELL, THEN
from imperv.tasks.simulator.sky import fractal

BUILT_SHARE = 0.10
"""A pixel is built up from this share of buildings (IBU, ATBD)."""

ROADS = (TRACK, ROAD, TRUNK, STREET)
"""Painter's layers whose sealed covers are roads."""

CLCPLUS_SEALED, CLCPLUS_ROAD = 32, 16
"""Percent. CLC+ calls a pixel sealed from about a third of sealing on, and from half of that where it is a road: it was taken in
for the smaller roads (ATBD 4.3.2), which a share of 30 % would miss."""

OLD_BUILDING = 50
"""Percent of buildings from which the old built-up map says built-up: it marks known areas of full sealing (ATBD 4.3.2), and
knows less of small buildings than what footprints teach (ATBD 4.4.1)."""

_BLOCK = 500
"""Pixels of 10 m drawn at a time."""

_PER = round(10 / CELL)
"""Cells along a pixel."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """Truth on the 10 m grid of the site."""

    imd: tuple[Bytes, Bytes]
    """Sealed share in percent, `then` and `now`."""
    built: tuple[Bytes, Bytes]
    """Building share in percent."""
    road: tuple[Bytes, Bytes]
    """Share of sealed roads in percent."""
    cover: tuple[Bytes, Bytes]
    """Most frequent unsealed `Cover`."""
    change: Bytes
    """1 sealing change, 2 other change, 0 none."""
    number: NDArray[np.int16]
    """Number of the planted change, 0 none."""

    @property
    def ibu(self) -> tuple[Bytes, Bytes]:
        """1 where the building share is at least 10 %, `then` and `now`."""
        then, now = ((share >= round(100 * BUILT_SHARE)).astype(np.uint8) for share in self.built)
        return then, now


def truth(land: Landscape) -> Truth:
    """Draw a landscape and average it to 10 m."""
    n = round(land.extent / 10)
    layers = np.zeros((9, n, n), np.uint8)
    number = np.zeros((n, n), np.int16)
    label = np.array([0, *(c.label for c in land.changes)], np.uint8)
    drawing = land.drawing
    roads = SEALED[drawing.cover] & np.isin(drawing.layer, ROADS)
    for y in range(0, n, _BLOCK):
        for x in range(0, n, _BLOCK):
            h, w = min(_BLOCK, n - y), min(_BLOCK, n - x)
            at = np.s_[y : y + h, x : x + w]
            ids = [drawing.draw(10.0 * x, 10.0 * y, (h * _PER, w * _PER), year) for year in (0, 1)]
            covers = [drawing.cover[year][ids[year]] for year in (0, 1)]
            for year in (0, 1):
                layers[(year, *at)] = np.rint(100 * _share(SEALED[covers[year]]))
                layers[(2 + year, *at)] = np.rint(100 * _share(ROOF[covers[year]]))
                layers[(4 + year, *at)] = np.rint(100 * _share(roads[year][ids[year]]))
                open_ = [_share(covers[year] == c) for c in Cover if not SEALED[c]]
                layers[(6 + year, *at)] = np.argmax(open_, axis=0)
            differs = (ids[0] != ids[1]) | (covers[0] != covers[1])
            which = np.where(differs, np.maximum(drawing.change[ids[0]], drawing.change[ids[1]]), 0)
            sealing = layers[(0, *at)] != layers[(1, *at)]
            # A pixel belongs to a change if its density differs or at least half of it looks different.
            found = sealing | (_share(which > 0) >= 0.5)
            of_pixel = which.reshape(h, _PER, w, _PER).max(axis=(1, 3))
            number[at] = np.where(found, of_pixel, 0)
            layers[(8, *at)] = np.where(sealing, SEALING, label[number[at]])
    imd, built, road, cover = ((layers[2 * k], layers[2 * k + 1]) for k in range(4))
    return Truth(imd, built, road, cover, layers[8], number)


def _share(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of cells of each pixel."""
    shape = mask.shape[1] // _PER, mask.shape[0] // _PER
    return cv2.resize(mask.astype(np.float32), shape, interpolation=cv2.INTER_AREA).astype(np.float32)


def write_truth(out: Path, land: Landscape, real: Truth, corner: tuple[int, int]) -> dict[str, Path]:
    """Write ``truth/*.tif`` and ``truth/changes.json``; returns the paths by name."""
    folder, files = out / "truth", {}
    layers = {
        "truth_imd_then": real.imd[0], "truth_imd_now": real.imd[1], "truth_ibu_then": real.ibu[0],
        "truth_ibu_now": real.ibu[1], "truth_change": real.change,
    }  # fmt: skip
    for name, layer in layers.items():
        files[name] = folder / f"{name}.tif"
        write_tif(files[name], layer, *corner, 10, "EPSG:3035", OUTSIDE)
    difference = real.imd[1].astype(float) - real.imd[0]
    flat = real.number.ravel()
    count = np.bincount(flat, minlength=len(land.changes) + 1)
    log = []
    for c in land.changes:
        if count[c.number]:
            of = real.number == c.number
            rows, columns = np.nonzero(of)
            log.append(
                {
                    "id": c.number,
                    "kind": c.kind,
                    "label": c.label,
                    "pixels": int(count[c.number]),
                    "x": round(corner[0] + 10 * float(columns.mean()) + 5),
                    "y": round(corner[1] - 10 * float(rows.mean()) - 5),
                    "mean_imd_change": round(float(difference[of].mean()), 1),
                }
            )
    files["changes"] = folder / "changes.json"
    files["changes"].write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    return files


def write_references(out: Path, land: Landscape, real: Truth, corner: tuple[int, int]) -> dict[str, Path]:
    """Write ``reference/*``: what a producer would have, with errors; returns the paths by name.

    Densities are blurred, noisy, a little stretched, without small patches, and take some bare ground for sealed. The old
    built-up map holds what is mostly building. CLC+ confuses grass and crops in places, calls pixels sealed from about 30 % on
    (roads from about 15 %), and overlooks one new building in `now`. Footprints are some metres off and incomplete.
    """
    rng = np.random.default_rng([*land.seed, 20])
    files = {name: out / "reference" / f"{name}.tif" for name in ("imd_then", "ibu_then", "clcplus_then", "clcplus_now")}
    noise, patchy = _noise(rng, real.change.shape, 1.0, 8), _noise(rng, real.change.shape, 2.4, 25)
    layers = {"imd_then": _old_density(rng, real, noise, patchy), "ibu_then": _old_buildings(real, noise)}
    missed = next((c.number for c in land.changes if c.kind == "building"), -1)
    for year, name in enumerate(("clcplus_then", "clcplus_now")):
        sealed = clcplus_sealed(real, year, rng, patchy)
        if year:
            sealed &= real.number != missed
        codes = CLCPLUS[real.cover[year]]
        confused = _noise(rng, real.change.shape, 2.4, 20) > 2.0
        codes = np.where(confused & (codes == 6), 7, np.where(confused & (codes == 7), 6, codes))
        layers[name] = np.where(sealed, 1, codes).astype(np.uint8)
    for name, layer in layers.items():
        write_tif(files[name], layer, *corner, 10, "EPSG:3035", OUTSIDE)
    files["footprints"] = out / "reference" / "footprints.geojson"
    files["footprints"].write_text(_footprints(rng, land, corner), encoding="utf-8")
    return files


def clcplus_sealed(real: Truth, year: int, rng: np.random.Generator, patchy: NDArray) -> NDArray[np.bool_]:
    """Pixels that CLC+ of a year (0 `then`, 1 `now`) calls sealed; `patchy` is what both years err alike in."""
    soft, road = (cv2.GaussianBlur(share[year].astype(np.float32), (0, 0), 0.6) for share in (real.imd, real.road))
    unsure = 5 * _noise(rng, real.change.shape, 0.8, 6) + 4 * patchy
    return (soft + unsure > CLCPLUS_SEALED) | (road + unsure * CLCPLUS_ROAD / CLCPLUS_SEALED > CLCPLUS_ROAD)


def _noise(rng: np.random.Generator, shape: tuple[int, int], slope: float, outer: float) -> NDArray[np.float32]:
    """A random field of zero mean and unit variance; it repeats every 1024 pixels."""
    edge = min(1024, max(shape) + max(shape) % 2)
    times = [-(-n // edge) for n in shape]
    return np.tile(fractal(rng, edge, slope, outer), times)[: shape[0], : shape[1]]


def _old_density(rng: np.random.Generator, real: Truth, noise: NDArray, patchy: NDArray) -> Bytes:
    soft = cv2.GaussianBlur(real.imd[0].astype(np.float32), (0, 0), 0.8)
    old = np.where(soft > 12 + 3 * patchy, np.clip(1.10 * soft - 4 + 5 * noise + 3 * patchy, 1, 100), 0)
    ground = np.isin(real.cover[0], (Cover.BARE, Cover.GRAVEL)) & (real.imd[0] == 0)
    old = np.where(ground & (patchy > 0.4), np.clip(38 + 10 * noise, 5, 80), old)
    count, patches, stats, _ = cv2.connectedComponentsWithStats((old > 0).astype(np.uint8), connectivity=8)
    dropped = (stats[:, cv2.CC_STAT_AREA] < 9) & (rng.random(count) < 0.65)
    dropped[0] = False
    return np.where(dropped[patches], 0, np.rint(old)).astype(np.uint8)


def _old_buildings(real: Truth, noise: NDArray) -> Bytes:
    soft = cv2.GaussianBlur(real.built[0].astype(np.float32), (0, 0), 0.5)
    return (soft + 4 * noise > OLD_BUILDING).astype(np.uint8)


def _footprints(rng: np.random.Generator, land: Landscape, corner: tuple[int, int]) -> str:
    drawing = land.drawing
    boxes, reach = drawing.boxes, land.extent
    inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < reach).all(axis=1)
    chosen = np.flatnonzero(inside & (drawing.layer == BUILDING) & ((drawing.years & THEN) > 0))
    chosen = chosen[rng.random(len(chosen)) > 0.12]
    off = np.array([2.5, -1.5]) + 0.7 * rng.standard_normal((len(chosen), 2))
    to_geographic = transformer("EPSG:3035", "EPSG:4326")
    features = []
    for k, number in enumerate(chosen):
        ring = drawing.polygon(int(number)) + off[k]
        ring = np.vstack([ring, ring[:1]]).astype(float)[::-1]  # Counter-clockwise once y points north.
        lon, lat = to_geographic.transform(corner[0] + ring[:, 0], corner[1] - ring[:, 1])
        coordinates = [[round(a, 7), round(b, 7)] for a, b in zip(lon, lat, strict=True)]
        geometry = {"type": "Polygon", "coordinates": [coordinates]}
        features.append({"type": "Feature", "properties": {"id": k + 1}, "geometry": geometry})
    return json.dumps({"type": "FeatureCollection", "features": features}) + "\n"
