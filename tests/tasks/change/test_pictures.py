"""Pictures of the report of change."""

import numpy as np
import pytest

from imperv.tasks.change.pictures import class_map


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_legend_has_the_classes_that_were_found(number):
    codes = np.arange(16, dtype="u1").reshape(4, 4) % (number + 1)
    found = class_map(codes, number, (0, 0, 40, 40), "")
    assert len({colour for colour, _ in found.legend.classes}) == len(found.legend.classes) == number + 1
