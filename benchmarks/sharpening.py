"""The networks of super-resolution beside the bare ones on windows that lie standardised in memory.

Ours begins with the measured bands and ends with sharpened bands and deviations, blocks of any size without a seam: regression,
back-projection of the start, features, what windows overlap and the mixture of the members are in it. Where the processor has AMX,
the same with networks in bfloat16 beside it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, compare
from imperv.layers.network.precision import gains_by_bfloat16
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.features import start_and_features
from imperv.layers.sharpening.network import AT_ONCE, pack, shipped
from imperv.layers.sharpening.statistics import statistics_of
from imperv.layers.sharpening.steps import STEPS

EDGE = 1536
"""Edge in fine pixels."""

WINDOW = 256
"""Edge in fine pixels of the peer's windows, which show their borders."""


def rows(folder: Path, edge: int = EDGE, runs: int = 5) -> list[Row]:
    """Processor seconds a fine pixel of each network that comes with the package."""
    configure_threads(2)
    random, found = np.random.default_rng(1), []
    for name, step in STEPS.items():
        model = shipped(name)
        if model is None:
            continue
        guides = random.uniform(0, 3000, (len(step.guides), edge, edge)).astype("f4")
        coarse = random.uniform(0, 3000, (len(step.bands), edge // step.factor, edge // step.factor)).astype("f4")
        scene = statistics_of(step, guides, coarse, 1.0)
        whole = start_and_features(step, scene, guides, coarse, 1.0)[1].whole()
        corners = [(y, x) for y in range(0, edge, WINDOW) for x in range(0, edge, WINDOW)]
        windows = pack(np.stack([whole[y : y + WINDOW, x : x + WINDOW] for y, x in corners]), model.shape.shuffle)

        def ours(model=model, guides=guides, coarse=coarse, scene=scene) -> None:
            model.predict(guides, coarse, 1.0, scene)

        def bare(model=model, windows=windows) -> None:
            for network in model.networks:
                network.predict(windows, batch_size=AT_ONCE, verbose=0)

        short = replace(model, precision="bfloat16")

        def rounded(model=short, guides=guides, coarse=coarse, scene=scene) -> None:
            model.predict(guides, coarse, 1.0, scene)

        what, clock = f"{name}, {edge} x {edge} pixels, {model.members} networks", time.process_time
        found.append(compare(what, (ours, edge**2), "model.predict", (bare, edge**2), runs=runs, clock=clock))
        if gains_by_bfloat16():
            found.append(compare(f"{what}, bfloat16", (rounded, edge**2), "float32", (ours, edge**2), runs=runs, clock=clock))
    return found
