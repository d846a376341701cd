"""Truth of a simulated site at 5 m: classes of urban land cover, and polygons that a person would draw."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path, PurePosixPath

import numpy as np
import rasterio
from numpy.typing import NDArray

from imperv.layers.landcover.classes import BARE, BUILDINGS, CONIFERS, DECIDUOUS, FRAME, GRASS, IMPERVIOUS, WATER
from imperv.layers.palette import OUTSIDE
from imperv.tasks.simulator.archive import write_tif
from imperv.tasks.simulator.covers import Cover, vigour
from imperv.tasks.simulator.landscape import Landscape
from imperv.tasks.simulator.shapes import CELL

CLASS_OF = {
    Cover.WATER: WATER, Cover.CONIFER: CONIFERS, Cover.DECIDUOUS: DECIDUOUS, Cover.MEADOW: GRASS, Cover.BARE: BARE,
    Cover.CLEARCUT: BARE, Cover.GARDEN: GRASS, Cover.TREE: DECIDUOUS, Cover.GRAVEL: BARE, Cover.ASPHALT: IMPERVIOUS,
    Cover.CONCRETE: IMPERVIOUS, Cover.TILE_ROOF: BUILDINGS, Cover.DARK_ROOF: BUILDINGS, Cover.METAL_ROOF: BUILDINGS,
}  # fmt: skip
"""Class of each cover; fields are grass or bare soil by their vigour on the day."""

GREEN_FIELD = 0.5
"""Vigour from which a field is grass."""

COASTAL = {"coastal": ("B01", {"blue": 0.80, "green": 0.05}, 0.004), "nir09": ("B09", {"nir08": 0.95, "red": 0.04}, 0.008)}
"""Bands of 60 m by the key of their asset: name, share of other bands, and constant; our choice."""

PIXEL = 5

_CELLS = round(10 / CELL)
_CENTRES = [int(centre // CELL) for centre in (PIXEL / 2, 3 * PIXEL / 2)]
"""Cells, of those along 10 m, that the centres of its two pixels lie in."""

_BLOCK = 250
"""Pixels of 10 m drawn at a time."""


def classes_at_5m(land: Landscape, day: dt.date, year: int = 1) -> NDArray[np.uint8]:
    """Class at the centre of each pixel of 5 m, (y, x) codes of FRAME; `year` is 0 for `then`, 1 for `now`."""
    n = round(land.extent / 10)
    table = np.full(len(Cover), OUTSIDE, np.uint8)
    covers, usual = np.array(list(Cover)), np.zeros(len(Cover), np.float32)
    green = vigour(covers, (day.timetuple().tm_yday - 1) / 365.25, usual, usual) >= GREEN_FIELD
    for cover, field in zip(Cover, np.where(green, GRASS, BARE).tolist(), strict=True):
        table[cover] = CLASS_OF.get(cover, field)
    out = np.empty((2 * n, 2 * n), np.uint8)
    drawing = land.drawing
    for y in range(0, n, _BLOCK):
        for x in range(0, n, _BLOCK):
            h, w = min(_BLOCK, n - y), min(_BLOCK, n - x)
            covers = drawing.cover[year][drawing.draw(10.0 * x, 10.0 * y, (h * _CELLS, w * _CELLS), year)]
            cells = covers.reshape(h, _CELLS, w, _CELLS)[:, _CENTRES][:, :, :, _CENTRES].reshape(2 * h, 2 * w)
            out[2 * y : 2 * (y + h), 2 * x : 2 * (x + w)] = table[cells]
    return out


def write_coastal(out: Path) -> None:
    """Write the bands of 60 m, which super-resolution reads, beside the others of every item, and name them in ``items.json``.

    They are linear in the other bands, averaged to 60 m; without data where any pixel is.
    """
    path = out / "items.json"
    catalogue = json.loads(path.read_text(encoding="utf-8"))
    for item in catalogue["features"]:
        assets = item["assets"]
        for key, (name, shares, constant) in COASTAL.items():
            bands = {}
            for source in shares:
                with rasterio.open(out / assets[source]["href"]) as file:
                    bands[source], affine, crs = file.read(1), file.transform, file.crs
                each = round(60 / affine.a)
                rows, columns = (n // each for n in bands[source].shape)
                cells = bands[source][: rows * each, : columns * each].reshape(rows, each, columns, each)
                bands[source] = np.where((cells == 0).any(axis=(1, 3)), np.nan, cells.mean(axis=(1, 3)))
            shift = -round(assets["blue"]["raster:bands"][0]["offset"] / assets["blue"]["raster:bands"][0]["scale"])
            total = sum(share * (bands[source] - shift) for source, share in shares.items())
            dn = np.nan_to_num(np.clip(np.rint(total + 1e4 * constant) + shift, 1, 65535)).astype("uint16")
            href = str(PurePosixPath(assets["blue"]["href"]).with_name(f"{key}.tif"))
            write_tif(out / href, dn, round(affine.c), round(affine.f), 60, str(crs), 0)
            about = json.loads(json.dumps(assets["blue"]))
            about |= {
                "href": href, "gsd": 60, "proj:shape": list(dn.shape), "proj:transform": [60, 0, affine.c, 0, -60, affine.f],
                "eo:bands": [{"name": name, "common_name": key}],
            }  # fmt: skip
            about["raster:bands"][0]["spatial_resolution"] = 60
            assets[key] = about
    path.write_text(json.dumps(catalogue) + "\n", encoding="utf-8")


def write_fine_truth(out: Path, land: Landscape, corner: tuple[int, int], day: dt.date) -> Path:
    """Write ``truth/truth_landcover.tif`` at 5 m."""
    path = out / "truth" / "truth_landcover.tif"
    write_tif(path, classes_at_5m(land, day), *corner, PIXEL, "EPSG:3035", OUTSIDE)
    return path


def write_polygons(out: Path, codes: NDArray[np.uint8], corner: tuple[int, int], each: int = 5, seed: int = 1) -> Path:
    """Write ``training/polygons.geojson``: squares of 15 to 25 m of one class, `each` of a class, in EPSG:3035."""
    from scipy.ndimage import minimum_filter

    rng, features = np.random.default_rng([seed, 61]), []
    for one in FRAME:
        places: list[tuple[int, int]] = []
        for edge in (5, 4, 3):
            inside = np.argwhere(minimum_filter((codes == one.code).astype("u1"), edge + 2, mode="constant"))
            for y, x in rng.permutation(inside).tolist() if len(inside) else ():
                if len(places) == each:
                    break
                if all(max(abs(y - a), abs(x - b)) > 8 for a, b in places):
                    places.append((y, x))
                    left, top = corner[0] + PIXEL * (x - edge // 2), corner[1] - PIXEL * (y - edge // 2)
                    right, bottom = left + PIXEL * edge, top - PIXEL * edge
                    ring = [[left, top], [left, bottom], [right, bottom], [right, top], [left, top]]
                    geometry = {"type": "Polygon", "coordinates": [ring]}
                    features.append({"type": "Feature", "properties": {"class": one.name}, "geometry": geometry})
    path = out / "training" / "polygons.geojson"
    path.parent.mkdir(parents=True, exist_ok=True)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}) + "\n", encoding="utf-8")
    return path
