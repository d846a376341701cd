"""Roads and buildings from vector files, read by window and in pieces: any format of GDAL, OpenStreetMap's own among them.

Only what may be sealed is read, where the file has OpenStreetMap's tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from pyproj.exceptions import ProjError

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.projections import EEA, moved, transformer
from imperv.tasks.vectors.batches import is_local, ogr_name, read_ogr
from imperv.tasks.vectors.tags import UNBUILT, UNDER_GROUND, known

Theme = Literal["roads", "buildings"]

PIECE = 20_000
"""Shapes read at once."""

OSM_LAYER = {"roads": "lines", "buildings": "multipolygons"}
"""Layer of GDAL's driver of ``.osm`` and ``.osm.pbf`` files."""

UNSEALED = {
    "roads": ("path", "track", "footway", "bridleway", "proposed", "planned", "construction", "abandoned", "razed"),
    "buildings": UNBUILT,
}
"""Values of the tag that are not there or mostly not sealed: in the countryside, footways are paths over fields."""

TAGS = {"roads": ("highway", "fclass"), "buildings": ("building",)}
"""Columns that hold the tag: OpenStreetMap's key, and Geofabrik's name for it in shapefiles."""

TROUBLE = (OSError, ValueError, RuntimeError)
"""Errors of pyogrio on files that it cannot read; its own are RuntimeErrors."""


def check_shapes(path: str, theme: Theme) -> list[str]:
    """Layers of a vector file with roads or buildings; InputError if there are none, or one has no reference system."""
    import pyogrio

    if is_local(path) and not Path(path).exists():
        raise InputError(f"references.{theme}: {path} does not exist; correct the path")
    name = ogr_name(path)
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(name) if kind is not None]
        if layers and pyogrio.read_info(name, layer=layers[0])["driver"] == "OSM":
            layers = [OSM_LAYER[theme]]
        systems = [pyogrio.read_info(name, layer=layer)["crs"] for layer in layers]
    except TROUBLE as error:
        raise _unreadable(path, theme, error) from None
    if not layers:
        raise InputError(f"references.{theme}: {path} holds no layer with shapes; name a file of {theme}")
    if not all(systems):
        raise InputError(f"references.{theme}: {path} has no coordinate reference system; assign one")
    return layers


def read_shapes(path: str, theme: Theme, bounds: Bounds) -> Iterator[np.ndarray]:
    """Roads or buildings that touch EPSG:3035 bounds, in EPSG:3035, some thousand at a time: files may be a country's."""
    for layer in check_shapes(path, theme):
        try:
            yield from _read_layer(ogr_name(path), layer, theme, bounds)
        except TROUBLE as error:
            raise _unreadable(path, theme, error) from None


def _read_layer(path: str, layer: str, theme: Theme, bounds: Bounds) -> Iterator[np.ndarray]:
    import pyogrio

    info = pyogrio.read_info(path, layer=layer)
    back = transformer(info["crs"], EEA)
    try:
        box = moved(bounds, EEA, info["crs"])
    except ProjError as error:
        raise ValueError(f"its coordinate reference system does not reach the tile: {error}") from None
    tag = next((name for name in TAGS[theme] if name in info["fields"]), None)
    # Some drivers cannot filter on a column that is not read.
    condition = _condition(tag, theme) if tag else None
    depths = known(info["fields"]) if theme == "buildings" else []
    columns = list(dict.fromkeys([*((tag,) if tag else ()), *depths]))
    for found in read_ogr(path, layer, box, columns, PIECE, condition):
        shapes = found.shapes[~shapely.is_empty(found.shapes) & (found.unbuilt != UNDER_GROUND)]
        if len(shapes):
            shapes = shapely.transform(shapely.force_2d(shapes), lambda xy: np.column_stack(back.transform(*xy.T)))
            yield shapes[np.isfinite(shapely.bounds(shapes)).all(axis=1)]


def _condition(tag: str, theme: Theme) -> str:
    """Filter on the column of the tag."""
    values = ", ".join(f"'{value}'" for value in UNSEALED[theme])
    return f'"{tag}" IS NOT NULL AND "{tag}" NOT IN ({values})'


def _unreadable(path: str, theme: Theme, error: BaseException) -> InputError:
    line = str(error.__cause__ or error).splitlines()[0]
    return InputError(f"references.{theme}: {path} cannot be read ({line}); name a vector file")
