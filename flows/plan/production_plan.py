"""What a production of many tiles would take: nodes, bytes, memory, core and GPU hours, time with so many workers, money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imperv.flows.plan.planning import Step, plan_tile
from imperv.flows.plan.targets import DELIVER, resolve_targets, steps
from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.families import task_of
from imperv.tasks.job import Job
from imperv.tasks.networks.starting import starts_anew
from imperv.tasks.scenes.reading import FILE_SHARE
from imperv.tasks.settings.production import Production

GPU_CORES = 50.0
"""Cores of the measured machine that one GPU stands for in networks; an H100 would for 40 in training, 37 to 50 in prediction."""


@dataclass(frozen=True)
class TilePlan:
    """What one tile would take."""

    tile: str
    run: int
    """Nodes and deliveries that run."""
    maybe: int
    """Those that run again, the same result expected."""
    up_to_date: int
    core_hours: float
    to_models: float
    """Of them in the pass to the models."""
    network_hours: float
    """Of them in networks, which a GPU could do."""
    gigabytes_read: float
    """Of scene files."""
    gigabytes_stored: float
    """Of layers and delivered files, compressed."""
    memory: int
    """Highest projected memory of the process, bytes."""
    why: str
    """The most frequent reason to run, of what does not follow from another node."""


def plan_production(production: Production, tiles: Sequence[str], targets: Sequence[str] | None) -> list[TilePlan]:
    """Plans of tiles by arithmetic on catalogue and records; nothing is opened but records and scene lists."""
    product = production.product
    early = set(steps(resolve_targets(targets, product), "models", product)[0])
    return [_sum(tile, plan_tile(Job.of(production, tile), targets), early) for tile in tiles]


def _sum(tile: str, found: list[Step], early: set[str]) -> TilePlan:
    states = Counter(step.state for step in found)
    todo = [step for step in found if step.state != "up to date"]

    def hours(some: Sequence[Step]) -> float:
        return sum(step.core_seconds for step in some) / 3600

    reasons = Counter(step.reason for step in todo if not step.node.startswith(DELIVER) and " runs" not in step.reason)
    return TilePlan(
        tile, states["run"], states["maybe"], states["up to date"],
        core_hours=hours(todo), to_models=hours([step for step in todo if step.node in early]),
        network_hours=hours([step for step in todo if step.node in CATALOGUE and task_of(step.node).network]),
        gigabytes_read=FILE_SHARE * sum(step.bytes_decoded for step in todo) / 1e9,
        gigabytes_stored=sum(step.stored for step in todo) / 1e9,
        memory=max((step.memory for step in todo), default=0),
        why=reasons.most_common(1)[0][0] if reasons else "",
    )  # fmt: skip


def totals(production: Production, plans: Sequence[TilePlan], workers: int) -> dict[str, Any]:
    """Sums over tiles, wall time with so many tiles in work at once, and what it costs by the production's prices."""
    prices, cores = production.prices, production.engine.workers
    core, network = sum(p.core_hours for p in plans), sum(p.network_hours for p in plans)
    read, stored = sum(p.gigabytes_read for p in plans), sum(p.gigabytes_stored for p in plans)
    gpu = network / GPU_CORES
    money = {
        "cores only": core * prices.core_hour,
        "networks on GPUs": (core - network) * prices.core_hour + gpu * prices.gpu_hour,
        "reading": read * prices.gigabyte_read,
        "storing, a month": stored * prices.gigabyte_month,
    }
    return {
        "tiles": len(plans), "to_run": sum(p.run for p in plans), "maybe": sum(p.maybe for p in plans),
        "up_to_date": sum(p.up_to_date for p in plans), "core_hours": core, "network_core_hours": network,
        "gpu_hours_assumed": gpu, "gigabytes_read": read, "gigabytes_stored": stored,
        "memory": max((p.memory for p in plans), default=0), "workers": workers,
        "wall_hours": wall_hours(plans, workers) / cores, "currency": prices.currency,
        "money": money if prices.given else {},
    }  # fmt: skip


def wall_hours(plans: Sequence[TilePlan], workers: int) -> float:
    """Hours of one core a worker in the waves of `flows.production.waves`: each lasts as its work shared out, or its longest
    tile."""
    first = [p.to_models for p in plans if starts_anew(Tile(p.tile))]
    second = [p.to_models for p in plans if not starts_anew(Tile(p.tile))]
    rest = [p.core_hours - p.to_models for p in plans]
    return sum(max(sum(wave) / workers, max(wave)) for wave in (first, second, rest) if wave)


def as_json(plans: Sequence[TilePlan], total: dict[str, Any]) -> dict[str, Any]:
    """For ``--json``."""
    return {"tiles": [asdict(plan) for plan in plans], "total": total}
