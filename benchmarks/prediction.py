"""Prediction through the real task and store beside the bare network on windows that lie standardised in memory.

Weights are random, which takes as long as trained ones. Processor seconds tell more than wall seconds where other work runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.processes import told_by
from imperv.grids import Tile, official_tiles
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import ATBD12, FULL18
from imperv.layers.network.prediction import window_bytes
from imperv.layers.network.rows import Lattice
from imperv.layers.network.unet import (
    CLIP,
    Normalisation,
    UNetParameters,
    build_unet,
    configure_threads,
    join_members,
    save_model,
)
from imperv.tasks.engine import RESERVED, measured
from imperv.tasks.imperviousness.nodes.predicting import make_prediction, plan_prediction
from imperv.tasks.job import Job, attributes, utc_now
from imperv.tasks.networks.registry import PRODUCTS, Wanted, ensemble_models, find, load
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import Store, with_measured

TILE = "E44N26"
WORKERS = 2
SMALL, LARGE = 100, 2000
"""Edges in pixels: what both take, such as loading and tracing, is not the prediction's."""
STRIP = (400, 10_000)
"""Rows and columns of a strip as wide as a tile."""
AROUND = ("E43N26", "E44N25", "E44N27", "E45N26")
"""Tiles whose models predict the strip besides its own."""


@dataclass(frozen=True)
class Speed:
    """What was measured of one way."""

    what: str
    windows: int
    seconds: float
    cpu_seconds: float

    def line(self, bare: Speed) -> str:
        """A row of the table."""
        wall, cpu = self.seconds / self.windows, self.cpu_seconds / self.windows
        ratios = wall * bare.windows / bare.seconds, cpu * bare.windows / bare.cpu_seconds
        return (
            f"| {self.what} | {self.windows} | {1 / wall:.1f} | {1e3 * cpu:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )  # fmt: skip


def prediction_lines(folder: Path, edge: int = LARGE, runs: int = 3) -> list[str]:
    """Windows a second of one model with two members, both ways in turn."""
    configure_threads(WORKERS)
    small, large = (_job(folder / name, size, size) for name, size in (("small", SMALL), ("large", edge)))
    for job in (small, large):
        _fill(job)
        _put_model(job)
    unet = large.production.parameters.unet
    counts = [_windows(job) for job in (small, large)]
    record = large.record("IMD_model")
    assert record is not None
    model, normalisation = load(large.store, record)
    plan = plan_prediction(large, "RIMD", unet.members, window_bytes(model, unet.patch))
    shape = (4 * plan.windows, unet.patch, unet.patch, len(normalisation.names))
    windows = np.random.default_rng(1).standard_normal(shape, dtype=np.float32).clip(-CLIP, CLIP)
    bare, keras = _bare(model, windows, plan.windows)

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "the compiled network alone": (bare, len(windows)),
        "model.predict": (keras, len(windows)),
        "small": (lambda: make_prediction(small, CATALOGUE["RIMD"]), counts[0]),
        "large": (lambda: make_prediction(large, CATALOGUE["RIMD"]), counts[1]),
    }
    for function, _ in list(ways.values())[:3]:
        function()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, (function, _) in ways.items():
            start, processor = time.perf_counter(), time.process_time()
            function()
            times[name].append((time.perf_counter() - start, time.process_time() - processor))
    medians = {name: np.median(values, axis=0) for name, values in times.items()}
    speeds = [Speed(name, ways[name][1], *medians[name]) for name in ("the compiled network alone", "model.predict")]
    more = medians["large"] - medians["small"]
    speeds.append(Speed(f"make_prediction, {edge} x {edge} pixels", counts[1] - counts[0], *more))
    pixels = edge * edge / (unet.patch**2)
    return [
        "| what | windows | windows a second | processor ms a window | wall, of the first | processor, of the first |",
        "|---|---|---|---|---|---|",
        *(speed.line(speeds[0]) for speed in speeds),
        "",
        f"Windows of {unet.patch} pixels, two members of {unet.base_filters} filters, {plan.windows} windows at once. Overlap: {counts[1]} "
        f"windows where {pixels:.0f} would cover the ground ({counts[1] / pixels:.2f} times; {(unet.patch / (unet.patch - unet.overlap)) ** 2:.2f} on a tile). "
        f"Loading, tracing and listing: {medians['small'][1]:.1f} processor s.",
    ]  # fmt: skip


def _windows(job: Job) -> int:
    unet, (rows, columns) = job.production.parameters.unet, job.grid(10).shape
    lattice = Lattice((rows, columns), job.global_index(), unet.patch, unet.overlap)
    return len(lattice.tops) * len(lattice.lefts)


def _bare(model, windows: np.ndarray, at_once: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """The network on windows in memory: as a compiled graph, and by Keras."""
    import tensorflow as tf

    graph = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, *windows.shape[1:]), tf.float32)]
    )
    parts = [windows[k : k + at_once] for k in range(0, len(windows), at_once)]
    return (
        lambda: [graph(tf.constant(part)).numpy() for part in parts],
        lambda: model.predict(windows, batch_size=at_once, verbose=0),
    )


def memory_line(folder: Path, rows: int = STRIP[0], columns: int = STRIP[1]) -> str:
    """Memory of a process that does nothing but predict a strip with five models of two members, and what was projected."""
    job = _job(folder, rows, columns)
    _fill(job)
    for tile in (TILE, *AROUND):
        _put_model(job, tile)
    members, peak, projected, allowed = told_by("benchmarks.prediction", folder, rows, columns)
    return (
        f"Memory of a process that predicts {rows} x {columns} pixels with {members} members: {peak / 2**20:.0f} MiB, "
        f"projected {projected / 2**20:.0f}, allowed {allowed / 2**20:.0f}."
    )


def _predict_strip(job: Job) -> list[int]:
    """Predict, and tell members, highest resident memory, what was projected and what is allowed, bytes."""
    with measured(0.01) as usage:
        members = make_prediction(job, CATALOGUE["RIMD"]).statistics["members"]
    found = ensemble_models(job, "IMD_model")
    window = max(window_bytes(load(job.store, record)[0], job.production.parameters.unet.patch) for record in found.models)
    projected = plan_prediction(job, "RIMD", members, window).bytes + RESERVED
    return [members, usage.peak_memory, projected, job.engine.settings.memory]


def _job(folder: Path, rows: int, columns: int) -> Job:
    """A window of a tile."""
    folder.mkdir(parents=True, exist_ok=True)
    left, bottom = Tile(TILE).bounds[:2]
    (folder / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "none"\n[engine]\nworkers = {WORKERS}\n'
        f'memory = "4 GiB"\n[area]\nbbox = [{left}, {bottom}, {left + 10 * columns}, {bottom + 10 * rows}]\n'
    )
    return Job.of(Production.read(folder), TILE)


def _fill(job: Job) -> None:
    """Random features of now, and how they are shifted."""
    layer, place, rng = CATALOGUE["PP_now"], job.place("PP_now"), np.random.default_rng(0)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for block in job.blocks(10):
            out["quantiles"][(..., *block.slices)] = rng.integers(500, 4000, (10, *block.shape)).astype("u2")
            out["harmonics"][(..., *block.slices)] = rng.uniform(-0.2, 0.6, (7, *block.shape)).astype("f2").astype("f4")
    record = Record(layer.stem, TILE, "key", "digest", href=place.data, bbox=job.bounds, start="2021-01-01", end="2021-12-31")
    job.store.write_record(place.record, with_measured(record, job.store))
    job.store.write_text(job.place("PP_shift").data, json.dumps(dict.fromkeys(FULL18, 0.01)))


def _put_model(job: Job, tile: str = TILE) -> None:
    """A model of random weights."""
    parameters: UNetParameters = job.production.parameters.unet
    model = join_members([build_unet(parameters, k, name=f"member_{k}") for k in range(parameters.members)])
    place = job.neighbour(Tile(tile)).place("IMD_model")
    save_model(model, Path(job.store.full(place.data)))
    job.store.write_record(place.record, with_measured(_record(job, "IMD_model", tile), job.store))


def _record(job: Job, symbol: str, tile: str) -> Record:
    """The record of a model of random weights."""
    layer, place = CATALOGUE[symbol], job.neighbour(Tile(tile)).place(symbol)
    names = ATBD12
    normalisation = Normalisation(names, (0.2,) * len(names), (0.1,) * len(names))
    made_of = {"algorithm": f"{layer.stem} {layer.version}", "parameters": job.pick(layer)}
    statistics = {"normalisation": normalisation.to_json(), "members": job.production.parameters.unet.members}
    return Record(
        symbol, tile, digest_of(made_of), "digest", made_of, href=place.data, bbox=Tile(tile).bounds, start="2018-01-01",
        end="2018-12-31", statistics=statistics, created=utc_now(),
    )  # fmt: skip


def search_line(folder: Path, store: Store | None = None, runs: int = 5) -> str:
    """Time to find the nearest models in a store that has one for every tile of Europe."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "none"\n'
    )
    job = Job.of(Production.read(folder), TILE)
    job = replace(job, store=store or job.store)
    (product, symbol), text = next(iter(PRODUCTS.items())), ""
    for name in official_tiles("eea38-2024"):
        data = f"models/{product}/{name}/model.keras"
        job.store.write_text(data, "weights")
        text = text or replace(_record(job, symbol, TILE), files=1, size=7).to_json()
        job.store.write_text(f"models/{product}/{name}/model.json", text.replace(TILE, name))
    times = []
    for _ in range(runs):
        start, processor = time.perf_counter(), time.process_time()
        found = find(job.store, symbol, job.tile, Wanted.of(job.production, symbol), 10, 300)
        times.append((time.perf_counter() - start, time.process_time() - processor))
    wall, cpu = np.median(times, axis=0)
    return (
        f"Nearest models among {found.beyond + found.farther + len(found.models) + 1} tiles: {1e3 * wall:.0f} ms "
        f"({1e3 * cpu:.0f} ms of processor), {len(found.models)} taken, {found.farther} farther ones and {found.beyond} beyond reach not read."
    )


if __name__ == "__main__":
    print(json.dumps(_predict_strip(_job(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
