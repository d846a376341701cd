"""One tile of one production: the grids, places, records and blocks that every task works with."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import CRS, Block, Tile, block_grid, spec_of, utm_geobox, window_geobox
from imperv.layers.catalogue import CATALOGUE, Layer, Variable, family_of
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import Place, Store

COARSEST = 100
"""Resolution of the grid that bounds are read from, metres."""

PIECE = 2**16
"""Pixels counted at once."""


@dataclass(frozen=True)
class Job:
    """A tile of a production."""

    production: Production
    store: Store
    tile: Tile
    engine: Engine

    @classmethod
    def of(cls, production: Production, tile: str, progress: Callable[[int, int], None] | None = None) -> Job:
        """The job of a tile.

        Raises
        ------
        InputError
            If the tile is unknown or the area does not touch it.
        """
        try:
            known = Tile(tile)
            window_geobox(known, COARSEST, production.window(known))
        except ValueError as error:
            raise InputError(str(error)) from None
        return cls(production, store_of(production), known, Engine(production.engine, progress))

    def neighbour(self, tile: Tile) -> Job:
        """The same production for another tile."""
        return Job(self.production, self.store, tile, self.engine)

    def path(self, text: str) -> str:
        """A path or URL of the production file, with the tile's name for ``{tile}`` in it."""
        return self.production.path(text.replace("{tile}", str(self.tile)))

    def area_neighbours(self) -> list[Job]:
        """The same production for the neighbouring tiles that its area reaches."""
        found = []
        for tile in self.tile.neighbours():
            try:
                window_geobox(tile, COARSEST, self.production.window(tile))
            except ValueError:
                continue
            found.append(self.neighbour(tile))
        return found

    @property
    def family(self) -> str:
        """The product that is made: name of its family of layers."""
        return self.production.product

    @property
    def report_path(self) -> str:
        """Report of the tile, relative to the store."""
        return f"{self.store.runs}/{self.tile}.report.html"

    def grid(self, resolution: float) -> GeoBox:
        """Pixel grid of the tile, or of the window of it, in EPSG:3035."""
        return window_geobox(self.tile, resolution, self.production.window(self.tile))

    def grid_of(self, layer: Layer) -> GeoBox:
        """Pixel grid of a layer: EPSG:3035, or native UTM around it, in the zone of its centre."""
        if layer.grid == "eea":
            return self.grid(layer.resolution)
        return utm_geobox(self.bounds, CRS, layer.resolution)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in EPSG:3035."""
        box = self.grid(COARSEST).boundingbox
        return box.left, box.bottom, box.right, box.top

    @property
    def windowed(self) -> bool:
        """True where only a part of the tile is worked on."""
        return self.bounds != tuple(map(float, self.tile.bounds))

    def global_index(self) -> tuple[int, int]:
        """(row, column) of the first 10 m pixel on the EEA grid, counted from the origin of EPSG:3035 to the south-east."""
        left, _, _, top = self.bounds
        return -round(top / 10), round(left / 10)

    def period(self, layer: Layer) -> tuple[Period, Period]:
        """First and last period that a layer describes."""
        return self._periods("of", layer)

    def _periods(self, what: str, layer: Layer) -> Any:
        try:
            return getattr(self.production.periods, what)(layer.role)
        except ValueError as error:
            raise InputError(f"{layer.symbol} of product {family_of(layer.symbol)}: {error}; it cannot be read here") from None

    def place(self, symbol: str) -> Place:
        """Where a layer is kept."""
        layer = CATALOGUE[symbol]
        return self.store.place(layer, self.tile, "" if layer.model_file else self._periods("label", layer))

    def record(self, symbol: str) -> Record | None:
        """The layer's record, if it is done."""
        return self.store.read_record(self.place(symbol).record)

    def usable(self, symbol: str) -> Record | None:
        """The layer's record if other tiles can use it: made, for the present area, and with its data in place."""
        record = self.record(symbol)
        if record is None or not record.made or tuple(record.bbox) != self.bounds:
            return None
        return record if self.store.data_in_place(record) else None

    def group(self, symbol: str) -> Any:
        """Stored arrays of a layer."""
        return self.store.group(self.place(symbol).data)

    def array(self, symbol: str) -> Any:
        """The only array of a layer, or its first."""
        group = self.group(symbol)
        return group[CATALOGUE[symbol].variables[0].name]

    def blocks(self, resolution: float) -> list[Block]:
        """Blocks of work of a layer of that resolution in EPSG:3035."""
        return list(block_grid(self.grid(resolution), spec_of(resolution).block))

    def blocks_of(self, layer: Layer) -> list[Block]:
        """Blocks of work of a layer."""
        return list(block_grid(self.grid_of(layer), spec_of(layer.resolution).block))

    def pick(self, layer: Layer) -> dict[str, Any]:
        """Values of the parameters that a layer depends on."""
        return self.production.parameters.pick(layer.parameters)


def attributes(job: Job, layer: Layer) -> dict[str, str]:
    """Attributes of a layer's arrays."""
    return {"title": layer.description, "symbol": layer.symbol, "tile": str(job.tile), "Conventions": "CF-1.11"}


@dataclass(frozen=True)
class Made:
    """What a task tells about a layer that it has made."""

    digest: str
    statistics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    made: bool = True
    reason: str = ""
    external: Mapping[str, Any] = field(default_factory=dict)
    """What else it was made from, known only now; part of its key."""


@dataclass(frozen=True)
class BlockReport:
    """What a block tells about the pixels that it has written."""

    digest: str
    counts: Mapping[str, Any]


def count_codes(array: np.ndarray) -> np.ndarray:
    """Pixels of each of the 256 codes of a coded array, int64."""
    flat = np.ascontiguousarray(array).reshape(-1)
    # Piece by piece: NumPy counts a copy of eight bytes a pixel, and one that stays in the processor's cache is quicker too.
    pieces = (flat[k : k + PIECE] for k in range(0, flat.size, PIECE))
    return sum((np.bincount(piece, minlength=256) for piece in pieces), np.zeros(256, np.int64))


def without_data(array: np.ndarray, nodata: float) -> np.ndarray:
    """True where an array has no data: its no-data value, which may be NaN."""
    return np.isnan(array) if nodata != nodata else array == nodata


def report(arrays: Mapping[str, np.ndarray], layer: Layer) -> BlockReport:
    """Digest and counts of a block of a layer's arrays: bytes by code, what has data of other integers, range of floats."""
    hasher, variables = hashlib.blake2b(digest_size=16), {v.name: v for v in layer.variables}
    counts: dict[str, Any] = {}
    for name, array in arrays.items():
        hasher.update(np.ascontiguousarray(array).data)
        variable = variables.get(name, layer.variables[0])  # a layer of one array may go by its symbol
        if array.dtype == np.uint8:
            counts[name] = count_codes(array)
            continue
        if layer.codes and variable == layer.variables[0]:
            counts[name] = dict(zip(*(found.tolist() for found in np.unique(array, return_counts=True)), strict=True))
            continue
        valid = ~without_data(array, variable.nodata)
        if array.dtype.kind != "f":
            counts[name] = (array.size, int(valid.sum()))
            continue
        some = array.ravel() if valid.all() else array[valid]
        total = float(some.sum(dtype="f8")) if some.size else 0.0
        low, high = (float(some.min()), float(some.max())) if some.size else (np.inf, -np.inf)
        counts[name] = (array.size, int(valid.sum()), total, low, high)
    return BlockReport(hasher.hexdigest(), counts)


def summarise(layer: Layer, reports: Sequence[BlockReport]) -> tuple[str, dict[str, Any]]:
    """Digest and statistics of a layer from those of its blocks; WorkError if a coded layer holds a wrong code."""
    digest = hashlib.blake2b("".join(r.digest for r in reports).encode(), digest_size=16).hexdigest()
    variables = {v.name: v for v in layer.variables}
    return digest, {
        name: _summary(layer, variables.get(name, layer.variables[0]), [r.counts[name] for r in reports])
        for name in reports[0].counts
    }


def _summary(layer: Layer, variable: Variable, parts: Sequence[Any]) -> dict[str, Any]:
    if isinstance(parts[0], np.ndarray | dict):
        tables = [{c: int(p[c]) for c in np.nonzero(p)[0].tolist()} if isinstance(p, np.ndarray) else p for p in parts]
        histogram = {c: sum(table.get(c, 0) for table in tables) for c in sorted(set().union(*tables))}
        coded = layer.codes if variable == layer.variables[0] else ()
        if coded and (wrong := [c for c in histogram if c not in coded]):
            raise WorkError(f"{layer.symbol}: check failed, it holds the codes {wrong}, which it must not")
        outside = histogram.get(int(variable.nodata), 0) if variable.nodata == variable.nodata else 0
        return {
            "pixels": sum(histogram.values()),
            "outside": outside,
            "histogram": {str(code): count for code, count in histogram.items()},
        }
    size, valid = (int(sum(p[k] for p in parts)) for k in (0, 1))
    found: dict[str, Any] = {"pixels": size, "outside": size - valid}
    if valid and len(parts[0]) == 5:
        found |= {
            "mean": sum(p[2] for p in parts) / valid,
            "minimum": min(p[3] for p in parts),
            "maximum": max(p[4] for p in parts),
        }
    return found


@functools.cache
def software() -> dict[str, str]:
    """Versions that the pixels may depend on."""
    names = (
        "imperv",
        "numpy",
        "numba",
        "scipy",
        "opencv-python-headless",
        "rasterio",
        "pyproj",
        "tensorflow",
        "xgboost-cpu",
        "zarr",
        "dask",
    )
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def utc_now() -> str:
    """Now, ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
