"""Numbers of a production for Prometheus, as a file for node_exporter's textfile collector.

They are made of what the store says: the parent writes them while it lives, `imperv status --metrics` whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from imperv.flows.production.heartbeat import Life, Standing, life_of
from imperv.flows.production.state import read_state
from imperv.tasks.errors import WorkError
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

NUMBERS = {
    "tiles_an_hour": ("imperv_tiles_per_hour", "Tiles that the living parent finished an hour since it began."),
    "hours_left": ("imperv_remaining_hours", "Hours until the end at that rate."),
    "hours": ("imperv_node_hours", "Hours that the nodes of tiles took whose runs have ended."),
}
"""What is given only where it is known."""

COUNTS = {
    "tiles": ("imperv_tiles", "Tiles by state.", "state"),
    "failures": ("imperv_tile_failures", "Tiles given up, by reason.", "reason"),
    "bytes": ("imperv_stored_bytes", "Bytes in the store of tiles whose runs have ended.", "kind"),
}


class _Numbers(Collector):
    def __init__(self, name: str, state: Mapping[str, Any], life: Life) -> None:
        self.name, self.state, self.life = name, state, life

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics of a production."""
        told = self.life.sign.facts if self.life.sign else {}
        living = self.life.state == "running"
        yield self._counts("imperv_production_state", "1 for the state that the production is in.", "state", {
            standing: int(standing == self.life.state) for standing in get_args(Standing)
        })  # fmt: skip
        yield self._one("imperv_production_start_timestamp_seconds", "When its parent began.", _seconds(self.state["began"]))
        if self.state.get("ended"):
            yield self._one("imperv_production_end_timestamp_seconds", "When it ended.", _seconds(self.state["ended"]))
        if sign := self.life.sign:
            yield self._one("imperv_heartbeat_timestamp_seconds", "Last sign of life of its parent.", _seconds(sign.when))
            yield self._one("imperv_heartbeat_interval_seconds", "Seconds between two signs of life.", sign.every)
        for key, (metric, text, label) in COUNTS.items():
            if told.get(key) is not None:
                yield self._counts(metric, text, label, told[key])
        for key, (metric, text) in NUMBERS.items():
            if told.get(key) is not None and (living or key == "hours"):
                yield self._one(metric, text, told[key])
        if living and (pool := told.get("pool")):
            yield self._counts(
                "imperv_pool_workers", "Workers that serve the work pool.", "pool", {pool["name"]: pool["workers"]}
            )
            yield self._counts("imperv_pool_paused", "1 if the work pool is paused.", "pool", {pool["name"]: int(pool["paused"])})

    def _one(self, metric: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(metric, text, labels=["production"])
        family.add_metric([self.name], value)
        return family

    def _counts(self, metric: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(metric, text, labels=["production", label])
        for key, value in values.items():
            family.add_metric([self.name, key], value)
        return family


def write_metrics(config: Path, production: Production) -> None:
    """Write a production's metrics, all or nothing, to its ``watch.metrics``; none if it has not run. WorkError if that fails."""
    store, path = store_of(production), production.path(production.watch.metrics)
    state = read_state(store)
    if not state:
        return
    registry = CollectorRegistry()
    registry.register(_Numbers(label_of(config), state, life_of(store, state)))
    try:
        write_to_textfile(path, registry)
    except OSError as error:
        raise WorkError(f"metrics: {path} cannot be written ({error.strerror or error})") from None


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
