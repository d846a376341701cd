"""Products of other editions: deliveries of a tile before years, theme, version or release in names were changed.

They stay where they are, as others may use them. They are listed, and not checked or counted.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.imperviousness.products.names import delivery_of
from imperv.tasks.job import Job


def period_of(job: Job, symbol: str) -> tuple[str, str]:
    """First and last day that the product of a layer describes, as in its record."""
    periods = job.production.periods
    first = periods.now if delivery_of(CATALOGUE[symbol]).timing == "S" else periods.then
    return str(first.start), str(periods.now.end)


def other_editions(job: Job) -> dict[str, str]:
    """GeoTIFFs of a tile under names of another edition -> their places now, in the store; other years do not count."""
    own = {symbol: places_of(job, symbol).tif for symbol in delivered_symbols(job.family)}
    present = job.store.find(f"products/{job.tile}")
    found = {}
    for path in sorted(present):
        beside = str(PurePosixPath(path).with_suffix(".json"))
        if not path.endswith(".tif") or path in own.values() or beside not in present:
            continue
        record = job.store.read_record(beside)
        if record and record.symbol in own and (record.start, record.end) == period_of(job, record.symbol):
            found[path] = own[record.symbol]
    return found


def editions_note(job: Job) -> str:
    """A line on the products of other editions of a tile; empty where there are none."""
    others = other_editions(job)
    if not others:
        return ""
    return (
        f"products/{job.tile} holds {len(others)} products of another edition, such as {PurePosixPath(next(iter(others))).name}; "
        "they are not counted: remove them, or move them elsewhere"
    )
