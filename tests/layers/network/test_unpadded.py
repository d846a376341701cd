"""A network without padding answers for a window what the padded one answers for endless ground, wherever the window lies."""

import numpy as np
import pytest

from imperv.layers.network.precision import Precision, gains_by_bfloat16
from imperv.layers.network.prediction import predict, window_function
from imperv.layers.network.unet import Normalisation, UNetParameters, build_unet, configure_threads, join_members
from imperv.layers.network.unpadded import depth_of, filters_of, unpadded, with_last_features
from imperv.layers.network.windows import reach
from tests.support.endless import predict_endless

FEATURES = 12
SIZE = 40


def network(depth: int, members: int = 2, filters: int = 4):
    configure_threads(2)
    parameters = UNetParameters(base_filters=filters, depth=depth)
    return join_members([build_unet(parameters, k, f"member_{k}") for k in range(members)])


def normalisation() -> Normalisation:
    return Normalisation(UNetParameters().names, (0.2,) * FEATURES, (1.5,) * FEATURES)


def ground(margin: int) -> np.ndarray:
    features = np.random.default_rng(4).standard_normal((FEATURES, SIZE + 2 * margin, SIZE + 2 * margin)).astype("f4")
    features[:, 5 : 5 + margin // 2, 3:60] = np.nan
    return features


@pytest.mark.parametrize("depth", [1, 3])
def test_answers_are_those_of_endless_ground(depth):
    model, margin = network(depth), 3 * reach(depth)
    features, inner = ground(margin), np.s_[margin : margin + SIZE, margin : margin + SIZE]
    for origin in ((0, 0), (-7, 12_345)):

        def read(top, left, bottom, right):
            return features[:, margin + top : margin + bottom, margin + left : margin + right]

        place = (origin[0] + margin, origin[1] + margin)
        wanted = predict_endless(model, normalisation(), read, (SIZE, SIZE), place)
        found = predict(model, normalisation(), features, origin, inner)
        np.testing.assert_allclose(found, wanted, atol=5e-6)
        assert np.ptp(wanted) > 0.2
    moved = predict(model, normalisation(), features, (1, 0), inner)
    assert np.abs(moved - wanted).max() > 1e-3, "where pooling begins matters, or nothing was tested"


def test_the_reach_is_no_more_than_what_is_seen():
    model, size = network(2), 4 + 2 * reach(2)
    run = window_function(unpadded(model), normalisation(), 2)
    x = np.random.default_rng(1).standard_normal((2, size, size, FEATURES)).astype("f4")
    first = run(x)
    x[:, 0] = 9 - x[:, 0]
    assert np.abs(run(x) - first).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("most", [64, 128, 512])
def test_windows_leave_no_trace_in_any_bit(monkeypatch, most):
    """The default network: whatever the windows, batches and the place of an area in them, a pixel is the same."""
    whole, part = whole_and_part(monkeypatch, most, "float32")
    np.testing.assert_array_equal(part, whole)


@pytest.mark.slow
@pytest.mark.skipif(not gains_by_bfloat16(), reason="this processor has no AMX")
def test_windows_of_16_bits_differ_less_than_these_do_from_32(monkeypatch):
    exact, _ = whole_and_part(monkeypatch, 128, "float32")
    whole, part = whole_and_part(monkeypatch, 128, "bfloat16")
    assert np.abs(part - whole).mean() < 0.2 * np.abs(whole - exact).mean()


def whole_and_part(monkeypatch, most: int, precision: Precision) -> tuple[np.ndarray, np.ndarray]:
    """Answers for a part of an area: cut from those of the area in windows of 512 pixels, and alone in windows of `most`."""
    model, inner = network(3, filters=16), np.s_[51:251, 60:259]
    features = np.random.default_rng(2).standard_normal((FEATURES, 300, 330)).astype("f4")
    whole = predict(model, normalisation(), features, (0, 0), precision=precision)[(slice(None), *inner)]
    with monkeypatch.context() as patch:
        patch.setattr("imperv.layers.network.prediction.EDGES", (0, most))
        return whole, predict(model, normalisation(), features, (0, 0), inner, precision)


@pytest.mark.slow
def test_layers_of_16_bits_answer_in_float32_and_close_to_those_of_32():
    model = network(2, filters=8)
    features = np.random.default_rng(2).standard_normal((FEATURES, 64, 64)).astype("f4")
    exact, rounded = (
        predict(model, normalisation(), features, (0, 0), precision=precision) for precision in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32 and not np.array_equal(rounded, exact)
    assert np.abs(rounded - exact).max() < 0.02 and np.abs(rounded - exact).mean() < 0.1 * exact.std()
    assert len(np.unique(rounded)) > 0.9 * rounded.size, "the answers themselves are not rounded to 16 bits"
    kept = {layer.dtype for member in unpadded(model, "bfloat16") for layer in member.layers}
    assert kept == {"float32"}, "weights"


@pytest.mark.slow
def test_networks_of_several_depths_see_the_same_windows():
    deep, flat = network(3), network(1)
    margin = reach(3)
    features = ground(margin)
    x = np.moveaxis(features, 0, -1)[np.newaxis]
    for model in (deep, flat):
        found = window_function(unpadded(model), normalisation(), 3)(x)[0]
        inner = np.s_[margin : margin + SIZE, margin : margin + SIZE]
        alone = predict(model, normalisation(), np.nan_to_num(features, nan=0.2), (-margin, -margin), inner)
        np.testing.assert_allclose(np.moveaxis(found, -1, 0), alone, atol=5e-6)
        assert (depth_of(model), filters_of(model)) in ((3, 4), (1, 4))


@pytest.mark.slow
def test_the_last_features_come_after_the_answers():
    model = network(2, filters=6)
    members = unpadded(model)
    x = np.random.default_rng(0).normal(size=(2, 16 + 2 * reach(2), 16 + 2 * reach(2), FEATURES)).astype("f4")
    both = window_function(tuple(with_last_features(member) for member in members), normalisation(), 2)(x)
    answers = window_function(members, normalisation(), 2)(x)
    assert both.shape == (2, 16, 16, 2 + 2 * 6)
    np.testing.assert_allclose(both[..., :2], answers, atol=1e-6)
    kernel, bias = members[1].layers[-1].get_weights()
    logits = both[..., -6:] @ kernel[0, 0] + bias
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[..., 0])), answers[..., 1], atol=1e-5)


def test_a_window_alone_is_answered_like_one_of_two():
    run = window_function(unpadded(network(1)), normalisation(), 1)
    x = np.random.default_rng(3).standard_normal((2, 30, 40, FEATURES)).astype("f4")
    np.testing.assert_array_equal(run(x[:1]), run(x)[:1])
