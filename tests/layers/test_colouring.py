"""Colours of layers on a map, against palettes and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.colouring import SCALE, TOP, coarser, colour_table, on_scale, palette_of, views_of
from imperv.layers.kernels.overviews import overview
from imperv.layers.palette import CHANGE, DENSITY

RASTERS = [layer for layer in CATALOGUE.values() if layer.resolution]


@pytest.mark.parametrize("layer", RASTERS, ids=lambda layer: layer.symbol)
def test_every_raster_layer_can_be_shown(layer):
    views = views_of(layer)
    assert views and len({view.name for view in views}) == len(views)
    for view in views:
        assert len(view.bands) in (1, 3) and max(view.bands) < view.variable.bands
        if view.palette is not None:
            table = colour_table(view.palette, view.variable.nodata)
            shown = set(np.flatnonzero(table[:, 3]).tolist())
            assert shown == set(view.palette.codes) - {255, view.variable.nodata}
            assert set(layer.codes) - {255, layer.nodata} <= shown


def test_coded_layers_have_the_colours_of_their_quantity():
    assert palette_of(CATALOGUE["IMD_now"]) is DENSITY and palette_of(CATALOGUE["IMD_then"]) is DENSITY
    assert palette_of(CATALOGUE["IBUDC"]) is CHANGE
    classes = palette_of(CATALOGUE["CLCP_then"])
    assert classes.meaning(10) == "Water"
    colours = [classes.colours[code] for code in classes.codes if code != 255]
    assert len(set(colours)) == len(colours)


def test_delivered_composites_come_first_and_features_show_their_colours():
    natural, false = views_of(CATALOGUE["SR5_laea"])
    assert (natural.name, natural.bands) == ("natural colour", (3, 2, 1)) and false.bands == (10, 8, 3)
    quantiles = views_of(CATALOGUE["PP_now"])[0]
    assert [quantiles.variable.labels[band] for band in quantiles.bands] == ["B04_q20", "B03_q20", "B02_q20"]
    assert quantiles.scale == 1e-4


def test_a_quantity_goes_from_limit_to_limit():
    values = np.array([[np.nan, -1, 0, 1], [2, 3, 4, np.inf]], np.float32)
    assert on_scale(values, np.nan, (0, 4)).tolist() == [[255, 0, 0, 64], [127, 190, 254, 255]]
    assert on_scale(np.array([[65535, 10, 20]], np.uint16), 65535, (10, 10)).tolist() == [[255, 0, 254]]
    table = colour_table(None, np.nan)
    assert table[0].tolist() == [*SCALE[0], 255] and table[TOP].tolist() == [*SCALE[-1], 255] and table[255, 3] == 0


def test_codes_are_never_averaged_and_quantities_are():
    rng = np.random.default_rng(1)
    codes = rng.choice([0, 1, 2, 10, 11, 12, 255], (1, 37, 41)).astype(np.uint8)
    view = views_of(CATALOGUE["IMCC"])[0]
    assert (coarser(view, codes, 4)[0] == overview(codes[0], 4, view.palette)).all()
    assert set(np.unique(coarser(view, codes, 4))) <= set(np.unique(codes))
    distance = views_of(CATALOGUE["OSM_distance"])[0]
    values = np.array([[[1, 3, np.nan], [5, 7, 9]]], np.float32)
    assert coarser(distance, values, 2).tolist() == [[[4, 9]]]
    assert coarser(distance, values, 1) is values


@pytest.mark.parametrize(
    "symbol", ["SR_B10", "SR_B20", "SR_B60", "SR10_sd", "CH_first", "CH_second", "CO_G", "CO_metrics", "LC_mosaic"]
)
def test_bands_are_shown_as_reflectance(symbol):
    """Stored as reflectance x 10 000, measured bands that are not delivered too."""
    for view in views_of(CATALOGUE[symbol]):
        assert view.scale == 1e-4 and view.is_reflectance
