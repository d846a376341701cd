"""The production file of the next pair of years: `now` becomes `then`, its delivered maps the references.

The maps that this chain made are the references of the next pair. Features of the shared year are used again where the store
is the same. Training starts from the model of each tile (`tasks.networks.starting`).
"""

from __future__ import annotations

from pathlib import Path

from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.files import file_of, require_new, table_of, write_production
from imperv.tasks.settings.production import Production

REFERENCES = {"imd_then": "IMD_now", "ibu_then": "IBU_now"}
"""References of the next production that are products of the last one."""


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
    """Write the production file of the next pair of years to `out`; the last one stays as it is.

    Returns the file, checked, and the tiles left out. `now` is a year or twelve months. Without `clcplus_now` the proxy takes its
    place (docs/proxy.md); `footprints`, of the new `then`, and `catalogue` are by default those of the last production. A tile
    without delivered IMD and IBU is an error, or with `only_finished` left out and named in the file. InputError if a value is
    wrong.
    """
    production = Production.read(last)
    file = file_of(last)
    table = table_of(file, production)
    require_new(out)
    missing = [tile for tile in production.tile_names if not _delivered(production, tile)]
    finished = [tile for tile in production.tile_names if tile not in set(missing)]
    count = len(production.tile_names)
    if missing and not (only_finished and finished):
        raise InputError(
            f"{len(missing)} of {count} tile{'s' * (count > 1)} of {file} without delivered IMD and IBU "
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
    scenes = table.setdefault("scenes", {})
    seen, _ = scenes.pop("now", None), scenes.pop("then", None)
    if seen is not None:  # what saw `now` sees the same year as `then`
        scenes["then"] = seen
    if catalogue:
        table.setdefault("scenes", {})["catalogue"] = catalogue
    table["periods"] = {"then": table["periods"]["now"], "now": now}
    table.get("delivery", {}).pop("edition", None)  # that of the new pair follows from its years
    remark = f"The update of {file.name} to {now}, written by `imperv update`."
    if missing:
        remark += f"\n# Left out, as the last production has not finished them: {', '.join(missing)}"
    return write_production(table, out, remark), missing


def _delivered(production: Production, tile: str) -> bool:
    """True for a tile whose maps can be the references of the next production."""
    job = Job.of(production, tile)
    records = [job.store.read_record(places_of(job, symbol).record) for symbol in REFERENCES.values()]
    return all(record is not None and job.store.data_in_place(record) for record in records)


def _pattern(production: Production, symbol: str) -> str:
    """Path of the delivered files of a layer, with ``{tile}`` for the tile's name."""
    tile = production.tile_names[0]
    place = places_of(Job.of(production, tile), symbol).tif.replace(tile, "{tile}")
    return f"{production.store_url}/{place}"
