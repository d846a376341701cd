"""Files of polygons from outside, read in a process of its own with limits of time and memory; GeoPackages are written there.

The web process opens no vector file with GDAL: it hands bytes to ``python -m imperv.flows.portal.sample_files`` and takes plain
rows. What the polygons must be is checked afterwards (`imperv.flows.portal.samples`).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import shapely

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.projections import EEA
from imperv.tasks.samples import Drawn, on_grid, read_drawn

MOST_BYTES = 5 * 2**20
"""Of a file."""

SECONDS, MEMORY, WRITTEN = 60, 2 * 2**30, 64 * 2**20
"""Limits of the process: processor time, address space and bytes of a file that it writes."""

GEOPACKAGE = (b"SQLite format 3\0", (b"GPKG", b"GP10", b"GP11"))
"""First bytes, and those at 68: the application (OGC 12-128, requirement 2)."""

PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "GDAL_DATA", "PROJ_DATA", "PROJ_LIB")
"""Variables that the process has; no others, as credentials may be among them."""

FORMS = {".geojson": "geojson", ".json": "geojson", ".gpkg": "gpkg"}


def drawn_in(name: str, data: bytes) -> tuple[list[Drawn], list[str]]:
    """Polygons of an uploaded file in EPSG:3035, and notes on it; InputError, in lines, if it cannot be read."""
    form = FORMS.get(Path(name).suffix.lower())
    if form is None:
        raise InputError(f"{name}: take a file of GeoJSON (.geojson, .json) or GeoPackage (.gpkg)")
    if len(data) > MOST_BYTES:
        raise InputError(f"{name} has {len(data) / 2**20:.1f} MB, more than {MOST_BYTES // 2**20}; leave some polygons out")
    content = _only_geopackage(name, data) if form == "gpkg" else _only_json(name, data)
    with tempfile.TemporaryDirectory(prefix="imperv-") as folder:
        file = Path(folder) / f"upload.{form}"
        file.write_bytes(content)
        found = json.loads(_run("read", str(file), name))
    drawn = [
        Drawn(shapely.from_wkb(row["wkb"]) if row["wkb"] else None, row["class"], row["name"], row["weight"])
        for row in found["rows"]
    ]
    return drawn, found["notes"]


def geopackage(geojson: str) -> bytes:
    """A GeoPackage of GeoJSON in EPSG:3035."""
    with tempfile.TemporaryDirectory(prefix="imperv-") as folder:
        source, file = Path(folder) / "samples.geojson", Path(folder) / "samples.gpkg"
        try:
            source.write_text(geojson, encoding="utf-8")
            _run("write", str(source), str(file))
            return file.read_bytes()
        except (OSError, InputError) as error:
            raise WorkError(f"the GeoPackage cannot be made ({error}); take GeoJSON") from None


def _only_geopackage(name: str, data: bytes) -> bytes:
    start, kinds = GEOPACKAGE
    if not data.startswith(start) or data[68:72] not in kinds:
        raise InputError(f"{name} is no GeoPackage; export it anew")
    return data


def _only_json(name: str, data: bytes) -> bytes:
    """The same GeoJSON written anew, so that nothing else of the file can make another driver take it for its own."""
    try:
        table = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InputError(f"{name} is no JSON; export it anew as GeoJSON in UTF-8") from None
    if not isinstance(table, dict) or table.get("type") not in ("FeatureCollection", "Feature"):
        raise InputError(f"{name} is no FeatureCollection; export it as GeoJSON")
    return json.dumps(table).replace("<", "\\u003c").encode()


def _run(*arguments: str) -> str:
    """What the process prints; InputError with what it says, or where it reaches a limit."""
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    what = arguments[-1]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __spec__.name, str(SECONDS), str(MEMORY), *arguments], env=environment,
            timeout=2 * SECONDS, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", start_new_session=True,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        return done.stdout
    if done is not None and done.returncode == 2:
        raise InputError(done.stdout.strip())
    raise InputError(f"{what} cannot be read within {SECONDS} s and {MEMORY // 2**20} MiB; simplify its polygons")


def _limit(seconds: int, memory: int) -> None:
    """Give this process its limits."""
    for kind, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, WRITTEN), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))


def _rows(file: str, name: str) -> dict[str, Any]:
    """Rows of a file as plain values."""
    import pyogrio

    drawn, to_grid = read_drawn(file, name)
    layers = pyogrio.list_layers(file)[:, 0].tolist()
    notes = [f"{name} has {len(layers)} layers; polygons are those of {layers[0]}."] if len(layers) > 1 else []
    rows = []
    for one in drawn:
        shape = one.shape
        if shape is not None and not shape.is_empty and to_grid is not None:
            shape = on_grid(shape, to_grid)
        rows.append(
            {"wkb": None if shape is None else shapely.to_wkb(shape, hex=True), "class": one.class_name, "name": one.name,
             "weight": one.weight}
        )  # fmt: skip
    return {"rows": rows, "notes": notes}


def _write(source: str, file: str) -> None:
    import pyogrio

    found = pyogrio.read_dataframe(source, use_arrow=False)
    pyogrio.write_dataframe(found.set_crs(EEA), file, layer="samples", driver="GPKG", geometry_type="Unknown")


def _main(arguments: Sequence[str]) -> int:
    seconds, memory, what, source, other = arguments
    _limit(int(seconds), int(memory))
    try:
        if what == "read":
            print(json.dumps(_rows(source, other), default=str))
        else:
            _write(source, other)
    except InputError as error:
        print(str(error).replace(source, other))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
