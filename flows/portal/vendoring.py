"""What the page brings along of others: JavaScript of npm and maps of Natural Earth, fetched anew by `make vendor`.

It needs npm and pip. `vendor.json` says name, version, licence and SHA-256 of every file, which a test compares.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
VENDOR = STATIC / "vendor"
DATA = STATIC / "data"

EUROPE = (-2_000_000, 0, 8_000_000, 7_000_000)
"""Part of the world that the page draws: (left, bottom, right, top) in EPSG:3035; all tiles and what is around them."""

COARSE = 500
"""Tolerance of the drawn coasts, metres: half of what 1:50 million shows."""


@dataclass(frozen=True)
class Package:
    """A package of npm and what is taken of it."""

    name: str
    version: str
    licence: str
    files: dict[str, str]
    """Path in the package -> name here."""


PACKAGES = (
    Package("ol", "10.11.0", "BSD-2-Clause", {"dist/ol.js": "ol.js", "ol.css": "ol.css", "LICENSE.md": "ol.LICENSE.txt"}),
    Package("proj4", "2.22.0", "MIT", {"dist/proj4.js": "proj4.js", "LICENSE.md": "proj4.LICENSE.txt"}),
)
ATLAS = Package("world-atlas", "2.0.2", "ISC", {})
"""Natural Earth 1:50 million (public domain) as TopoJSON."""

TOWNS = ("geopandas", "0.14.4", "geopandas/datasets/naturalearth_cities/naturalearth_cities.shp")
"""Wheel that has Natural Earth's populated places 1:110 million (public domain), and the file in it."""


def fetch() -> None:
    """Fetch everything anew and write it below `static`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [entry for package in PACKAGES for entry in _vendor(package, _unpacked(package, folder))]
        (VENDOR / "vendor.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        atlas = json.loads((_unpacked(ATLAS, folder) / "countries-50m.json").read_text(encoding="utf-8"))
        _write(DATA / "europe.json", land_and_borders(atlas))
        _write(DATA / "places.json", {"towns": _towns(folder), "countries": country_boxes(atlas)})


def _unpacked(package: Package, folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", f"{package.name}@{package.version}"], cwd=folder, check=True, capture_output=True)
    target = folder / package.name
    with tarfile.open(folder / f"{package.name}-{package.version}.tgz") as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def _vendor(package: Package, source: Path) -> Iterator[dict[str, str]]:
    VENDOR.mkdir(parents=True, exist_ok=True)
    for inside, name in package.files.items():
        data = (source / inside).read_bytes()
        # The map of the sources is not shipped, and a browser that is asked for it would report an error.
        data = b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"//# sourceMappingURL="))
        (VENDOR / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        yield {"name": package.name, "version": package.version, "licence": package.licence, "file": name, "sha256": digest}


def _write(path: Path, found: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _countries(atlas: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, shape in EPSG:3035) of every country that Europe's part of the world touches."""
    import numpy as np
    import shapely
    from pyproj import Transformer

    scale, shift = np.array(atlas["transform"]["scale"]), np.array(atlas["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc), 0) * scale + shift for arc in atlas["arcs"]]
    project = Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True)
    # Far from Europe the projection folds: what is drawn lies within this.
    near, frame = shapely.box(-60, 5, 100, 89), shapely.box(*EUROPE)

    def ring(numbers: list[int]) -> Any:
        parts = [arcs[n] if n >= 0 else arcs[~n][::-1] for n in numbers]
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])

    for entry in atlas["objects"]["countries"]["geometries"]:
        polygons = entry["arcs"] if entry["type"] == "MultiPolygon" else [entry["arcs"]]
        shape = shapely.union_all([shapely.make_valid(shapely.Polygon(ring(p[0]), [ring(h) for h in p[1:]])) for p in polygons])
        shape = shape.intersection(near)
        if shape.is_empty:
            continue
        drawn = shapely.transform(shapely.segmentize(shape, 0.5), lambda xy: np.column_stack(project.transform(*xy.T)))
        drawn = shapely.make_valid(drawn).intersection(frame)
        if not drawn.is_empty:
            yield entry["properties"]["name"], drawn


def land_and_borders(atlas: dict[str, Any]) -> dict[str, Any]:
    """Land as polygons of countries, one GeoJSON feature, whole metres in EPSG:3035."""
    import shapely

    shapes = [shape for _, shape in _countries(atlas)]
    polygons = [p for p in shapely.get_parts(shapely.coverage_simplify(shapes, COARSE)) if p.geom_type == "Polygon"]
    rings = [[[[round(x), round(y)] for x, y in r.coords] for r in (p.exterior, *p.interiors)] for p in polygons]
    return {"type": "Feature", "properties": {}, "geometry": {"type": "MultiPolygon", "coordinates": rings}}


def country_boxes(atlas: dict[str, Any]) -> dict[str, list[int]]:
    """Rectangle of the largest piece of every country that tiles cover, whole metres in EPSG:3035."""
    import shapely

    from imperv.grids.tiles import NEWEST, Tile, official_tiles

    tiles = shapely.union_all([shapely.box(*Tile(name).bounds) for name in official_tiles(NEWEST)])
    found = {}
    for name, shape in _countries(atlas):
        piece = max(shapely.get_parts(shape), key=lambda part: part.area)
        if piece.intersection(tiles).area > 0.5 * piece.area:
            found[name] = [round(v) for v in piece.bounds]
    return dict(sorted(found.items()))


def _towns(folder: Path) -> list[list[Any]]:
    """[name, x, y] of the towns that lie in official tiles, whole metres in EPSG:3035."""
    import geopandas

    from imperv.grids.tiles import NEWEST, TILE_METRES, official_tiles

    name, version, inside = TOWNS
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), f"{name}=={version}"]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob(f"{name}-{version}*.whl"))) as archive:
        archive.extractall(folder / "towns", [n for n in archive.namelist() if n.startswith(inside.removesuffix(".shp"))])
    places = geopandas.read_file(folder / "towns" / inside).to_crs(3035)
    official = set(official_tiles(NEWEST))
    found = []
    for town, point in zip(places["name"], places.geometry, strict=True):
        x, y = (int(v // TILE_METRES) if abs(v) < 1e7 else -1 for v in (point.x, point.y))
        if f"E{x:02d}N{y:02d}" in official:
            found.append([town, round(point.x), round(point.y)])
    return sorted(found)


if __name__ == "__main__":
    if shutil.which("npm") is None:
        sys.exit("vendor: npm is not there; install Node.js")
    fetch()
