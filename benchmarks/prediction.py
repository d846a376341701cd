"""Prediction through the real task and store beside the bare network on windows that lie standardised in memory.

Weights are random, which takes as long as trained ones.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import Row
from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import ATBD12, FULL18
from imperv.layers.network.precision import gains_by_bfloat16
from imperv.layers.network.prediction import AT_ONCE
from imperv.layers.network.unet import CLIP, Normalisation, build_unet, configure_threads, join_members, save_model
from imperv.layers.network.windows import Windows
from imperv.tasks.imperviousness.nodes.predicting import make_prediction, plan_prediction
from imperv.tasks.job import Job, attributes, utc_now
from imperv.tasks.networks.registry import load
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import with_measured

TILE, WORKERS = "E44N26", 2
SMALL, LARGE = 100, 2000
"""Edges in pixels: what both take, such as loading and tracing, is not the prediction's."""


def rows(folder: Path, edge: int = LARGE, runs: int = 3) -> list[Row]:
    """Processor seconds a pixel of ground and member, by `make_prediction` and by the bare network, in turn."""
    configure_threads(WORKERS)
    small, large = (_job(folder / name, size) for name, size in (("small", SMALL), ("large", edge)))
    for job in (small, large):
        _fill(job)
        _put_model(job)
    unet, record = large.production.parameters.unet, large.record("IMD_model")
    assert record is not None
    model, normalisation = load(large.store, record)
    shape = (2 * AT_ONCE, *_windows(large).edges, len(normalisation.names))
    windows = np.random.default_rng(1).standard_normal(shape, dtype=np.float32).clip(-CLIP, CLIP)
    ways: dict[str, Callable[[], object]] = {
        "the compiled network alone": _compiled(model, windows, AT_ONCE),
        "model.predict": lambda: model.predict(windows, batch_size=AT_ONCE, verbose=0),
        "small": lambda: make_prediction(small, CATALOGUE["RIMD"]),
        "large": lambda: make_prediction(large, CATALOGUE["RIMD"]),
    }
    if gains_by_bfloat16():
        halves = [_rounded(job) for job in (small, large)]
        ways["the same in bfloat16"] = lambda: make_prediction(halves[1], CATALOGUE["RIMD"])
        ways["small in bfloat16"] = lambda: make_prediction(halves[0], CATALOGUE["RIMD"])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + 1):  # the first warms up
        for name, function in ways.items():
            start = time.process_time()  # of all threads: other work on the machine counts little
            function()
            times[name].append(time.process_time() - start)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    ours = (medians["large"] - medians["small"]) / ((edge**2 - SMALL**2) * unet.members)
    what = f"make_prediction, {edge} x {edge} pixels of ground, windows of {shape[1]} x {shape[2]}"
    peers = {peer: medians[peer] / (windows[..., 0].size * unet.members) for peer in list(ways)[:2]}
    if "the same in bfloat16" in ways:
        rounded = medians["the same in bfloat16"] - medians["small in bfloat16"]
        peers["the same in bfloat16"] = rounded / ((edge**2 - SMALL**2) * unet.members)
    return [Row(what, ours, peer, seconds, "pixel and member") for peer, seconds in peers.items()]


def _windows(job: Job) -> Windows:
    unet = job.production.parameters.unet
    (windows,) = plan_prediction(job, "RIMD", unet.depth, unet.base_filters).strips.values()
    return windows


def _compiled(model, windows: np.ndarray, at_once: int) -> Callable[[], object]:
    """The network as a compiled graph, on windows in memory."""
    import tensorflow as tf

    graph = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, *windows.shape[1:]), tf.float32)]
    )
    parts = [windows[k : k + at_once] for k in range(0, len(windows), at_once)]
    return lambda: [graph(tf.constant(part)).numpy() for part in parts]


def _job(folder: Path, edge: int) -> Job:
    """A window of a tile."""
    folder.mkdir(parents=True, exist_ok=True)
    left, bottom = Tile(TILE).bounds[:2]
    (folder / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "none"\n[engine]\nworkers = {WORKERS}\n'
        f'memory = "4 GiB"\n[area]\nbbox = [{left}, {bottom}, {left + 10 * edge}, {bottom + 10 * edge}]\n'
    )
    return Job.of(Production.read(folder), TILE)


def _rounded(job: Job) -> Job:
    """The same tile, predicted in bfloat16."""
    parameters = job.production.parameters
    parameters = parameters.model_copy(update={"ensemble": parameters.ensemble.model_copy(update={"precision": "bfloat16"})})
    return Job.of(job.production.model_copy(update={"parameters": parameters}), str(job.tile))


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


def _put_model(job: Job) -> None:
    """A model of random weights."""
    layer, place, parameters = CATALOGUE["IMD_model"], job.place("IMD_model"), job.production.parameters.unet
    model = join_members([build_unet(parameters, k, name=f"member_{k}") for k in range(parameters.members)])
    save_model(model, Path(job.store.full(place.data)))
    normalisation = Normalisation(ATBD12, (0.2,) * len(ATBD12), (0.1,) * len(ATBD12))
    made_of = {"algorithm": f"{layer.stem} {layer.version}", "parameters": job.pick(layer)}
    record = Record(
        layer.symbol, TILE, digest_of(made_of), "digest", made_of, href=place.data, bbox=Tile(TILE).bounds, start="2018-01-01",
        end="2018-12-31", statistics={"normalisation": normalisation.to_json(), "members": parameters.members}, created=utc_now(),
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))
