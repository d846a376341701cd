"""`python -m benchmarks.sharpening_model OUT [--step 20to10] [--without-sweden]`: trains the networks that come with the package.

From the real scenes of `sharpening_data`, an octave lower (Wald's protocol). About half an hour a step on two cores. What it writes to
OUT is what `layers/sharpening/data` holds; how good it is says `python -m benchmarks.sharpening_figures`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.sharpening_data import Source, fields, sources
from imperv.layers.network.unet import configure_threads
from imperv.layers.network.weights import flat_weights, set_flat_weights
from imperv.layers.sharpening.network import Model, Shape, build, load, save
from imperv.layers.sharpening.steps import STEPS
from imperv.layers.sharpening.training import Crops, Field, fit

SHAPES = {"20to10": Shape(32, 4, 1, 2), "10to5": Shape(64, 4, 2, 2)}
"""Networks of each step; none for ``60to10``: there is one scene to learn from, and the regression is close to the noise."""

STEPS_OF_TRAINING = {"20to10": 1000, "10to5": 1500}
RATE = 4e-3
SPREADS = {"sweden": 16, "sweden, an octave lower": 8, "bigearthnet": 8}
"""Point spreads and positions of the pixel grid that each scene of a source is degraded with; 2 for the others."""


def ground(step: str, with_sweden: bool, usable: np.ndarray | None = None) -> tuple[list[Field], list[Source]]:
    """All fields of a step; `usable` restricts what is learnt of Sweden, (y, x) at the pixels of the step's bands."""
    found, used = [], sources(STEPS[step], with_sweden)
    for k, source in enumerate(used):
        mask = usable if source.name == "sweden" else None
        if usable is not None and source.name == "sweden, an octave lower":
            mask = usable.reshape(usable.shape[0] // 2, 2, usable.shape[1] // 2, 2).all((1, 3))
        found += fields(STEPS[step], source, SPREADS.get(source.name, 2), 10 + k, mask)
    return found, used


def trained(step: str, grounds: list[Field], members: int, steps: int, start_from: Model | None = None) -> Model:
    """Members of a step's model; from another one, whose rate had fallen, at half the rate."""
    shape, weights = SHAPES[step], []
    rate, seed = (RATE, 0) if start_from is None else (RATE / 2, 100)
    crops = Crops(STEPS[step], shape, grounds)
    for k in range(members):
        network, start = build(STEPS[step], shape, k), time.monotonic()
        if start_from is not None:
            set_flat_weights(network, start_from.weights[k])

        def say(done: int, loss: float, _: float, k: int = k, start: float = start) -> None:
            print(f"{step} member {k}: step {done}, loss {loss:.4f}, {time.monotonic() - start:.0f} s", flush=True)

        fit(network, crops, steps, seed + k, rate, every=max(1, steps // 10), report=say)
        weights.append(flat_weights(network))
    return Model(step, Shape(shape.width, shape.blocks, shape.shuffle, members), tuple(weights))


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpening_model", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--step", choices=list(SHAPES), action="append")
    parser.add_argument("--without-sweden", action="store_true", help="leave out the scene that the figures are of")
    parser.add_argument("--start", type=Path, help="folder of models to train on from")
    parser.add_argument("--steps", type=int, help="instead of those that were found enough")
    options = parser.parse_args()
    configure_threads(2)
    options.out.mkdir(parents=True, exist_ok=True)
    names = {str(options.out): "OUT", str(options.start): "START"}
    for step in options.step or list(SHAPES):
        grounds, used = ground(step, not options.without_sweden)
        steps = options.steps or STEPS_OF_TRAINING[step]
        start = load(options.start / f"{step}.npz") if options.start else None
        model = trained(step, grounds, SHAPES[step].members, steps, start)
        record = {
            "command": " ".join(["python -m benchmarks.sharpening_model", *(names.get(a, a) for a in sys.argv[1:])]),
            "data": [{"name": s.name, "share": s.share, "scenes": len(s.scenes)} for s in used],
            "steps": steps + (start.record.get("steps", 0) if start else 0),
            "normalisation": "a scene's own mean and standard deviation of each guide and band",
        }
        save(Model(step, model.shape, model.weights, record), options.out / f"{step}.npz")


if __name__ == "__main__":
    main()
