"""The production file of the next pair of years: `now` becomes `then`, and the delivered maps its references.

In the same store features of that year are used again, and training starts from the models of the year before
(`tasks.networks.starting`).
"""

from __future__ import annotations

from pathlib import Path

from imperv.flows.runtime.console import counted
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.products.names import places_of
from imperv.tasks.job import Job
from imperv.tasks.settings.files import file_of, require_new, table_of, write_production
from imperv.tasks.settings.production import Production

REFERENCES = {"imd_then": "IMD_now", "ibu_then": "IBU_now"}
"""References of the next production by product of the last one."""


def next_production(
    last: Path,
    now: str,
    out: Path,
    *,
    clcplus_now: str = "",
    footprints: tuple[str, ...] = (),
    catalogue: str = "",
    only_finished: bool = False,
) -> tuple[Path, list[str]]:
    """Write the production file of the next pair of years to `out`; the file, and the tiles left out.

    Without `clcplus_now` the proxy is used (docs/proxy.md); `footprints` of the new `then` and `catalogue` default to those of
    the last production. InputError for tiles without delivered IMD and IBU, which `only_finished` leaves out, and wrong values.
    """
    production = Production.read(last)
    file = file_of(last)
    table = table_of(file, production)
    require_new(out)
    missing = [tile for tile in production.tile_names if not _delivered(production, tile)]
    finished = [tile for tile in production.tile_names if tile not in set(missing)]
    if missing and not (only_finished and finished):
        raise InputError(
            f"{len(missing)} of {counted(len(production.tile_names), 'tile')} of {file} without delivered IMD and IBU "
            f"({', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}); finish that production first"
            + (", or leave them out with --only-finished" if finished else "")
        )
    if missing:
        table["tiles"] = finished
        for key in ("countries", "aoi"):  # the tiles are named
            table.pop(key, None)
    references = table.setdefault("references", {})
    for key, symbol in REFERENCES.items():
        references[key] = _pattern(production, symbol)
    references["clcplus_then"] = references.pop("clcplus_now", "")
    if clcplus_now:
        references["clcplus_now"] = clcplus_now
    if footprints:
        references["footprints"] = list(footprints)
    for key in [key for key, value in references.items() if value in ("", [])]:
        del references[key]
    if catalogue:
        table.setdefault("scenes", {})["catalogue"] = catalogue
    table["periods"] = {"then": table["periods"]["now"], "now": now}
    table.get("delivery", {}).pop("edition", None)  # that of the new pair follows from its years
    remark = f"The update of {file.name} to {now}, written by `imperv update`."
    if missing:
        remark += f"\n# Left out, as the last production has not finished them: {', '.join(missing)}"
    return write_production(table, out, remark), missing


def _delivered(production: Production, tile: str) -> bool:
    """True for a tile with delivered maps."""
    job = Job.of(production, tile)
    records = [job.store.read_record(places_of(job, symbol).record) for symbol in REFERENCES.values()]
    return all(record is not None and job.store.data_in_place(record) for record in records)


def _pattern(production: Production, symbol: str) -> str:
    """Path of the delivered files of a layer, with {tile} for the tile."""
    tile = production.tile_names[0]
    place = places_of(Job.of(production, tile), symbol).tif.replace(tile, "{tile}")
    return f"{production.store_url}/{place}"
