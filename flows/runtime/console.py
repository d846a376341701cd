"""Where the commands write, and the options that several of them share."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imperv.tasks.errors import ImpervError, InputError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Config = Annotated[Path, typer.Option("--config", "-c", readable=False, help="Production file (TOML).")]
"""Whether it can be read is tried, not asked: the answer is wrong for users with capabilities."""

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before what a newer production uses is made again.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


ALIKE = str.maketrans({"█": "#", "░": ".", "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%"})
"""What stands for the blocks of bars where a terminal or file cannot take them."""


def _alike(error: UnicodeError) -> tuple[str, int]:
    """Text in place of characters that an encoding lacks; escapes are those of JSON, whose readers find the characters again."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ALIKE)
    return json.dumps(text)[1:-1] if not text.isascii() else text, error.end


def take_any_character() -> None:
    """Let standard output take characters that its encoding lacks, as standard error does."""
    codecs.register_error("imperv", _alike)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="imperv")


def named(tiles: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The tiles that a command names, each once, or all that are known; InputError if there is none."""
    names = list(dict.fromkeys(tiles or known))
    if not names:
        raise InputError("no tile is named; give one, or set tiles in the production file")
    return names


def say_failed(tile: str, text: str) -> None:
    """One line that names the tile."""
    err.print(f"imperv: {text}" if tile in text else f"imperv: tile {tile}: {text}", markup=False)


def end(failed: Mapping[str, ImpervError]) -> None:
    """Say which tiles failed, and leave with the exit code."""
    for tile, error in failed.items():
        say_failed(tile, str(error))
    if failed:
        raise typer.Exit(2 if all(isinstance(e, InputError) for e in failed.values()) else 1)


def asked(question: str) -> bool:
    """The answer of a person, False where there is none to be asked; InputError if the answer is no."""
    if not (sys.stdin.isatty() and err.is_terminal):
        return False
    if not typer.confirm(f"imperv: {question}", err=True):
        raise InputError("nothing was run and nothing is changed")
    return True


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days for people."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.1f} days"
