"""CLCP_proxy_model and CLCP_proxy: boosted trees in place of CLC+ class 1 of `now` (ATBD 4.3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.features import stack_features
from imperv.layers.network.sampling import CLCPLUS_OUTSIDE
from imperv.layers.proxy import (
    ProxyParameters,
    ProxySamples,
    classify,
    confusion,
    draw_samples,
    rates,
    scores,
    sealed_labels,
    split_edge,
    train_proxy,
)
from imperv.tasks.errors import WorkError
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.memory import block_bytes
from imperv.tasks.store.records import digest_of


@dataclass(frozen=True)
class _Features:
    """Stored features of a year, with the distance; may travel to another process."""

    quantiles: Any
    ndvi_q90: Any
    harmonics: Any
    distance: Any
    names: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, period: str, parameters: ProxyParameters) -> _Features:
        group = job.group(f"PP_{period}")
        q90 = group["ndvi_q90"] if "NDVI_q90" in parameters.names else None
        return cls(group["quantiles"], q90, group["harmonics"], job.array("OSM_distance"), parameters.names)

    def read(self, block: Block) -> np.ndarray:
        """(feature, y, x) float32, the distance last."""
        cut = (slice(None), *block.slices)
        q90 = None if self.ndvi_q90 is None else self.ndvi_q90[block.slices]
        found = stack_features(self.quantiles[cut], q90, self.harmonics[cut], self.names)
        return np.concatenate([found, self.distance[block.slices][np.newaxis]])

    def bytes(self, block: Block) -> int:
        """Projected memory of a block: what is read, the stack, and its copy by pixel."""
        pixels = int(np.prod(block.shape))
        read = [(10 * pixels, "uint16"), (9 * pixels, "float32"), (2 * pixels, "uint8")]
        return block_bytes(read, [(pixels, "uint8")]) + 3 * 4 * (len(self.names) + 1) * pixels


@dataclass(frozen=True)
class _SampleBlock:
    """Draws the training pixels of a block; may travel to another process."""

    features: _Features
    clcplus: Any
    first: tuple[int, int]
    shares: tuple[float, float]
    edge: int
    parameters: ProxyParameters

    def __call__(self, block: Block) -> ProxySamples:
        codes = self.clcplus[block.slices]
        origin = self.first[0] + block.y0, self.first[1] + block.x0
        if (codes >= CLCPLUS_OUTSIDE).all():  # the sea has no samples
            nothing = np.empty((len(self.parameters.names) + 1, *block.shape), "f4")
            return draw_samples(nothing, codes, origin, self.shares, self.edge, self.parameters)
        return draw_samples(self.features.read(block), codes, origin, self.shares, self.edge, self.parameters)


def make_proxy_model(job: Job, layer: Layer) -> Made:
    """CLCP_proxy_model: boosted trees for CLC+ class 1 of `then`; WorkError if no pixel has features and CLC+ of `then`."""
    parameters, record = job.production.parameters.proxy, job.record("CLCP_then")
    counted: Any = record.statistics["CLCP_then"]["histogram"] if record else {}
    classes = {int(code): int(n) for code, n in counted.items() if int(code) < CLCPLUS_OUTSIDE}
    shares = rates(classes.get(1, 0), sum(n for code, n in classes.items() if code != 1), parameters)
    rows, columns = job.grid(10).shape
    work = _SampleBlock(
        _Features.of(job, "then", parameters), job.array("CLCP_then"), job.global_index(), shares,
        split_edge((rows, columns), parameters), parameters,
    )  # fmt: skip
    blocks = job.blocks(10)
    # Samples once in parts, once merged, once as XGBoost's bins.
    job.engine.at_once(parameters.samples * 4 * (len(parameters.names) + 3) * 3, layer.symbol)
    samples = ProxySamples.merge(job.engine.map(work, blocks, work.features.bytes(blocks[0]), layer.symbol))
    try:
        trained = train_proxy(samples, parameters)
    except ValueError as error:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: {error}; check scenes and references.clcplus_then") from None
    job.store.replace_text(job.place(layer.symbol), trained.model)
    warnings: tuple[str, ...] = ()
    if trained.scores["f1"] is None or not trained.samples["learnt_sealed"]:
        warnings = (f"tile {job.tile} has too few sealed pixels of CLCplus of then to score its proxy",)
    found = {"held_out": trained.scores, "samples": trained.samples, "importance": trained.importance, "split_block": work.edge}
    return Made(digest_of(trained.model), found, warnings)


@dataclass(frozen=True)
class _ProxyBlock:
    """One block of CLCP_proxy; may travel to another process."""

    symbol: str
    features: _Features
    then: Any
    now: Any
    model: str
    threshold: float
    out: Any

    def __call__(self, block: Block) -> tuple[BlockReport, tuple[float, float, float]]:
        then = self.then[block.slices]
        if (then >= CLCPLUS_OUTSIDE).all():
            codes = np.full(block.shape, 255, "u1")
        else:
            codes = classify(self.model, self.features.read(block), then, self.threshold)
        self.out[block.slices] = codes
        agreement = (0.0, 0.0, 0.0)
        if self.now is not None:
            real = sealed_labels(self.now[block.slices])
            both = (real != 255) & (codes != 255)
            agreement = confusion(codes[both] == 1, real[both] == 1)
        return report({self.symbol: codes}, CATALOGUE[self.symbol]), agreement


def make_proxy(job: Job, layer: Layer) -> Made:
    """CLCP_proxy: expected CLC+ class 1 of `now`."""
    parameters, blocks = job.production.parameters.proxy, job.blocks(10)
    record = job.record("CLCP_now")
    now = job.array("CLCP_now") if record is not None and record.made else None
    model = job.store.read_text(job.place("CLCP_proxy_model").data) or ""
    features = _Features.of(job, "now", parameters)
    with job.store.writing_arrays(job.place(layer.symbol), job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        array = out[layer.variables[0].name]
        work = _ProxyBlock(layer.symbol, features, job.array("CLCP_then"), now, model, parameters.threshold, array)
        results = job.engine.map(work, blocks, features.bytes(blocks[0]) + len(model) * 4, layer.symbol)
    digest, statistics = summarise(layer, [r for r, _ in results])
    trained = job.record("CLCP_proxy_model")
    known: Any = trained.statistics.get("held_out", {}) if trained else {}
    found = {**statistics, "held_out": known}
    if now is not None:
        found["agreement_with_CLCP_now"] = scores(*map(sum, zip(*(a for _, a in results), strict=True)))
    where = "where CLCplus of now has no data" if now is not None else "in place of CLCplus of now"
    return Made(digest, found, (f"sealed ground by a proxy {where}: F1 {known.get('f1')} on held-out ground of then",))
