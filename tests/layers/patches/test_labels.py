"""Which classes are learnt, and the groups of SEN12MS."""

import numpy as np
import pytest

from imperv.layers.patches.labels import UNKNOWN, Classes, simplified


def test_groups_are_those_of_the_data_fusion_contest():
    codes = np.arange(20, dtype="u1")
    #            0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16  17
    expected = [0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 6, 8, 9, 10, 0, 0]
    assert simplified(codes).tolist() == expected


def test_what_is_not_selected_teaches_nothing():
    classes = Classes.of([5, 2])
    assert (classes.outputs, classes.map_codes, classes.nodata) == (2, (2, 5), 0)
    assert classes.numbers(np.array([[0, 2, 5, 9]], "u1")).tolist() == [[UNKNOWN, 0, 1, UNKNOWN]]


def test_one_class_alone_is_learnt_against_all_other_ground():
    classes = Classes.of([3])
    assert (classes.outputs, classes.map_codes, classes.nodata) == (2, (0, 3), 255)
    assert classes.numbers(np.array([[0, 3, 9]], "u1")).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    ("codes", "background"), [([], False), ([0, 1], False), ([256], False), ([255], False), ([1, 255], True)]
)
def test_codes_that_cannot_be_learnt_are_refused(codes, background):
    with pytest.raises(ValueError, match="class"):
        Classes.of(codes, background)
