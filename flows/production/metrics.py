"""Metrics of a production for Prometheus, as a file for the textfile collector of node_exporter.

The parent writes them with every sign of life, `imperv status --metrics` on request; all of them come from the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from imperv.flows.production.heartbeat import Life, Standing, life_of
from imperv.flows.production.state import read_state
from imperv.tasks.errors import WorkError
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

COUNTS = {
    "tiles": ("imperv_tiles", "Tiles by state.", "state"),
    "failures": ("imperv_tile_failures", "Tiles given up, by reason.", "reason"),
    "bytes": ("imperv_stored_bytes", "Bytes in the store of tiles whose runs have ended.", "kind"),
}
"""Facts of a sign of life that are counts."""


def write_metrics(config: Path, production: Production) -> None:
    """Write the metrics to ``watch.metrics``, all or nothing; nothing if no production ran. WorkError if that fails."""
    store, path = store_of(production), production.path(production.watch.metrics)
    if not (state := read_state(store)):
        return
    try:
        write_to_textfile(path, _registry(label_of(config), state, life_of(store, state)))
    except OSError as error:
        raise WorkError(f"metrics: {path} cannot be written ({error.strerror or error})") from None


def _registry(name: str, state: Mapping[str, Any], life: Life) -> CollectorRegistry:
    """All metrics of a production."""
    registry, living = CollectorRegistry(), life.state == "running"
    facts = life.sign.facts if life.sign else {}

    def one(metric: str, text: str, value: float | None) -> None:
        if value is not None:
            Gauge(metric, text, ["production"], registry=registry).labels(name).set(value)

    def counts(metric: str, text: str, label: str, values: Mapping[str, float]) -> None:
        family = Gauge(metric, text, ["production", label], registry=registry)
        for key, value in values.items():
            family.labels(name, key).set(value)

    standings = {standing: float(standing == life.state) for standing in get_args(Standing)}
    counts("imperv_production_state", "1 for the state of the production.", "state", standings)
    one("imperv_production_start_timestamp_seconds", "When its parent began.", _seconds(state["began"]))
    one("imperv_production_end_timestamp_seconds", "When it ended.", _seconds(state.get("ended", "")))
    if sign := life.sign:
        one("imperv_heartbeat_timestamp_seconds", "Last sign of life of its parent.", _seconds(sign.when))
        one("imperv_heartbeat_interval_seconds", "Seconds between two signs of life.", sign.every)
    for key, names in COUNTS.items():
        if facts.get(key) is not None:
            counts(*names, facts[key])
    one("imperv_node_hours", "Hours of the nodes of tiles whose runs have ended.", facts.get("hours"))
    if living:
        one("imperv_tiles_per_hour", "Tiles that the living parent finished an hour.", facts.get("tiles_an_hour"))
        one("imperv_remaining_hours", "Hours until the end at that rate.", facts.get("hours_left"))
    if living and (pool := facts.get("pool")):
        counts("imperv_pool_workers", "Workers that serve the work pool.", "pool", {pool["name"]: pool["workers"]})
        counts("imperv_pool_paused", "1 if the work pool is paused.", "pool", {pool["name"]: pool["paused"]})
    return registry


def _seconds(when: str) -> float | None:
    return datetime.fromisoformat(when).timestamp() if when else None
