"""What the records of a tile say, gathered for its report: layers, products, areas, scenes, models, costs. No pixel is read here.

Every layer that is missing is listed with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.delivery import delivered_symbols, product_paths
from imperv.tasks.job import Job
from imperv.tasks.store.records import Record

DENSITY_GROUPS = ((0, 0), (1, 19), (20, 39), (40, 59), (60, 79), (80, 100))
"""Groups of density whose areas are compared, percent, both ends included."""

CLASS_CODES = (0, 10, 1, 11, 2, 12)
"""Classes of change in the order in which they are told."""


@dataclass(frozen=True)
class LayerFact:
    """A final layer."""

    symbol: str
    description: str
    resolution: int
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
        """Why there are none."""
        if self.record is None:
            return "has not been made yet"
        return "" if self.record.made else self.record.reason

    @property
    def no_data(self) -> float | None:
        """Share of pixels outside, 0 to 1."""
        return no_data_share(self.record, self.symbol)


@dataclass(frozen=True)
class Cost:
    """What a node took."""

    node: str
    seconds: float
    cpu_seconds: float
    peak_memory: int
    size: int
    created: str
    made: bool = True


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
    """Of the 5 % of pixels with the fewest, the most."""
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
    """Tiles that it learnt from."""
    transfer: bool

    @property
    def ratio(self) -> float | None:
        """Largest validation loss of a member over that of a constant; below 1, something was learnt."""
        found = [min(m["validation"]) / m["constant_loss"] for m in self.members if m.get("constant_loss")]
        return max(found) if found else None


@dataclass(frozen=True)
class TileFacts:
    """Everything that the records say of a tile."""

    tile: str
    then: str
    now: str
    windowed: bool
    bounds: tuple[float, float, float, float]
    run: Mapping[str, Any]
    """State, why and when of the last run."""
    layers: tuple[LayerFact, ...]
    costs: tuple[Cost, ...]
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
    """Versions that the layers were made with."""

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
    nodes = {s: r for s, r in records.items() if r is not None}
    delivered = {f"delivery of {fact.symbol}": fact.product for fact in layers if fact.product is not None}
    costs = [
        Cost(node, r.seconds, r.cpu_seconds, r.peak_memory, r.size, r.created, r.made) for node, r in (nodes | delivered).items()
    ]
    finals = {fact.symbol for fact in layers}
    calibration = nodes.get("IMD_calibration")
    periods = job.production.periods
    return TileFacts(
        tile=str(job.tile),
        then=str(periods.then),
        now=str(periods.now),
        windowed=job.windowed,
        bounds=job.bounds,
        run=json.loads(job.store.read_text(f"runs/{job.tile}.data.json") or "{}"),
        layers=tuple(layers),
        costs=tuple(costs),
        missing_nodes=tuple(s for s, r in records.items() if r is None and s not in finals),
        warnings=tuple((node, text) for node, r in (nodes | delivered).items() for text in r.warnings),
        status_then=_status(nodes, "IMD_then", "IBU_then"),
        status_now=_status(nodes, "IMD_now", "IBU_now"),
        change=sealed_change(histogram(nodes.get("IMDC"), "IMDC")),
        built_up_change=sealed_change(histogram(nodes.get("IBUDC"), "IBUDC")),
        classes_km2={s: found for s in ("IMCC", "IMCCS", "IBUC", "IBUCS") if (found := _classes(nodes, s))},
        looks={p: _looks(r) for p in ("then", "now") if (r := nodes.get(f"PP_{p}")) is not None and "looks" in r.statistics},
        models=tuple(_training(s, nodes[s]) for s in ("IMD_model", "IBUD_model") if "history" in _numbers(nodes, s)),
        calibration=calibration.statistics if calibration is not None else None,
        confidence={s: found for s in ("IMDCL", "IBUCL") if (found := histogram(nodes.get(s), s))},
        software=_software(nodes),
    )


def histogram(record: Record | None, symbol: str) -> dict[int, int]:
    """Pixels by code of a coded layer, those outside left out; empty where there is none."""
    counted = (record.statistics.get(symbol) if record is not None and record.made else None) or {}
    return {int(code): count for code, count in counted.get("histogram", {}).items() if int(code) != OUTSIDE}


def no_data_share(record: Record | None, symbol: str) -> float | None:
    """Share of a layer's pixels without data, 0 to 1; None where it is not made or not counted."""
    counted = record.statistics.get(symbol) if record is not None and record.made else None
    return counted["outside"] / counted["pixels"] if counted and counted.get("pixels") else None


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


def sealed_change(codes: Mapping[int, int], resolution: int = 20) -> Change | None:
    """Gain and loss from pixels by code of a change layer; None without a valid pixel."""
    area = resolution**2 / 1e6
    if not sum(codes.values()):
        return None
    moved = {code - 100: count for code, count in codes.items() if code <= 200}
    return Change(
        sum(codes.values()) * area,
        sum(max(d, 0) * n for d, n in moved.items()) / 100 * area,
        sum(max(-d, 0) * n for d, n in moved.items()) / 100 * area,
        sum(n for d, n in moved.items() if d) * area,
    )


def _numbers(nodes: Mapping[str, Record], symbol: str) -> Mapping[str, Any]:
    return nodes[symbol].statistics if symbol in nodes else {}


def _status(nodes: Mapping[str, Record], density: str, built_up: str) -> Status | None:
    return sealed_status(histogram(nodes.get(density), density), histogram(nodes.get(built_up), built_up))


def _classes(nodes: Mapping[str, Record], symbol: str) -> Mapping[int, float]:
    area = CATALOGUE[symbol].resolution ** 2 / 1e6
    found = histogram(nodes.get(symbol), symbol)
    return {code: found.get(code, 0) * area for code in CLASS_CODES} if found else {}


def _looks(record: Record) -> Looks:
    counted = tuple(record.statistics["looks"])
    return Looks(
        _quantile(counted, 0.5),
        _quantile(counted, 0.05),
        counted,
        record.statistics["overpasses"],
        record.statistics["scenes"],
        record.statistics.get("lost_scenes", {}),
    )


def _quantile(counts: tuple[int, ...], share: float) -> int:
    """Value below or at which a share of what was counted lies; `counts` by value."""
    total, seen = sum(counts), 0
    for value, count in enumerate(counts):
        seen += count
        if total and seen >= share * total:
            return value
    return 0


def _training(symbol: str, record: Record) -> Training:
    found = record.statistics
    return Training(symbol, tuple(found["history"]), tuple(found.get("tiles", ())), bool(found.get("transfer")))


def _software(nodes: Mapping[str, Record]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for record in nodes.values():
        for name, version in record.software.items():
            found.setdefault(name, {})[version] = None
    return {name: tuple(versions) for name, versions in found.items()}
