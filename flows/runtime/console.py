"""Where the commands write, and the options that several of them share."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console

from imperv.tasks.errors import ImpervError, InputError


class _Plain(Console):
    """Prints text as it is, in whole lines; one whose reader is gone (``| head``) goes on in silence."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Called by rich, in place of its own, which ends the process with code 1."""
        self.quiet = True
        silence(self.file)


def silence(file: IO[str]) -> None:
    """Send what is still written to nobody."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


out, err = _Plain(), _Plain(stderr=True)

Config = Annotated[Path, typer.Option("--config", "-c", readable=False, help="Production file (TOML).")]
"""Not checked by Typer: its answer is wrong for users with capabilities."""

Yes = Annotated[bool, typer.Option("--yes", help="Replace without asking what a newer production uses.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(found: Any, lines: Iterable[object], as_json: bool) -> None:
    """Print a result as JSON, or its lines."""
    if as_json:
        out.print_json(json.dumps(found))
    else:
        for line in lines:
            out.print(line)


def say(text: str) -> None:
    """One line on standard error, with the name of the program."""
    err.print(f"imperv: {text}")


def counted(number: int, noun: str) -> str:
    """Such as ``1 tile`` and ``2 tiles``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


ALIKE = str.maketrans({"█": "#", "░": ".", "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%"})
"""ASCII for the blocks of bars."""


def _alike(error: UnicodeError) -> tuple[str, int]:
    """Replacement of characters that an encoding lacks: `ALIKE`, or the escapes of JSON, which keep JSON valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ALIKE)
    return json.dumps(text)[1:-1] if not text.isascii() else text, error.end


def take_any_character() -> None:
    """Print characters that the encoding of standard output lacks as escapes, as standard error does."""
    codecs.register_error("imperv", _alike)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="imperv")


def named(tiles: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Tiles of a command, each once, by default all `known`; InputError if there is none."""
    names = list(dict.fromkeys(tiles or known))
    if not names:
        raise InputError("no tile is named; give one, or set tiles in the production file")
    return names


def say_failed(tile: str, text: str) -> None:
    """One line that names the tile."""
    say(text if tile in text else f"tile {tile}: {text}")


def end(failed: Mapping[str, ImpervError]) -> None:
    """Say which tiles failed and why, and exit with 1 or 2 if any did."""
    for tile, error in failed.items():
        say_failed(tile, str(error))
    if failed:
        raise typer.Exit(2 if all(isinstance(e, InputError) for e in failed.values()) else 1)


def asked(question: str) -> bool:
    """Ask on a terminal: True for yes, InputError for no; False without a terminal."""
    if not (sys.stdin.isatty() and err.is_terminal):
        return False
    if not typer.confirm(f"imperv: {question}", err=True):
        raise InputError("nothing was run or changed")
    return True


def duration(seconds: float) -> str:
    """Such as ``12.0 s``, ``5 min``, ``2.5 h``, ``6.0 days``."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.1f} days"
