"""Production files made from others: for the next pair of years, and for one tile beside a production."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from imperv.tasks.errors import InputError, writing
from imperv.tasks.files import write_whole
from imperv.tasks.settings.paths import resolve_paths
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.toml_files import read_toml


def table_of(file: Path, production: Production) -> dict[str, Any]:
    """Table of a production file, with absolute paths: it may be written to another folder."""
    return resolve_paths(read_toml(file), type(production), production.path) | {"store": production.store_url}


def write_production(table: dict[str, Any], out: Path, remark: str) -> Path:
    """Write a production file that can be read, or none.

    Raises
    ------
    InputError
        If what it says is wrong.
    """
    return _write(f"# {remark}\n{tomli_w.dumps(table)}", out)


def write_new(text: str, out: Path) -> Path:
    """Write a production file that can be read where there is no file yet.

    Raises
    ------
    InputError
        If there is one, or what the text says is wrong.
    """
    require_new(out)
    return _write(text, out)


def require_new(out: Path) -> None:
    """Raise InputError where a file is there already: what somebody wrote is never replaced."""
    if out.exists():
        raise InputError(f"{out} is there already; remove it or name another file with --output")


def _write(text: str, out: Path) -> Path:
    """Write a file at once, or not at all where it cannot be read as a production."""
    Production.of(tomllib.loads(text), out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text)
    return out


def file_of(path: Path) -> Path:
    """A production file, or the one in a folder."""
    return path / "production.toml" if path.is_dir() else path


def label_of(path: Path) -> str:
    """Name of a production: of its file, or of the folder of a production.toml."""
    file = file_of(path).absolute()
    return file.parent.name if file.name == "production.toml" and file.parent.name else file.stem
