"""Shapes of text files, in degrees: lines of GeoJSON, and CSV in the form of Google's Open Buildings.

Lines of GeoJSON are Microsoft's form of buildings; their names end with .csv. Files are read chunk by chunk; where a shape lies
is seen before it is parsed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import shapely

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.vectors.batches import CHUNK, Batch, open_text, parsed
from imperv.tasks.vectors.tags import of_texts

TextKind = Literal["lines", "csv"]

LONGEST_LINE = 2**20
"""Bytes of the first line beyond which a file does not consist of lines."""

FIRST_CORNER = re.compile(rb'"coordinates"\s*:[\s\[]*(-?[\d.eE+-]+)\s*,\s*(-?[\d.eE+-]+)')
GOOGLE = ("latitude", "longitude", "geometry")
"""Columns of Open Buildings that are needed: middle of the building, and its outline."""


def kind_of_text(path: str) -> TextKind:
    """Which of the two forms a text file has, by its first line; InputError if it has neither."""
    with open_text(path) as file:
        first = file.readline(LONGEST_LINE).lstrip(b"\xef\xbb\xbf\x1e").strip()
    if first.startswith(b"{"):
        if b'"FeatureCollection"' in first or len(first) >= LONGEST_LINE - 8:
            raise InputError(f"{path} is one GeoJSON, not one a line; let its name end with .geojson")
        return "lines"
    names = [name.strip().strip('"') for name in first.decode("utf-8", "replace").split(",")]
    if not set(GOOGLE) <= set(names):
        raise InputError(f"{path} has neither lines of GeoJSON nor the columns {', '.join(GOOGLE)}; name a vector file")
    return "csv"


def read_lines(path: str, box: Bounds | None) -> Iterator[Batch]:
    """Shapes of a file with one GeoJSON feature or geometry a line.

    Lines with their first corner outside `box` (west, south, east, north) are not parsed. InputError if no line can be read.
    """
    sound = False
    with open_text(path) as file:
        while lines := file.readlines(CHUNK):
            near = [line for line in map(_bare, lines) if line and (box is None or _near(line, box))]
            batch = _from_geojson(np.array(near, object))
            # Lines that lie elsewhere have coordinates, so the file is of the right kind.
            sound = sound or len(near) < len(lines) or batch.dropped["unreadable"] < len(near)
            yield batch
    if not sound:
        raise InputError(f"{path} has no line of GeoJSON that can be read; name a vector file")


def _bare(line: bytes) -> bytes:
    return line.strip(b"\xef\xbb\xbf\x1e \t\r\n,")


def _near(line: bytes, box: Bounds) -> bool:
    """False where the first corner of a shape is too far away; true where there is none."""
    found = FIRST_CORNER.search(line)
    try:
        return found is None or (box[0] <= float(found[1]) <= box[2] and box[1] <= float(found[2]) <= box[3])
    except ValueError:
        return True


def _from_geojson(lines: np.ndarray) -> Batch:
    shapes = shapely.from_geojson(lines, on_invalid="ignore")
    lost, dropped, unbuilt = shapely.is_missing(shapes), Counter[str](), of_texts(lines)
    for k in np.flatnonzero(lost):
        try:
            value = json.loads(lines[k])
            geometry = value.get("geometry") if value.get("type") == "Feature" else value
            if geometry is None:
                dropped["no geometry"] += 1
                continue
            shapes[k] = shapely.from_geojson(json.dumps({**geometry, "coordinates": _closed(geometry["coordinates"])}))
        except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.GEOSException):
            dropped["unreadable"] += 1
    found = ~shapely.is_missing(shapes)
    return Batch(shapes[found], lost[found], unbuilt[found], dropped)


def _closed(part: list) -> list:
    """Coordinates with every ring ending where it begins."""
    if part and isinstance(part[0], list) and part[0] and not isinstance(part[0][0], list):
        return part if part[0] == part[-1] else [*part, part[0]]
    return [_closed(p) if isinstance(p, list) else p for p in part]


def read_csv(path: str, box: Bounds | None, least_confidence: float) -> Iterator[Batch]:
    """Shapes of a table with the columns `GOOGLE`, the last as well-known text.

    Rows with their middle outside `box` (west, south, east, north) are not parsed; those with a confidence below
    `least_confidence` are left out, those without one are kept.
    """
    import pandas as pd

    damaged: list[int] = []

    def skip(row: Any) -> str:
        damaged.append(row.number or 0)
        return "skip"

    with open_text(path) as file:
        names = pd.read_csv(file, nrows=0).columns
    wanted = [*GOOGLE, *(("confidence",) if "confidence" in names else ())]
    with (
        open_text(path) as file,
        pa.csv.open_csv(
            file,
            pa.csv.ReadOptions(use_threads=False, block_size=CHUNK),
            pa.csv.ParseOptions(invalid_row_handler=skip, newlines_in_values=True),
            pa.csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())),
        ) as reader,
    ):
        for table in reader:
            kept = np.ones(table.num_rows, bool)
            if box is not None:
                x, y = (pd.to_numeric(table.column(n).to_pandas(), errors="coerce").to_numpy() for n in ("longitude", "latitude"))
                kept = ~((x < box[0]) | (x > box[2]) | (y < box[1]) | (y > box[3]))
            sure = kept.copy()
            if least_confidence > 0 and "confidence" in wanted:
                sure &= ~(pd.to_numeric(table.column("confidence").to_pandas(), errors="coerce").to_numpy() < least_confidence)
            texts = np.asarray(table.column("geometry").to_pandas(), object)[sure]
            texts[texts == ""] = None
            batch = parsed(texts, shapely.from_wkt)
            batch.dropped["low confidence"] += int((kept & ~sure).sum())
            batch.dropped["unreadable"] += len(damaged)
            damaged.clear()
            yield batch
