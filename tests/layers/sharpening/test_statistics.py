"""What a scene tells the networks: the same by blocks as at once."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.sharpening.statistics import Sums
from imperv.layers.sharpening.steps import STEPS
from tests.support.sharpened import scene


@pytest.mark.parametrize("name", STEPS)
def test_blocks_sum_up_to_the_scene_but_for_their_edges(name):
    step = STEPS[name]
    guides, coarse = scene(name, 48)
    whole, joined = Sums(step, 0.4 * step.factor), Sums(step, 0.4 * step.factor)
    for rows in (slice(0, 24), slice(24, 48)):
        fine = slice(rows.start * step.factor, rows.stop * step.factor)
        part = Sums(step, 0.4 * step.factor)
        part.add(guides[:, fine], coarse[:, rows])
        joined.join(part)
    whole.add(guides, coarse)
    a, b = whole.solve(), joined.solve()
    np.testing.assert_allclose(a.band_mean, coarse.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(a.band_std, coarse.std((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(a.guide_mean, guides.mean((1, 2)), rtol=1e-5)
    for key in ("band_mean", "band_std", "guide_mean", "guide_std"):
        np.testing.assert_allclose(getattr(a, key), getattr(b, key), rtol=1e-4)
    np.testing.assert_allclose(a.band_detail, b.band_detail, rtol=0.03)
    np.testing.assert_allclose(a.coefficients, b.coefficients, atol=0.08)
