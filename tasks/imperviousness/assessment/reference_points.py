"""Reference points for the validation of maps: CSV, GeoJSON, GeoPackage and other vector files, brought to EPSG:3035."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
from geopandas.array import GeometryArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from imperv.tasks.errors import InputError
from imperv.tasks.vectors.batches import ogr_name

DENSITY, CLASS = "density", "class"
"""Columns by default."""

COORDINATES = (("lon", "lat"), ("longitude", "latitude"), ("x", "y"), ("easting", "northing"), ("e", "n"))
"""Pairs of columns of a CSV that hold coordinates, any case; the first two pairs are degrees, the others EPSG:3035."""

VECTOR = (".csv", ".txt", ".geojson", ".json", ".gpkg", ".fgb", ".parquet", ".shp", ".gml", ".kml", ".zip")
"""Endings of files of points; all others are rasters."""


@dataclass(frozen=True)
class Columns:
    """Columns named by the user; empty where none is."""

    density: str = ""
    """Density, or change of density, in percent."""
    classes: str = ""
    """Class codes, or 0 and 1."""
    strata: str = ""
    weight: str = ""
    """Weights: 1 / inclusion probability."""


@dataclass(frozen=True)
class Points:
    """Reference points that have a value."""

    name: str
    x: np.ndarray
    y: np.ndarray
    """(n,) float64, EPSG:3035 metres."""
    density: np.ndarray | None = None
    """(n,) float64, percent."""
    classes: np.ndarray | None = None
    """(n,) int64."""
    strata: np.ndarray | None = None
    """(n,) text."""
    weights: np.ndarray | None = None
    """(n,) float64 above 0."""
    without: int = 0
    """Points left out because they have no value."""

    def __len__(self) -> int:
        return len(self.x)

    def only(self, chosen: np.ndarray) -> Points:
        """The points of a mask or of indices."""
        return replace(self, **{name: a[chosen] for name, a in vars(self).items() if isinstance(a, np.ndarray)})


def read_points(path: str | Path, columns: Columns | None = None, crs: str = "") -> Points:
    """Read reference points from a CSV or a vector file; InputError if a column or a value is wrong.

    Without `columns`, ``density`` and ``class`` are taken where they exist; `crs` is the reference system of files without
    one.
    """
    file, columns = Path(path), columns or Columns()
    start = f"reference {file}"
    if not file.is_file():
        raise InputError(f"{start}: does not exist; correct the path")
    table = _read_csv(file, crs, start) if file.suffix.lower() in (".csv", ".txt") else _read_vector(file, crs, start)
    if not len(table):
        raise InputError(f"{start}: holds no points")
    x, y = (values.to_numpy(np.float64) for values in (table.geometry.x, table.geometry.y))
    table = pd.DataFrame(table.drop(columns=table.geometry.name))
    density, classes = _column(table, columns.density, DENSITY, start), _column(table, columns.classes, CLASS, start)
    if density is None and classes is None:
        raise InputError(f"{start}: name the column of the values with --column or --class-column; it has {_listed(table)}")
    has_value = np.isfinite(x) & np.isfinite(y)
    for values in (density, classes):
        if values is not None:
            has_value &= np.isfinite(values)
    weights, strata = _column(table, columns.weight, "", start), None
    if columns.strata:
        strata = _strata(_named_column(table, columns.strata, start))
    if weights is not None and not np.all(np.isfinite(weights[has_value]) & (weights[has_value] > 0)):
        raise InputError(f"{start}: the weights of {columns.weight} must be numbers above 0, in every point")
    if density is not None:
        _check_percent(density[has_value], columns.density or DENSITY, start)
    if classes is not None and np.any(classes[has_value] != np.round(classes[has_value])):
        raise InputError(f"{start}: {columns.classes or CLASS} must hold whole codes; name densities with --column")
    every = Points(file.name, x, y, density, classes, strata, weights, int(np.count_nonzero(~has_value)))
    chosen = every.only(has_value)
    if not len(chosen):
        raise InputError(f"{start}: no point has coordinates and a value")
    return chosen if chosen.classes is None else replace(chosen, classes=chosen.classes.astype(np.int64))


def _read_csv(file: Path, crs: str, start: str) -> gpd.GeoDataFrame:
    try:
        table = pd.read_csv(file, sep=None, engine="python", encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{start}: cannot be read as CSV ({str(error).splitlines()[0]})") from None
    known = {str(name).strip().lower(): name for name in table.columns}
    pair = next((p for p in COORDINATES if set(p) <= known.keys()), None)
    if pair is None:
        raise InputError(f"{start}: has no columns x and y, or lon and lat; it has {_listed(table)}")
    x, y = (pd.to_numeric(table[known[name]], errors="coerce").to_numpy(np.float64) for name in pair)
    degrees = pair in COORDINATES[:2]
    largest = np.nanmax(np.abs(np.concatenate([x, y]))) if len(x) and np.isfinite(x).any() else np.inf
    if not crs and not degrees and largest <= 360:
        raise InputError(f"{start}: {pair[0]} and {pair[1]} look like degrees; name them lon and lat, or give --crs EPSG:4326")
    return _to_grid(table, gpd.points_from_xy(x, y), crs or ("EPSG:4326" if degrees else "EPSG:3035"), start)


def _read_vector(file: Path, crs: str, start: str) -> gpd.GeoDataFrame:
    try:
        table = gpd.read_parquet(file) if file.suffix.lower() == ".parquet" else pyogrio.read_dataframe(ogr_name(str(file)))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{start}: cannot be read ({str(error).splitlines()[0]}); name a vector file or a raster") from None
    if not isinstance(table, gpd.GeoDataFrame):
        raise InputError(f"{start}: has no geometry; points are needed")
    kinds = set(table.geometry.dropna().geom_type) - {"Point"}
    if kinds:
        raise InputError(f"{start}: holds {', '.join(sorted(kinds))}; points are needed, or a raster")
    if table.crs is None and not crs:
        raise InputError(f"{start}: has no coordinate reference system; give --crs")
    return _to_grid(table.drop(columns=table.geometry.name), table.geometry.array, crs or table.crs, start)


def _to_grid(table: pd.DataFrame, points: GeometryArray, crs: str | CRS, start: str) -> gpd.GeoDataFrame:
    """The table with points of a reference system, in EPSG:3035."""
    try:
        return gpd.GeoDataFrame(table, geometry=GeometryArray(points, crs=crs)).to_crs("EPSG:3035")
    except CRSError:
        raise InputError(f"{start}: {crs!r} is not a coordinate reference system; write it like EPSG:4326") from None


def _named_column(table: pd.DataFrame, name: str, start: str) -> pd.Series:
    if name not in table.columns:
        raise InputError(f"{start}: has no column {name}; it has {_listed(table)}")
    return table[name]


def _column(table: pd.DataFrame, name: str, otherwise: str, start: str) -> np.ndarray | None:
    """Numbers of the named column, or of the default one; None if there is neither."""
    if not name and (not otherwise or otherwise not in table.columns):
        return None
    values = _named_column(table, name or otherwise, start)
    numbers = pd.to_numeric(values, errors="coerce")
    lost = values.notna() & numbers.isna() & (values.astype(str).str.strip() != "")
    if lost.any():
        raise InputError(f"{start}: {name or otherwise} holds {values[lost].iloc[0]!r}, which is not a number")
    return numbers.to_numpy(np.float64)


def _strata(column: pd.Series) -> np.ndarray:
    """Names of strata as text; whole numbers that pandas reads as floats lose their decimal point."""
    known = column.dropna()
    if pd.api.types.is_float_dtype(column) and np.all(known == np.round(known)):
        column = column.astype("Int64")
    return column.astype(str).to_numpy(dtype=str)


def _check_percent(density: np.ndarray, name: str, start: str) -> None:
    if density.size and (density.min() < -100 or density.max() > 100):
        raise InputError(f"{start}: {name} reaches from {density.min():g} to {density.max():g}; percent is needed, 0 to 100")
    if density.size and 0 < density.max() <= 1 and np.any(density != np.round(density)):
        raise InputError(f"{start}: {name} holds fractions of 0 to 1; percent is needed, 0 to 100")


def _listed(table: pd.DataFrame) -> str:
    names: Sequence[str] = [str(c) for c in table.columns]
    return ", ".join(names[:12]) + (" and more" if len(names) > 12 else "")
