"""Batches of shapes, and the bytes of files that they come from, wherever those lie."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import shapely

from tasks.errors import InputError

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top)."""

CHUNK = 8 * 2**20
"""Bytes of text at once."""


@dataclass
class Batch:
    """Some shapes of a file."""

    shapes: np.ndarray
    """(n,) shapely geometries in the file's reference system."""
    mended: np.ndarray
    """(n,) bool: rings that were not closed."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What has no shape, by reason."""


def parsed(texts: np.ndarray, parse: Callable[..., np.ndarray]) -> Batch:
    """Shapes from well-known text or binary; rings that are not closed are.

    Parameters
    ----------
    texts : (n,) array of str, bytes or None
        One a shape.
    parse : callable
        `shapely.from_wkt` or `shapely.from_wkb`.
    """
    import pandas as pd

    missing = pd.isna(texts)
    with np.errstate(invalid="ignore"):
        shapes = parse(texts, on_invalid="ignore")
        lost = shapely.is_missing(shapes) & ~missing
        if lost.any():
            shapes[lost] = parse(texts[lost], on_invalid="fix")
    gone = shapely.is_missing(shapes)
    dropped = Counter({"no geometry": int(missing.sum()), "unreadable": int((lost & gone).sum())})
    return Batch(shapes[~gone], lost[~gone], dropped)


def fsspec_name(path: str) -> str:
    """The name under which fsspec knows a file of GDAL's virtual file systems.

    Raises
    ------
    InputError
        If there is none, as inside of archives.
    """
    if path.startswith("/vsis3/"):
        return f"s3://{path.removeprefix('/vsis3/')}"
    if path.startswith("/vsicurl/"):
        return path.removeprefix("/vsicurl/")
    if path.startswith("/vsi"):
        raise InputError(f"{path}: text and Parquet are not read from {path.split('/')[1]}; unpack it, or give its address")
    return path


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
        if path.lower().endswith(".gz"):
            with gzip.open(file) as plain:
                yield plain
        elif path.lower().endswith(".zst"):
            with pa.CompressedInputStream(pa.PythonFile(file), "zstd") as stream, io.BufferedReader(stream, CHUNK) as plain:
                yield plain
        else:
            yield file
