import numpy as np
import pytest

from imperv.layers.scl import SCL_WEIGHTS, scl_weights


def test_weights_are_those_of_table_6():
    classes = np.arange(12, dtype=np.uint8)
    weights = scl_weights(classes)
    assert weights.tolist() == [0, 0, 0, 10, 50, 50, 50, 10, 5, 1, 1, 1]
    assert weights.dtype == np.int16
    assert {int(c): int(w) for c, w in zip(classes, weights, strict=True)} == SCL_WEIGHTS


def test_unknown_classes_weigh_nothing_in_any_shape():
    scl = np.array([[[12, 99], [255, 4]]], dtype=np.uint8)
    assert scl_weights(scl).tolist() == [[[0, 0], [0, 50]]]


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        scl_weights(np.array([4.0]))


def test_real_scenes_hold_clear_and_cloudy_weights(flanders):
    weights = scl_weights(flanders.scl)
    assert weights.shape == flanders.scl.shape
    expected = sum(np.count_nonzero(flanders.scl == c) * w for c, w in SCL_WEIGHTS.items())
    assert weights.sum(dtype=np.int64) == expected > 0
