"""Maps against the classes that they should have."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from imperv.layers.palette import OUTSIDE, palette_of_classes
from imperv.tasks.delivery.cog_check import check_classes

PALETTE = palette_of_classes([(1, "field", (10, 20, 30)), (2, "wood", (40, 50, 60))], (OUTSIDE, "outside"))
COLOURS = {code: PALETTE.colours[code] for code in PALETTE.codes}


@pytest.mark.parametrize(
    ("codes", "colours", "said"),
    [
        ((1, 2, OUTSIDE), COLOURS, "3 of 3 codes"),
        ((1, 3), COLOURS, "codes that the list does not have: [3]"),
        ((1,), COLOURS | {1: (1, 1, 1)}, "colours are not those of the list; deliver the layer again"),
        ((1,), None, "colours are not those of the list; deliver the layer again"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_codes_and_colours(tmp_path, codes, colours, said):
    """Of a file without a colour table too."""
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", height=4, width=len(codes), count=1, dtype="uint8") as out:
        out.write(np.tile(np.array(codes, "u1"), (4, 1)), 1)
        if colours:
            out.write_colormap(1, colours)
    (found,) = check_classes(path, PALETTE, "the list", "the list does not")
    assert found.text == said and found.ok == ("of" in said and "codes that" not in said and "colours" not in said)
