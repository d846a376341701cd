"""A whole simulated input in one call: scenes, references, truth and production file of a square site in an EEA tile."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imperv.grids import Tile
from imperv.tasks.projections import transformer
from imperv.tasks.simulator.archive import write_catalogue, write_scenes
from imperv.tasks.simulator.granules import granules
from imperv.tasks.simulator.landscape import Landscape, build
from imperv.tasks.simulator.references import truth, write_references, write_truth

VERSION = 3
"""Raised when what is simulated changes: a folder of an older one is simulated anew."""

SMALLEST, LARGEST = 128, 10_000
"""Edge of a site, pixels of 10 m: the largest is a whole tile."""


@dataclass(frozen=True)
class Simulation:
    """Paths of a simulated input."""

    out: Path
    """Folder."""
    tile: str
    """EEA tile, such as E44N27."""
    bounds: tuple[int, int, int, int]
    """(left, bottom, right, top) of the site, EPSG:3035 metres."""
    crs: tuple[str, ...]
    """Coordinate systems of the granules, such as EPSG:32632."""
    items: Path
    """STAC ItemCollection."""
    references: dict[str, Path]
    """imd_then, ibu_then, clcplus_then, clcplus_now, footprints."""
    truth: dict[str, Path]
    """truth_imd_then, truth_imd_now, truth_ibu_then, truth_ibu_now, truth_change, changes."""
    production: Path
    """Production file (TOML)."""


def site_bounds(tile: str, size: int, corner: tuple[int, int] | None = None) -> tuple[int, int, int, int]:
    """Bounds (left, bottom, right, top) of a site, EPSG:3035 metres; ValueError if it does not fit into the tile.

    `size` is its edge in pixels of 10 m, even, 128 to 10 000; `corner` its upper-left corner, multiples of 10 m. By default it
    lies on a whole kilometre, half-way from north to south, and with a border of UTM zones near its middle if one crosses the
    tile.
    """
    if not SMALLEST <= size <= LARGEST or size % 2:
        raise ValueError(f"size {size}: choose an even number of pixels from {SMALLEST} to {LARGEST}")
    left, bottom, right, top = Tile(tile).bounds
    edge = 10 * size
    if corner is None:
        middle = (bottom + top) / 2
        lon, lat = transformer("EPSG:3035", "EPSG:4326").transform((left + right) / 2, middle)
        back = transformer("EPSG:4326", "EPSG:3035")
        border, _ = back.transform(6 * round(lon / 6), lat)
        centre = border if left < border < right else (left + right) / 2
        x0 = int(np.clip(round((centre - edge / 2) / 1000) * 1000, left, right - edge))
        y1 = int(np.clip(round((middle + edge / 2) / 1000) * 1000, bottom + edge, top))
    else:
        x0, y1 = corner
    bounds = (x0, y1 - edge, x0 + edge, y1)
    if x0 % 10 or y1 % 10 or x0 < left or y1 > top or bounds[2] > right or bounds[1] < bottom:
        raise ValueError(f"site {bounds} must lie within tile {tile} ({left}, {bottom}, {right}, {top}) on multiples of 10 m")
    return bounds


def site_landscape(bounds: tuple[int, int, int, int], years: Sequence[int], overpasses: int, seed: int) -> Landscape:
    """The landscape of a site; the same arguments give the same one."""
    size = (bounds[2] - bounds[0]) // 10
    return build(10.0 * size, (seed, bounds[0] // 10, bounds[3] // 10, size, *years, overpasses))


def simulate(
    out: Path,
    tile: str = "E44N27",
    size: int = 512,
    *,
    years: tuple[int, int] = (2018, 2021),
    overpasses: int = 24,
    seed: int = 1,
    corner: tuple[int, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Simulation:
    """Simulate two years of Sentinel-2 over a made-up landscape, with references and truth, into a folder.

    The first year is written as processing baseline 02 without offset, the second as 05.00 with digital numbers + 1000 that the
    reader must subtract. The same arguments give the same pixels; another `seed` other landscape, dates and weather.

    `size` is the edge of the square site in pixels of 10 m, even, 128 to 10 000, `corner` its upper-left corner (see
    `site_bounds`), `years` are `then` and `now`, `overpasses` those of a year; the default tile is crossed by the border of UTM
    zones 32 and 33. ValueError for a bad tile, a site that does not fit, years in the wrong order or too many overpasses.
    """
    bounds = site_bounds(tile, size, corner)
    if years[0] >= years[1]:
        raise ValueError(f"years {years}: the first must be before the second")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    land = site_landscape(bounds, years, overpasses, seed)
    if progress:
        progress(f"landscape of {len(land.drawing)} objects, {len(land.changes)} planted changes")
    place = bounds[0], bounds[3]
    real = truth(land)
    references, known = write_references(out, land, real, place), write_truth(out, land, real, place)
    del real
    parts = granules(bounds)
    items = [
        item
        for index, year in enumerate(years)
        for item in write_scenes(out, land, bounds, parts, year, index, overpasses, progress)
    ]
    catalogue = write_catalogue(out, items)
    production = write_production(out, [tile], years, f"bbox = {list(bounds)}")
    crs = tuple(dict.fromkeys(f"EPSG:{part.epsg}" for part in parts))
    return Simulation(out, tile, bounds, crs, catalogue, references, known, production)


def write_production(
    out: Path,
    tiles: Sequence[str],
    years: tuple[int, int],
    area: str,
    folder: str = "",
    more: str = "",
    footprints: str = "footprints.geojson",
) -> Path:
    """Write the production file of simulated tiles, whose files lie in `folder`; `area` and `more` are lines of TOML.

    Without `area` the tiles are whole.
    """
    path, chapter = out / "production.toml", f"\n[area]\n{area}\n" if area else ""
    path.write_text(
        f"""tiles = {json.dumps(list(tiles))}
store = "store"

[periods]
then = "{years[0]}"
now = "{years[1]}"
{chapter}
[scenes]
catalogue = "{folder}items.json"

[references]
imd_then = "{folder}reference/imd_then.tif"
ibu_then = "{folder}reference/ibu_then.tif"
clcplus_then = "{folder}reference/clcplus_then.tif"
clcplus_now = "{folder}reference/clcplus_now.tif"
footprints = ["{folder}reference/{footprints}"]
{more}""",
        encoding="utf-8",
    )
    return path
