"""The package of a product for the EEA: a ZIP with one GeoTIFF, its attribute table, and its metadata in their folder.

Written for our products; read from any program.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.store.debris import is_debris

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file inside, the first that a ZIP can hold: the same files give the same bytes."""


def write_package(path: Path, files: Mapping[str, Path]) -> None:
    """Pack files, by their names inside, as a ZIP without compression: a GeoTIFF is compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, package.open(entry, "w", force_zip64=False) as target:
                while piece := source.read(2**22):
                    target.write(piece)


def contents(archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], list[Finding]]:
    """Entries of a ZIP by their names, with slashes, without folders and debris; and notes on how it was packed."""
    named = {entry.filename.replace("\\", "/"): entry for entry in archive.infolist()}
    notes, files = [], {name: entry for name, entry in named.items() if not name.endswith("/")}
    if any("\\" in entry.filename for entry in named.values()):
        text = "its names have backslashes instead of slashes: other programs may find no folders; pack it again"
        notes.append(passed("unzip", text, note=True))
    if debris := [name for name in files if is_debris(PurePosixPath(name))]:
        text = f"{len(debris)} files in it are not of a delivery ({debris[0]}), left out; pack it without them"
        notes.append(passed("debris", text, note=True))
    return {name: entry for name, entry in files.items() if name not in debris}, notes


def unpack(path: Path, folder: Path) -> list[Finding]:
    """Unpack a ZIP into a folder of its own; notes, or the one failure."""
    try:
        with zipfile.ZipFile(path) as archive:
            files, notes = contents(archive)
            # Paths out of the folder would overwrite other files.
            if unsafe := [name for name in files if _leaves(name)]:
                return [failed("unzip", f"holds {unsafe[0]}, a path that leaves the zip")]
            if (damaged := archive.testzip()) is not None:
                return [failed("unzip", f"{damaged} in it is damaged")]
            for name, entry in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 2**22)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        return [failed("unzip", f"cannot be unpacked ({error})")]
    return notes


def _leaves(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).drive) or ".." in PurePosixPath(name).parts


def compare_package(path: Path) -> list[Finding]:
    """The ZIP beside a file holds the same file, table and metadata, so that their findings are its own."""
    try:
        with zipfile.ZipFile(path.with_suffix(".zip")) as archive:
            files, notes = contents(archive)
    except (zipfile.BadZipFile, OSError) as error:
        return [failed("unzip", f"its zip cannot be opened ({error})")]
    if absent := [n for n in (path.name, f"Metadata/{path.stem}.xml") if n not in files]:
        return [failed("unzip", f"its zip lacks {' and '.join(absent)}")]
    for name, entry in files.items():
        beside = path.parent / name
        if not beside.is_file() or _checksum(beside) != entry.CRC:
            return [failed("unzip", f"{name} in its zip is not the file beside it")]
    return [passed("unzip", f"its zip holds the same {len(files)} files"), *notes]


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while piece := file.read(2**22):
            found = zlib.crc32(piece, found)
    return found
