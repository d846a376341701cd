"""Delivered files for tests of the delivery check, written with rasterio and byte by byte: no code of ours takes part."""

import struct

import numpy as np
import rasterio
from rasterio.transform import Affine

NAME = "CLMS_HRLNVLCC_IMD_S2021_R10m_E43N32_03035_V01_R00.tif"
LEFT, TOP = 4300000, 3300000
GREY, BLACK = (240, 240, 240), (0, 0, 0)
IMD = {0: GREY, 1: (255, 237, 195), 50: (175, 74, 51), 100: (113, 12, 2), 255: BLACK}
SBU = {0: GREY, 1: (251, 255, 214), 30: (255, 221, 0), 70: (255, 178, 0), 100: (219, 106, 6), 255: BLACK}
CHANGE = {
    0: (3, 102, 0), 50: (63, 178, 0), 99: (127, 255, 0), 100: (178, 178, 178), 101: (255, 255, 0), 150: (255, 191, 0),
    200: (255, 0, 0), 201: GREY, 255: BLACK,
}  # fmt: skip
CLASSES = {
    0: GREY,
    1: (255, 0, 0),
    2: (0, 100, 0),
    10: (156, 156, 156),
    11: (255, 191, 0),
    12: (64, 178, 0),
    255: BLACK,
}
LAEA = "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs"


def pixels(edge=200, *codes):
    """Every code of IMD, and those asked for."""
    array = np.resize(np.array([*range(101), 255], np.uint8), (edge, edge))
    array.ravel()[: len(codes)] = codes
    return array


def write(folder, name=NAME, array=None, *, colours=IMD, pixel=10, left=LEFT, top=TOP, table=True, **profile):
    """A file that is right, with its attribute table, but for what is asked for."""
    array = pixels() if array is None else array
    bands = array if array.ndim == 3 else array[np.newaxis]
    settings = {
        "driver": "GTiff", "dtype": array.dtype, "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
        "crs": "EPSG:3035", "transform": Affine(pixel, 0, left, 0, -pixel, top), "nodata": 255, "compress": "lzw",
        "tiled": True, "blockxsize": 256, "blockysize": 256, **profile,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    with rasterio.open(folder / name, "w", **settings) as out:
        if colours:
            out.write_colormap(1, {code: colours.get(code, BLACK) for code in range(256)})
        out.write(bands)
    if table:
        write_table(folder / f"{name}.vat.dbf", rows_of(bands[0], pixel))
    return folder / name


def rows_of(array, pixel):
    """Rows of the attribute table of an array: Value, Count, Area_km2, Area_perc, Class_Name; 255 left out."""
    values, counts = np.unique(array[array != 255], return_counts=True)
    total = counts.sum()
    return [[int(v), int(n), n * pixel**2 / 1e6, 100 * n / total, f"class {v}"] for v, n in zip(values, counts, strict=True)]


COLUMNS = (("Value", "N", 10, 0), ("Count", "N", 19, 0), ("Area_km2", "N", 19, 6), ("Area_perc", "N", 19, 6),
           ("Class_Name", "C", 100, 0))  # fmt: skip


def write_table(path, rows, columns=COLUMNS):
    """A dBASE III table, byte by byte; columns of docs/products.md."""
    width = 1 + sum(c[2] for c in columns)
    data = struct.pack("<4B I H H 20x", 3, 126, 1, 1, len(rows), 33 + 32 * len(columns), width)
    for name, kind, size, decimals in columns:
        data += struct.pack("<11s c 4x B B 14x", name.encode(), kind.encode(), size, decimals)
    data += b"\x0d"
    for row in rows:
        cells = (
            f"{v:<{size}}" if kind == "C" else f"{v:{size}.{decimals}f}"
            for v, (_, kind, size, decimals) in zip(row, columns, strict=True)
        )
        data += b" " + "".join(cells).encode()
    path.write_bytes(data + b"\x1a")
