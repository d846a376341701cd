"""Facts of a tile from its records, for its report: layers, products, areas, scenes, models, costs. No pixel is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.delivery import delivered_symbols, product_paths
from imperv.tasks.job import Job
from imperv.tasks.store.records import Record

DENSITY_GROUPS = ((0, 0), (1, 19), (20, 39), (40, 59), (60, 79), (80, 100))
"""Groups of density whose areas are compared, percent, both ends included."""

CLASS_CODES = (0, 10, 1, 11, 2, 12)
"""Classes of change in the order of the tables."""


@dataclass(frozen=True)
class LayerFact:
    """A final layer."""

    symbol: str
    description: str
    resolution: float
    record: Record | None
    """Of the layer; None where it was never made."""
    product: Record | None
    """Of the delivered file."""
    href: str
    """Delivered file, relative to the store."""

    @property
    def made(self) -> bool:
        """True where there are pixels."""
        return self.record is not None and self.record.made

    @property
    def reason(self) -> str:
        """Reason why there are none."""
        if self.record is None:
            return "has not been made yet"
        return "" if self.record.made else self.record.reason

    @property
    def no_data(self) -> float | None:
        """Share of pixels without data, 0 to 1; None where the layer is not made or not counted."""
        counted = self.record.statistics.get(self.symbol) if self.made and self.record else None
        return counted["outside"] / counted["pixels"] if counted and counted.get("pixels") else None


@dataclass(frozen=True)
class Status:
    """Sealed ground of one period."""

    valid_km2: float
    sealed_km2: float
    """Sum of density times pixel area."""
    groups_km2: tuple[float, ...]
    """Area of each of `DENSITY_GROUPS`."""
    built_up_km2: float | None
    """Area of built-up pixels; None where that layer is missing."""

    @property
    def share(self) -> float:
        """Sealed share of the valid ground, 0 to 1."""
        return self.sealed_km2 / self.valid_km2 if self.valid_km2 else 0.0


@dataclass(frozen=True)
class Change:
    """Change of sealed ground."""

    valid_km2: float
    gain_km2: float
    """Newly sealed ground: sum of increases times pixel area."""
    loss_km2: float
    touched_km2: float
    """Area of pixels that changed at all."""


@dataclass(frozen=True)
class Looks:
    """Clear observations of a period."""

    median: int
    fewest: int
    """5 % quantile over the pixels."""
    histogram: tuple[int, ...]
    """Pixels by their number of clear observations."""
    overpasses: int
    scenes: int
    lost: Mapping[str, str]


@dataclass(frozen=True)
class Training:
    """A trained model."""

    symbol: str
    members: tuple[Mapping[str, Any], ...]
    """History of each member."""
    tiles: tuple[str, ...]
    transfer: bool

    @property
    def ratio(self) -> float | None:
        """Largest ratio of a member's validation loss to that of a constant; below 1 if it has learnt anything."""
        found = [min(m["validation"]) / m["constant_loss"] for m in self.members if m.get("constant_loss")]
        return max(found) if found else None


@dataclass(frozen=True)
class TileFacts:
    """Facts of a tile."""

    tile: str
    then: str
    now: str
    windowed: bool
    bounds: tuple[float, float, float, float]
    run: Mapping[str, Any]
    """State, reason and time of the last run."""
    layers: tuple[LayerFact, ...]
    costs: Mapping[str, Record]
    """Record of each node and delivery."""
    missing_nodes: tuple[str, ...]
    """Nodes before the final layers that are not made."""
    warnings: tuple[tuple[str, str], ...]
    """(node, text)."""
    status_then: Status | None
    status_now: Status | None
    change: Change | None
    built_up_change: Change | None = None
    classes_km2: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Area of each class of change by layer."""
    looks: Mapping[str, Looks] = field(default_factory=dict)
    """By period: then, now."""
    models: tuple[Training, ...] = ()
    calibration: Mapping[str, Any] | None = None
    confidence: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Pixels by confidence in percent, by layer."""
    software: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Software versions of the layers."""

    def layer(self, symbol: str) -> LayerFact:
        """A final layer by symbol."""
        return next(fact for fact in self.layers if fact.symbol == symbol)


def gather(job: Job) -> TileFacts:
    """Read the records of a tile."""
    records = {symbol: job.record(symbol) for symbol in topological_order()}
    layers = []
    for symbol in delivered_symbols():
        href, place = product_paths(job, symbol)
        entry = CATALOGUE[symbol]
        product = job.store.read_record(place)
        layers.append(LayerFact(symbol, entry.description, entry.resolution, records[symbol], product, href))
    finals = {fact.symbol for fact in layers}
    nodes = {s: r for s, r in records.items() if r is not None}
    costs = nodes | {f"delivery of {fact.symbol}": fact.product for fact in layers if fact.product is not None}
    counts = {symbol: histogram(record, symbol) for symbol, record in nodes.items()}
    statistics = {symbol: record.statistics for symbol, record in nodes.items()}
    periods = job.production.periods
    return TileFacts(
        tile=str(job.tile),
        then=str(periods.then),
        now=str(periods.now),
        windowed=job.windowed,
        bounds=job.bounds,
        run=json.loads(job.store.read_text(f"{job.store.runs}/{job.tile}.data.json") or "{}"),
        layers=tuple(layers),
        costs=costs,
        missing_nodes=tuple(s for s, r in records.items() if r is None and s not in finals),
        warnings=tuple((node, text) for node, r in costs.items() for text in r.warnings),
        status_then=sealed_status(counts.get("IMD_then", {}), counts.get("IBU_then", {})),
        status_now=sealed_status(counts.get("IMD_now", {}), counts.get("IBU_now", {})),
        change=sealed_change(counts.get("IMDC", {})),
        built_up_change=sealed_change(counts.get("IBUDC", {})),
        classes_km2={s: _class_areas(s, counts[s]) for s in ("IMCC", "IMCCS", "IBUC", "IBUCS") if counts.get(s)},
        looks={p: _looks(found) for p in ("then", "now") if "looks" in (found := statistics.get(f"PP_{p}", {}))},
        models=tuple(_training(s, found) for s in ("IMD_model", "IBUD_model") if "history" in (found := statistics.get(s, {}))),
        calibration=statistics.get("IMD_calibration"),
        confidence={s: counts[s] for s in ("IMDCL", "IBUCL") if counts.get(s)},
        software=_software(nodes),
    )


def histogram(record: Record, symbol: str) -> dict[int, int]:
    """Pixels by code of a coded layer without those outside; empty where there is none."""
    counted = (record.statistics.get(symbol) if record.made else None) or {}
    return {int(code): count for code, count in counted.get("histogram", {}).items() if int(code) != OUTSIDE}


def sealed_status(density: Mapping[int, int], built_up: Mapping[int, int]) -> Status | None:
    """Sealed ground from pixels of 10 m by density and by built-up; None without a valid pixel."""
    area = 10 * 10 / 1e6
    valid = {code: count for code, count in density.items() if code <= 100}
    if not sum(valid.values()):
        return None
    return Status(
        sum(valid.values()) * area,
        sum(code * count for code, count in valid.items()) / 100 * area,
        tuple(sum(n for c, n in valid.items() if low <= c <= high) * area for low, high in DENSITY_GROUPS),
        built_up.get(1, 0) * area if built_up else None,
    )


def sealed_change(codes: Mapping[int, int]) -> Change | None:
    """Gain and loss from pixels of 20 m by code of a change layer; None without a valid pixel."""
    area = 20 * 20 / 1e6
    if not sum(codes.values()):
        return None
    moved = {code - 100: count for code, count in codes.items() if code <= 200}
    return Change(
        sum(codes.values()) * area,
        sum(max(d, 0) * n for d, n in moved.items()) / 100 * area,
        sum(max(-d, 0) * n for d, n in moved.items()) / 100 * area,
        sum(n for d, n in moved.items() if d) * area,
    )


def quantile(counts: Sequence[int], share: float) -> int:
    """Quantile of a histogram, `counts` by value; 0 of nothing."""
    summed = np.cumsum(counts)
    return int(np.searchsorted(summed, share * summed[-1])) if sum(counts) else 0


def _class_areas(symbol: str, counts: Mapping[int, int]) -> dict[int, float]:
    area = CATALOGUE[symbol].resolution ** 2 / 1e6
    return {code: counts.get(code, 0) * area for code in CLASS_CODES}


def _looks(found: Mapping[str, Any]) -> Looks:
    counts, lost = tuple(found["looks"]), found.get("lost_scenes", {})
    return Looks(quantile(counts, 0.5), quantile(counts, 0.05), counts, found["overpasses"], found["scenes"], lost)


def _training(symbol: str, found: Mapping[str, Any]) -> Training:
    return Training(symbol, tuple(found["history"]), tuple(found.get("tiles", ())), bool(found.get("transfer")))


def _software(nodes: Mapping[str, Record]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for record in nodes.values():
        for name, version in record.software.items():
            found.setdefault(name, {})[version] = None
    return {name: tuple(versions) for name, versions in found.items()}
