"""A project that nothing was run in, and polygons to draw there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import shapely

from imperv.flows.portal.projects import Project, projects_in

TEMPLATE = 'product = "landcover"\n[scenes]\ncatalogue = "items.json"\n'
LEFT, TOP = 4_422_000, 2_599_000
BBOX = (LEFT, TOP - 1000, LEFT + 2000, TOP)


def new_project(folder: Path) -> Project:
    """A project of land cover in a new folder of projects."""
    projects = projects_in(folder)
    (projects.folder / "templates/town.toml").write_text(TEMPLATE)
    return projects.create("Town", "town", BBOX, "2021-06")


def square(row: int, column: int, edge: float = 4) -> shapely.Polygon:
    """Of pixels of 5 m, counted from the upper left corner of the area."""
    x, y = LEFT + 5 * column, TOP - 5 * row
    return shapely.box(x, y - 5 * edge, x + 5 * edge, y)


def feature(number: int, kind: str, shape: shapely.Geometry, name: str = "") -> dict[str, Any]:
    """As the page sends it."""
    about = {"id": f"{number:012x}", "class": kind, "name": name, "weight": 1.0}
    return {"type": "Feature", "properties": about, "geometry": json.loads(shapely.to_geojson(shape))}


def written(path: Path, *rows: tuple[str, shapely.Geometry], crs: str = "EPSG:4326") -> Path:
    """A vector file of polygons with their classes."""
    kinds, shapes = zip(*rows, strict=True)
    geopandas.GeoDataFrame({"class": list(kinds)}, geometry=list(shapes), crs="EPSG:3035").to_crs(crs).to_file(path)
    return path
