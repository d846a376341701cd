"""`imperv report`: reports of tiles and of the production (`tasks.report`)."""

from __future__ import annotations

from collections.abc import Iterator

from imperv.flows.plan.planning import remembering, tile_status
from imperv.flows.production.spending import cost_rows, tile_costs, total_costs
from imperv.flows.tile.run import write_report
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


def report_tile(production: Production, tile: str) -> str:
    """Make the report of a tile; returns its place."""
    job = Job.of(production, tile)
    return f"{job.store.url}/{write_report(job)}"


def report_production(production: Production) -> str:
    """Make the report of all tiles from their records; returns its place. InputError if there is no tile."""
    if not production.tile_names:
        raise InputError('tiles: the production names none; add one such as tiles = ["E43N32"]')
    jobs = [remembering(Job.of(production, tile)) for tile in production.tile_names]
    statuses = [tile_status(job) for job in jobs]
    costs = cost_rows(total_costs([tile_costs(job) for job in jobs]), production.prices)
    write = family(production.product).report_production
    if write is None:
        raise InputError(f"product {production.product} has reports of tiles only: name one")
    return f"{production.store_url}/{write(production, statuses, costs)}"


def report_all(production: Production) -> Iterator[str]:
    """Make the reports of all tiles that have any layer, then that of the production, which links to them."""
    for tile in production.tile_names:
        if tile_status(Job.of(production, tile))["state"] != "missing":
            yield report_tile(production, tile)
    if family(production.product).report_production is not None:
        yield report_production(production)
