"""Verification of products of a full tile, and validation against a reference raster, timed and with the memory they take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine

EDGE = 10_000
NAME = "CLMS_HRLNVLCC_IMD_S2021_R{}m_E43N32_03035_V01_R00.tif"

MEASURE = """
import json, sys, time
import numba
from pathlib import Path
from imperv.tasks.imperviousness.checks.verifying import Request, verify
from imperv.tasks.imperviousness.assessment.maps import maps_of_files, validate
what, *paths = sys.argv[1:]
start, processor = time.perf_counter(), time.process_time()
if what == "verify":
    found = verify([Path(p) for p in paths])
    assert all(f.ok for fs in found.values() for f in fs), [f for fs in found.values() for f in fs if not f.ok]
else:
    validate(maps_of_files(paths[:1], "IMD_now"), "IMD_now", paths[1])
seconds = [time.perf_counter() - start, time.process_time() - processor]
# Not getrusage: its peak is inherited from the parent process.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([*seconds, 1024 * int(peak.split()[1])]))
"""


def verification_lines(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """(what, seconds, processor seconds, peak GiB) of each step, each in a process of its own; kernels are compiled before."""
    files = make_products(folder / "products")
    for what, arguments in (
        ("verify one product of 10 m with overviews and table", ["verify", str(files[10])]),
        ("verify IMD of 10 m and of 100 m, and their aggregation", ["verify", str(files[10]), str(files[100])]),
        ("validate IMD of 10 m against a raster", ["validate", str(files[10]), str(files[10])]),
    ):
        _measured(arguments)
        start = time.perf_counter()
        seconds, cpu, peak = _measured(arguments)
        assert seconds <= time.perf_counter() - start
        yield what, seconds, cpu, peak / 2**30


def _measured(arguments: list[str]) -> list[float]:
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def make_products(folder: Path) -> dict[int, Path]:
    """IMD of a tile, made up: towns of many densities with open land between, at 10 m with overviews and at 100 m."""
    from imperv.layers.aggregation import aggregate_mean
    from imperv.layers.palette import DENSITY

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    towns = np.kron(rng.random((EDGE // 100, EDGE // 100)) < 0.15, np.ones((100, 100), np.uint8))
    array = (rng.integers(0, 101, (EDGE, EDGE), np.uint8) * towns).astype(np.uint8)
    array[:700, :1500] = 255
    found = {}
    for pixel, pixels in ((10, array), (100, aggregate_mean(array, 10))):
        path = folder / NAME.format(pixel)
        size = len(pixels)
        with rasterio.open(
            path, "w", driver="GTiff", dtype="uint8", count=1, height=size, width=size, nodata=255, crs="EPSG:3035", compress="lzw",
            tiled=True, blockxsize=512, blockysize=512, transform=Affine(pixel, 0, 4300000, 0, -pixel, 3300000),
        ) as out:  # fmt: skip
            out.write_colormap(1, {code: (*colour, 255) for code, colour in enumerate(DENSITY.colours)})
            out.write(pixels, 1)
        if pixel == 10:
            with rasterio.open(path, "r+") as out:
                out.build_overviews([2, 4, 8, 16], Resampling.nearest)
        _write_table(path, pixels, pixel)
        found[pixel] = path
    return found


def _write_table(path: Path, pixels: np.ndarray, pixel: int) -> None:
    """A raster attribute table as GDAL keeps it."""
    counts = np.bincount(pixels.ravel(), minlength=256)[:255]
    rows = [(c, n, n * pixel**2 / 1e6, 100 * n / counts.sum(), f"{c} %") for c, n in enumerate(counts.tolist()) if n]
    names = ("Value", "Count", "Area_km2", "Area_perc", "Class_Name")
    fields = "".join(f"<FieldDefn><Name>{n}</Name></FieldDefn>" for n in names)
    lines = "".join(f"<Row>{''.join(f'<F>{v}</F>' for v in row)}</Row>" for row in rows)
    table = f"<GDALRasterAttributeTable>{fields}{lines}</GDALRasterAttributeTable>"
    text = f'<PAMDataset><PAMRasterBand band="1">{table}</PAMRasterBand></PAMDataset>'
    path.with_name(f"{path.name}.aux.xml").write_text(text)
