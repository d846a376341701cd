"""Costs of a production so far, by its records, beside the planned costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imperv.flows.plan.planning import delivered_bytes, stored_bytes
from imperv.flows.plan.targets import steps
from imperv.flows.production.tally import tile_sums
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import form_of
from imperv.tasks.families import task_of
from imperv.tasks.job import Job
from imperv.tasks.scenes.reading import FILE_SHARE
from imperv.tasks.settings.production import Prices

NAMES = {"core_hours": "core hours", "gigabytes_read": "GB of scenes read", "gigabytes_stored": "GB stored"}
"""Amounts, and their names in texts."""


def tile_costs(job: Job) -> dict[str, Any]:
    """Costs of a tile ``so_far``, and those ``planned`` for all its layers and products, by `NAMES`.

    With prices also ``money`` (no GPUs; a month of storage). What was made twice counts once. ``reading_not_counted``: features
    of a year made before their reading was counted.
    """
    sums, prices = tile_sums(job), job.production.prices
    order, products = steps(None, product=job.family)
    costs = [
        *((task.cost_made or task.cost)(job, CATALOGUE[symbol]) for symbol in order if (task := task_of(symbol))),
        *(form_of(CATALOGUE[symbol]).cost(job, CATALOGUE[symbol]) for symbol in products),
    ]
    so_far = sums.cpu_seconds / 3600, sums.read / 1e9, (sums.layers + sums.products) / 1e9
    planned = (
        sum(cost.core_seconds for cost in costs) / 3600,
        FILE_SHARE * sum(cost.bytes_decoded for cost in costs) / 1e9,
        (sum(stored_bytes(job, symbol) for symbol in order) + sum(delivered_bytes(job, symbol) for symbol in products)) / 1e9,
    )
    return {
        "so_far": _amounts(so_far, prices), "planned": _amounts(planned, prices), "reading_not_counted": sums.uncounted,
    }  # fmt: skip


def _amounts(values: tuple[float, float, float], prices: Prices) -> dict[str, float]:
    found = {name: round(value, 6) for name, value in zip(NAMES, values, strict=True)}
    if prices.given:
        each = (prices.core_hour, prices.gigabyte_read, prices.gigabyte_month)
        found["money"] = round(sum(value * price for value, price in zip(values, each, strict=True)), 6)
    return found


def total_costs(tiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum of the costs of tiles; empty without any."""
    if not tiles:
        return {}
    sums = {
        part: {name: round(sum(tile[part][name] for tile in tiles), 6) for name in tiles[0][part]}
        for part in ("so_far", "planned")
    }
    return {**sums, "reading_not_counted": sum(tile["reading_not_counted"] for tile in tiles)}


def cost_rows(costs: dict[str, Any], prices: Prices) -> list[tuple[str, float, float]]:
    """(what, so far, planned) of costs."""
    names = NAMES | {"money": prices.currency}
    return [(names[name], value, costs["planned"][name]) for name, value in costs.get("so_far", {}).items()]


def costs_line(costs: dict[str, Any], prices: Prices) -> str:
    """Costs in one line."""
    shown = ", ".join(f"{_digits(so_far)} of {_digits(planned)} {what}" for what, so_far, planned in cost_rows(costs, prices))
    missed = costs["reading_not_counted"]
    return f"so far, of what was planned: {shown}" + (f" ({missed} years of features not counted)" if missed else "")


def _digits(value: float) -> str:
    """Two decimals, or two digits of a small value."""
    return f"{value:,.2f}" if value >= 0.1 or not value else f"{value:.2g}"
