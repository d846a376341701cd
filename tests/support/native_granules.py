"""Granules on the native UTM grid as STAC items with GeoTIFFs of all bands, for tests; small, with chance pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin

from imperv.tasks.scenes.bands import PIXEL


@dataclass(frozen=True)
class Granule:
    """What a granule is."""

    name: str = "S2A_32TPS_20210612_0_L2A"
    when: str = "2021-06-12T10:10:30Z"
    mgrs: str = "32TPS"
    epsg: int = 32632
    left: float = 677760
    top: float = 5153040
    size: tuple[int, int] = (10, 12)
    """Rows and columns of 60 m."""
    baseline: str = "05.00"
    seed: int = 1
    bands: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Bands that are not left to chance."""
    without: tuple[str, ...] = ("B10",)
    profile: Mapping[str, Any] = field(default_factory=dict)
    """Of the GeoTIFFs."""
    stated: float | None = None
    """Value without data of the reflectance that the item states."""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def pixels(self, band: str) -> np.ndarray:
        """Digital numbers as they are stored; of SCL vegetation."""
        if band in self.bands:
            return self.bands[band]
        factor = 60 // PIXEL[band]
        shape = (self.size[0] * factor, self.size[1] * factor)
        if band == "SCL":
            return np.full(shape, 4, "uint8")
        rng = np.random.default_rng([self.seed, list(PIXEL).index(band)])
        return rng.integers(1001, 9000, shape).astype("uint16")


def write_granule(folder: Path, granule: Granule) -> dict[str, Any]:
    """Write its files; the item, with absolute hrefs."""
    place, assets = folder / granule.name, {}
    place.mkdir(parents=True)
    for band, pixel in PIXEL.items():
        if band in granule.without:
            continue
        values, path = granule.pixels(band), place / f"{band}.tif"
        kind = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype, "nodata": 0}
        where = {"crs": f"EPSG:{granule.epsg}", "transform": from_origin(granule.left, granule.top, pixel, pixel)}
        with rasterio.open(
            path, "w", driver="GTiff", **{**kind, **where, **(granule.profile if band != "SCL" else {})}
        ) as target:
            target.write(values, 1)
        assets[band] = {"href": str(path), "gsd": pixel}
        if granule.stated is not None and band != "SCL":
            assets[band]["raster:bands"] = [{"nodata": granule.stated}]
    right, bottom = granule.left + 60 * granule.size[1], granule.top - 60 * granule.size[0]
    ring = [[granule.left, bottom], [right, bottom], [right, granule.top], [granule.left, granule.top], [granule.left, bottom]]
    to_degrees = Transformer.from_crs(granule.epsg, 4326, always_xy=True)
    longitudes, latitudes = to_degrees.transform(*zip(*ring, strict=True))
    geometry = {"type": "Polygon", "coordinates": [list(zip(longitudes, latitudes, strict=True))]}
    stamp = granule.when[:19].replace("-", "").replace(":", "")
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": granule.name, "geometry": geometry, "links": [], "assets": assets,
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": granule.when, "platform": "sentinel-2a", "grid:code": f"MGRS-{granule.mgrs}",
            "s2:processing_baseline": granule.baseline, "s2:product_type": "S2MSI2A",
            "s2:datatake_id": f"GS2A_{stamp[:8]}T101031_030000_N{granule.baseline}", **granule.properties,
        },
    }  # fmt: skip


def write_granules(folder: Path, *granules: Granule) -> Path:
    """Write them with one file of items; its path."""
    path = folder / "items.json"
    items = [write_granule(folder, granule) for granule in granules]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path
