"""A small simulated site in each of many tiles, as one production: for trying what runs over tiles, not what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grids import Tile
from tasks.simulator.simulation import SMALLEST, simulate

CORNER = 40_000
"""Metres from the lower-left corner of every tile to its window."""


def simulate_many(
    out: Path,
    tiles: Sequence[str],
    kilometres: int = 1,
    *,
    years: tuple[int, int] = (2018, 2021),
    overpasses: int = 24,
    seed: int = 1,
) -> Path:
    """Simulate a window in each of several tiles.

    Parameters
    ----------
    out : Path
        Folder to write to, a folder a tile below it.
    tiles : sequence of str
        EEA tiles.
    kilometres : int
        Edge of each window.
    years, overpasses, seed
        See `simulate`; every tile has a landscape of its own.

    Returns
    -------
    Path
        Production file of all tiles.
    """
    out = Path(out)
    edge = 1000 * kilometres
    margin = max(0, 10 * SMALLEST - edge) // 20 * 10
    size = (edge + 2 * margin) // 20 * 2
    for number, name in enumerate(tiles):
        left, bottom = (value + CORNER for value in Tile(name).bounds[:2])
        corner = left - margin, bottom + 10 * size - margin
        simulate(out / name, name, size, years=years, overpasses=overpasses, seed=seed + number, corner=corner)
    path = out / "production.toml"
    path.write_text(
        f"""tiles = {json.dumps(list(tiles))}
store = "store"

[periods]
then = "{years[0]}"
now = "{years[1]}"

[area]
each = [{CORNER}, {CORNER}, {CORNER + edge}, {CORNER + edge}]

[scenes]
catalogue = "{{tile}}/items.json"

[references]
imd_then = "{{tile}}/reference/imd_then.tif"
ibu_then = "{{tile}}/reference/ibu_then.tif"
clcplus_then = "{{tile}}/reference/clcplus_then.tif"
clcplus_now = "{{tile}}/reference/clcplus_now.tif"
footprints = ["{{tile}}/reference/footprints.geojson"]
""",
        encoding="utf-8",
    )
    return path
