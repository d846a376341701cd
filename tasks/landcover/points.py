"""Points with a class: CSV with x, y and class, or any vector file, brought to pixels; every fault of a file is named at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.layers.landcover.classes import LandClass, class_named
from imperv.tasks.errors import InputError

SHOWN = 20
"""Faults of a file that are listed."""


@dataclass(frozen=True)
class Place:
    """Pixels of training points."""

    rows: np.ndarray
    columns: np.ndarray
    target: np.ndarray
    """Number of the class of each, from 0."""
    outside: int
    """Points beside the area, which are left out."""

    def thinned(self, most: int, seed: int) -> Place:
        """At most so many, drawn by a seed."""
        if len(self.rows) <= most:
            return self
        kept = np.sort(np.random.default_rng([seed, 53]).choice(len(self.rows), most, replace=False))
        return Place(self.rows[kept], self.columns[kept], self.target[kept], self.outside)


def read_points(path: str, classes: Sequence[LandClass], grid: GeoBox, where: str) -> Place:
    """Points of a file on the pixels of a grid; InputError, a line for each fault."""
    start = f"{where}: {path}"
    x, y, texts = _coordinates(path, start)
    numbers = {one.code: k for k, one in enumerate(classes)}
    faults, target = [], np.full(len(x), -1)
    for text in sorted(set(texts)):
        one = class_named(text, classes)
        if isinstance(one, str):
            count = texts.count(text)
            faults.append(f"{start}: {count} point{'s' if count > 1 else ''} of unknown class {text!r}; {one}")
        else:
            target[np.array(texts) == text] = numbers[one.code]
    if not np.isfinite([x, y]).all():
        faults.append(f"{start}: some coordinates are no numbers; correct them")
    if faults:
        raise InputError("\n".join(faults[:SHOWN]))
    columns, rows = (np.floor(v).astype("i8") for v in ~grid.affine * (x, y))
    inside = (rows >= 0) & (rows < grid.shape.y) & (columns >= 0) & (columns < grid.shape.x)
    if not inside.any():
        raise InputError(f"{start}: no point lies in the area; x and y of a CSV are metres of EPSG:3035")
    return Place(rows[inside], columns[inside], target[inside], int((~inside).sum()))


def _coordinates(path: str, start: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """x and y in EPSG:3035 and the class of each point."""
    import pandas as pd

    if "://" not in path and not Path(path).exists():
        raise InputError(f"{start}: does not exist; correct the path")
    if path.lower().endswith(".csv"):
        try:
            table = pd.read_csv(path)
        except (ValueError, OSError) as error:
            raise InputError(f"{start}: cannot be read ({str(error).splitlines()[0]}); write x,y,class") from None
        names = {str(c).strip().lower(): c for c in table.columns}
        if missing := [name for name in ("x", "y", "class") if name not in names]:
            raise InputError(f"{start}: has no column {', '.join(missing)}; write x,y,class with x and y in EPSG:3035")
        x, y = (pd.to_numeric(table[names[name]], errors="coerce").to_numpy("f8") for name in ("x", "y"))
        return x, y, table[names["class"]].astype(str).tolist()
    import geopandas
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    from imperv.tasks.vectors.batches import ogr_name

    try:
        found = pyogrio.read_dataframe(ogr_name(path), force_2d=True, use_arrow=False)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{start}: cannot be read ({str(error).splitlines()[0]}); write a CSV or a vector file") from None
    column = next((c for c in found.columns if str(c).lower() == "class"), None)
    if not isinstance(found, geopandas.GeoDataFrame) or column is None:
        raise InputError(f"{start}: holds no shapes with a column class; add it")
    shapes = found.geometry.set_crs("EPSG:4326") if found.crs is None else found.geometry
    points = shapes.to_crs("EPSG:3035").representative_point()
    return points.x.to_numpy(), points.y.to_numpy(), found[column].astype(str).tolist()
