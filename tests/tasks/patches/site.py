"""A folder of small images with annotations, for the tests of patches."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

BANDS = ("B2", "B3", "B4", "B8")
SPECTRA = np.array([[500, 900, 700, 3000], [1200, 1400, 1600, 2400], [300, 400, 300, 200]])


def write(path: Path, pixels: np.ndarray, names=(), crs="EPSG:32632", corner=(600000.0, 5000000.0), nodata=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=pixels.shape[1], width=pixels.shape[2], count=len(pixels), dtype=pixels.dtype, crs=crs,
        transform=from_origin(*corner, 10, 10), nodata=nodata,
    ) as out:  # fmt: skip
        out.write(pixels)
        if names:
            out.descriptions = names
    return path


def classes(shape: tuple[int, int], seed: int = 1, edge: int = 16) -> np.ndarray:
    """Codes 1 to 3 in squares, (y, x) uint8."""
    random = np.random.default_rng(seed)
    cells = random.integers(1, 4, (-(-shape[0] // edge), -(-shape[1] // edge)))
    return np.kron(cells, np.ones((edge, edge), "i8"))[: shape[0], : shape[1]].astype("u1")


def image_of(codes: np.ndarray, seed: int = 1) -> np.ndarray:
    """Digital numbers of codes, (band, y, x) uint16."""
    noise = np.random.default_rng(seed).normal(0, 60, (4, *codes.shape))
    return np.clip(np.moveaxis(SPECTRA[codes - 1], -1, 0) + noise, 1, None).astype("u2")


def make_site(folder: Path, count: int = 3, shape: tuple[int, int] = (140, 128)) -> Path:
    """Images ``a0.tif`` ... side by side, each with ``a0_labels.tif``; a corner of the first lacks data, a third lacks labels."""
    for k in range(count):
        codes = classes(shape, k + 1)
        pixels, corner = image_of(codes, k), (600000.0 + 2000 * k, 5000000.0)
        if k == 0:
            pixels[:, :6, :9] = 0
        labels = codes.copy()
        labels[::3] = 0
        write(folder / f"a{k}.tif", pixels, BANDS, corner=corner)
        write(folder / f"a{k}_labels.tif", labels[None], corner=corner)
    return folder
