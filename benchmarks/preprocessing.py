"""Pre-processing from local COGs to stored features, beside odc-stac loading the same data, and reading beside GDAL's warper."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from benchmarks.timing import Row, compare
from imperv.grids import Tile, window_geobox
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.job import Job
from imperv.tasks.scenes.access import environment
from imperv.tasks.scenes.reading import open_full_resolution, read_band, warp
from imperv.tasks.scenes.scenes import REFLECTANCE_10M, REFLECTANCE_20M
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import make_scene_list
from imperv.tasks.yearly.preprocessing import make_pp
from tests.support.scenes import make_scenes, production

LEFT, TOP = 4_420_000, 2_690_000
"""Corner of all windows, on whole shards; EPSG:3035, near the middle of UTM zone 32."""

EDGE, SMALL = 2000, 200
"""Pixels each way: of the comparison, and of the plain way in NumPy, which holds no more."""

DATES, WORKERS = 30, 2


def window(edge: int) -> tuple[tuple[int, int, int, int], GeoBox]:
    """Bounds and 10 m grid of a square of that many pixels."""
    box = (LEFT, TOP - 10 * edge, LEFT + 10 * edge, TOP)
    return box, window_geobox(Tile("E44N26"), 10, box)


def features(folder: Path, edge: int) -> None:
    """The features of a window, from its scenes to the store."""
    place = folder / "made"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "production.toml").write_text(production(folder, window(edge)[0], memory="4 GiB", workers=WORKERS))
    job = Job.of(Production.read(place), "E44N26")
    make_scene_list(job, CATALOGUE["S2_now"])
    make_pp(job, CATALOGUE["PP_now"])


def odc_load(folder: Path, grid: GeoBox) -> tuple[Any, Any]:
    """Load all bands and dates as they are used: 10 m bands and SCL at 10 m, the others at 20 m."""
    import odc.stac

    items = [pystac.Item.from_dict(item) for item in json.loads((folder / "items.json").read_text())["features"]]
    settings = {"*": {"assets": {"*": {"data_type": "uint16", "nodata": 0}, "SCL": {"data_type": "uint8", "nodata": 0}}}}
    options: dict[str, Any] = {"groupby": "solar_day", "pool": WORKERS, "stac_cfg": settings}
    resampling = {"SCL": "nearest", "*": "bilinear"}
    fine = odc.stac.load(items, bands=[*REFLECTANCE_10M, "SCL"], geobox=grid, resampling=resampling, **options)
    coarse = odc.stac.load(items, bands=REFLECTANCE_20M, geobox=grid.zoom_out(2), resampling=resampling, **options)
    return fine, coarse


def as_a_user_would(folder: Path, grid: GeoBox) -> np.ndarray:
    """The yearly features with odc-stac, xarray and NumPy, in the plain way; returns c0 of NDVI."""
    import xarray as xr

    table = np.zeros(256)
    table[[3, 4, 5, 6, 7, 8, 9, 10, 11]] = [10, 50, 50, 50, 10, 5, 1, 1, 1]
    fine, coarse = odc_load(folder, grid)
    weights = xr.apply_ufunc(lambda scl: table[scl], fine["SCL"])
    shared = weights[:, ::2, ::2].values
    options: dict[str, Any] = {"axis": 0, "method": "inverted_cdf"}
    for band in REFLECTANCE_10M:
        np.quantile(fine[band].values, 0.2, weights=weights.values, **options)
    for band in REFLECTANCE_20M:
        np.quantile(coarse[band].values, 0.2, weights=shared, **options)
    red, nir = fine["B04"].astype("float32"), fine["B08"].astype("float32")
    ndvi = ((nir - red) / (nir + red)).fillna(0)
    np.quantile(ndvi.values, 0.9, weights=weights.values, **options)
    times = (fine.time.dt.dayofyear - 1).values / 365
    angle = 2 * np.pi * times[:, None] * np.arange(1, 4)
    design = np.column_stack([np.ones(len(times)), *(f(angle[:, k]) for k in range(3) for f in (np.cos, np.sin))])
    weighted = design[None] * weights.values.reshape(len(times), -1).T[:, :, None]
    matrix = weighted.transpose(0, 2, 1) @ design[None] + 1e-9 * np.eye(7)
    right = weighted.transpose(0, 2, 1) @ ndvi.values.reshape(len(times), -1).T[:, :, None]
    return np.linalg.solve(matrix, right)[:, 0, 0]


def rows(folder: Path, edge: int = EDGE, dates: int = DATES) -> list[Row]:
    """Ours against loading alone, against the whole job in NumPy, and our reading against GDAL's warper."""
    grid, small, looks = window(edge)[1], window(SMALL)[1], edge * edge * dates
    make_scenes(folder, grid, dates)
    features(folder, 100)  # compiles, or loads what was compiled
    unit, what = "pixel and date", f"features of {edge} x {edge}, {dates} dates, {WORKERS} threads"
    ours: tuple[Callable[[], object], float] = (lambda: features(folder, edge), looks)
    found = [compare(what, ours, "odc.stac.load alone", (lambda: odc_load(folder, grid), looks), unit=unit, runs=3, warm=False)]
    start = time.perf_counter()
    as_a_user_would(folder, small)
    plain = (time.perf_counter() - start) / (SMALL * SMALL * dates)
    found.append(Row(what, found[0].ours, f"odc-stac, xarray and NumPy ({SMALL} x {SMALL})", plain, unit))
    path = str(folder / "date_000" / "B04.tif")

    def warped() -> np.ndarray:
        with environment(), open_full_resolution(path) as source:
            return warp(source, grid, Resampling.bilinear, 0)

    def mapped() -> np.ndarray:
        return read_band(path, "x", grid)

    assert np.abs(mapped().astype(int) - warped()).max() <= 1
    name = f"reading one band of {edge} x {edge}, one thread"
    return [*found, compare(name, (mapped, edge * edge), "GDAL's warper", (warped, edge * edge))]
