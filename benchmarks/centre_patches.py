"""Centre patches: one pass over an image against patch by patch, with equal answers first; `python -m benchmarks.centre_patches`."""

from __future__ import annotations

import time

import numpy as np

from imperv.layers.features import URBAN15
from imperv.layers.landcover.patches import (
    TYPES,
    PatchParameters,
    build_members,
    cut_patches,
    normalisation_of,
    predict_dense,
    predict_patches,
)

EDGE, SAMPLE = 256, 2048
"""Edge of the image, and pixels that are done patch by patch."""


def main() -> None:
    parameters = PatchParameters()
    features = np.random.default_rng(1).normal(0.3, 0.1, (len(URBAN15), EDGE, EDGE)).astype("f4")
    model = build_members(parameters, len(URBAN15), len(TYPES))
    rng = np.random.default_rng(2)
    rows, columns = rng.integers(0, EDGE, SAMPLE), rng.integers(0, EDGE, SAMPLE)
    normalisation = normalisation_of(np.moveaxis(features, 0, -1)[None], URBAN15)
    predict_dense(model, normalisation, features[:, :64, :64], parameters.reach)  # what is traced once
    start = time.process_time()
    dense = predict_dense(model, normalisation, features, parameters.reach)
    one_pass = (time.process_time() - start) / EDGE**2
    start = time.process_time()
    single = predict_patches(model, normalisation.apply(cut_patches(features, rows, columns, parameters.patch)))
    by_patch = (time.process_time() - start) / SAMPLE
    assert np.ptp(single) > 0.01
    print(f"greatest difference {np.abs(dense[:, rows, columns].T - single).max():.1e}")
    print(
        f"one pass {1e6 * one_pass:.1f} us of processors a pixel, patch by patch {1e6 * by_patch:.1f}: {by_patch / one_pass:.0f} times"
    )


if __name__ == "__main__":
    main()
