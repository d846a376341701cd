"""What a GPU makes of the network of `layers.unet`: `python -m benchmarks.accelerator`, on any backend of Keras (`KERAS_BACKEND=jax`).

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

from layers.unet import CLIP, Normalisation, UNetParameters, build_unet, join_members
from layers.windows import predict_blended, windows_over

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


def predictions(edge: int, at_once: list[int]) -> Iterator[str]:
    """Windows a second: the network on windows in memory, and an area of features cut, standardised, predicted and blended."""
    parameters = UNetParameters()
    patch, overlap, depth = parameters.patch, parameters.overlap, len(parameters.names)
    rng = np.random.default_rng(1)
    features = rng.standard_normal((depth, edge, edge), dtype=np.float32)
    normalisation = Normalisation(parameters.names, (0.0,) * depth, (1.0,) * depth)
    blended = len(list(windows_over(edge, edge, ORIGIN, patch, overlap)))
    yield "| numbers | windows at once | network alone, windows a second | cut, standardised, predicted and blended | ratio |"
    yield "|---|---|---|---|---|"
    for policy in ("float32", "mixed_float16"):
        model = join_members([build_unet(parameters, k, f"member_{k}", policy) for k in range(parameters.members)])
        for count in at_once:
            windows = rng.standard_normal((max(count, 32), patch, patch, depth), dtype=np.float32).clip(-CLIP, CLIP)
            alone = median_seconds(lambda m=model, w=windows, c=count: m.predict(w, batch_size=c, verbose=0)) / len(windows)

            def fractions(cut: np.ndarray, m: Any = model) -> np.ndarray:
                values = m.predict_on_batch(normalisation.apply(np.moveaxis(cut, 1, -1)))
                return np.moveaxis(np.asarray(values), -1, 1)

            area = (
                median_seconds(lambda f=fractions, c=count: predict_blended(features, f, ORIGIN, patch, overlap, None, c))
                / blended
            )
            yield f"| {policy} | {count} | {1 / alone:.1f} | {1 / area:.1f} | {area / alone:.2f} |"


def trainings(batches: list[int], steps: int) -> Iterator[str]:
    """Crops a second of one member's training: cross-entropy, Adam with a clipped gradient, crops in memory."""
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
