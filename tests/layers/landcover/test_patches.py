"""Centre patches: one pass over the image answers as patch by patch; training holds out ground and repeats."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.landcover.patches import (
    PatchParameters,
    Points,
    _held_out,
    build_members,
    build_patch_network,
    cut_patches,
    dilations,
    normalisation_of,
    predict_dense,
    predict_patches,
    train_patches,
)
from imperv.layers.network.weights import flat_weights, set_flat_weights

NAMES = ("a", "b", "c")
QUICK = PatchParameters(patch=9, filters=6, members=2, epochs=12, batch=32, block=16, learning_rate=1e-2)


def image(edge: int = 48, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 0.1, (3, edge, edge)).astype("f4")


@pytest.mark.parametrize("reach", [2, 3, 7, 10, 16, 32])
def test_the_convolutions_see_the_patch_and_no_more(reach):
    found = dilations(reach)
    assert sum(found) == reach and all(d >= 1 for d in found) and len(found) <= 14


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("patch", [9, 21])
def test_dense_is_patch_by_patch(patch, attention):
    parameters = PatchParameters(patch=patch, filters=8, attention=attention)
    model = build_patch_network(parameters, 3, 4, 3)
    features = image()
    features[:, 20, 30] = np.nan
    rows, columns = (v.ravel() for v in np.indices((48, 48)))
    patches = cut_patches(features, rows, columns, patch)
    normalisation = normalisation_of(patches, NAMES)
    one_by_one = predict_patches(model, normalisation.apply(patches)).T.reshape(4, 48, 48)
    dense = predict_dense(model, normalisation, features, parameters.reach)
    assert np.isnan(dense[:, 20, 30]).all()
    known = np.isfinite(dense)
    np.testing.assert_allclose(dense[known], one_by_one[known], atol=1e-5)
    assert np.ptp(dense[known]) > 0.05


def test_context_that_is_read_along_changes_nothing():
    model, features = build_patch_network(QUICK, 3, 4, 1), image(60)
    normalisation = normalisation_of(np.moveaxis(features, 0, -1)[None], NAMES)
    whole = predict_dense(model, normalisation, features, 4)
    part = predict_dense(model, normalisation, features[:, 10:40, 15:45], 4)
    np.testing.assert_allclose(part[:, 4:-4, 4:-4], whole[:, 14:36, 19:41], atol=1e-5)


def texture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of one mean, which only what lies around a pixel tells apart: smooth, and striped."""
    rng = np.random.default_rng(seed)
    kind = np.zeros((96, 96), int)
    kind[:, 48:] = 1
    plane = rng.normal(0, 0.05, (96, 96)) + kind * np.where(np.arange(96) % 2, 1.0, -1.0)[:, None]
    return np.stack([plane, rng.normal(0, 1, (96, 96)), rng.normal(0, 1, (96, 96))]).astype("f4"), kind


def points(seed: int = 1, count: int = 240) -> Points:
    features, kind = texture(seed)
    rng = np.random.default_rng([seed, 2])
    rows, columns = rng.integers(0, 96, count), rng.integers(0, 96, count)
    return Points(cut_patches(features, rows, columns, 9), kind[rows, columns], rows // 16 * 10 + columns // 16)


@pytest.fixture(scope="module")
def trained():
    return train_patches(points(), NAMES, 2, QUICK)


@pytest.mark.slow
def test_what_lies_around_is_learnt(trained):
    features, kind = texture(8)
    answers = predict_dense(trained.model, trained.normalisation, features, QUICK.reach)
    assert (answers.argmax(axis=0) == kind).mean() > 0.9
    held = trained.held_out
    some = points()
    assert 0 < held.sum() < len(held) and not set(some.block[held]) & set(some.block[~held])
    assert (trained.answers[held].argmax(axis=1) == some.target[held]).mean() > 0.8 and np.isnan(trained.answers[~held]).all()
    np.testing.assert_allclose(trained.answers[held].sum(axis=1), 1, rtol=1e-5)
    assert trained.learnt.tolist() == [0.5, 0.5] and len(trained.validation) == 2


@pytest.mark.slow
def test_a_map_is_the_mean_of_members_whose_weights_come_back(trained):
    features, members = texture(8)[0], [layer for layer in trained.model.layers if hasattr(layer, "layers")]
    answers = predict_dense(trained.model, trained.normalisation, features, QUICK.reach)
    single = [predict_dense(one, trained.normalisation, features, QUICK.reach) for one in members]
    assert len(single) == 2 and np.abs(single[0] - single[1]).max() > 0.01
    np.testing.assert_allclose(answers, np.mean(single, axis=0), atol=1e-6)
    again = build_members(QUICK, 3, 2)
    assert set_flat_weights(again, flat_weights(trained.model))
    np.testing.assert_array_equal(predict_dense(again, trained.normalisation, features, QUICK.reach), answers)


def test_each_member_holds_out_other_ground():
    block = np.repeat(np.arange(10), 5)
    held = _held_out(block, PatchParameters(members=5, held_out=0.2))
    assert (held.sum(axis=0) == 1).all()  # five times two of ten blocks: every point once
    assert all(len(set(block[mine])) == 2 for mine in held)
    more = _held_out(block, PatchParameters(members=7, held_out=0.2))
    assert set(more.sum(axis=0)) == {1, 2} and (more[:5] == held).all()


@pytest.mark.slow
def test_the_same_points_give_the_same_network(trained):
    again = train_patches(points(), NAMES, 2, QUICK)
    assert again.validation == trained.validation and np.array_equal(again.answers, trained.answers, equal_nan=True)


def test_one_class_or_one_block_is_refused():
    some = points()
    with pytest.raises(ValueError, match="one class"):
        train_patches(Points(some.patches, np.zeros(240, int), some.block), NAMES, 2, QUICK)
    with pytest.raises(ValueError, match="one block"):
        train_patches(Points(some.patches, some.target, np.zeros(240, int)), NAMES, 2, QUICK)


def test_a_patch_has_a_centre():
    with pytest.raises(ValueError, match="has no centre"):
        PatchParameters(patch=10)
