"""Reference fractions, the spatial split and random crops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imperv.layers.network.sampling import (
    GUARD,
    TRAINING,
    VALIDATION,
    CropSampler,
    Region,
    choose_split,
    crop_size,
    cut,
    density_reference,
    imd_reference,
    spatial_split,
)

ORIGIN = (-310_250, 382_999)


def test_imd_reference_by_hand():
    imd = np.array([[0, 40, 100, 40, 255, 254, 255, 30]], "u1")
    clc = np.array([[2, 1, 7, 255, 1, 6, 253, 254]], "u1")
    out = imd_reference(imd, clc)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0, 1, 1, 0.4, 1, 0, np.nan, 0.3]], rtol=1e-6)


def test_density_reference_by_hand():
    imd = np.array([[0, 40, 100, 255, 255, 0, 254, 30]], "u1")
    clc = np.array([[1, 1, 6, 1, 254, 6, 10, 255]], "u1")
    found = density_reference(imd, clc)
    assert np.array_equal(found, np.array([[1, 0.4, 1, 1, np.nan, 0, 0, 0.3]], "f4"), equal_nan=True)
    # It differs from the other only where both know of sealing.
    other = imd_reference(imd, clc)
    assert np.flatnonzero(~((found == other) | (np.isnan(found) & np.isnan(other)))).tolist() == [1]


def test_imd_reference_needs_one_shape():
    with pytest.raises(ValueError, match="must agree"):
        imd_reference(np.zeros((2, 2), "u1"), np.zeros((2, 3), "u1"))


def test_split_does_not_change_between_versions():
    """The models of a store were trained on this split; another one would leak validation pixels into training."""
    split = spatial_split((6, 24), ORIGIN, block=3, guard=1, seed=1)
    assert ["".join(map(str, row)) for row in split] == [
        "000000000021112000021112",
        "000000022221112022221112",
        "000000021112222021112222",
        "000000021112000021112000",
        "022222021112000021112000",
        "021112022222000021112000",
    ]


@pytest.mark.slow
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(-400, 400), st.integers(-400, 400)),
    st.integers(4, 20),
    st.integers(0, 50),
)
@settings(max_examples=40, deadline=None)
def test_split_follows_from_the_global_position(shape, shift, block, seed):
    whole = spatial_split((900, 900), (ORIGIN[0] - 420, ORIGIN[1] - 420), block, seed=seed, guard=3)
    part = spatial_split(shape, (ORIGIN[0] + shift[0], ORIGIN[1] + shift[1]), block, seed=seed, guard=3)
    y, x = 420 + shift[0], 420 + shift[1]
    np.testing.assert_array_equal(part, whole[y : y + shape[0], x : x + shape[1]])


@pytest.mark.parametrize(("block", "guard"), [(4, 1), (16, 4), (64, 4), (8, 8)])
def test_validation_is_never_near_training(block, guard):
    split = spatial_split((300, 300), ORIGIN, block, guard=guard)
    # Chebyshev distance of each training pixel to the nearest validation pixel.
    distance = ndimage.distance_transform_cdt(split != VALIDATION, metric="chessboard")
    assert distance[split == TRAINING].min() == guard + 1
    # Near the edges the validation block may lie outside of the array.
    middle = np.s_[guard:-guard, guard:-guard]
    assert distance[middle][split[middle] == GUARD].max() <= guard


def test_share_of_validation():
    split = spatial_split((2000, 2000), ORIGIN, 50, share=0.2)
    assert abs((split == VALIDATION).mean() - 0.2) < 0.01
    small = [(spatial_split((512, 512), (k * 777, k * 555), 64) == VALIDATION).mean() for k in range(20)]
    assert min(small) > 0.14
    assert max(small) < 0.26


def test_seed_changes_the_split():
    a, b = (spatial_split((200, 200), ORIGIN, 16, seed=seed) for seed in (1, 2))
    assert (a != b).mean() > 0.1


def test_folds_hold_out_each_block_once():
    folds = [spatial_split((320, 320), ORIGIN, 16, share=0.2, fold=k) == VALIDATION for k in range(5)]
    np.testing.assert_array_equal(np.sum(folds, axis=0), 1)


@pytest.mark.parametrize("bad", [{"block": 0}, {"share": 0.0}, {"share": 1.0}, {"guard": 0}, {"guard": 33}])
def test_split_refuses(bad):
    with pytest.raises(ValueError, match="no split"):
        spatial_split((10, 10), ORIGIN, **({"block": 32} | bad))


def test_small_site_gets_smaller_blocks_and_both_parts():
    for k in range(10):
        valid = np.zeros((200, 200), bool)
        valid[70:134, 60:122] = True
        (split,), block = choose_split([valid], [(k * 1013, k * 917)], 64)
        held, learnt = (np.count_nonzero(valid & (split == part)) for part in (VALIDATION, TRAINING))
        assert 0.1 <= held / (held + learnt) <= 0.3
        assert learnt > 0.4 * valid.sum()
        assert block in (8, 16)


def test_large_site_keeps_its_blocks_and_regions_agree():
    splits, block = choose_split([np.ones((512, 512), bool)] * 2, [(0, 0), (256, 256)], 64)
    assert block == 64
    np.testing.assert_array_equal(splits[0][256:, 256:], splits[1][:256, :256])


def test_too_little_ground_to_split():
    valid = np.zeros((20, 20), bool)
    valid[3, 3] = True
    with pytest.raises(ValueError, match="too few pixels with features and reference to train on: 1"):
        choose_split([valid], [(0, 0)], 16)


def test_crop_size_shrinks_to_what_is_there():
    valid = np.zeros((200, 200), bool)
    valid[70:134, 60:122] = True
    assert crop_size([valid], 128, 8) == 56
    assert crop_size([valid, np.ones((300, 300), bool)], 128, 8) == 128
    assert crop_size([np.ones((5, 5), bool)], 128, 8) == 8


def test_cut_beyond_the_edges():
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(cut(a, -1, 1, 3, -9), [[-9, -9, -9], [1, 2, -9], [4, 5, -9]])
    np.testing.assert_array_equal(cut(a, 5, 5, 2, 0), [[0, 0], [0, 0]])


def region(rows=90, cols=70, sealed=0.1, seed=0):
    """A region whose first feature is its target and whose second is its mirror asymmetric position."""
    rng = np.random.default_rng(seed)
    target = (ndimage.gaussian_filter(rng.random((rows, cols)), 3, mode="wrap") * 1.0).astype("f4")
    target = (target > np.quantile(target, 1 - sealed)).astype("f4")
    position = np.arange(rows * cols, dtype="f4").reshape(rows, cols)
    return Region(np.stack([target, position]), target, (0, 0))


def test_crops_keep_features_target_and_weight_together():
    r = region()
    mask = np.random.default_rng(1).random(r.target.shape) < 0.7
    x, y, w = CropSampler([r], [mask], 24, balance=0.5, seed=3).draw(60)
    inside = np.isfinite(x[..., 1])
    where = x[..., 1][inside].astype(int)
    np.testing.assert_array_equal(w[inside] > 0, mask.ravel()[where])
    assert not w[~inside].any()
    used = w > 0
    np.testing.assert_array_equal(y[used], x[..., 0][used])
    assert not y[~used].any()


def test_crops_are_mirrored_and_turned_in_all_eight_ways():
    r = region(rows=40, cols=40)
    x, _, _ = CropSampler([r], [np.ones((40, 40), bool)], 8, seed=5).draw(400)
    steps = set()
    for crop in x[..., 1]:
        if np.isfinite(crop).all():
            steps.add((int(crop[1, 0] - crop[0, 0]), int(crop[0, 1] - crop[0, 0])))
    assert steps == {(40, 1), (40, -1), (-40, 1), (-40, -1), (1, 40), (1, -40), (-1, 40), (-1, -40)}


def test_balance_finds_rare_sealed_ground_and_the_weights_make_up_for_it():
    target = np.zeros((400, 400), "f4")
    target[180:190, 200:210] = 1
    r = Region(np.zeros((1, 400, 400), "f4"), target, (0, 0))
    mask = np.ones(target.shape, bool)
    _, even, _ = CropSampler([r], [mask], 20, balance=0, seed=1).draw(2000)
    _, y, w = CropSampler([r], [mask], 20, balance=0.5, seed=1).draw(4000)
    seen, seen_even = ((a.max(axis=(1, 2)) > 0).mean() for a in (y, even))
    assert seen > 0.45
    assert seen_even < 0.02
    # 100 of 160 000 pixels are sealed; unweighted, the crops would say 50 times as much.
    true = target.mean()
    assert (y * w).sum() / w.sum() == pytest.approx(true, rel=0.35)
    assert y.mean() > 20 * true


def test_regions_are_drawn_by_their_pixels():
    big, small = region(80, 80, seed=1), region(80, 80, seed=2)
    big.features[1], small.features[1] = 1, 2
    few = np.zeros((80, 80), bool)
    few[:16, :40] = True
    x, _, _ = CropSampler([big, small], [np.ones((80, 80), bool), few], 8, balance=0, seed=1).draw(2000)
    share = (np.nanmax(x[..., 1], axis=(1, 2)) == 2).mean()
    assert share == pytest.approx(0.1 / 1.1, abs=0.03)


def test_same_seed_same_crops():
    r, mask = region(), np.ones((90, 70), bool)
    a, b, c = (CropSampler([r], [mask], 16, seed=seed).draw(5) for seed in (4, 4, 5))
    for one, two in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(a[0], c[0], equal_nan=True)


def test_no_training_pixel():
    with pytest.raises(ValueError, match="no region has a training pixel"):
        CropSampler([region()], [np.zeros((90, 70), bool)], 16)
