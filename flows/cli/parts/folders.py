"""Folders that a command makes and fills by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imperv.tasks.errors import InputError


@contextmanager
def own_folder(directory: Path, marker: Path, otherwise: str) -> Iterator[None]:
    """Work in a folder with our `marker`; InputError if it holds anything else, or cannot be written."""
    if directory.exists() and any(directory.iterdir()) and not marker.exists():
        raise InputError(f"{directory} is not empty and {otherwise}; name another folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        marker.touch()
        yield
    except OSError as error:
        raise InputError(f"{directory} cannot be written ({error.strerror}); name another folder") from None
