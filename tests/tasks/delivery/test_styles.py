"""QGIS styles against the colour tables: what QGIS draws between the entries is computed here as its documentation says."""

from xml.etree import ElementTree

import numpy as np
import pytest

from imperv.layers.palette import OUTSIDE
from imperv.tasks.delivery.delivery import delivered_symbols
from imperv.tasks.delivery.styles import style_qml
from tests.support.delivered import product


def entries(renderer, tag):
    return {
        int(e.get("value")): (e.get("label"), tuple(int(e.get("color")[k : k + 2], 16) for k in (1, 3, 5)), e.get("alpha"))
        for e in renderer.iter(tag)
    }


@pytest.mark.parametrize("symbol", delivered_symbols())
def test_every_code_has_its_colour(symbol):
    made = product(symbol)
    renderer = ElementTree.fromstring(style_qml(made.palette)).find("pipe/rasterrenderer")
    codes = [code for code in made.palette.codes if code != OUTSIDE]
    if renderer.get("type") == "paletted":
        found = entries(renderer, "paletteEntry")
        assert list(found) == codes
        assert {code: colour for code, (_, colour, _) in found.items()} == {code: made.palette.colours[code] for code in codes}
    else:
        assert renderer.get("type") == "singlebandpseudocolor"
        assert renderer.find("rastershader/colorrampshader").get("colorRampType") == "INTERPOLATED"
        found = entries(renderer, "item")
        assert len(found) <= 8  # a legend that a person reads
        for k in range(3):
            line = np.interp(codes, list(found), [colour[k] for _, colour, _ in found.values()])
            assert np.abs(line - [made.palette.colours[code][k] for code in codes]).max() <= 0.5
    assert all(label == made.palette.meaning(code) and alpha == "255" for code, (label, _, alpha) in found.items())


def test_pixels_outside_are_left_to_the_no_data_tag():
    assert 'value="255"' not in style_qml(product("IMCC").palette)
