"""What the files of scenes say before a pixel of them is used: where they lie, and whether they can be read at all."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rasterio
from rasterio.windows import Window

from grids import CRS
from tasks.looks import Bounds
from tasks.scenes import SCL, Scene

MARGIN = 100
"""Metres around a raster within which it is looked at, for the curvature of its edges in another reference system."""


def bounds_of(scenes: Iterable[Scene], workers: int) -> dict[str, Bounds]:
    """(left, bottom, right, top) of scenes in EPSG:3035, by id; those that cannot be told are left out.

    Reads the header of one file a scene.
    """

    def look(scene: Scene) -> Bounds | None:
        try:
            with rasterio.open(scene.bands[SCL]) as source:
                box = rasterio.warp.transform_bounds(source.crs, str(CRS), *source.bounds)
        except (rasterio.errors.RasterioError, OSError):
            return None  # reading it will tell
        return box[0] - MARGIN, box[1] - MARGIN, box[2] + MARGIN, box[3] + MARGIN

    scenes = list(scenes)
    with ThreadPoolExecutor(workers) as pool:
        found = zip(scenes, pool.map(look, scenes), strict=True)
        return {scene.id: box for scene, box in found if box}


def unreadable(scenes: Iterable[Scene], workers: int, whole: bool = False) -> dict[str, str]:
    """Scenes with a local file whose header or last pixel cannot be read, or with `whole` any pixel."""

    def trouble(scene: Scene) -> str:
        for path in scene.bands.values():
            if "://" in path or path.startswith("/vsi"):
                continue
            if not Path(path).is_file():
                return f"{path} does not exist"
            try:
                with rasterio.open(path) as source:
                    if whole:
                        for _, window in source.block_windows(1):
                            source.read(1, window=window)
                    else:
                        source.read(1, window=Window(source.width - 1, source.height - 1, 1, 1))
            except (rasterio.errors.RasterioError, OSError) as error:
                return f"{path} cannot be read ({str(error.__cause__ or error).splitlines()[0]})"
        return ""

    scenes = list(scenes)
    with ThreadPoolExecutor(workers) as pool:
        found = zip(scenes, pool.map(trouble, scenes), strict=True)
        return {scene.id: why for scene, why in found if why}
