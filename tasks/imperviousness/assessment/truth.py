"""Truth rasters for the evaluation of maps: finding files, and reading them on a tile's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from imperv.tasks.errors import InputError
from imperv.tasks.scenes.reading import open_full_resolution, warp

DENSITIES, MASKS = ("imd", "ibud"), ("ibu",)
KEYS = tuple(f"{stem}_{year}" for stem in (*DENSITIES, *MASKS) for year in ("then", "now"))
"""imd: sealed share in percent; ibud: built-up share in percent; ibu: 1 built-up, 0 not."""

OUTSIDE = 255
"""No truth."""


@dataclass(frozen=True)
class Truth:
    """Truth rasters by key."""

    files: Mapping[str, str]
    """Path of each raster; keys as `KEYS`."""

    @classmethod
    def find(cls, folder: Path | None, others: Sequence[str] = ()) -> Truth:
        """The rasters of a folder, ``truth_KEY.tif``, and those named as ``KEY=FILE``, which take precedence.

        Keys are ``imd``, ``ibu`` or ``ibud`` with ``_then`` or ``_now``. InputError if there is none, a key is unknown, or a file
        is missing or no raster.
        """
        files = {}
        if folder is not None:
            if not folder.is_dir():
                raise InputError(f"--truth: {folder} is no folder; name the one with truth_imd_now.tif or truth_ibu_now.tif")
            files = {key: str(folder / f"truth_{key}.tif") for key in KEYS if (folder / f"truth_{key}.tif").exists()}
        for text in others:
            key, _, path = text.partition("=")
            if key not in KEYS or not path:
                raise InputError(f"--truth-raster: {text!r}: write KEY=FILE, with a key of {', '.join(KEYS)}")
            files[key] = path
        if not files:
            names = ", ".join(f"truth_{key}.tif" for key in KEYS)
            raise InputError(f"--truth: {folder or 'nothing'} holds no truth raster; name a folder with any of {names}")
        for path in files.values():
            _open(path).close()
        return cls(files)

    def read(self, key: str, grid: GeoBox) -> np.ndarray | None:
        """A truth raster on a grid, (y, x) uint8: percent, or 0 and 1 for ``ibu``; 255 outside; None where there is none.

        ``ibu`` follows from ``ibud`` at 10 percent where it has no raster of its own. InputError if it holds other values.
        """
        if key not in self.files:
            share = self.read(f"ibud_{key[4:]}", grid) if key.startswith("ibu_") else None
            return None if share is None else np.where(share == OUTSIDE, OUTSIDE, share >= 10).astype("u1")
        path = self.files[key]
        with _open(path) as source:
            if source.dtypes[0] != "uint8":
                raise InputError(f"{path}: is of type {source.dtypes[0]}; {key} must be whole numbers as uint8, 255 outside")
            highest = 1 if key.startswith("ibu_") else 100
            # A no-data tag on a valid value, such as 0, is a mistake of the writer.
            tag = OUTSIDE if source.nodata is None or source.nodata <= highest else int(source.nodata)
            array = warp(source, grid, Resampling.nearest, tag)
        array[(array == tag) | (array >= 254)] = OUTSIDE
        if (wrong := array[(array > highest) & (array != OUTSIDE)]).size:
            raise InputError(f"{path}: holds {int(wrong[0])}; {key} must be 0 to {highest}, 254 and 255 outside")
        return array


def _open(path: str):  # type: ignore[no-untyped-def]
    try:
        return open_full_resolution(path)
    except RasterioError:
        raise InputError(f"{path}: cannot be read as a raster; correct the name of the truth") from None
