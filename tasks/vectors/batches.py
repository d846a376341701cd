"""Batches of shapes, and the bytes of files that they come from, wherever those lie."""

from __future__ import annotations

import contextlib
import gzip
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import shapely

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.vectors.tags import known, of_columns

CHUNK = 8 * 2**20
"""Bytes of text at once."""

POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7
"""Types of shapely."""


@dataclass
class Batch:
    """Some shapes of a file."""

    shapes: np.ndarray
    """(n,) shapely geometries in the file's reference system."""
    mended: np.ndarray
    """(n,) bool: rings that were not closed."""
    unbuilt: np.ndarray
    """(n,) uint8: 0 for buildings, else why they are none (`tasks.vectors.tags`)."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Features without a shape, by reason."""


def parsed(texts: np.ndarray, parse: Callable[..., np.ndarray], unbuilt: np.ndarray | None = None) -> Batch:
    """Shapes from well-known text or binary, (n,), by `parse`, with rings closed; `unbuilt` is what is known of each."""
    import pandas as pd

    missing = pd.isna(texts)
    curved = np.zeros(len(texts), bool)
    with np.errstate(invalid="ignore"):
        try:
            shapes = parse(texts, on_invalid="ignore")
        except NotImplementedError:  # a single curve among thousands is enough
            curved = np.array([_is_curved(text, parse) for text in texts], bool)
            shapes = np.full(len(texts), None, object)
            shapes[~curved] = parse(texts[~curved], on_invalid="ignore")
            shapes[curved] = straightened(texts[curved])
        lost = shapely.is_missing(shapes) & ~missing & ~curved
        if lost.any():
            shapes[lost] = parse(texts[lost], on_invalid="fix")
    within = shapely.get_type_id(shapes) == COLLECTION
    within[within] = [_holds_curves(shape) for shape in shapes[within]]
    shapes[within] = None
    gone = shapely.is_missing(shapes)
    dropped = Counter(
        {
            "no geometry": int(missing.sum()),
            "unreadable": int((lost & gone).sum()),
            "with curves that cannot be read": int((gone & (curved | within)).sum()),
        }
    )
    codes = np.zeros(len(texts), np.uint8) if unbuilt is None else unbuilt
    return Batch(shapes[~gone], lost[~gone], codes[~gone], dropped)


def _is_curved(text: object, parse: Callable[..., Any]) -> bool:
    try:
        parse(text, on_invalid="ignore")
    except NotImplementedError:
        return True
    return False


def _holds_curves(shape: shapely.Geometry) -> bool:
    """True for a collection that GEOS has read with curves in it, of which it can reckon nothing."""
    try:
        shapely.is_valid(shape)
    except shapely.errors.GEOSException:
        return True
    return False


def straightened(texts: np.ndarray) -> np.ndarray:
    """Shapes with curves, (n,) well-known binary, as polygons and lines by GDAL: 90 lines around a circle; None where it fails.

    GEOS, and so shapely, computes no areas of curves, and pyogrio hands them on as they are where it reads by Arrow. Text is left
    out.
    """
    from pyogrio.raw import read, write_arrow

    if not all(isinstance(text, bytes) for text in texts):
        return np.full(len(texts), None, object)
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")
            write_arrow(
                pa.table({"shape": pa.array(texts, pa.binary())}), file, driver="FlatGeobuf", geometry_name="shape",
                geometry_type="Unknown", layer_options={"SPATIAL_INDEX": "NO"},
            )  # fmt: skip
            lines = read(file.getvalue(), columns=[])[2]
    except RuntimeError:  # one of them is damaged
        if len(texts) == 1:
            return np.full(1, None, object)
        return np.concatenate([straightened(half) for half in np.array_split(texts, 2)])
    return np.asarray(shapely.from_wkb(lines, on_invalid="ignore"), object)


def objects(column: pa.Array) -> np.ndarray:
    """Values of a column of well-known binary, (n,) object array."""
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    return np.asarray(storage.to_numpy(zero_copy_only=False), dtype=object)


def read_ogr(
    path: str, layer: str | None, box: Bounds | None, columns: Sequence[str], size: int, where: str | None = None
) -> Iterator[Batch]:
    """Shapes of a layer that touch a box in its reference system, `size` at a time; `columns` are read for their tags."""
    import pyogrio

    with pyogrio.open_arrow(
        path, layer=layer, bbox=box, columns=list(columns), where=where, batch_size=size, use_pyarrow=True
    ) as (about, reader):
        for batch in reader:
            shapes = objects(batch.column(about["geometry_name"] or "wkb_geometry"))
            yield parsed(shapes, shapely.from_wkb, of_columns(batch, known(columns)))


def is_local(path: str) -> bool:
    """True for a file of this machine, False for addresses and GDAL's virtual file systems."""
    return "://" not in path and not path.startswith("/vsi")


def fsspec_name(path: str) -> str:
    """Name for fsspec of a file of GDAL's virtual file systems; InputError if there is none, as inside of archives."""
    if path.startswith("/vsis3/"):
        return f"s3://{path.removeprefix('/vsis3/')}"
    if path.startswith("/vsicurl/"):
        return path.removeprefix("/vsicurl/")
    if path.startswith("/vsi"):
        raise InputError(f"{path}: text and Parquet are not read from {path.split('/')[1]}; unpack it, or give its address")
    return path


def ogr_name(path: str) -> str:
    """The name by which pyogrio opens a file: in local ones it takes exclamation marks and last semicolons for syntax."""
    return f"/vsisubfile/0,{path}" if is_local(path) and ("!" in path or path.endswith(";")) else path


def bare(path: str) -> str:
    """A path or address without the query that a web address may have, such as a signature."""
    return path.partition("?")[0] if path.startswith(("http://", "https://")) else path


@contextlib.contextmanager
def open_bytes(path: str, ahead: int = CHUNK) -> Iterator[Any]:
    """A file to read from, as it is; of a remote one at least `ahead` bytes at once."""
    name = fsspec_name(path)
    with fsspec.open(name, "rb", block_size=ahead) if "://" in name else Path(name).open("rb") as file:
        yield file


@contextlib.contextmanager
def open_text(path: str) -> Iterator[Any]:
    """Bytes of a text file, decompressed as the end of its name says."""
    with open_bytes(path) as file:
        name = bare(path).lower()
        if name.endswith(".gz"):
            with gzip.open(file) as plain:
                yield plain
        elif name.endswith(".zst"):
            with pa.CompressedInputStream(pa.PythonFile(file), "zstd") as stream, io.BufferedReader(stream, CHUNK) as plain:
                yield plain
        else:
            yield file
