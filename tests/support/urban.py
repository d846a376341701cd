"""A small production of land cover: patches of all classes seen by a scene of June and one of July, with CLC+ and footprints."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.features import shapes
from rasterio.transform import from_origin
from rasterio.warp import reproject

from imperv.layers.landcover.classes import FRAME
from imperv.layers.sharpening.degradation import MTF, degrade, spread_of
from imperv.tasks.scenes.bands import PIXEL
from tests.support.native_granules import Granule, write_granules

BBOX = (4_422_000, 2_598_000, 4_424_000, 2_599_000)
TILE = "E44N25"
SIZE = (18, 34)
"""Pixels of 60 m of a granule, which covers the area."""
LEFT, TOP = 677640, 5151840

# One row a class of FRAME: B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12, reflectance x 10 000.
SPECTRA = np.array(
    [
        [1000, 1200, 1500, 1900, 2100, 2200, 2300, 2500, 2600, 2600, 3400, 3000],
        [1500, 1700, 1900, 2100, 2200, 2250, 2300, 2400, 2450, 2400, 2600, 2500],
        [150, 200, 320, 250, 450, 1100, 1300, 1400, 1500, 1500, 800, 380],
        [180, 220, 460, 240, 760, 2500, 3300, 3600, 3700, 3600, 1650, 720],
        [250, 320, 700, 400, 1100, 3100, 3900, 4400, 4500, 4400, 2300, 1100],
        [700, 800, 900, 1000, 1050, 1080, 1100, 1150, 1200, 1200, 1450, 1300],
        [320, 340, 400, 250, 230, 200, 190, 170, 150, 150, 90, 60],
    ]
)
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
CLCPLUS = np.array([255, 9, 1, 2, 3, 6, 1, 10], "u1")
"""Of a class."""

CLASS_NAMES = tuple(one.name for one in FRAME)


def classes_of_the_site(seed: int = 3) -> np.ndarray:
    """Codes at 5 m on the UTM grid: patches of 60 m, and roofs in sealed ones."""
    rng = np.random.default_rng(seed)
    codes = np.kron(rng.choice([1, 3, 4, 5, 5, 6, 7], SIZE), np.ones((12, 12), int)).astype("u1")
    for y, x in rng.integers(0, (SIZE[0] * 12 - 6, SIZE[1] * 12 - 6), (150, 2)).tolist():
        if (codes[y : y + 5, x : x + 5] == 6).all():
            codes[y : y + 5, x : x + 5] = 2
    return codes


def scene(codes: np.ndarray, seed: int, cloud: bool) -> dict[str, np.ndarray]:
    """Digital numbers of all bands (offset 1000 added), and SCL with a cloud over a corner."""
    rng = np.random.default_rng(seed)
    found = {}
    for k, band in enumerate(BANDS):
        fine = SPECTRA[codes - 1, k] * (1 + 0.05 * cv2.GaussianBlur(rng.normal(0, 1, codes.shape), (0, 0), 1))
        pixel = PIXEL[band]
        found[band] = (1000 + degrade(fine, pixel // 5, spread_of(MTF[band]) * pixel / 5)).round().astype("uint16")
    found["SCL"] = np.full((SIZE[0] * 3, SIZE[1] * 3), 4, "uint8")
    if cloud:
        found["SCL"][:12, :12] = 9
        for band in BANDS:
            edge = 12 * 20 // PIXEL[band]
            found[band][:edge, :edge] = 9000
    return found


def write_laea(path: Path, codes: np.ndarray, pixel: int, table: np.ndarray | None = None) -> Path:
    """Codes of the UTM grid in EPSG:3035, by the nearest or most frequent pixel."""
    left, bottom, right, top = BBOX
    out = np.full(((top - bottom) // pixel, (right - left) // pixel), 255, "u1")
    reproject(
        codes, out, src_transform=from_origin(LEFT, TOP, 5, 5), src_crs="EPSG:32632",
        dst_transform=from_origin(left, top, pixel, pixel), dst_crs="EPSG:3035", src_nodata=255, dst_nodata=255,
        resampling=Resampling.nearest if pixel == 5 else Resampling.mode,
    )  # fmt: skip
    if table is not None:
        out = np.where(out == 255, 255, table[np.minimum(out, len(table) - 1)]).astype("u1")
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": out.shape[0], "width": out.shape[1], "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(path, "w", **profile, crs="EPSG:3035", transform=from_origin(left, top, pixel, pixel)) as file:
        file.write(out, 1)
    return path


def write_shapes(path: Path, codes: np.ndarray, wanted: int) -> Path:
    """Outlines of a class in degrees."""
    turn = Transformer.from_crs("EPSG:32632", "OGC:CRS84", always_xy=True)
    features = []
    for shape, _ in shapes((codes == wanted).astype("u1"), codes == wanted, transform=from_origin(LEFT, TOP, 5, 5)):
        ring = shapely.transform(shapely.geometry.shape(shape), turn.transform, interleaved=False)
        features.append({"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(ring))})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def small_production(folder: Path, more: str = "", references: bool = True) -> Path:
    """Write scenes, references, truth, polygons and a production file; nothing is run."""
    codes = classes_of_the_site()
    granules = [
        Granule("S2A_32TPS_20210612_0_L2A", "2021-06-12T10:10:30Z", left=LEFT, top=TOP, size=SIZE, bands=scene(codes, 1, True)),
        Granule("S2A_32TPS_20210712_0_L2A", "2021-07-12T10:10:30Z", left=LEFT, top=TOP, size=SIZE, bands=scene(codes, 2, False)),
    ]
    (folder / "scenes").mkdir(parents=True)
    items = write_granules(folder / "scenes", *granules)
    write_laea(folder / "reference/clcplus.tif", codes, 10, CLCPLUS)
    write_shapes(folder / "reference/footprints.geojson", codes, 2)
    write_laea(folder / "truth/truth_landcover.tif", codes, 5)
    write_polygons(folder / "training/polygons.geojson", folder / "truth/truth_landcover.tif")
    named = 'clcplus = "reference/clcplus.tif"\nfootprints = ["reference/footprints.geojson"]\n' if references else ""
    file = folder / "production.toml"
    file.write_text(
        f'product = "landcover"\ntiles = ["{TILE}"]\nstore = "store"\n[periods]\nspan = "2021-06"\n[area]\nbbox = {list(BBOX)}\n'
        f'[scenes]\ncatalogue = "{items}"\n[engine]\nworkers = 2\n[references]\n{named}'
        '[parameters.sharpening]\nmethod = "regression"\n'
        '[parameters.unet]\nfeatures = "urban15"\nbase_filters = 6\ndepth = 2\ncrop = 32\nmembers = 1\n'
        f"epochs = 5\nsteps_per_epoch = 50\nbatch = 4\nsplit_block = 32\nlearning_rate = 0.02\n{more}"
    )
    return file


def write_polygons(path: Path, truth: Path, each: int = 3) -> Path:
    """Squares of 15 m inside of the classes, in EPSG:3035."""
    with rasterio.open(truth) as file:
        codes = file.read(1)
    rng, features = np.random.default_rng(7), []
    for code, name in enumerate(CLASS_NAMES, 1):
        inside = np.argwhere(cv2.erode((codes == code).astype("u1"), np.ones((5, 5)), borderValue=0))
        for y, x in rng.permutation(inside)[:each].tolist():
            left, top = BBOX[0] + 5 * (x - 1), BBOX[3] - 5 * (y - 1)
            square = shapely.box(left, top - 15, left + 15, top)
            geometry = json.loads(shapely.to_geojson(square))
            features.append({"type": "Feature", "properties": {"class": name.title()}, "geometry": geometry})
    path.parent.mkdir(parents=True, exist_ok=True)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path
