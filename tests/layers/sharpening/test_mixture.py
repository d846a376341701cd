"""The mixture of the members' answers, against NumPy and TensorFlow."""

import numpy as np
import pytest

from imperv.layers.sharpening.mixture import LEAST, mix
from imperv.layers.sharpening.network import deviation_of, unpack


@pytest.mark.parametrize(("members", "unit", "bands"), [(2, 1, 6), (1, 2, 4), (3, 2, 2)])
def test_against_numpy(members, unit, bands):
    random, channels = np.random.default_rng(3), bands * unit**2
    answers = [random.normal(0, 20, (5, 37, 2 * channels)).astype("f4") for _ in range(members)]
    mean, deviation = np.zeros((2, bands, 5 * unit, 37 * unit), "f4")
    mix(tuple(answer[:, :] for answer in answers), mean, deviation)
    values = np.array([unpack(a[..., :channels], unit) for a in answers], "f8")
    spreads = np.array([unpack(LEAST + np.logaddexp(0, a[..., channels:].astype("f8") - 1), unit) for a in answers])
    mixed = np.sqrt((spreads**2).mean(0) + values.var(0))
    np.testing.assert_allclose(mean, np.moveaxis(values.mean(0), -1, 0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(deviation, np.moveaxis(mixed, -1, 0), rtol=1e-5, atol=1e-6)


def test_a_deviation_is_that_of_training():
    raw = np.linspace(-80, 80, 4001, dtype="f4")
    answer = np.stack([np.zeros_like(raw), raw], -1)[None]
    mean, deviation = np.empty((2, 1, 1, len(raw)), "f4")
    mix((answer,), mean, deviation)
    np.testing.assert_allclose(deviation[0, 0], deviation_of(raw).numpy(), rtol=1e-6, atol=1e-6)
