"""What the scene of a tile tells the sharpening: statistics of each step, and which networks take part, tuned or as shipped."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from imperv.grids import Block
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.network.precision import Precision
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.date_network import DateModel
from imperv.layers.sharpening.date_network import shipped as shipped_dates
from imperv.layers.sharpening.network import Model, from_bytes, shipped, to_bytes
from imperv.layers.sharpening.scene import Fit, SceneModel, Window, statistics_from_json, statistics_to_json, to_10
from imperv.layers.sharpening.steps import STEPS
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import TENSORFLOW, Cost, resident
from imperv.tasks.job import Job, Made
from imperv.tasks.networks.precision import precision_external, precision_of
from imperv.tasks.store.records import digest_of
from imperv.tasks.superresolution.windows import MEASURED, Outlook, Read, read_block, window

FIT_NS = 700.0
"""Core nanoseconds by pixel of 10 m to sum up what the regressions need."""

FIT_BYTES = 900
"""Bytes by pixel of 10 m of a block that is summed up."""

NETWORK_S = {10: 6.0, 5: 10.0}
"""Core seconds to load TensorFlow, compile the networks, and hold them against the scene, by the pixels that are reached."""

NETWORK = "network"

SHARPENING = "sharpening"
"""Group of parameters that says in which numbers networks predict."""

PART, PARTS = 480, 9
"""Edge in pixels of 10 m, and number, of the parts of a scene that networks are tuned on."""

TUNING_MINUTES = {"20to10": 2.0, "60to10": 0.8, "10to5": 0.8}
"""Minutes after which the best so far is kept: under four together."""


def measured_bands(job: Job) -> Read:
    """What reads the measured bands from the store."""
    return partial(read_block, {size: job.array(f"SR_B{size}") for size in MEASURED})


@dataclass(frozen=True)
class FitBlock:
    """Sums of one block."""

    read: Read
    shape: tuple[int, int]
    spread: float | None

    def __call__(self, block: Block) -> Fit:
        """Read and sum it up."""
        fit = Fit(self.spread)
        fit.add(window(self.read, Outlook.of(block, 10, self.shape)))
        return fit


def make_scene_model(job: Job, layer: Layer) -> Made:
    """Fit the regressions to the whole scene; keep the tuned networks, or name those that come with the package."""
    settings, lead = job.production.parameters.sharpening, CATALOGUE["SR10"]
    blocks = job.blocks_of(lead)
    work = FitBlock(measured_bands(job), job.grid_of(lead).shape.yx, settings.point_spread)
    size = max(Outlook.of(block, 10, work.shape).pixels for block in blocks) * FIT_BYTES
    fit = Fit(settings.point_spread)
    with threadpool_limits(1, "blas"):  # or threads of one product wait for those of another block
        for part in job.engine.map(work, blocks, size, layer.symbol):
            fit.join(part)
    statistics = fit.solve()
    networks = shipped_networks() if settings.method == NETWORK else {}
    tuned: dict[str, Model] = {}
    if networks or settings.tune:
        configure_threads(job.engine.settings.workers)
        scene = SceneModel(statistics, networks, spread=settings.point_spread)
        windows = [window(work.read, outlook) for outlook in parts_of(work.shape)]
        networks, tuned = networks_of(scene, windows, tuple(STEPS) if settings.tune else ())
    table: dict[str, Any] = {
        "trust": {name: list(model.trust) for name, model in networks.items()},
        "statistics": {name: statistics_to_json(found) for name, found in statistics.items()},
        "networks": {name: digest_of_model(model) for name, model in networks.items()},
        "tuned": {name: base64.b64encode(to_bytes(model)).decode() for name, model in tuned.items()},
    }
    text = json.dumps(table) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    told = {
        name: {band: round(float(u), 4) for band, u in zip(STEPS[name].bands, found.unexplained, strict=True)}
        for name, found in statistics.items()
    }
    made = {
        "networks": table["networks"],
        "trust": {n: dict(zip(STEPS[n].bands, map(float, np.round(m.trust, 3)), strict=False)) for n, m in networks.items()},
        "tuned": {name: model.record.get("tuned") for name, model in tuned.items()},
        "unexplained": told,
    }
    return Made(digest_of(text), made)


def parts_of(shape: tuple[int, int]) -> list[Outlook]:
    """Parts of a scene that networks learn from, spread over it: at most `PARTS` with edges of `PART` pixels of 10 m."""
    each = UTM_STEP // 10
    across = [max(1, min(round(PARTS**0.5), -(-n // PART))) for n in shape]
    edges = [min(PART, n) for n in shape]
    starts = [
        [round(k * (n - e) / max(c - 1, 1)) // each * each for k in range(c)]
        for n, e, c in zip(shape, edges, across, strict=True)
    ]
    blocks = [Block(y, x, y + edges[0], x + edges[1]) for y in starts[0] for x in starts[1]]
    return [Outlook.bare(block) for block in blocks]


def networks_of(
    scene: SceneModel, windows: Sequence[Window], tune: Sequence[str] = ()
) -> tuple[dict[str, Model], dict[str, Model]]:
    """The networks of a scene as far as it bears them out, and those of the steps to `tune`, trained on with its own ground.

    Networks are held back by what of their corrections holds an octave lower; they stay as they are where another point spread
    than the instrument's is given, for which this says nothing, or ground is too little. Then a step is not tuned either.
    """
    from imperv.layers.sharpening.training import fresh, trusted
    from imperv.layers.sharpening.training import tune as tuned

    networks = dict(scene.networks)
    now = replace(scene, networks=networks)
    for name, model in scene.networks.items() if scene.spread is None else ():
        with contextlib.suppress(ValueError):
            networks[name] = trusted(model, _pairs(name, now, windows), now.sigma(name))
    held, found = dict(networks), {}
    for name in tune:
        start = networks.get(name) or fresh(name)
        with contextlib.suppress(ValueError):
            networks[name] = tuned(start, _pairs(name, now, windows), now.sigma(name), minutes=TUNING_MINUTES[name])
            found[name] = networks[name]
    return held, found


def _pairs(name: str, scene: SceneModel, windows: Sequence[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Guides and bands of a step in each window, at their native pixels."""
    step, pairs = STEPS[name], []
    for measured in windows:
        sharp = to_10(measured, scene)[0] if name == "60to10" else measured
        bands = np.stack([measured[band] for band in step.bands])
        none = np.empty((0, *(step.factor * n for n in bands.shape[1:])), np.float32)
        pairs.append((np.stack([sharp[guide] for guide in step.guides]) if step.guides else none, bands))
    return pairs


def shipped_networks() -> dict[str, Model]:
    """Networks that come with the package, by step."""
    return {name: model for name in STEPS if (model := shipped(name)) is not None}


def digest_of_model(model: Model) -> str:
    """Hash of its weights."""
    return digest_of_weights(model.weights)


def digest_of_weights(weights: Sequence[np.ndarray]) -> str:
    """Hash of arrays of weights."""
    return hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest()[:16]


def model_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The networks that come with the package, where they take part."""
    if job.production.parameters.sharpening.method != NETWORK:
        return {}
    return {"networks": {name: digest_of_model(model) for name, model in shipped_networks().items()}}


def scene_model(job: Job) -> SceneModel:
    """The model of a tile, ready to sharpen."""
    settings = job.production.parameters.sharpening
    if settings.networks:
        configure_threads(job.engine.settings.workers)
    table = json.loads(job.store.read_text(job.place("SR_model").data) or "")
    networks = {name: model for name, model in shipped_networks().items() if name in table["networks"]}
    if {name: digest_of_model(model) for name, model in networks.items()} != table["networks"]:
        raise WorkError(f"SR_model of tile {job.tile}: names other networks than the package has now; run the tile again")
    networks = {name: replace(model, trust=tuple(table["trust"][name])) for name, model in networks.items()}
    networks |= {name: from_bytes(base64.b64decode(text)) for name, text in table["tuned"].items()}
    statistics = {name: statistics_from_json(found) for name, found in table["statistics"].items()}
    model = SceneModel(statistics, networks, several_of(job), settings.point_spread)
    return in_precision(model, precision_of(job, SHARPENING)[0]) if networks else model


def in_precision(model: SceneModel, precision: Precision) -> SceneModel:
    """The same model, whose networks predict in other numbers."""
    networks = {name: replace(network, precision=precision) for name, network in model.networks.items()}
    several = replace(model.several, precision=precision) if model.several is not None else None
    return replace(model, networks=networks, several=several)


def spread_alone(job: Job) -> SceneModel:
    """A model that knows the point spreads and nothing else, for `windows.spread_of`."""
    return SceneModel({}, spread=job.production.parameters.sharpening.point_spread)


def several_of(job: Job) -> DateModel | None:
    """The network of several dates, where the production wants it."""
    settings = job.production.parameters.sharpening
    return shipped_dates() if settings.method == NETWORK and settings.to == 5 and settings.dates > 1 else None


def sharp_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The network of several dates where it takes part, and the numbers in which networks predict."""
    model = several_of(job) if layer.resolution == 5 else None
    several = {} if model is None else {"dates": digest_of_weights([model.weights])}
    return several | (precision_external(job, SHARPENING) if job.production.parameters.sharpening.networks else {})


def model_cost(job: Job, layer: Layer) -> Cost:
    """Sums over the scene."""
    rows, columns = job.grid_of(CATALOGUE["SR10"]).shape
    block = min(rows, 1200) * min(columns, 1200)
    seconds, memory = rows * columns * FIT_NS / 1e9, resident(job, block * FIT_BYTES * job.engine.settings.workers)
    settings = job.production.parameters.sharpening
    if settings.networks:
        return Cost(seconds + NETWORK_S[settings.to], memory + TENSORFLOW)
    return Cost(seconds, memory)
