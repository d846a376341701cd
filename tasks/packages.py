"""The package of a product for the EEA: a ZIP with one GeoTIFF, its attribute table, and its metadata in their folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file inside, the first that a ZIP can tell: the same files give the same bytes."""


def write_package(path: Path, files: Mapping[str, Path]) -> None:
    """Pack files.

    Parameters
    ----------
    path : Path
        ZIP to be made.
    files : mapping
        File to pack by its name inside. They are stored as they are: a GeoTIFF is compressed already.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, package.open(entry, "w", force_zip64=False) as target:
                while piece := source.read(2**22):
                    target.write(piece)
