"""Where the commands write, and the options that several of them share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasks.errors import InputError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Config = Annotated[Path, typer.Option("--config", "-c", help="Production file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def named(tiles: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The tiles that a command names, each once, or all that are known.

    Raises
    ------
    InputError
        If there is none.
    """
    names = list(dict.fromkeys(tiles or known))
    if not names:
        raise InputError("no tile is named; give one, or set tiles in the production file")
    return names
