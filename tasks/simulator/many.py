"""A small simulated site in each of many tiles, as one production: for trying what runs over tiles, not what they hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from imperv.grids import Tile
from imperv.tasks.simulator.simulation import SMALLEST, VERSION, simulate, write_production

CORNER = 40_000
"""Metres from the lower-left corner of every tile to its window."""

WIDEST = (100_000 - CORNER) // 1000
"""Kilometres from there to the edge of the tile."""


def simulate_many(
    out: Path,
    tiles: Sequence[str],
    kilometres: int = 1,
    *,
    years: tuple[int, int] = (2018, 2021),
    overpasses: int = 24,
    seed: int = 1,
    more: str = "",
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Simulate a window of `kilometres` (1 to 60) in each of several tiles; the production file of all tiles.

    Every tile has a folder and a landscape of its own; `more` holds further lines of the production file, TOML. A tile of the
    same arguments that is there already is left as it is: a call that was killed goes on. ValueError for a bad tile, a window
    that does not fit, years in the wrong order or too many overpasses.
    """
    if not 1 <= kilometres <= WIDEST:
        raise ValueError(f"windows of {kilometres} km: choose 1 to {WIDEST}")
    out = Path(out)
    edge = 1000 * kilometres
    margin = max(0, 10 * SMALLEST - edge) // 20 * 10
    size = (edge + 2 * margin) // 20 * 2
    for number, name in enumerate(tiles):
        left, bottom = (value + CORNER for value in Tile(name).bounds[:2])
        corner = left - margin, bottom + 10 * size - margin
        wanted = json.dumps({"size": size, "years": years, "overpasses": overpasses, "seed": seed + number, "simulator": VERSION})
        marker = out / name / "simulation.json"
        if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
            continue
        if progress:
            progress(f"{name}: simulating ({number + 1} of {len(tiles)})")
        if marker.exists():
            shutil.rmtree(out / name)  # of other arguments
        simulate(out / name, name, size, years=years, overpasses=overpasses, seed=seed + number, corner=corner)
        marker.write_text(wanted, encoding="utf-8")
    area = f"each = [{CORNER}, {CORNER}, {CORNER + edge}, {CORNER + edge}]"
    return write_production(out, tiles, years, area, "{tile}/", more)
