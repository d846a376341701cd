"""Folders of images and their annotations: found, opened, held against each other. What is read block by block is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.patches.ground import Ground
from imperv.layers.reflectance import band_name
from imperv.tasks.errors import InputError

ENDINGS = (".tif", ".tiff")
"""Of images, in any case."""

LABELS = "_labels"
"""What the name of an annotation ends in that lies beside its image."""

SMALLEST = 64
"""Edge of the smallest image, pixels (seed 5.2.1)."""


@dataclass(frozen=True)
class Image:
    """A GeoTIFF with bands of Sentinel-2."""

    path: Path
    bands: tuple[str, ...]
    """Names of the bands that are used."""
    indexes: tuple[int, ...]
    """Their numbers in the file, from 1."""
    grid: GeoBox
    """Pixels; without a reference system where the file has none."""
    dtype: str
    nodata: float | None
    """As the file says."""
    labels: Path | None
    """File of its annotation."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape.y, self.grid.shape.x

    @property
    def counts_zero(self) -> bool:
        """Whether zeros have no data and pixels are whole numbers of at most 16 bits: kept as they are."""
        return self.dtype in ("uint8", "uint16") and self.nodata in (None, 0)

    def ground(self, row: int, column: int, size: int) -> Ground:
        """Where a patch lies."""
        a = self.grid.affine
        if self.grid.crs is None:
            return Ground(self.path.name, (column, -row - size, column + size, -row))
        left, top = a * (column, row)
        right, bottom = a * (column + size, row + size)
        values = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        return Ground(str(self.grid.crs), tuple(round(v, 6) for v in values))  # type: ignore[arg-type]


def wanted_bands(text: str | None) -> tuple[str, ...] | None:
    """Bands of the option --bands in its order; InputError for what is no band, or is there twice."""
    if text is None:
        return None
    names = tuple(band_name(part) for part in text.split(","))
    if wrong := [part.strip() for part, name in zip(text.split(","), names, strict=True) if not name]:
        raise InputError(
            f"--bands: {', '.join(map(repr, wrong))}: bands of Sentinel-2 are B1 to B12 and B8A, separated by commas"
        )
    if len(set(names)) < len(names):
        raise InputError(f"--bands: {text}: a band is named twice")
    return names


def image_files(place: Path) -> list[Path]:
    """GeoTIFFs of a folder by name, without annotations; InputError where there are none."""
    found = sorted(p for p in place.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
    if images := [p for p in found if not p.stem.endswith(LABELS)]:
        return images
    raise InputError(f"{place}: holds no GeoTIFF (.tif)")


def find_images(place: Path, bands: Sequence[str] | None, labels: Path | None = None, labelled: bool = True) -> list[Image]:
    """Images of a folder by name, all with the same bands; with `labelled` those that have an annotation.

    The annotation of ``x.tif`` is ``x_labels.tif`` beside it, or ``x.tif`` in the folder `labels`. InputError, with the file, for
    no image at all, one that is under 64 pixels or without a band, and an annotation that does not fit.
    """
    if not place.is_dir():
        raise InputError(f"{place}: there is no such folder; name one with GeoTIFFs")
    if labels is not None and not labels.is_dir():
        raise InputError(f"--labels: {labels}: there is no such folder")
    found = []
    for path in image_files(place):
        own = (labels / path.name) if labels is not None else path.with_name(f"{path.stem}{LABELS}{path.suffix}")
        if labelled and not own.exists():
            continue
        found.append(open_image(path, bands, own if labelled else None))
    if not found:
        where = f"{labels} holds none of their names" if labels else f"x.tif needs x{LABELS}.tif beside it, or --labels"
        raise InputError(f"{place}: no image has an annotation: {where}")
    for image in found[1:]:
        if image.bands != found[0].bands:
            raise InputError(
                f"{image.path}: has bands {', '.join(image.bands)}, {found[0].path.name} has {', '.join(found[0].bands)}; "
                "choose common ones with --bands"
            )
    return found


def open_image(path: Path, bands: Sequence[str] | None, labels: Path | None = None) -> Image:
    """One image, with its annotation held against it."""
    try:
        with rasterio.open(path) as source:
            names, indexes = _bands(path, source.descriptions, bands)
            shape, crs = (source.height, source.width), source.crs
            grid = GeoBox(shape, source.transform, crs.to_wkt() if crs else None)
            if crs and (epsg := crs.to_epsg()):
                grid = GeoBox(shape, source.transform, f"EPSG:{epsg}")
            image = Image(path, names, indexes, grid, source.dtypes[indexes[0] - 1], source.nodata, labels)
    except (RasterioError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a GeoTIFF ({' '.join(str(error).split())})") from None
    if min(shape) < SMALLEST:
        raise InputError(f"{path}: has {shape[0]} x {shape[1]} pixels; images are {SMALLEST} x {SMALLEST} at least")
    if labels is not None:
        _check_labels(image, labels)
    return image


def _bands(
    path: Path, descriptions: Sequence[str | None], wanted: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and numbers of the bands to use: by the descriptions in the file, or else by their order."""
    named = [band_name(text or "") for text in descriptions]
    count = len(named)
    if not all(named):
        if wanted is None:
            return tuple(f"band {k}" for k in range(1, count + 1)), tuple(range(1, count + 1))
        if len(wanted) != count:
            raise InputError(
                f"{path}: its {count} bands have no names, --bands has {len(wanted)}; name them all in their order, or describe "
                "the bands in the file"
            )
        return tuple(wanted), tuple(range(1, count + 1))
    if missing := [name for name in wanted or () if name not in named]:
        raise InputError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(named)}")
    chosen = tuple(wanted) if wanted is not None else tuple(named)
    return chosen, tuple(named.index(name) + 1 for name in chosen)


def _check_labels(image: Image, path: Path) -> None:
    try:
        with rasterio.open(path) as source:
            shape, dtype, count = (source.height, source.width), source.dtypes[0], source.count
            transform, crs = source.transform, source.crs
    except (RasterioError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a GeoTIFF ({' '.join(str(error).split())})") from None
    if count != 1 or dtype != "uint8":
        raise InputError(f"{path}: has {count} bands of {dtype}; annotations are one band of uint8, 0 where nothing is known")
    if shape != image.shape:
        raise InputError(
            f"{path}: has {shape[0]} x {shape[1]} pixels, its image {image.path.name} {image.shape[0]} x {image.shape[1]}"
        )
    known = image.grid.crs is not None and crs is not None
    step = abs(image.grid.affine.a) or 1.0
    moved = max(abs(a - b) for a, b in zip(transform[:6], image.grid.affine[:6], strict=True)) > 0.01 * step
    if known and (moved or f"EPSG:{crs.to_epsg()}" != str(image.grid.crs) and crs.to_epsg() is not None):
        raise InputError(f"{path}: lies on another grid than its image {image.path.name}; bring it to the image's pixels")


def read_pixels(source: rasterio.DatasetReader, image: Image, window: tuple[int, int, int, int]) -> np.ndarray:
    """Pixels of a window (row, column, rows, columns), (band, y, x) float32; NaN in all bands where one has no data."""
    row, column, rows, columns = window
    values: np.ndarray = source.read(image.indexes, window=Window(column, row, columns, rows)).astype("f4")
    nodata = 0.0 if image.counts_zero else image.nodata
    without = np.isnan(values).any(0)
    if nodata is not None and not np.isnan(nodata):
        without |= (values == np.float32(nodata)).any(0)
    values[:, without] = np.nan
    return values


def read_labels(source: rasterio.DatasetReader, window: tuple[int, int, int, int]) -> np.ndarray:
    """Annotations of a window, (y, x) uint8; 0 where the file has no data."""
    row, column, rows, columns = window
    found: np.ndarray = source.read(1, window=Window(column, row, columns, rows))
    if source.nodata is not None:
        found[found == source.nodata] = 0
    return found
