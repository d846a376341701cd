"""Reference rasters on the tile's grid, resampled from full resolution: earlier productions and CLCplus (ATBD 4.1.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer, family_of
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.families import family
from imperv.tasks.family import ReferenceRaster
from imperv.tasks.family.costs import REFERENCE_NS, by_block
from imperv.tasks.family.findings import Remark, doubtful, fine
from imperv.tasks.family.task import Task
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.projections import moved
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.scenes.access import PASSING, environment, is_remote
from imperv.tasks.scenes.reading import data_bands, extent, open_full_resolution, read_valid, warp
from imperv.tasks.settings.surroundings import foreign_data

SEA_BUFFER = 253
"""CLC+ code of the sea along the coast: outside, but not missing; codes beyond it are missing."""


@dataclass(frozen=True)
class RasterReader:
    """Reads blocks of a reference raster on a tile's grid; may travel to another process."""

    path: str
    symbol: str
    grid: GeoBox
    about: ReferenceRaster
    direct: bool
    """True where the raster's own pixels are those of the grid."""

    @classmethod
    def of(cls, job: Job, symbol: str, source: rasterio.DatasetReader, path: str) -> RasterReader:
        """How an opened raster that passed `check_reference` is read."""
        same_crs = CRS.from_user_input(source.crs) == CRS("EPSG:3035")
        size = CATALOGUE[symbol].resolution
        offset = [v / size - round(v / size) for v in (source.transform.c, source.transform.f)]
        north_up = source.transform.b == source.transform.d == 0 and source.transform.e < 0
        direct = same_crs and north_up and source.res == (size, size) and max(map(abs, offset)) < 1e-3
        return cls(path, symbol, job.grid_of(CATALOGUE[symbol]), about_reference(symbol), direct)

    @property
    def resampling(self) -> Resampling:
        """Where the raster's grid is another."""
        return Resampling[self.about.resampling]

    def __call__(self, block: Block) -> np.ndarray:
        """(y, x) uint8 pixels of a block of the grid."""
        here = block.geobox(self.grid)
        nodata = int(CATALOGUE[self.symbol].nodata)
        with environment(path=self.path), open_full_resolution(self.path) as source:
            # A tag on a code that means something, such as 0, is a mistake of its writer.
            tag = None if source.nodata is None or source.nodata in CATALOGUE[self.symbol].codes else int(source.nodata)
            outside = [code for code in (tag, *self.about.outside) if code is not None]
            if self.direct:
                column, row = ~source.transform * (here.affine.c, here.affine.f)
                window = rasterio.windows.Window(round(column), round(row), here.shape.x, here.shape.y)
                array = read_valid(source, window, nodata, outside, boundless=True)
            elif self.resampling is Resampling.nearest:
                array = warp(source, here, self.resampling, nodata if tag is None else tag)
                array[array == (nodata if tag is None else tag)] = nodata
            else:
                array = warp(source, here, self.resampling, nodata, outside)
        array[np.isin(array, self.about.outside)] = nodata
        return np.asarray(array)


@dataclass(frozen=True)
class _RasterBlock:
    """One block of a reference raster."""

    read: RasterReader
    out: zarr.Array

    def __call__(self, block: Block) -> BlockReport:
        array = self.read(block)
        self.out[block.slices] = array
        return report({self.read.symbol: array}, CATALOGUE[self.read.symbol])


def about_reference(symbol: str) -> ReferenceRaster:
    """What the family says of a reference raster."""
    return family(family_of(symbol)).references[symbol]


def make_reference(job: Job, layer: Layer) -> Made:
    """Put a reference raster on the tile's 10 m grid; InputError if it cannot serve, holds unknown codes or lies elsewhere."""
    grid, warnings, key = job.grid_of(layer), [], f"references.{about_reference(layer.symbol).key}"
    path, opened = open_reference(job, layer.symbol)
    with opened as source:
        share = check_reference(job, layer.symbol, source, path)
        read = RasterReader.of(job, layer.symbol, source, path)
        if not read.direct:
            warnings.append(
                f"{path}: not on the {layer.resolution:g} m EEA grid "
                f"({CRS.from_user_input(source.crs).to_string()}, {source.res[0]:g} m): "
                f"resampled ({read.resampling.name}) from full resolution"
            )
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        array = out[layer.variables[0].name]
        work = _RasterBlock(read, array)
        size = 1000 * 1000 * 4
        try:
            reports = job.engine.map(work, job.blocks_of(layer), size, layer.symbol)
        except (RasterioIOError, RasterioError) as error:
            raise InputError(f"{key}: {path} cannot be read ({_first_line(error)})") from None
        present = np.nonzero(np.sum([r.counts[layer.symbol] for r in reports], axis=0))[0]
        if wrong := [int(c) for c in present if c not in layer.codes]:
            raise InputError(
                f"{key}: {path} holds the codes {wrong[:8]}, which {layer.symbol} does not have; name the right file or recode it"
            )
        if present.tolist() == [255]:
            raise InputError(f"{key}: {path} holds no data inside tile {job.tile}; name a file that covers it")
    digest, statistics = summarise(layer, reports)
    if share < 1:
        warnings.append(partly_covered(path, share))
    return Made(digest, {**statistics, "source": path, "covered": share}, tuple(warnings))


def partly_covered(path: str, share: float) -> str:
    """What to say of a reference that ends inside the area."""
    return f"{path} covers {100 * share:.0f} % of the area; the rest has no data"


def reference_path(job: Job, symbol: str) -> str:
    """Path of a reference raster; InputError if the production names none."""
    key = about_reference(symbol).key
    text = getattr(job.production.references, key)
    if not text:
        raise InputError(f"references.{key}: is missing; {symbol} of tile {job.tile} needs it")
    return job.path(text)


def open_reference(job: Job, symbol: str) -> tuple[str, rasterio.DatasetReader]:
    """Path of a reference raster, and the raster opened; WorkError if its server does not answer."""
    key, path = about_reference(symbol).key, reference_path(job, symbol)
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise InputError(f"references.{key}: {path} does not exist; correct the path")
    try:
        return path, open_full_resolution(path)
    except (RasterioIOError, RasterioError) as error:
        if is_remote(path) and PASSING.search(str(error)):
            raise WorkError(f"references.{key}: {path} cannot be had now ({_first_line(error)}); run again later") from None
        raise InputError(f"references.{key}: {path} cannot be opened ({_first_line(error)}); name a readable raster") from None


def check_reference(job: Job, symbol: str, source: rasterio.DatasetReader, path: str) -> float:
    """Share of the area that a reference raster's extent covers; InputError, with the remedy, if it cannot serve."""
    start = f"references.{about_reference(symbol).key}: {path}"
    share = covered_share(job, symbol, source, path)
    if data_bands(source) != 1 or source.dtypes[0] != "uint8":
        raise InputError(f"{start} has {data_bands(source)} band(s) of {source.dtypes[0]}; one band of uint8 is needed")
    if share == 0:
        raise InputError(
            f"{start} does not cover tile {job.tile}: it lies at {[round(v) for v in _bounds_of(source)]}, "
            f"the area is {[round(v) for v in job.bounds]}; name a file that covers it"
        )
    return share


def covered_share(job: Job, symbol: str, source: rasterio.DatasetReader, path: str) -> float:
    """Share of the area that the extent of a raster covers; InputError if its place is not known."""
    start = f"references.{about_reference(symbol).key}: {path}"
    if source.crs is None:
        raise InputError(f"{start} has no coordinate reference system; assign one")
    try:
        left, bottom, right, top = _bounds_of(source)
    except Exception as error:
        raise InputError(f"{start}: its coordinates cannot be brought to EPSG:3035 ({error}){foreign_data()}") from None
    area = job.bounds
    # Negated, so that infinite bounds touch nothing.
    if not (left < area[2] and right > area[0] and bottom < area[3] and top > area[1]):
        return 0.0
    width = min(right, area[2]) - max(left, area[0])
    height = min(top, area[3]) - max(bottom, area[1])
    return min(1.0, width * height / ((area[2] - area[0]) * (area[3] - area[1])))


def _bounds_of(source: rasterio.DatasetReader) -> tuple[float, float, float, float]:
    """Extent of a raster in EPSG:3035."""
    return moved(extent(source), source.crs.to_wkt(), "EPSG:3035")


def _first_line(error: BaseException) -> str:
    return str(error.__cause__ or error).splitlines()[0]


def reference_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The file that a reference is read from; refused where it cannot be opened."""
    open_reference(job, layer.symbol)[1].close()
    return {"files": fingerprint(job, reference_path(job, layer.symbol))}


def preflight_reference(job: Job, symbol: str) -> None:
    """Refuse a reference raster that cannot serve."""
    path, source = open_reference(job, symbol)
    with source:
        check_reference(job, symbol, source, path)


def look_at_reference(job: Job, symbol: str) -> Iterator[Remark]:
    """What `imperv config check` says of a reference raster."""
    key = f"{job.tile}: references.{about_reference(symbol).key}"
    path, source = open_reference(job, symbol)
    with source:
        share = check_reference(job, symbol, source, path)
        yield fine(f"{key}: {path}, {source.width} x {source.height} px, {source.crs.to_string()}")
        if share < 1:
            yield doubtful(f"{key}: {partly_covered(path, share)}")


def reference_task() -> Task:
    """The task of a layer that is one raster of the production file (`Family.references`)."""
    return Task(
        make_reference, reference_external, preflight=preflight_reference, look=look_at_reference, cost=by_block(REFERENCE_NS)
    )
