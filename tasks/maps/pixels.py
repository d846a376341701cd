"""What map tiles are read from: arrays of a store and GeoTIFFs, by windows of pixels. Tiles are drawn in `tasks.maps.tiles`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import rasterio
from rasterio.windows import Window


class Pixels(Protocol):
    """The stored array of a view."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the bands as they are stored; none where nothing says them."""

    def read(self, rows: slice, columns: slice, bands: tuple[int, ...] | None = None) -> np.ndarray:
        """(bands, y, x) of a window; all bands by default."""


@dataclass(frozen=True)
class StoredPixels:
    """An array of the store."""

    array: Any
    names: Any = None
    """Coordinate along the first axis of three."""

    @property
    def shape(self) -> tuple[int, int]:
        """See `Pixels`."""
        rows, columns = self.array.shape[-2:]
        return rows, columns

    @property
    def chunk(self) -> tuple[int, int]:
        """(rows, columns) that are decoded together."""
        rows, columns = self.array.chunks[-2:]
        return rows, columns

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Pixels`."""
        return () if self.names is None else tuple(map(str, self.names[:]))

    def read(self, rows: slice, columns: slice, bands: tuple[int, ...] | None = None) -> np.ndarray:
        """See `Pixels`."""
        if self.array.ndim == 2:
            return np.asarray(self.array[rows, columns])[None]
        if bands is None:
            return np.asarray(self.array[:, rows, columns])
        first, last = min(bands), max(bands) + 1
        if last - first == len(bands):  # one call for neighbours, as red, green and blue are
            return np.asarray(self.array[first:last, rows, columns])[[band - first for band in bands]]
        return np.stack([self.array[band, rows, columns] for band in bands])


@dataclass(frozen=True)
class FilePixels:
    """A GeoTIFF, open in one thread."""

    source: rasterio.DatasetReader

    @property
    def shape(self) -> tuple[int, int]:
        """See `Pixels`."""
        return self.source.shape

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Pixels`."""
        told = self.source.descriptions
        return () if None in told else told

    def read(self, rows: slice, columns: slice, bands: tuple[int, ...] | None = None) -> np.ndarray:
        """See `Pixels`."""
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        return self.source.read(None if bands is None else [band + 1 for band in bands], window=window)
