"""What demos of products share: input that is simulated once, and a run that is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from imperv.flows.cli.parts.folders import own_folder
from imperv.tasks.errors import ImpervError, InputError

KILOMETRE = 100
"""Pixels. Areas are whole kilometres."""


def check_size(size: int, smallest: int, largest: int) -> None:
    """InputError for a site that no demo can have; pixels of 10 m."""
    if not smallest <= size <= largest or size % KILOMETRE:
        raise InputError(f"--size {size}: choose whole kilometres, {smallest} to {largest} pixels in steps of {KILOMETRE}")


def simulated(directory: Path, size: int, said: Mapping[str, Any], make: Callable[[], None], err: Console) -> Path:
    """Production file of the input that `make` simulates in a folder; input that was made of the same words is kept."""
    marker, begun = directory / "simulation.json", directory / "simulation.begun"
    config, wanted = directory / "production.toml", json.dumps(said)
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted and config.is_file():
        return config
    with own_folder(directory, begun, "is no demo"):
        err.print(f"simulating {size} x {size} pixels, two years of Sentinel-2, in {directory}")
        marker.unlink(missing_ok=True)
        shutil.rmtree(directory / "scenes", ignore_errors=True)  # of another size or an older simulator
    make()
    marker.write_text(wanted, encoding="utf-8")
    return config


def run_shown(tile: str, config: Path, err: Console) -> dict[str, ImpervError]:
    """Run a tile and show it; failed tiles with their errors."""
    from imperv.flows.cli.parts.showing import run_view
    from imperv.flows.production.running import run_tiles
    from imperv.flows.tile.progress import listening

    with run_view(err) as view, listening(view):
        failed = run_tiles([tile], str(config))
    view.summary()
    return failed
