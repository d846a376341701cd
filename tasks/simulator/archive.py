"""Simulated granules as files: GeoTIFFs with Earth Search names, STAC items, and the collection.

Rows of a granule are made strip by strip, so that memory does not grow with the site.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.windows import Window
from shapely.geometry import Polygon, box, mapping
from shapely.geometry.polygon import orient
from shapely.ops import transform as transform_shape

from imperv.tasks.projections import transformer
from imperv.tasks.simulator.granules import Granule
from imperv.tasks.simulator.landscape import MARGIN, Landscape
from imperv.tasks.simulator.scenes import ground, render, traits
from imperv.tasks.simulator.sky import Overpass, overpasses, sun, weather

ASSETS = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir08": "B8A", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""Asset keys of Earth Search v1."""

WAVELENGTH = {
    "B02": 0.492, "B03": 0.560, "B04": 0.665, "B05": 0.704, "B06": 0.740, "B07": 0.783, "B08": 0.833, "B8A": 0.864,
    "B11": 1.610, "B12": 2.190,
}  # fmt: skip
"""Centre wavelength of the bands, micrometres (Sentinel-2A)."""

STRIP = 1_500_000
"""About so many 10 m pixels of a granule are in memory at once."""

THREADS = 2
"""Overpasses made at the same time."""

EXTENSIONS = ("eo/v1.1.0", "grid/v1.1.0", "projection/v1.1.0", "raster/v1.1.0", "view/v1.0.0")


@dataclass(frozen=True)
class Version:
    """One processing of an overpass."""

    sequence: int
    """Last number of the item id."""
    baseline: str
    """Processing baseline."""
    produced: dt.datetime
    """Generation time."""
    careful: bool
    """Whether its SCL is the better one."""

    @property
    def shifted(self) -> bool:
        """Whether digital numbers carry + 1000 (baseline 04.00 and later)."""
        return self.baseline >= "04.00"


def versions(seen: Overpass, second: bool) -> list[Version]:
    """Processings of an overpass in the archive: one, or two for one overpass a year."""
    soon = seen.when + dt.timedelta(hours=6, minutes=7)
    later = dt.datetime(2023, 4, 2, 3, seen.number % 60, 11, tzinfo=dt.UTC)
    old = Version(0, "03.01" if second else ("02.06" if seen.when.month < 7 else "02.09"), soon, False)
    if seen.twice:
        return [old, Version(1, "05.00", later, True)]
    return [Version(0, "05.00", later, False)] if second else [old]


def write_scenes(
    out: Path,
    land: Landscape,
    bounds: tuple[int, int, int, int],
    parts: list[Granule],
    year: int,
    index: int,
    count: int,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Write all granules of a year under ``out/scenes`` and return their STAC items.

    `bounds` are the site's, EPSG:3035 metres. `index` is 0 for `then` (baseline 02) and 1 for `now` (baseline 05.00, digital
    numbers + 1000); `count` is the number of overpasses.
    """
    corner = bounds[0], bounds[3]
    to_geographic = transformer("EPSG:3035", "EPSG:4326")
    lon, lat = to_geographic.transform((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
    passes = overpasses(year, count, lon, land.extent, land.seed)
    suns = [sun(seen.when, lon, lat) for seen in passes]
    look = traits(land, index)
    items: list[dict[str, Any]] = []
    for number, granule in enumerate(parts):
        outlines = [granule_outline(granule, land.extent, seen, corner) for seen in passes]
        height = max(256, STRIP // granule.shape[1] // 256 * 256)
        totals = np.zeros((count, 2, 2))  # Cloudy and valid pixels of each processing's SCL.
        for strip, start in enumerate(range(0, granule.shape[0], height)):
            rows = slice(start, min(start + height, granule.shape[0]))
            of = ground(land, granule, rows, index, corner)

            def one(k: int, rows: slice = rows, of: Any = of, strip: int = strip, granule: Granule = granule,
                    number: int = number, outlines: list = outlines, totals: NDArray = totals) -> None:  # fmt: skip
                if outlines[k] is None:
                    return
                seen, (elevation, azimuth) = passes[k], suns[k]
                clouds = weather(seen, elevation, azimuth, land.extent, land.seed)
                picture = render(land, of, look, seen, clouds, elevation, 1000 * number + strip)
                for version in versions(seen, index == 1):
                    folder = out / "scenes" / item_id(granule, seen, version)
                    for key, band in ASSETS.items():
                        value = picture.reflectance[band]
                        dn = np.clip(np.rint(value * 1e4) + 1000 * version.shifted, 1, 65535)
                        _write_rows(folder / f"{key}.tif", np.where(value < -0.5, 0, dn).astype(np.uint16), granule, rows)
                    scl = picture.scl[version.careful]
                    _write_rows(folder / "scl.tif", scl, granule, rows)
                    cloudy = np.isin(scl, (8, 9, 10)).sum()
                    totals[k, version.sequence] += cloudy, (scl > 0).sum()

            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(one, range(count)))
            if progress:
                progress(f"{year} {granule.mgrs}: {count} overpasses, rows {rows.start} to {rows.stop}")
        for k, seen in enumerate(passes):
            if outlines[k] is not None:
                for version in versions(seen, index == 1):
                    cloudy, valid = totals[k, version.sequence]
                    items.append(stac_item(granule, seen, version, outlines[k], suns[k], cloudy, valid, (lon, lat)))
    return items


def write_catalogue(out: Path, items: list[dict[str, Any]]) -> Path:
    """Write ``items.json`` (STAC 1.0.0 ItemCollection, ordered by time) and ``collection.json``."""
    items = sorted(items, key=lambda i: (i["properties"]["datetime"], i["id"]))
    box_ = np.array([i["bbox"] for i in items])
    times = [items[0]["properties"]["datetime"], items[-1]["properties"]["datetime"]]
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "sentinel-2-l2a",
        "title": "Simulated Sentinel-2 L2A",
        "description": "Simulated Sentinel-2 L2A granules of a made-up landscape; no real measurements.",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[*box_.min(0)[:2].tolist(), *box_.max(0)[2:].tolist()]]},
            "temporal": {"interval": [times]},
        },
        "links": [],
    }
    path = out / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}, indent=1) + "\n", encoding="utf-8")
    (out / "collection.json").write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")
    return path


def write_tif(path: Path, array: NDArray, left: float, top: float, pixel: float, crs: str, nodata: int) -> None:
    """Write one band as a tiled, deflated GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile_of(array.shape, array.dtype, left, top, pixel, crs, nodata)) as target:
        target.write(array, 1)


def profile_of(shape: tuple[int, ...], dtype: Any, left: float, top: float, pixel: float, crs: str, nodata: int) -> dict:
    """Options of rasterio for a tiled, deflated GeoTIFF of one band."""
    return {
        "driver": "GTiff", "height": shape[0], "width": shape[1], "count": 1, "dtype": dtype, "crs": crs,
        "nodata": nodata, "transform": from_origin(left, top, pixel, pixel), "compress": "deflate", "predictor": 2,
        "zlevel": 1, "tiled": True, "blockxsize": 256, "blockysize": 256, "bigtiff": "if_safer",
    }  # fmt: skip


def _write_rows(path: Path, array: NDArray, granule: Granule, rows: slice) -> None:
    """Write a strip of a granule's asset; the first strip makes the file."""
    pixel = 10 * (rows.stop - rows.start) // array.shape[0]
    shape = granule.shape[0] * 10 // pixel, array.shape[1]
    profile = profile_of(shape, array.dtype, granule.left, granule.top, pixel, f"EPSG:{granule.epsg}", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = rasterio.open(path, "r+") if rows.start else rasterio.open(path, "w", **profile)
    with opened as target:
        target.write(array, 1, window=Window(0, rows.start * 10 // pixel, array.shape[1], array.shape[0]))


def item_id(granule: Granule, seen: Overpass, version: Version) -> str:
    """Id of a STAC item, and the name of its folder."""
    return f"S2{seen.satellite}_{granule.mgrs}_{seen.when:%Y%m%d}_{version.sequence}_L2A"


def granule_outline(granule: Granule, extent: float, seen: Overpass, corner: tuple[float, float]) -> Polygon | None:
    """Where a granule of an overpass has data, longitude and latitude; None where it has none."""
    rows, columns = granule.shape
    frame = box(granule.left, granule.top - 10 * rows, granule.left + 10 * columns, granule.top).segmentize(max(500.0, columns))
    to_laea = transformer(f"EPSG:{granule.epsg}", "EPSG:3035")
    local = transform_shape(lambda e, n: _local(to_laea, e, n, corner), frame)
    reach = MARGIN - 20
    local = local.intersection(box(-reach, -reach, extent + reach, extent + reach))
    if seen.swath is not None:
        a, b, c = seen.swath
        far = 4 * extent + 10_000
        foot, along = np.array([a, b]) * c / (a * a + b * b), np.array([-b, a])
        inward = -np.array([a, b])
        half = [foot + far * along, foot - far * along, foot + far * (inward - along), foot + far * (inward + along)]
        local = local.intersection(Polygon(half))
    if local.is_empty or local.area < 40_000:
        return None
    to_geographic = transformer("EPSG:3035", "EPSG:4326")
    return orient(transform_shape(lambda x, y: to_geographic.transform(x + corner[0], corner[1] - y), local))


def _local(to_laea: Transformer, e: Any, n: Any, corner: tuple[float, float]) -> tuple[Any, Any]:
    x, y = to_laea.transform(e, n)
    return np.asarray(x) - corner[0], corner[1] - np.asarray(y)


def stac_item(
    granule: Granule, seen: Overpass, version: Version, outline: Polygon, sun_at: tuple[float, float], cloudy: float,
    valid: float, place: tuple[float, float],
) -> dict[str, Any]:  # fmt: skip
    """STAC item of a granule, as Earth Search v1 writes it; `cloudy` and `valid` count pixels of 20 m."""
    name, stamp = item_id(granule, seen, version), f"{seen.when:%Y%m%dT%H%M%S}"
    absolute = 13_000 + (seen.when.date() - dt.date(2018, 1, 1)).days * 143 // 10  # 14.3 orbits a day.
    published = f"{version.produced + dt.timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    number = version.baseline.replace(".", "")
    ring = [[round(x, 6), round(y, 6)] for x, y in mapping(outline)["coordinates"][0]]
    pixels = granule.shape[0] * granule.shape[1] / 4
    properties = {
        "datetime": f"{seen.when:%Y-%m-%dT%H:%M:%SZ}",
        "created": published,
        "updated": published,
        "platform": f"sentinel-2{seen.satellite.lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(100 * cloudy / max(valid, 1), 4),
        "grid:code": f"MGRS-{granule.mgrs}",
        "proj:epsg": granule.epsg,
        "view:sun_elevation": round(sun_at[0], 4),
        "view:sun_azimuth": round(sun_at[1], 4),
        "s2:processing_baseline": version.baseline,
        "s2:generation_time": f"{version.produced:%Y-%m-%dT%H:%M:%S}.000000Z",
        "s2:datatake_id": f"GS2{seen.satellite}_{stamp}_{absolute:06d}_N{version.baseline}",
        "s2:product_uri": f"S2{seen.satellite}_MSIL2A_{stamp}_N{number}_R{seen.orbit:03d}_T{granule.mgrs}_"
        f"{version.produced:%Y%m%dT%H%M%S}.SAFE",
        "s2:nodata_pixel_percentage": round(100 * (1 - valid / pixels), 4),
        "earthsearch:boa_offset_applied": False,
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{e}/schema.json" for e in EXTENSIONS],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [round(v, 6) for v in outline.bounds],
        "properties": properties,
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
        "assets": {key: _asset(name, key, granule, version) for key in (*ASSETS, "scl")},
        "collection": "sentinel-2-l2a",
    }


def _asset(name: str, key: str, granule: Granule, version: Version) -> dict[str, Any]:
    pixel = 10 if key in ("blue", "green", "red", "nir") else 20
    raster: dict[str, Any] = {
        "nodata": 0,
        "data_type": "uint8" if key == "scl" else "uint16",
        "spatial_resolution": pixel,
    }
    asset: dict[str, Any] = {
        "href": f"./scenes/{name}/{key}.tif",
        "type": "image/tiff; application=geotiff",
        "gsd": pixel,
        "proj:shape": [granule.shape[0] * 10 // pixel, granule.shape[1] * 10 // pixel],
        "proj:transform": [pixel, 0, granule.left, 0, -pixel, granule.top],
        "raster:bands": [raster],
        "roles": ["data"],
    }
    if key != "scl":
        band = ASSETS[key]
        common = "rededge" if key.startswith("rededge") else key
        asset["eo:bands"] = [{"name": band, "common_name": common, "center_wavelength": WAVELENGTH[band]}]
        asset["roles"] = ["data", "reflectance"]
        raster.update(scale=0.0001, offset=-0.1 if version.shifted else 0)
    return asset
