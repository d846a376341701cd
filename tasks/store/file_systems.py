"""File systems by fsspec, with names taken as they are: signs of patterns and of chained addresses are signs like others.

Many files are asked for together: a remote system answers hundreds of questions in the time of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from glob import has_magic
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

if TYPE_CHECKING:
    from imperv.tasks.store.store import Store


def file_system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system of a folder or URL, and the path in it; ValueError, ImportError or TypeError if fsspec does not know it."""
    if "://" in url:
        return fsspec.core.url_to_fs(url, **options)
    local = LocalFileSystem(**options)  # ``::`` in a folder's name chains nothing
    return local, str(local._strip_protocol(url))


def discard(fs: Any, path: str) -> None:
    """Remove a file or a folder with all that is in it, where there is one."""
    try:
        if isinstance(fs, LocalFileSystem) or not has_magic(path):
            fs.rm(path, recursive=True)
            return
        for file in fs.find(path):  # `rm` would take its name for a pattern
            fs.rm_file(file)
    except FileNotFoundError:
        return


def read_together(store: Store, paths: Sequence[str]) -> dict[str, str]:
    """Texts of files, by their paths in the store, without those missing or no text; OSError if the store does not answer."""
    if store.is_local or store.layered or not paths:
        return {path: text for path in paths if (text := store.read_text(path)) is not None}
    answers = store.fs.cat_ranges([store.full(path) for path in paths], None, None, on_error="return")  # `cat` takes patterns
    found = {}
    for path, data in zip(paths, answers, strict=True):
        if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
            raise data
        if isinstance(data, bytes):
            found[path] = data.decode("utf-8", errors="replace")
    return found


def tiles_with(store: Store, folder: str, path: str) -> list[str]:
    """Names of the tiles below ``tiles`` or ``products`` that have a file, such as ``2018/IMD_calibration.json``."""
    names = store.tiles() if folder == "tiles" else store.entries(folder)
    there = read_together(store, [f"{folder}/{name}/{path}" for name in names])
    return sorted(name for name in names if f"{folder}/{name}/{path}" in there)
