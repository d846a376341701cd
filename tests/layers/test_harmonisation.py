"""Lines between sensors, against SciPy's orthogonal distance regression and against known gains."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import odr

from imperv.layers.harmonisation import Harmonisation, Line, fit_line, harmonise


def cloud(gain: float, offset: float, noise: float, n: int = 20_000, seed: int = 1):
    """Reflectance of two sensors that see the same ground, each with errors."""
    rng = np.random.default_rng(seed)
    ground = rng.gamma(3, 400, n) + 200
    return ground + noise * rng.standard_normal(n), gain * ground + offset + noise * rng.standard_normal(n)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (1.04, -35.0), (0.95, 60.0), (0.6, 300.0), (1.8, -100.0)])
def test_gain_and_offset_are_found_though_both_have_errors(gain, offset):
    x, y = cloud(gain, offset, 60)
    line = fit_line(x, y)
    assert abs(line.gain - gain) < 0.004 and abs(line.gain * 1500 + line.offset - gain * 1500 - offset) < 4
    assert abs(np.polyfit(x, y, 1)[0] - gain) > 0.004  # a regression is flatter: the test would notice
    assert line.pixels == 20_000 and 0.85 < line.share < 0.95


def test_without_wrong_pixels_it_is_orthogonal_regression():
    x, y = cloud(1.03, -20, 40, 5000)
    fitted = odr.ODR(odr.RealData(x, y), odr.unilinear, beta0=[1, 0]).run().beta
    line = fit_line(x, y)
    assert abs(line.gain - fitted[0]) < 0.002 and abs(line.offset - fitted[1]) < 4
    assert abs(line.spread - 40 * np.hypot(1, line.gain)) < 2


def test_ground_that_changed_has_no_part():
    x, y = cloud(1.03, -20, 40)
    y[:5000] += np.random.default_rng(2).choice([1500, 2500], 5000)
    line = fit_line(x.reshape(100, 200), y.reshape(100, 200))
    assert abs(line.gain - 1.03) < 0.01 and abs(line.gain * 1500 + line.offset - 1525) < 15
    assert line.share < 0.75


def test_no_data_has_no_part():
    x, y = cloud(1.03, -20, 40)
    expected = fit_line(x[100:-100], y[100:-100])
    x[:50], x[50:100], y[-100:-50], y[-50:] = 0, np.nan, 0, np.nan
    assert fit_line(x, y) == expected


def test_exact_lines_are_exact():
    x = np.arange(1000, 3000, dtype="u2")
    line = fit_line(x, x + 100)
    assert (line.gain, line.offset, line.spread) == (pytest.approx(1), pytest.approx(100), pytest.approx(0, abs=1e-6))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones(100), np.ones(100), "100 pixels that both sensors saw"),
        (np.full(300, 5.0), np.arange(300.0) + 1, "one value"),
        (np.arange(1, 1001.0), 5 * np.arange(1, 1001.0), "gain is 5"),
        (np.ones(300), np.ones((3, 100)), "one shape"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        fit_line(x, y)


def test_lines_are_applied_recorded_and_read():
    rng, bands = np.random.default_rng(4), ("blue", "green")
    values = rng.integers(100, 4000, (2, 60, 50)).astype("u2")
    reference = np.stack([1.02 * values[0] - 30, 0.97 * values[1] + 12])
    found = harmonise(values, reference, bands, "etm+", "msi", "2021 and 2021")
    again = Harmonisation.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found and again.lines["green"].gain == pytest.approx(0.97, abs=1e-6)
    values[0, 0, 0] = 0
    changed = again.apply(np.stack([values, values]), bands)
    assert changed.dtype == np.uint16 and changed.shape == (2, 2, 60, 50) and changed[0, 0, 0, 0] == 0
    assert abs(changed[1].astype(float) - reference)[:, 1:].max() <= 0.5001
    dark = Harmonisation("a", "b", "", {"blue": Line(1.0, -50.0)})
    assert dark.apply(np.array([[[10, 0, 70]]], "u2"), ["blue"]).tolist() == [[[1, 0, 20]]]
    assert np.isnan(dark.apply(np.array([[[np.nan]]], "f4"), ["blue"])).all()
    with pytest.raises(ValueError, match="no line was fitted for red of a"):
        dark.apply(values, ["red", "blue"])
    with pytest.raises(ValueError, match="green: "):
        harmonise(values[:, :2, :2], reference[:, :2, :2], ["green", "red"], "", "", "")
