from itertools import pairwise

import numpy as np
import pytest

from imperv.layers.catalogue import layers_of
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES, CONFIDENCE, DENSITY, SHARE

CATALOGUE = layers_of("imperviousness")

PALETTES = {
    "DENSITY": DENSITY, "SHARE": SHARE, "BUILT_UP": BUILT_UP, "CHANGE": CHANGE, "CLASSES": CLASSES,
    "BUILT_UP_CLASSES": BUILT_UP_CLASSES, "CONFIDENCE": CONFIDENCE,
}  # fmt: skip

# As listed in the EEA's product definitions.
LISTED = {
    "DENSITY": {0: (240, 240, 240), 1: (255, 237, 195), 50: (175, 74, 51), 100: (113, 12, 2), 255: (0, 0, 0)},
    "BUILT_UP": {0: (240, 240, 240), 1: (255, 178, 0), 255: (0, 0, 0)},
    "SHARE": {
        0: (240, 240, 240), 1: (251, 255, 214), 30: (255, 221, 0), 70: (255, 178, 0), 100: (219, 106, 6),
        255: (0, 0, 0),
    },
    "CHANGE": {
        0: (3, 102, 0), 50: (63, 178, 0), 99: (127, 255, 0), 100: (178, 178, 178), 101: (255, 255, 0),
        150: (255, 191, 0), 200: (255, 0, 0), 201: (240, 240, 240), 255: (0, 0, 0),
    },
    "CLASSES": {
        0: (240, 240, 240), 1: (255, 0, 0), 2: (0, 100, 0), 10: (156, 156, 156), 11: (255, 191, 0), 12: (64, 178, 0),
        255: (0, 0, 0),
    },
}  # fmt: skip
LISTED["BUILT_UP_CLASSES"] = LISTED["CLASSES"]

CODES = {
    "DENSITY": [*range(101), 255],
    "SHARE": [*range(101), 255],
    "BUILT_UP": [0, 1, 255],
    "CHANGE": [*range(202), 255],
    "CLASSES": [0, 1, 2, 10, 11, 12, 255],
    "BUILT_UP_CLASSES": [0, 1, 2, 10, 11, 12, 255],
    "CONFIDENCE": [*range(101), 255],
}

RAMPS = {
    "DENSITY": (1, 50, 100),
    "SHARE": (1, 30, 70, 100),
    "CHANGE": (0, 50, 99, 101, 150, 200),
    "CONFIDENCE": (0, 50, 75, 100),
}


@pytest.mark.parametrize("name", LISTED)
def test_listed_colours_exactly(name):
    assert {code: PALETTES[name].colours[code] for code in LISTED[name]} == LISTED[name]


@pytest.mark.parametrize("name", PALETTES)
def test_codes_and_a_full_table(name):
    palette = PALETTES[name]
    assert list(palette.codes) == CODES[name]
    assert len(palette.colours) == 256
    assert all(isinstance(v, int) and 0 <= v <= 255 for colour in palette.colours for v in colour)
    assert all(palette.colours[code] == (0, 0, 0) for code in range(256) if code not in palette.codes)
    assert palette.colours[255] == (0, 0, 0)


@pytest.mark.parametrize("name", RAMPS)
def test_ramps_are_straight_lines(name):
    colours = PALETTES[name].colours
    for low, high in pairwise(RAMPS[name]):
        if (low, high) == (99, 101):
            continue  # 100 stands between the ramps of decrease and increase
        for code in range(low, high + 1):
            share = (code - low) / (high - low)
            line = [a + share * (b - a) for a, b in zip(colours[low], colours[high], strict=True)]
            assert all(abs(v - w) <= 0.5 for v, w in zip(colours[code], line, strict=True)), code


def test_colours_between_anchors_by_hand():
    # DENSITY 25: 24/49 of the way from 1 to 50; CHANGE 175: half of the way from 150 to 200.
    assert DENSITY.colours[25] == (216, 157, 124)
    assert CHANGE.colours[175] == (255, 96, 0)


def test_every_code_has_a_meaning():
    for palette in PALETTES.values():
        assert all(palette.meaning(code) for code in palette.codes)
        assert palette.meaning(255) == "Outside area"
    assert DENSITY.meaning(37) == "37 % imperviousness"
    assert CHANGE.meaning(201) == "Unchanged, degree 0"
    assert [CHANGE.meaning(code) for code in (0, 99, 101, 200)] == [
        "Decrease by 100 %",
        "Decrease by 1 %",
        "Increase by 1 %",
        "Increase by 100 %",
    ]
    assert CLASSES.meaning(0) == "Unchanged non-impervious areas"
    assert BUILT_UP_CLASSES.meaning(0) == "Unchanged non-built-up areas"
    assert CLASSES.meaning(11).startswith("Increased cover")


@pytest.mark.parametrize("name", PALETTES)
def test_colours_are_straight_lines_through_the_anchors(name):
    """So that a programme which is told the anchors only, such as QGIS, shows the colours of the table."""
    palette = PALETTES[name]
    if not palette.anchors:
        assert palette.overview == "nearest"
        return
    assert palette.overview == ("change" if name == "CHANGE" else "mean")
    for code in palette.codes[:-1]:
        line = [np.interp(code, palette.anchors, [palette.colours[a][k] for a in palette.anchors]) for k in range(3)]
        assert np.abs(np.array(palette.colours[code]) - line).max() <= 0.5


def test_class_names_fit_their_column():
    assert all(len(palette.meaning(code)) <= 100 for palette in PALETTES.values() for code in palette.codes)


def test_final_layers_hold_the_codes_of_their_palette():
    final = [layer for layer in CATALOGUE.values() if layer.kind == "final"]
    assert final
    assert all(layer.delivery is not None and layer.codes == layer.delivery.palette.codes for layer in final)
