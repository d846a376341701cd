"""Which tiles a production's run takes, and which of them first."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.flows.runtime.journal import last_run
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


def chosen_tiles(
    production: Production, tiles: Sequence[str] | None = None, first: Sequence[str] | None = None, retry_failed: bool = False
) -> tuple[str, ...]:
    """Tiles of a run, in the order in which each wave takes them: `first` before the others.

    With `retry_failed` only tiles whose last run failed, maybe none. InputError for an unknown tile, or a first one that is not
    in the run.
    """
    names = tuple(dict.fromkeys(tiles or production.tile_names))
    before = tuple(dict.fromkeys(first or ()))
    if strange := [tile for tile in before if tile not in names]:
        raise InputError(f"first: {', '.join(strange)} is none of the tiles of this run; name tiles of it")
    names = (*before, *(tile for tile in names if tile not in before))
    if not retry_failed:
        return names
    return tuple(tile for tile in names if last_run(Job.of(production, tile)).get("state") == "failed")
