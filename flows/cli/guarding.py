"""The question before something is replaced that a newer production uses (`flows.tile.guarding`)."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.flows.runtime.console import asked
from imperv.flows.tile.guarding import describe, refuse_taken, taken_from_newer
from imperv.tasks.settings.production import Production


def ask_taken(production: Production, tiles: Sequence[str], targets: Sequence[str] | None, yes: bool) -> None:
    """Ask on a terminal, refuse elsewhere, with `yes` neither; InputError for no."""
    if yes:
        return
    found = taken_from_newer(production, tiles, targets)
    if not (found and asked(f"{describe(found)}. Make it again?")):
        refuse_taken(found)
