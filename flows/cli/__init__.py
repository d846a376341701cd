"""The command ``imperv``."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, without the name of the program; the exit code."""
    from imperv.flows.cli.commands import main as run

    return run(arguments)
