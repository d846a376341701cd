"""What a GPU makes of the network of `layers.network.unet`: `python -m benchmarks.accelerator`, on any backend of Keras (`KERAS_BACKEND=jax`).

Windows and crops are random numbers, which take as long as real ones. The productions themselves run on TensorFlow; with another backend this
tells what the device can do with the same network, not what `imperv run` takes there. Figures stand in docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from imperv.layers.network.rows import Lattice, predict_rows
from imperv.layers.network.unet import CLIP, UNetParameters, build_unet, join_members

RUNS = 3
ORIGIN = (-279_936, 440_064)
"""Global row and column, on the lattice of the windows."""


def median_seconds(function: Callable[[], object]) -> float:
    """Median time of a function after one warm-up."""
    function()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def standardising(model: Any, depth: int) -> Any:
    """The model with what `layers.network.prediction.window_function` does to features of mean 0 and deviation 1: no data filled, the rest cut."""
    import keras

    x = inputs = keras.Input((None, None, depth))
    known = keras.ops.where(keras.ops.isnan(x), 0.0, x)
    return keras.Model(inputs, model(keras.ops.clip(known, -CLIP, CLIP)))


def predictions(edge: int, at_once: list[int]) -> Iterator[str]:
    """Windows a second: the network on windows in memory; an area, with all that happens to it; the same without the network."""
    parameters = UNetParameters()
    depth, rng = len(parameters.names), np.random.default_rng(1)
    lattice = Lattice((edge, edge), ORIGIN, parameters.patch, parameters.overlap)
    first, (left, right) = lattice.tops[0], lattice.columns
    features = rng.standard_normal((lattice.tops[-1] + lattice.patch - first, right - left, depth), dtype=np.float32)
    inside = len(lattice.tops) * len(lattice.lefts)

    def area(network: Callable[[np.ndarray], np.ndarray], count: int) -> float:
        """Seconds a window of an area cut into windows, predicted, blended and summed up over its members."""

        def run() -> None:
            for _ in predict_rows(lambda a, b: features[a - first : b - first], [network], lattice, count):
                pass

        return median_seconds(run) / inside

    yield "| numbers | windows at once | network alone, windows a second | an area, windows a second | the same without the network |"
    yield "|---|---|---|---|---|"
    windows = rng.standard_normal((max(at_once), lattice.patch, lattice.patch, depth), dtype=np.float32)
    rest = {count: area(lambda w: w[..., : parameters.members], count) for count in at_once}
    for policy in ("float32", "mixed_float16"):
        members = join_members([build_unet(parameters, k, f"member_{k}", policy) for k in range(parameters.members)])
        model = standardising(members, depth)
        for count in at_once:
            alone = median_seconds(lambda m=model, c=count: m.predict(windows, batch_size=c, verbose=0)) / len(windows)
            whole = area(lambda w, m=model: np.asarray(m.predict_on_batch(w), "f4"), count)
            yield f"| {policy} | {count} | {1 / alone:.1f} | {1 / whole:.1f} | {1 / rest[count]:.1f} |"


def trainings(batches: list[int], steps: int) -> Iterator[str]:
    """Crops a second of one member's training: cross-entropy, Adam (not today's Muon, which is TensorFlow's) with a clipped gradient."""
    import keras

    parameters = UNetParameters()
    rng = np.random.default_rng(2)
    yield "| numbers | crops a step | steps a second | crops a second |"
    yield "|---|---|---|---|"
    for policy in ("float32", "mixed_float16"):
        for batch in batches:
            member = build_unet(parameters, 1, "member_0", policy)
            member.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), "binary_crossentropy")
            shape = (batch * steps, parameters.crop, parameters.crop)
            x, y = (
                rng.standard_normal((*shape, len(parameters.names)), dtype=np.float32),
                rng.random((*shape, 1), dtype=np.float32),
            )
            seconds = median_seconds(
                lambda m=member, x=x, y=y, b=batch: m.fit(x, y, batch_size=b, epochs=1, shuffle=False, verbose=0)
            )
            yield f"| {policy} | {batch} | {steps / seconds:.1f} | {batch * steps / seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edge", type=int, default=2000, help="of the area that is predicted, pixels")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    import keras

    names = keras.distribution.list_devices()
    print(f"Keras {keras.__version__} on {keras.backend.backend()}: {', '.join(names) or 'the processor'}\n", flush=True)
    for line in chain(predictions(given.edge, given.at_once), [""], trainings(given.batch, given.steps)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
