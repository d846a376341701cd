"""A border of tiles that is also one of UTM zones steps no more than any line within the tiles; what is put there is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imperv.flows.cli.commands import main
from imperv.layers.change_mask import change_mask
from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS
from imperv.layers.palette import OUTSIDE
from tests.conftest import made_once
from tests.integration.conftest import SMALL_UNET
from tests.support.borders import TWO_ZONES, Border, border_of, both_sides, simulate_border

REACH = 80
TARGETS = ("RMSD", "NDVI_p0_now", "RIMD", "IMD_now")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory) -> Path:
    """Production file of two tiles, 2 km each way from their border, whose models were trained before either predicts."""

    def make(folder: Path) -> None:
        # Shifts of windows of 8 km² seen eight times a year differ far more than those of tiles (docs/accuracy.md): left out.
        file = simulate_border(folder, TWO_ZONES, 400, 8, SMALL_UNET + "align_years = false\n")
        assert main(["run", "--config", str(file), "-t", "IMD_model"]) == 0
        assert main(["run", "--config", str(file), *(f"-t{t}" for t in (*TARGETS, "CHM"))]) == 0

    return made_once(tmp_path_factory, "neighbours", make) / "production.toml"


def borders_of(production: Path) -> dict[str, Border]:
    """Every band and coefficient of both years, and the layers made of them."""
    found = {}
    for period in ("then", "now"):
        for variable, names in (("quantiles", QUANTILE_BANDS), ("harmonics", HARMONIC_NAMES)):
            array, edge = both_sides(production, f"PP_{period}", variable)
            found |= {f"{name}_{period}": border_of(plane, edge, REACH) for name, plane in zip(names, array, strict=True)}
    for symbol in TARGETS:
        array, edge = both_sides(production, symbol)
        values = np.where(array == OUTSIDE, np.nan, array) if array.dtype == np.uint8 else array
        found[symbol] = border_of(values, edge, REACH)
    return found


def test_no_layer_steps_where_tiles_and_zones_meet(neighbours):
    seen = {name: border for name, border in borders_of(neighbours).items() if border.seen}
    assert not seen


def test_changes_step_by_the_thresholds_of_each_tile_alone(neighbours):
    """The ATBD's percentiles are of a tile: with those of the whole ground no line is left."""
    array, edge = both_sides(neighbours, "CHM")
    rmsd, _ = both_sides(neighbours, "RMSD")
    own, one = (
        border_of(np.where(mask == OUTSIDE, np.nan, mask), edge, REACH, coded=True) for mask in (array, change_mask(rmsd))
    )
    assert own.seen and not one.seen


@pytest.mark.parametrize("rows", [1, -1])
def test_a_tile_that_lies_a_pixel_off_is_seen(neighbours, rows):
    for symbol, variable, plane in (("NDVI_p0_now", "", None), ("PP_now", "quantiles", QUANTILE_BANDS.index("B08"))):
        array, edge = both_sides(neighbours, symbol, variable)
        array = np.array(array if plane is None else array[plane], "f8")
        array[:, edge:] = np.roll(array[:, edge:], rows, axis=0)
        border = border_of(array, edge, REACH)
        assert border.seen and border.pixels == pytest.approx(rows, abs=0.3)


def test_a_tile_with_light_of_its_own_is_seen(neighbours):
    array, edge = both_sides(neighbours, "NDVI_p0_now")
    array = np.array(array, "f8")
    array[:, edge:] += 0.2 * array.std()
    assert border_of(array, edge, REACH).step > 4
