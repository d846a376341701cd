"""Shapes of vector files near a window, in batches of bounded size: what OGR reads, GeoParquet, and text (`tasks.vectors.lines`).

Shapes come as they are in the file, in its reference system.
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import shapely
from pyproj import CRS, Transformer

from imperv.grids import Bounds
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.scenes.access import LOCAL, gdal_options, gdal_path, is_remote
from imperv.tasks.vectors.batches import Batch, bare, is_local, objects, ogr_name, open_bytes, parsed, read_ogr
from imperv.tasks.vectors.lines import kind_of_text, read_csv, read_lines
from imperv.tasks.vectors.tags import known, of_columns

BATCH = 20_000
"""Shapes at once."""

AHEAD = 2**16
"""Bytes fetched at least of a remote file that is read in parts."""

REACH = 5000
"""Metres from its first corner, or its middle, that a shape of a text file may reach; others are passed over unparsed."""

LINES = re.compile(r"\.(csv|geojsonl|geojsons|geojsonseq|jsonl|ndjson)(\.gz|\.zst)?$", re.IGNORECASE)
PARQUET = re.compile(r"\.(geo)?parquet$", re.IGNORECASE)
ZIPPED_JSON = re.compile(r"\.(geo)?json\.gz$", re.IGNORECASE)

EDGES = ("xmin", "ymin", "xmax", "ymax")
"""Parts of a box in GeoParquet."""

Kind = Literal["ogr", "parquet", "lines", "csv"]
TROUBLE = (RuntimeError, OSError, ValueError, KeyError, EOFError, zlib.error)
"""Errors of GDAL, Arrow and decompression on a damaged file."""


@dataclass(frozen=True)
class Vectors:
    """A vector file that can be read."""

    path: str
    kind: Kind
    crs: str
    layer: str | None = None
    tags: tuple[str, ...] = ()
    """Columns that mark what is no building."""


def open_vectors(path: str) -> Vectors:
    """How a file, URL or name of GDAL's virtual file systems is read, from little of it.

    ``|layername=`` at the end names one of several layers. InputError if it is missing, no vector file, has several layers of
    polygons, or no coordinate reference system.
    """
    import pyogrio

    path, _, name = path.partition("|layername=")
    if is_local(path) and not Path(path).exists():
        raise InputError(f"{path} does not exist; correct the path")
    with _readable(path):
        if LINES.search(bare(path)):
            return Vectors(path, kind_of_text(path), "OGC:CRS84")
        if PARQUET.search(bare(path)):
            about, names = _geo_metadata(path)
            column = about["columns"][about["primary_column"]]
            if column["encoding"].upper() != "WKB":
                raise InputError(f"{path}: its shapes are encoded as {column['encoding']}; write it with the encoding WKB")
            # Without the key they are degrees, by the format; an empty one says that they are not known.
            crs = column.get("crs", "OGC:CRS84")
            wkt = _known(path, json.dumps(crs) if isinstance(crs, dict) else crs)
            return Vectors(path, "parquet", wkt, tags=tuple(known(names)))
        with _gdal_environment(path):
            layer = name or _only_layer(path)
            info = pyogrio.read_info(_ogr_name(path), layer=layer)
            return Vectors(path, "ogr", _known(path, info["crs"]), layer, tuple(known(info["fields"])))


def read_batches(vectors: Vectors, bounds: Bounds | None, least_confidence: float = 0) -> Iterator[Batch]:
    """Shapes that may touch a window of EPSG:3035 (None: all), and some beside it; CSV rows of less confidence are left out."""
    reach = 0 if vectors.kind in ("ogr", "parquet") else REACH
    box = None if bounds is None else box_in(vectors, widened(bounds, reach))
    readers: dict[Kind, Callable[[], Iterator[Batch]]] = {
        "ogr": lambda: read_ogr(_ogr_name(vectors.path), vectors.layer, box, vectors.tags, BATCH),
        "parquet": lambda: _read_parquet(vectors, box),
        "lines": lambda: read_lines(vectors.path, box),
        "csv": lambda: read_csv(vectors.path, box, least_confidence),
    }
    batches = readers[vectors.kind]()
    while True:
        with _readable(vectors.path), _gdal_environment(vectors.path), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Non closed ring")  # they are mended and counted
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def widened(bounds: Bounds, reach: float) -> Bounds:
    """Bounds with a margin."""
    return bounds[0] - reach, bounds[1] - reach, bounds[2] + reach, bounds[3] + reach


def box_in(vectors: Vectors, bounds: Bounds) -> Bounds:
    """Box of a window of EPSG:3035 in the file's reference system; InputError if there is none."""
    try:
        to_file = Transformer.from_crs("EPSG:3035", vectors.crs, always_xy=True)
        box = to_file.transform_bounds(*bounds, densify_pts=21)
    except RuntimeError as error:
        raise InputError(f"{vectors.path}: its reference system cannot be reached from EPSG:3035 ({error})") from None
    if not np.isfinite(box).all():
        raise InputError(f"{vectors.path}: its reference system ({CRS(vectors.crs).name}) does not reach the area; correct it")
    return box


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (ImpervError, MemoryError):
        raise
    except Exception as error:
        if not isinstance(error, TROUBLE) and "://" not in path:  # every protocol has its own
            raise
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}); name a vector file") from None


def _known(path: str, crs: object) -> str:
    if not crs:
        raise InputError(f"{path} has no coordinate reference system; assign one")
    return CRS.from_user_input(crs).to_wkt()


# OGR ------------------------------------------------------------------------------------------------------------


def _ogr_name(path: str) -> str:
    name = ogr_name(gdal_path(path))
    return f"/vsigzip/{name}" if ZIPPED_JSON.search(bare(path)) and not name.startswith("/vsigzip/") else name


@contextlib.contextmanager
def _gdal_environment(path: str) -> Iterator[None]:
    """Patience with servers: pyogrio has a GDAL of its own, which rasterio's environment does not reach."""
    import pyogrio

    options = gdal_options(LOCAL) if is_remote(path) or path.startswith("/vsi") else {}
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(options)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _only_layer(path: str) -> str | None:
    import pyogrio

    layers = pyogrio.list_layers(_ogr_name(path))
    areas = [str(name) for name, kind in layers if kind and ("Polygon" in kind or kind.startswith(("Unknown", "Geometry")))]
    if not any(kind for _, kind in layers):
        raise InputError(f"{path} has no shapes; name a vector file")
    if len(areas) > 1:
        raise InputError(f"{path} has several layers of polygons ({', '.join(areas[:8])}); append |layername= and one of them")
    return areas[0] if areas else None


# GeoParquet -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_parquet(path: str) -> Iterator[pa.parquet.ParquetFile]:
    with open_bytes(path, AHEAD) as file, pa.parquet.ParquetFile(file) as parquet:
        yield parquet


def _geo_metadata(path: str) -> tuple[dict[str, Any], list[str]]:
    """The file's 'geo' metadata, and the names of its columns."""
    with _open_parquet(path) as file:
        about, names = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}")), file.schema_arrow.names
    if "primary_column" not in about:
        raise InputError(f"{path} is no GeoParquet (it has no 'geo' metadata); name a vector file")
    return about, names


def _read_parquet(vectors: Vectors, box: Bounds | None) -> Iterator[Batch]:
    about, _ = _geo_metadata(vectors.path)
    column = about["columns"][about["primary_column"]]
    covering = column.get("covering", {}).get("bbox") if box else None
    if box and len(whole := column.get("bbox", ())) in (4, 6):
        half = len(whole) // 2
        if _beside(np.array([[whole[0]], [whole[1]], [whole[half]], [whole[half + 1]]], float), box)[0]:
            return
    with _open_parquet(vectors.path) as file:
        groups, wanted = list(range(file.metadata.num_row_groups)), [about["primary_column"], *vectors.tags]
        if covering and box:
            groups = [k for k in groups if _group_meets(file, k, covering, box, trusted="://" in vectors.path)]
            wanted += [".".join(name) for name in covering.values()]
        for batch in file.iter_batches(BATCH, row_groups=groups, columns=list(dict.fromkeys(wanted))):
            if covering and box:
                batch = batch.filter(pa.array(~_beside(_edges(batch, covering), box)))
            yield parsed(objects(batch.column(about["primary_column"])), shapely.from_wkb, of_columns(batch, vectors.tags))


def _beside(edges: np.ndarray, box: Bounds) -> np.ndarray:
    """True where boxes, (4, n), lie elsewhere; never for boxes not finite or across the antimeridian, which say nothing."""
    west, south, east, north = edges
    known = np.isfinite(edges).all(axis=0) & (west <= east) & (south <= north)
    return known & ((west > box[2]) | (east < box[0]) | (south > box[3]) | (north < box[1]))


def _edges(batch: pa.RecordBatch, covering: dict[str, list[str]]) -> np.ndarray:
    """Boxes of rows: west, south, east and north, (4, n)."""
    return np.array([_nested(batch, covering[name]) for name in EDGES])


def _nested(batch: pa.RecordBatch, name: list[str]) -> np.ndarray:
    column = batch.column(name[0])
    for part in name[1:]:
        column = column.field(part)
    return np.asarray(column.to_numpy(zero_copy_only=False), float)


def _group_meets(file: pa.parquet.ParquetFile, number: int, covering: dict[str, list[str]], box: Bounds, trusted: bool) -> bool:
    """True where a shape of a row group may touch a window.

    Statistics pass over NaN, so the boxes themselves are read; not those of a remote file (`trusted`), where reading them would
    cost most of what they save.
    """
    group, names = file.metadata.row_group(number), [".".join(covering[name]) for name in EDGES]
    found = {c.path_in_schema: c.statistics for c in (group.column(k) for k in range(group.num_columns))}
    edges = [(s.min, s.max) for s in (found.get(name) for name in names) if s is not None and s.has_min_max]
    if len(edges) < len(EDGES) or not _beside(np.array([[e[k // 2]] for k, e in enumerate(edges)], float), box)[0]:
        return True
    if trusted:
        return False
    batches = file.iter_batches(row_groups=[number], columns=names)
    return any(not _beside(_edges(batch, covering), box).all() for batch in batches)
