"""Size and digest of reference files, for the keys of what is made from them."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fsspec
import rasterio
from rasterio.errors import RasterioError, RasterioIOError

from imperv.tasks.addresses import identity
from imperv.tasks.errors import InputError
from imperv.tasks.files import file_digest
from imperv.tasks.job import Job

FINGERPRINTS = "runs/fingerprints.data.json"
"""File of known digests: a large file is read once as long as its size and time stay."""

SIDECARS = (".msk", ".aux.xml")
"""Ends of the files that GDAL takes masks and no-data values from."""


def fingerprint(job: Job, *paths: str) -> dict[str, Any]:
    """Size and digest of reference files and of those that belong to them, such as the tiles of a VRT.

    The store remembers them as long as size and modification time are unchanged. Of URLs they are size and ETag.
    """
    try:
        remembered: dict[str, Any] = json.loads(job.store.read_text(FINGERPRINTS) or "{}")
    except json.JSONDecodeError:  # only a memory: without it files are read again
        remembered = {}
    known = dict(remembered)
    found = {name: _fingerprint_of(name, known) for path in paths for name in _members(path)}
    if known != remembered:
        job.store.write_text(FINGERPRINTS, json.dumps(known, indent=1))
    return {_short_name(name, found): value for name, value in found.items()}


def _short_name(name: str, names: Iterable[str]) -> str:
    """File name without folders, so that a moved folder changes nothing; with them where two would be alike."""
    short = Path(identity(name)).name
    return short if sum(Path(identity(n)).name == short for n in names) == 1 else identity(name)


def _members(path: str) -> list[str]:
    """A file and what belongs to it: tiles of a mosaic, parts of a shapefile or geodatabase, masks beside a raster."""
    suffix = Path(path).suffix.lower()
    if suffix == ".vrt":
        try:
            with rasterio.open(path) as source:
                return sorted({path, *source.files})
        except (RasterioIOError, RasterioError):
            return [path]  # its reader says what is wrong
    if suffix == ".shp" and "://" not in path:
        return sorted(str(p) for p in Path(path).parent.glob(f"{glob.escape(Path(path).stem)}.*")) or [path]
    if suffix == ".gdb" and Path(path).is_dir():
        return sorted(str(p) for p in Path(path).rglob("*") if p.is_file() and p.suffix != ".lock")
    return [path, *(path + ending for ending in SIDECARS if Path(path + ending).is_file())]


def _fingerprint_of(path: str, known: dict[str, Any]) -> Mapping[str, Any]:
    if "://" in path:
        try:
            info = fsspec.core.url_to_fs(path)[0].info(path)
        except Exception as error:  # every protocol has its own
            raise InputError(f"references: {path} cannot be reached ({type(error).__name__}); correct the address") from None
        return {"size": info.get("size"), "digest": str(info.get("ETag") or info.get("LastModified") or "")}
    if path.startswith("/vsi"):
        return {"size": 0, "digest": identity(path)}
    try:
        stat = Path(path).stat()
    except OSError:
        return {"size": -1, "digest": "missing"}
    entry = known.get(path)
    if entry and (entry["size"], entry["time"]) == (stat.st_size, stat.st_mtime_ns):
        return {"size": entry["size"], "digest": entry["digest"]}
    try:
        digest = file_digest(Path(path))
    except OSError:
        return {"size": stat.st_size, "digest": "unreadable"}  # its reader says what is wrong
    known[path] = {"size": stat.st_size, "time": stat.st_mtime_ns, "digest": digest}
    return {"size": stat.st_size, "digest": digest}
