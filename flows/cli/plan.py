"""`imperv plan`: which tiles, and how a plan is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from imperv.flows.plan.planning import as_table, plan_tile
from imperv.flows.plan.production_plan import GPU_CORES, TilePlan
from imperv.flows.runtime.console import counted, duration, out, show
from imperv.grids import country_tiles
from imperv.grids.tiles import NEWEST
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.areas import tiles_touched
from imperv.tasks.settings.production import Production, describe_bytes, product_of, production_class
from imperv.tasks.settings.toml_files import read_toml
from imperv.tasks.yearly.costs import OVERPASSES

COLOURS = {"run": "yellow", "maybe": "cyan", "up to date": "green"}


def planned(config: Path | None, tiles: Sequence[str], named: bool) -> tuple[Production, str]:
    """The production to plan, and in one line the assumptions for keys that its file lacks.

    The file may be missing where tiles are `named`; those of a country or an area come from the newest list.
    """
    file = config or Path("production.toml")
    file = file / "production.toml" if file.is_dir() else file
    there = config is not None or file.exists() or not named
    table = read_toml(file) if there else {}
    kind = production_class(product_of(table), f"{file}: product")
    periods = kind.model_fields["periods"].annotation.assumed(tiles)  # type: ignore[union-attr]
    missing = []
    for group, values in {"periods": periods, "scenes": {"catalogue": ""}}.items():
        said = table.get(group, {})
        if isinstance(said, dict):
            missing += [f"{group}.{key}" for key in values if key not in said]
            table[group] = values | said
    if named and not any(table.get(key) for key in ("tiles", "countries", "aoi")):
        table["tiles"] = NEWEST
    production = Production.of(table, file)
    what = f"{file} does not say {', '.join(missing)}" if there else f"there is no {file}"
    looks = "" if production.scenes.catalogue else f" with {OVERPASSES} looks a year"
    return production, f"{what}: planned for {production.periods.whole}{looks}" if missing else ""


def chosen(names: Sequence[str], countries: Sequence[str], aoi: Path | None) -> list[str]:
    """Tiles that the countries and the area touch; InputError for a wrong country or area, or if none is left."""
    try:
        wanted = {tile for code in countries for tile in country_tiles(code.upper())}
    except ValueError as error:
        raise InputError(f"--country: {error}") from None
    left = [name for name in names if not countries or name in wanted]
    if aoi is not None and left:
        left = list(tiles_touched(str(aoi), left))
    if not left:
        raise InputError("no tile is left: the production holds none of those countries; correct --country or tiles")
    return left


def print_nodes(production: Production, names: Sequence[str], targets: Sequence[str] | None, as_json: bool) -> None:
    """Every node of every tile, with its reason."""
    found = [step for tile in names for step in plan_tile(Job.of(production, tile), targets)]
    if as_json:
        show(as_table(found), (), as_json)
        return
    for step in found:
        shown = f"{ {'maybe': 'run again'}.get(step.state, step.state):<10}"
        size = describe_bytes(step.bytes) if step.bytes else ""
        time = duration(step.core_seconds) if step.core_seconds else ""
        line = f"{step.tile}  {step.node:<24} [{COLOURS[step.state]}]{shown}[/]  {size:>11}  {time:>9}  {escape(step.reason)}"
        out.print(line.rstrip(), markup=True)
    todo = sum(step.state != "up to date" for step in found)
    out.print(f"{todo} of {len(found)} to run, {len(found) - todo} up to date")
    if todo:
        seconds, decoded = sum(step.core_seconds for step in found), sum(step.bytes_decoded for step in found)
        memory = max(step.memory for step in found)
        out.print(
            f"about {duration(seconds)} of one core, {describe_bytes(decoded)} of scenes decoded, "
            f"at most {describe_bytes(memory)} of memory (rates of docs/performance.md)"
        )


def summary_lines(plans: Sequence[TilePlan], total: dict[str, Any]) -> Iterator[str]:
    """A line a tile, and the sums."""
    yield f"{'tile':<7} {'run':>5} {'again':>6} {'done':>5} {'core h':>8} {'read GB':>9} {'memory':>11}  why"
    for p in plans:
        memory = describe_bytes(p.memory) if p.memory else ""
        counts = f"{p.run:>5} {p.maybe:>6} {p.up_to_date:>5} {p.core_hours:>8.2f} {p.gigabytes_read:>9.1f}"
        yield f"{p.tile:<7} {counts} {memory:>11}  {p.why}".rstrip()
    count = total["to_run"] + total["maybe"]
    yield f"{counted(total['tiles'], 'tile')}: {count} nodes and deliveries to run, {total['up_to_date']} up to date"
    if not count:
        return
    yield (
        f"cores     {total['core_hours']:,.1f} hours, of them {total['network_core_hours']:,.1f} in networks "
        f"(about {total['gpu_hours_assumed']:,.1f} GPU hours, if one does the work of {GPU_CORES:g} cores)"
    )
    yield (
        f"scenes    {total['gigabytes_read']:,.0f} GB to read; store about {total['gigabytes_stored']:,.0f} GB; "
        f"memory of a process at most {describe_bytes(total['memory'])}"
    )
    yield f"wall time {duration(3600 * total['wall_hours'])} with {counted(total['workers'], 'tile')} at once"
    yield from (f"{what:<18} {amount:,.2f} {total['currency']}" for what, amount in total["money"].items())
