"""What Landsat would have seen where Sentinel-2 did: scenes of Collection 2 from those of a simulated site, on its own scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject, transform_bounds

from imperv.layers.landsat import BANDS, OFFSET, SCALE, SENTINEL2
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.scenes import SCL, Scene, select_scenes
from imperv.tasks.settings.periods import Period

GAIN, ADDED = 1.04, -0.006
"""Reflectance as this Landsat sees it is that of Sentinel-2 times the one plus the other."""

CLEAR, FILL, CLOUD, SHADOW = 21824, 1, 22280, 23888
"""Values of QA_PIXEL."""


def landsat_of(site: Path, out: Path, year: int) -> Path:
    """Write a scene of Landsat for each scene of Sentinel-2 of a year, and the file of their items, whose path it gives."""
    out.mkdir(parents=True, exist_ok=True)
    features = []
    catalogue = ItemFiles(site / "items.json")
    for scene in select_scenes(catalogue.search((-180, -90, 180, 90), Period.parse(year))).scenes:
        features.append(_item(scene, out))
    path = out / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def _item(scene: Scene, out: Path) -> dict:
    with rasterio.open(scene.bands["B02"]) as source:
        grid = landsat_geobox(source.bounds, str(source.crs), source.crs.to_epsg())
        around = transform_bounds(source.crs, 4326, *source.bounds)
    name = f"LC08_L2SP_191027_{scene.day:%Y%m%d}_{scene.day:%Y%m%d}_02_T1"
    while (out / f"{name}_qa_pixel.tif").exists():  # a second granule of the day
        name = name.replace("191027", f"191{int(name[13:16]) + 1:03d}")
    seen = {}
    for band in BANDS:
        dn = _averaged(scene.bands[SENTINEL2[band]], grid)
        reflectance = GAIN * (dn - scene.subtract) / 1e4 + ADDED
        seen[band] = np.where(np.isnan(dn), 0, np.clip(np.rint((reflectance - OFFSET) / SCALE), 1, 65535)).astype("u2")
    classes = _nearest(scene.bands[SCL], grid)
    quality = np.select([classes == 0, np.isin(classes, (8, 9, 10)), classes == 3], [FILL, CLOUD, SHADOW], CLEAR)
    seen["qa_pixel"] = np.where(seen["red"] == 0, FILL, quality).astype("u2")
    assets = {}
    for key, array in seen.items():
        path = out / f"{name}_{key}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype="uint16", nodata=0,
            crs=str(grid.crs), transform=grid.affine, compress="deflate",
        ) as target:  # fmt: skip
            target.write(array, 1)
        assets[key] = {"href": str(path), "type": "image/tiff"}
    west, south, east, north = around
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "landsat-c2-l2", "bbox": list(around),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": scene.datetime, "platform": "landsat-8", "eo:cloud_cover": scene.cloud}, "links": [],
        "assets": assets,
    }  # fmt: skip


def _averaged(path: str, grid: GeoBox) -> np.ndarray:
    out = np.full((grid.shape.y, grid.shape.x), np.nan, "f4")
    with rasterio.open(path) as source:
        values = source.read(1).astype("f4")
        values[values == 0] = np.nan
        reproject(
            values, out, src_transform=source.transform, src_crs=source.crs, src_nodata=np.nan, dst_transform=grid.affine,
            dst_crs=str(grid.crs), dst_nodata=np.nan, resampling=Resampling.average,
        )  # fmt: skip
    return out


def _nearest(path: str, grid: GeoBox) -> np.ndarray:
    out = np.zeros((grid.shape.y, grid.shape.x), "u1")
    with rasterio.open(path) as source:
        reproject(
            source.read(1), out, src_transform=source.transform, src_crs=source.crs, dst_transform=grid.affine,
            dst_crs=str(grid.crs), resampling=Resampling.nearest,
        )  # fmt: skip
    return out
