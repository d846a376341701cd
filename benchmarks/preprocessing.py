"""Pre-processing from local COGs to stored features, beside odc-stac loading the same data, and its own scaling and memory.

Whole runs are timed in processes of their own: `python -m benchmarks.preprocessing FOLDER EDGE ROWS MEMORY WORKERS`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from benchmarks.processes import told_by
from benchmarks.timing import Row, compare
from imperv.grids import Tile, window_geobox
from imperv.tasks.scenes.access import environment
from imperv.tasks.scenes.reading import open_full_resolution, warp
from imperv.tasks.scenes.scenes import REFLECTANCE_10M, REFLECTANCE_20M
from tests.support.bands import read_band
from tests.support.scenes import make_scenes, production

LEFT, TOP = 4_420_000, 2_690_000
"""Corner of all windows, on whole shards; EPSG:3035, near the middle of UTM zone 32."""

WORKERS = 2


def window(rows: int, columns: int) -> tuple[tuple[int, int, int, int], GeoBox]:
    """Bounds and 10 m grid of a window of that many pixels."""
    box = (LEFT, TOP - 10 * rows, LEFT + 10 * columns, TOP)
    return box, window_geobox(Tile("E44N26"), 10, box)


def features(folder: Path, rows: int, columns: int, memory: str, workers: int) -> dict[str, Any]:
    """Make the features of a window once, in a process of its own: seconds, peak and projected bytes."""
    found: dict[str, Any] = told_by("benchmarks.preprocessing", folder, rows, columns, memory, workers)
    return found


def _run(folder: Path, rows: int, columns: int, memory: str, workers: int) -> None:
    from imperv.layers.catalogue import CATALOGUE
    from imperv.tasks.engine import measured
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production
    from imperv.tasks.yearly.freezing import make_scene_list
    from imperv.tasks.yearly.preprocessing import make_pp

    box, small = window(rows, columns)[0], window(100, 100)[0]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for bounds in (small, box):  # the first compiles, or loads what was compiled
            (Path(place) / "production.toml").write_text(production(folder, bounds, memory=memory, workers=workers))
            job = Job.of(Production.read(Path(place)), "E44N26")
            make_scene_list(job, CATALOGUE["S2_now"])
            with measured() as usage:
                made = make_pp(job, CATALOGUE["PP_now"])
            shutil.rmtree(Path(place) / "store")
    statistics_ = made.statistics
    print(json.dumps({
        "seconds": usage.seconds, "cpu_seconds": usage.cpu_seconds, "peak": usage.peak_memory,
        "projected": statistics_["projected_memory"], "blocks": statistics_["blocks"], "overpasses": statistics_["overpasses"],
    }))  # fmt: skip


def odc_load(folder: Path, grid: GeoBox, workers: int) -> tuple[Any, Any]:
    """Load all bands and dates as they are used: 10 m bands and SCL at 10 m, the others at 20 m."""
    import odc.stac

    items = [pystac.Item.from_dict(item) for item in json.loads((folder / "items.json").read_text())["features"]]
    settings = {"*": {"assets": {"*": {"data_type": "uint16", "nodata": 0}, "SCL": {"data_type": "uint8", "nodata": 0}}}}
    options: dict[str, Any] = {"groupby": "solar_day", "pool": workers, "stac_cfg": settings}
    resampling = {"SCL": "nearest", "*": "bilinear"}
    fine = odc.stac.load(items, bands=[*REFLECTANCE_10M, "SCL"], geobox=grid, resampling=resampling, **options)
    coarse = odc.stac.load(items, bands=REFLECTANCE_20M, geobox=grid.zoom_out(2), resampling=resampling, **options)
    return fine, coarse


def as_a_user_would(folder: Path, grid: GeoBox, workers: int) -> np.ndarray:
    """The yearly features with odc-stac, xarray and NumPy, in the plain way; returns c0 of NDVI."""
    import xarray as xr

    table = np.zeros(256)
    table[[3, 4, 5, 6, 7, 8, 9, 10, 11]] = [10, 50, 50, 50, 10, 5, 1, 1, 1]
    fine, coarse = odc_load(folder, grid, workers)
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


def _alternate(ours: Callable[[], float], theirs: Callable[[], float], runs: int) -> tuple[float, float]:
    """Medians of two functions that tell their own seconds, in turn."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peer_rows(folder: Path, dates: int, edge: int) -> list[Row]:
    """Ours against loading alone, against the whole job in NumPy, and our reading against GDAL's warper."""
    grid, looks = window(edge, edge)[1], edge * edge * dates
    ours, theirs = _alternate(
        lambda: features(folder, edge, edge, "4 GiB", WORKERS)["seconds"],
        lambda: _seconds(lambda: odc_load(folder, grid, WORKERS)),
        3,
    )
    unit = "pixel and date"
    what = f"features of {edge} x {edge}, {dates} dates, {WORKERS} threads"
    rows = [Row(what, ours / looks, "odc.stac.load alone", theirs / looks, unit)]
    small = window(200, 200)[1]
    plain = _seconds(lambda: as_a_user_would(folder, small, WORKERS)) / (200 * 200 * dates)
    rows.append(Row(what, ours / looks, "odc-stac, xarray and NumPy (200 x 200)", plain, unit))
    path = str(folder / "date_000" / "B04.tif")

    def warped() -> np.ndarray:
        with environment(), open_full_resolution(path) as source:
            return warp(source, grid, Resampling.bilinear, 0)

    def mapped() -> np.ndarray:
        return read_band(path, "x", grid)

    assert np.abs(mapped().astype(int) - warped()).max() <= 1
    name = f"reading one band of {edge} x {edge}, one thread"
    rows.append(compare(name, (mapped, edge * edge), "GDAL's warper", (warped, edge * edge)))
    return rows


def scaling(folder: Path, dates: int, edge: int) -> list[dict[str, Any]]:
    """Seconds and memory against area, memory allowed, and workers."""
    found = []
    half = edge // 2
    for rows, columns, memory, workers in (
        (half, half, "2 GiB", 2), (edge, half, "2 GiB", 2), (edge, edge, "2 GiB", 2),
        (edge, edge, "1 GiB", 2), (edge, edge, "8 GiB", 2), (half, half, "2 GiB", 1),
    ):  # fmt: skip
        result = features(folder, rows, columns, memory, workers)
        found.append({"rows": rows, "columns": columns, "dates": dates, "memory": memory, "workers": workers, **result})
    return found


def date_scaling(edge: int, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Seconds against the number of dates."""
    found = []
    for dates in counts:
        with tempfile.TemporaryDirectory() as place:
            make_scenes(Path(place), window(edge, edge)[1], dates)
            result = features(Path(place), edge, edge, "4 GiB", WORKERS)
            found.append({"rows": edge, "columns": edge, "dates": dates, "memory": "4 GiB", "workers": WORKERS, **result})
    return found


def same_on_two_processes(folder: Path) -> bool:
    """True if a Dask cluster of two processes gives the digest that threads give."""
    from distributed import LocalCluster

    from imperv.layers.catalogue import CATALOGUE
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production
    from imperv.tasks.yearly.freezing import make_scene_list
    from imperv.tasks.yearly.preprocessing import make_pp

    digests = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        tempfile.TemporaryDirectory() as place,
    ):
        for address in ("", cluster.scheduler_address):
            text = production(folder, window(1000, 2000)[0]) + f'dask_address = "{address}"\n'
            (Path(place) / "production.toml").write_text(text)
            job = Job.of(Production.read(Path(place)), "E44N26")
            make_scene_list(job, CATALOGUE["S2_now"])
            digests.append(make_pp(job, CATALOGUE["PP_now"]).digest)
    return digests[0] == digests[1]


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
