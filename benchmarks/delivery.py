"""Writing one product of a full tile: map with overviews, table, metadata, style, quicklook, STAC item, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.job import Job, utc_now
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import with_measured

TILE = "E43N32"
SYMBOLS = ("IMD_now", "IBU_now", "IMDC", "SBU")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Deliver layers that are made up; one row each. Run it in a process of its own: memory is that of the process."""
    production = Production.of(
        {
            "tiles": [TILE],
            "store": str(folder / "store"),
            "periods": {"then": "2018", "now": "2021"},
            "scenes": {"catalogue": "x"},
        },
        folder / "production.toml",
    )
    job, found = Job.of(production, TILE), []
    for symbol in SYMBOLS:
        make_node(job, symbol) if symbol == "SBU" else _make(job, symbol)  # the check wants what IBU_now aggregates to
        record, _ = deliver(job, symbol)
        found.append(
            {
                "product": f"{symbol}, {CATALOGUE[symbol].resolution} m", "s": f"{record.seconds:.1f}",
                "processor s": f"{record.cpu_seconds:.1f}", "peak MiB": f"{record.peak_memory / 2**20:.0f}",
                "MB": f"{record.size / 1e6:.1f}",
            }
        )  # fmt: skip
    return found


def _make(job: Job, symbol: str) -> None:
    """A layer like a landscape: most of it one code, settlements with all codes, and sea."""
    layer, place, random = CATALOGUE[symbol], job.place(symbol), np.random.default_rng(1)
    grid = job.grid(layer.resolution)
    codes = np.array([code for code in layer.codes if code != OUTSIDE], np.uint8)
    common = 201 if 201 in layer.codes else 0
    with job.store.writing_arrays(place, grid, layer.resolution, layer.variables, {}) as out:
        for block in job.blocks(layer.resolution):
            towns = np.kron(random.random([-(-n // 50) for n in block.shape]) < 0.15, np.ones((50, 50), bool))
            pixels = np.where(towns[: block.shape[0], : block.shape[1]], random.choice(codes, block.shape), np.uint8(common))
            pixels[:, : block.shape[1] // 20] = OUTSIDE
            out[layer.variables[0].name][block.slices] = pixels
    record = Record(
        symbol, str(job.tile), key=digest_of([symbol]), digest="x", href=place.data, bbox=job.bounds, created=utc_now(),
        start=str(job.production.periods.then.start), end=str(job.production.periods.now.end),
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))


def main(folder: str) -> None:
    """Print the rows as JSON."""
    import json

    print(json.dumps(rows(Path(folder))))


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
