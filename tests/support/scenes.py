"""Scenes as catalogues have them, in any number and size: Cloud Optimized GeoTIFFs of one MGRS tile in UTM with STAC items.

Texture and noise are made up, so that files compress about as real ones do; few dates are distinct, the others are hard links
to them, so that a year is made in a minute while every date is a file of its own to whoever reads it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from scipy import ndimage

from imperv.tasks.scenes.scenes import REFLECTANCE_10M, REFLECTANCE_20M

UTM = "EPSG:32632"
BLOCK = 1024
"""Edge of the blocks of Earth Search's COGs, pixels."""
DISTINCT = 4
"""Dates with pixels of their own."""
CLASSES = (4, 4, 4, 5, 5, 7, 8, 9, 10, 3)
"""Scene classes by rising cloudiness: half of the looks are clear."""


def make_scenes(folder: Path, grid: GeoBox, dates: int, *, seed: int = 1, margin: int = 512) -> Path:
    """A year of scenes that cover a grid.

    Parameters
    ----------
    folder : Path
        Where to write.
    grid : GeoBox
        10 m pixels in EPSG:3035.
    dates : int
        Overpasses in 2021, evenly spread.
    seed : int
        Of all noise.
    margin : int
        Pixels of 10 m that the scenes are larger than the grid on each side.

    Returns
    -------
    Path
        File of STAC items.
    """
    box = transform_bounds("EPSG:3035", UTM, *grid.boundingbox)
    left, top = (np.floor(box[0] / 1000) * 1000 - 10 * margin, np.ceil(box[3] / 1000) * 1000 + 10 * margin)
    size = (int((top - box[1]) / 20 + margin / 2), int((box[2] - left) / 20 + margin / 2))
    corner = (left, top)
    distinct = [folder / f"distinct_{k}" for k in range(min(DISTINCT, dates))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda k: _date(distinct[k], corner, size, seed + k), range(len(distinct))))
    items = []
    for k in range(dates):
        day = dt.datetime(2021, 1, 1, 10, 30, tzinfo=dt.UTC) + dt.timedelta(days=int(365 * k / dates))
        here = folder / f"date_{k:03d}"
        here.mkdir()
        for file in distinct[k % len(distinct)].iterdir():
            os.link(file, here / file.name)
        items.append(_item(f"S2A_32TPT_{day:%Y%m%d}_0_L2A", day, here, corner, size))
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def _date(folder: Path, corner: tuple[float, float], size: tuple[int, int], seed: int) -> None:
    """Files of one date; `size` in pixels of 20 m."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows, columns = size
    # Everything is drawn at 160 m and made finer, but for a noise of sensor and texture at the pixel.
    coarse = (rows // 8 + 2, columns // 8 + 2)
    ground = ndimage.gaussian_filter(rng.normal(size=coarse), 2) * 6
    cloud = ndimage.gaussian_filter(rng.random(coarse), 6)
    rank = np.searchsorted(np.quantile(cloud, np.linspace(0, 1, len(CLASSES) + 1)[1:-1]), cloud)
    classes = np.array(CLASSES, "uint8")[rank].repeat(8, axis=0).repeat(8, axis=1)[:rows, :columns]
    _write(folder / "SCL.tif", classes, corner, 20)
    for k, band in enumerate((*REFLECTANCE_10M, *REFLECTANCE_20M)):
        pixel = 10 if band in REFLECTANCE_10M else 20
        factor = 160 // pixel
        shape = (rows * 20 // pixel, columns * 20 // pixel)
        smooth = ndimage.zoom(ground * (60 + 20 * k) + 900 + 150 * k + 1500 * (rank > 6), factor, order=1)[: shape[0], : shape[1]]
        values = smooth + rng.normal(scale=45, size=shape).astype("float32")
        _write(folder / f"{band}.tif", values.clip(1, 15_000).astype("uint16"), corner, pixel)


def _write(path: Path, array: np.ndarray, corner: tuple[float, float], pixel: int) -> None:
    with rasterio.open(
        path, "w", driver="COG", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=UTM,
        transform=from_origin(*corner, pixel, pixel), nodata=0, compress="deflate", predictor=2 if array.itemsize > 1 else 1,
        blocksize=BLOCK, level=1, overviews="none",
    ) as target:  # fmt: skip
        target.write(array, 1)


def _item(name: str, day: dt.datetime, folder: Path, corner: tuple[float, float], size: tuple[int, int]) -> dict[str, object]:
    box = (corner[0], corner[1] - 20 * size[0], corner[0] + 20 * size[1], corner[1])
    west, south, east, north = transform_bounds(UTM, "EPSG:4326", *box)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assets = {}
    for file in sorted(folder.iterdir()):
        pixel = 10 if file.stem in REFLECTANCE_10M else 20
        assets[file.stem] = {
            "href": str(file), "type": "image/tiff; application=geotiff; profile=cloud-optimized", "roles": ["data"],
            "proj:shape": [20 * n // pixel for n in size], "proj:transform": [pixel, 0, corner[0], 0, -pixel, corner[1]],
            "raster:bands": [{"nodata": 0, "data_type": "uint8" if file.stem == "SCL" else "uint16"}],
        }  # fmt: skip
    properties = {"datetime": day.isoformat(), "platform": "sentinel-2a", "s2:mgrs_tile": "32TPT", "proj:epsg": 32632,
                  "s2:processing_baseline": "03.00", "s2:datatake_id": f"GS2A_{day:%Y%m%dT%H%M%S}_000001_N03.00"}  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "properties": properties,
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json",
                            "https://stac-extensions.github.io/raster/v1.1.0/schema.json"],
        "bbox": [west, south, east, north], "geometry": {"type": "Polygon", "coordinates": [ring]}, "links": [], "assets": assets,
    }  # fmt: skip


def production(folder: Path, bbox: Sequence[float], *, memory: str = "4 GiB", workers: int = 2) -> str:
    """Text of a production file for the scenes in a folder."""
    return (
        f'tiles = ["E44N26"]\nstore = "store"\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(bbox)}\n'
        f'[scenes]\ncatalogue = "{folder / "items.json"}"\n[engine]\nmemory = "{memory}"\nworkers = {workers}\n'
    )
