"""A site as large as a tile at little cost: one small landscape, laid side by side in mirrors, in granules of their real extent.

The landscape is rendered once an overpass; granules sample it where they lie, under clouds and with noise of their own, so that
no two places look alike, and granules of a zone agree where they overlap. Rows of a granule are made strip by strip.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from imperv.layers.palette import OUTSIDE
from imperv.tasks.projections import transformer
from imperv.tasks.simulator.archive import (
    ASSETS,
    THREADS,
    Version,
    granule_outline,
    item_id,
    profile_of,
    stac_item,
    versions,
    write_catalogue,
    write_tif,
)
from imperv.tasks.simulator.covers import BANDS
from imperv.tasks.simulator.granules import Granule, local_coordinates, real_granules
from imperv.tasks.simulator.landscape import MARGIN, Landscape
from imperv.tasks.simulator.references import truth, write_references
from imperv.tasks.simulator.sampling import fold, sample_band, sample_classes, sample_sky
from imperv.tasks.simulator.scenes import ground, render, traits
from imperv.tasks.simulator.simulation import VERSION, site_bounds, site_landscape, write_production
from imperv.tasks.simulator.sky import CLOUD, HAZE, Overpass, Weather, overpasses, sun, weather

SKIES = ("clear", "cumulus", "clear", "thin", "clear", "broken", "clear", "cumulus")
"""Weather of the overpasses of a year in turn: few dates, so that most are of use."""

BLOCK = 1024
"""Edge of the blocks of Earth Search's Cloud Optimized GeoTIFFs, pixels."""

STRIP = 2 * BLOCK
"""Rows of 10 m that are made at once: one row of blocks of 20 m."""

RENDERED = 500
"""Rows of the landscape that are rendered at once."""

STEP = {band: 1 if band in BANDS[:4] else 2 for band in BANDS}
"""Pixels of 10 m along one of a band."""

FOOTPRINTS = "footprints.geojsonl"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Site:
    """A site, and the landscape that it repeats."""

    out: Path
    bounds: tuple[int, int, int, int]
    """EPSG:3035 metres."""
    edge: int
    """Edge of the landscape that it repeats, pixels of 10 m."""
    years: tuple[int, int]
    overpasses: int
    """A year."""
    seed: int

    @cached_property
    def land(self) -> Landscape:
        """That landscape."""
        return site_landscape((0, 0, 10 * self.edge, 10 * self.edge), self.years, self.overpasses, self.seed)

    @property
    def extent(self) -> float:
        """Edge in metres."""
        return float(self.bounds[2] - self.bounds[0])

    @property
    def corner(self) -> tuple[int, int]:
        """Upper-left corner."""
        return self.bounds[0], self.bounds[3]

    @property
    def place(self) -> tuple[float, float]:
        """Longitude and latitude of the middle."""
        left, bottom, right, top = self.bounds
        return transformer("EPSG:3035", "EPSG:4326").transform((left + right) / 2, (bottom + top) / 2)  # type: ignore[no-any-return]


def simulate_mirrored(
    out: Path,
    tile: str,
    size: int,
    edge: int,
    *,
    years: tuple[int, int] = (2018, 2021),
    overpasses: int = 8,
    seed: int = 1,
    more: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Simulate two years of Sentinel-2 with references into a folder: the production file.

    `size` is the edge of the site in pixels of 10 m, `edge` that of the landscape, both even: a tile of 10 000 x 10 000 pixels
    from 2000 takes about ten minutes of one core, and 16 GB. `more` holds further lines of the production file, TOML. A call
    that was killed goes on: granules of a year that are done are kept. Blocks of files that lie beyond the site are left out
    of them. ValueError for a bad tile or size, or a site in two UTM zones.
    """
    bounds = site_bounds(tile, size)
    out = Path(out)
    wanted = json.dumps([tile, size, edge, years, overpasses, seed, VERSION])
    marker = out / "mirrored.json"
    if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} holds something else; name an empty folder")
        (out / "items").mkdir(parents=True)
        marker.write_text(wanted, encoding="utf-8")
    site = Site(out, bounds, edge, years, overpasses, seed)
    if not (out / "reference" / FOOTPRINTS).exists():
        _write_references(site)
        progress(f"references of {len(site.land.drawing)} objects, repeated")
    items: list[dict[str, Any]] = []
    for index, year in enumerate(years):
        parts = [(granule, out / "items" / f"{granule.mgrs}_{year}.json") for granule in real_granules(bounds)]
        passes, pictures = _overpasses(site, year), None
        for granule, done in parts:
            if not done.exists():
                pictures = pictures or _pictures(site, passes, index)
                found = _write_granule(site, granule, passes, pictures, index)
                done.write_text(json.dumps(found), encoding="utf-8")
                progress(f"{year} {granule.mgrs}: {len(found)} overpasses")
            items += json.loads(done.read_text(encoding="utf-8"))
    write_catalogue(out, items)
    area = "" if size == 10_000 else f"bbox = {list(bounds)}"
    return write_production(out, [tile], years, area, more=more, footprints=FOOTPRINTS)


def _overpasses(site: Site, year: int) -> list[Overpass]:
    """Those of a year, one processing each; only the first that has a swath edge keeps it."""
    cut, found = False, []
    for k, seen in enumerate(overpasses(year, site.overpasses, site.place[0], site.extent, (site.seed, 40))):
        found.append(replace(seen, sky=SKIES[k % len(SKIES)], twice=False, swath=None if cut else seen.swath))
        cut = cut or seen.swath is not None
    return found


@dataclass(frozen=True)
class _Picture:
    """The landscape at an overpass under a clear sky, and its weather over the site."""

    bands: dict[str, NDArray[np.uint16]]
    """Digital numbers without offset, at 10 and 20 m."""
    scl: NDArray[np.uint8]
    clouds: Weather
    fields: Floats
    """Opacity, shade, brightness and haze of the clouds, (4, n, n)."""


def _pictures(site: Site, passes: list[Overpass], index: int) -> list[_Picture]:
    """Render the landscape on its own grid, strip by strip."""
    land, edge, look = site.land, site.edge, traits(site.land, index)
    corner = 0.0, 10.0 * edge
    suns = [sun(seen.when, *site.place) for seen in passes]
    nothing = np.zeros((2, 2), np.float32)
    clear = Weather(10.0 * edge, nothing, nothing + 0.72, nothing, nothing, False)
    granule = Granule("", 3035, 0, 10 * edge, (edge, edge))
    bands = [{band: np.empty((edge // step, edge // step), np.uint16) for band, step in STEP.items()} for _ in passes]
    classes = [np.empty((edge // 2, edge // 2), np.uint8) for _ in passes]
    for number, start in enumerate(range(0, edge, RENDERED)):
        rows = slice(start, min(start + RENDERED, edge))
        of = ground(land, granule, rows, index, corner)
        for k, seen in enumerate(passes):
            picture = render(land, of, look, replace(seen, swath=None), clear, suns[k][0], number)
            for band, step in STEP.items():
                value = np.rint(picture.reflectance[band] * 1e4)
                bands[k][band][rows.start // step : rows.stop // step] = np.clip(value, 1, 60_000)
            classes[k][rows.start // 2 : rows.stop // 2] = picture.scl[1]
    found = []
    for k, seen in enumerate(passes):
        clouds = weather(seen, *suns[k], site.extent, (site.seed, 41))
        fields = np.stack([clouds.alpha, clouds.shade, clouds.bright, clouds.haze]).astype(np.float32)
        found.append(_Picture(bands[k], classes[k], clouds, fields))
    return found


def _write_granule(
    site: Site, granule: Granule, passes: list[Overpass], pictures: list[_Picture], index: int
) -> list[dict[str, Any]]:
    """Write all files of a granule and year: their STAC items."""
    outlines = [granule_outline(granule, site.extent, seen, site.corner) for seen in passes]
    seen_by = [k for k, outline in enumerate(outlines) if outline is not None]
    pixels = np.zeros((len(passes), 2))
    processing = [versions(seen, index == 1)[0] for seen in passes]
    first, last = _columns(site, granule)
    part = replace(granule, left=granule.left + 10 * first, shape=(granule.shape[0], last - first))
    with ExitStack() as stack:
        files = {k: _opened(site, granule, passes[k], processing[k], stack) for k in seen_by}
        for start in range(0, granule.shape[0], STRIP):
            rows = slice(start, min(start + STRIP, granule.shape[0]))
            places = {step: found for step in (1, 2) if (found := _places(site, part, rows, step))}
            if len(places) < 2:
                continue
            corner = rows.start - granule.top // 10 + 1_000_000, part.left // 10

            def one(k: int, rows: slice = rows, places: Any = places, corner: Any = corner) -> None:
                found = _look(site, corner, passes[k], processing[k], pictures[k], places)
                for key, values in found.items():
                    step = (rows.stop - rows.start) // values.shape[0]
                    window = Window(first // step, rows.start // step, values.shape[1], values.shape[0])
                    files[k][key].write(values, 1, window=window)
                scl = found["scl"]
                pixels[k] += np.isin(scl, (8, 9, 10)).sum(), (scl > 0).sum()

            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(one, seen_by))
    items = []
    for k in seen_by:
        (cloudy, valid), at = pixels[k], sun(passes[k].when, *site.place)
        items.append(stac_item(granule, passes[k], processing[k], outlines[k], at, cloudy, valid, site.place))
    return items


def _opened(site: Site, granule: Granule, seen: Overpass, version: Version, stack: ExitStack) -> dict[str, Any]:
    """Files of a granule and overpass by asset key, open to be written."""
    folder = site.out / "scenes" / item_id(granule, seen, version)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for key in (*ASSETS, "scl"):
        pixel = 10 if key in ("blue", "green", "red", "nir") else 20
        shape = tuple(edge * 10 // pixel for edge in granule.shape)
        kind = np.uint8 if key == "scl" else np.uint16
        profile = profile_of(shape, kind, granule.left, granule.top, pixel, f"EPSG:{granule.epsg}", 0)
        profile |= {"blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True}
        found[key] = stack.enter_context(rasterio.open(folder / f"{key}.tif", "w", **profile))
    return found


def _columns(site: Site, granule: Granule) -> tuple[int, int]:
    """First and last column of 10 m of the blocks of 20 m that the site touches."""
    frame = shapely.box(*site.bounds).buffer(MARGIN).segmentize(site.extent / 32)
    to_utm = transformer("EPSG:3035", f"EPSG:{granule.epsg}")
    easting, _ = to_utm.transform(*frame.exterior.coords.xy)
    low, high = ((np.array([min(easting), max(easting)]) - granule.left) / 10).astype(int)
    return max(0, int(low) // STRIP * STRIP), min(granule.shape[1], (int(high) // STRIP + 1) * STRIP)


@dataclass(frozen=True)
class _Places:
    """Where pixel centres of a strip lie."""

    x: Floats
    """Local coordinates, metres."""
    y: Floats
    u: Floats
    """Pixel numbers in the landscape."""
    v: Floats


def _places(site: Site, part: Granule, rows: slice, step: int) -> _Places | None:
    """Of pixels of `step` times 10 m; None where none lies on the site."""
    pixel = 10 * step
    x, y = local_coordinates(part, slice(rows.start // step, rows.stop // step), pixel, site.corner)
    inside = (x.max() > -MARGIN) & (x.min() < site.extent + MARGIN) & (y.max() > -MARGIN) & (y.min() < site.extent + MARGIN)
    if not inside:
        return None
    u, v = (fold(along, float(pixel), site.edge // step) for along in (x, y))
    return _Places(x.astype(np.float32), y.astype(np.float32), u, v)


def _look(
    site: Site,
    corner: tuple[int, int],
    seen: Overpass,
    version: Version,
    picture: _Picture,
    places: dict[int, _Places],
) -> dict[str, NDArray]:
    """A strip of all assets at an overpass; `corner` is its first row and column of 10 m in the zone."""
    swath, thin, coarse = seen.swath or (0.0, 0.0, 1.0), picture.clouds.thin, places[2]
    sky = sample_sky(picture.fields, picture.clouds.cell, coarse.x, coarse.y, site.extent, MARGIN, *swath)
    found = {}
    for number, (key, band) in enumerate(ASSETS.items()):
        step = STEP[band]
        opaque = 0.35 if thin and band in ("B11", "B12") else 1.0
        # Noise belongs to a place of the zone, so that granules agree.
        seed = seen.when.toordinal() * 16 + number + 7919 * 16 * site.seed
        found[key] = sample_band(
            picture.bands[band], places[step].u, places[step].v, sky, 2 // step, opaque, HAZE[band], CLOUD[band],
            1000 if version.shifted else 0, seed, corner[0] // step, corner[1] // step,
        )  # fmt: skip
    found["scl"] = sample_classes(picture.scl, coarse.u, coarse.v, sky, thin)
    return found


def _write_references(site: Site) -> None:
    """References of the landscape, repeated as it is."""
    real, edge = truth(site.land), site.edge
    base, folder, count = site.out / "base", site.out / "reference", round(site.extent / 10)
    files = write_references(base, site.land, real, (0, 10 * edge))
    back = np.arange(count) % (2 * edge)
    back = np.where(back < edge, back, 2 * edge - 1 - back)
    outlines = files.pop("footprints")
    for name, path in files.items():
        with rasterio.open(path) as source:
            layer = source.read(1)
        write_tif(folder / f"{name}.tif", layer[np.ix_(back, back)], *site.corner, 10, "EPSG:3035", OUTSIDE)
    unfinished = folder / f"{FOOTPRINTS}.part"
    with unfinished.open("w", encoding="utf-8") as target:
        for lines in _footprints(site, outlines):
            target.write(lines)
    unfinished.rename(folder / FOOTPRINTS)
    shutil.rmtree(base)


def _footprints(site: Site, path: Path) -> Iterator[str]:
    """Lines of GeoJSON of all mirrors of the landscape."""
    polygons = shapely.get_parts(shapely.from_geojson(path.read_text(encoding="utf-8")))
    to_laea, to_degrees = transformer("EPSG:4326", "EPSG:3035"), transformer("EPSG:3035", "EPSG:4326")
    local = shapely.transform(polygons, lambda c: np.column_stack(to_laea.transform(*c.T)) * [1, -1] + [0, 10 * site.edge])
    length, (left, top) = 10.0 * site.edge, site.corner
    count = -(-round(site.extent) // round(length))
    for row in range(count):
        for column in range(count):
            flip = np.array([-1.0 if k % 2 else 1.0 for k in (column, row)])
            move = np.array([(k + k % 2) * length for k in (column, row)])
            here = shapely.transform(local, lambda c, flip=flip, move=move: c * flip + move)
            inside = (shapely.bounds(here)[:, 2:] < site.extent).all(axis=1)
            lonlat = shapely.transform(
                here[inside], lambda c: np.round(np.column_stack(to_degrees.transform(left + c[:, 0], top - c[:, 1])), 7)
            )
            yield "".join(f'{{"type":"Feature","properties":{{}},"geometry":{text}}}\n' for text in shapely.to_geojson(lonlat))
