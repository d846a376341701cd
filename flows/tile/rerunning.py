"""One tile again with other parameters, in a scratch store beside the production, which is only read."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.files import file_of, table_of, write_production
from imperv.tasks.settings.production import Production


def scratch_production(config: Path, tile: str, scratch: Path, changes: Sequence[str]) -> Path:
    """Write the production file of a scratch run, whose store is in `scratch` too; the production and its store stay as they are.

    `changes` are lines of TOML with dotted names: ``parameters.unet.epochs=40``. InputError if one is none, or the scratch folder
    is the production's own store.
    """
    production, file = Production.read(config), file_of(config)
    Job.of(production, tile)
    table, store = table_of(file, production), str((scratch / "store").absolute())
    if store == production.store_url or str(scratch.absolute()) == production.store_url:
        raise InputError(f"--scratch: {scratch} is the production's own store; name another folder")
    table |= {"tiles": [tile], "store": store, "base": production.store_url}
    table["base_options"] = table.pop("store_options", {})
    for key in ("countries", "aoi", "watch"):  # the tile is named, and nobody is told of a trial
        table.pop(key, None)
    for change in changes:
        _apply(table, change)
    return write_production(
        table, scratch / "production.toml", f"A scratch run of tile {tile} beside {file.name}, by `imperv rerun`."
    )


def _apply(table: dict[str, Any], change: str) -> None:
    """Put one line of TOML into a table."""
    name, _, value = change.partition("=")
    try:
        found = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        found = value.strip()
    if not name.strip() or not value.strip():
        raise InputError(f"--set: {change!r} is no change such as parameters.unet.epochs=40")
    if name.strip().split(".")[0] in ("store", "store_options", "base", "base_options", "tiles"):
        raise InputError(f"--set: {name.strip()} is not a matter of a scratch run; edit a production file of your own")
    *groups, key = name.strip().split(".")
    for group in groups:
        table = table.setdefault(group, {})
        if not isinstance(table, dict):
            raise InputError(f"--set: {name.strip()}: {group} is no group of settings")
    table[key] = found
