"""Maps of a report, read back as any program would."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from imperv.layers.palette import BUILT_UP_CLASSES, CHANGE, CLASSES, DENSITY
from imperv.tasks.imperviousness.report.maps import draw, draw_composite, draw_looks, legend_of, stretch
from imperv.tasks.imperviousness.report.pixels import Picture, thin_of
from imperv.tasks.imperviousness.report.thinning import prevailing_class
from imperv.tasks.report.pictures import enlarge, scale_bar

BOUNDS = (4_000_000.0, 3_000_000.0, 4_006_000.0, 3_006_000.0)


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize(
    ("symbol", "palette"), [("IMD_now", DENSITY), ("IMDC", CHANGE), ("IMCC", CLASSES), ("IBUC", BUILT_UP_CLASSES)]
)
def test_every_code_has_the_colour_of_its_delivery_and_outside_is_transparent(symbol, palette):
    codes = np.array(palette.codes, "u1")
    codes = np.resize(codes, (600, len(palette.codes)))
    pixels = np.asarray(decoded(draw(symbol, Picture(codes, BOUNDS, 10)).image).convert("RGBA"))
    for k, code in enumerate(palette.codes):
        if code == 255:
            assert pixels[0, k, 3] == 0
        else:
            assert tuple(pixels[0, k]) == (*palette.colours[code], 255)


def test_thinned_built_up_is_graded_between_its_two_colours():
    codes = np.resize(np.array([0, 50, 100, 255], "u1"), (500, 4))
    pixels = np.asarray(decoded(draw("IBU_now", Picture(codes, BOUNDS, 100, 10)).image).convert("RGBA"))
    assert [tuple(p[:3]) for p in pixels[0, :3]] == [(240, 240, 240), (248, 209, 120), (255, 178, 0)]
    assert pixels[0, 3, 3] == 0


@pytest.mark.parametrize("edge", [8, 16])
def test_built_up_as_the_report_reads_it_has_the_colours_of_its_legend(tmp_path, edge):
    """Of a window that is not thinned the built-up pixels were black."""
    codes = np.resize(np.array([0, 1, 1, 255], "u1"), (edge, edge))
    picture = Picture(thin_of("IBU_now")(codes, 1), BOUNDS, 10, 1)
    pixels = np.asarray(decoded(draw("IBU_now", picture).image).convert("RGBA")).reshape(-1, 4)
    assert {tuple(p[:3]) for p in pixels if p[3]} == {(240, 240, 240), (255, 178, 0)}


def test_small_pictures_are_enlarged_without_blur():
    a = np.arange(6, dtype="u1").reshape(2, 3)
    big = enlarge(a)
    assert big.shape == (2 * 133, 3 * 133) and (big[::133, ::133] == a).all()


@pytest.mark.parametrize(
    ("metres", "text"), [(100_000, "20 km"), (6000, "2 km"), (2000, "500 m"), (1000, "200 m"), (512_00, "10 km")]
)
def test_scale_bars_are_round_and_at_most_a_third(metres, text):
    share, found = scale_bar((0, 0, metres, metres))
    assert found == text and share <= 1 / 3
    value, unit = found.split()
    assert share * metres == pytest.approx(float(value) * (1000 if unit == "km" else 1))


def test_composites_share_one_stretch_and_hold_no_nan():
    rng = np.random.default_rng(1)
    then, now = rng.uniform(200, 2000, (2, 3, 500, 500)).astype("f4")
    now[:, :10] = np.nan
    limits = stretch(then, now)
    assert limits.shape == (3, 2) and (limits[:, 0] < limits[:, 1]).all()
    assert limits[0, 0] == pytest.approx(np.percentile(np.concatenate([then[0].ravel(), now[0, 10:].ravel()]), 1), rel=0.01)
    image = decoded(draw_composite(now, limits, Picture(now[0], BOUNDS, 10), "now").image)
    assert image.format == "JPEG" and image.size == (500, 500)


def test_clear_looks_without_data_are_transparent():
    looks = np.full((500, 500), 12.0, "f4")
    looks[0, 0] = np.nan
    pixels = np.asarray(decoded(draw_looks(Picture(looks, BOUNDS, 10), 20, "2018").image).convert("RGBA"))
    assert pixels[0, 0, 3] == 0 and pixels[1, 1, 3] == 255


def test_legends_tell_every_class():
    texts = [text for _, text in legend_of(CLASSES).classes]
    assert texts[:-1] == [text for code, text in CLASSES.class_names if code != 255] and "no data" in texts[-1]
    assert len(legend_of(CHANGE).ramps) == 2


@pytest.mark.parametrize(("symbol", "cover"), [("IMDC", "sealed"), ("SBUC", "built-up")])
def test_a_legend_of_change_names_what_changes(symbol, cover):
    legend = draw(symbol, Picture(np.full((500, 500), 100, "u1"), BOUNDS, 20)).legend
    assert legend is not None
    assert [text for _, text in legend.classes[:2]] == [f"unchanged, {cover}", f"unchanged, not {cover}"]


@pytest.mark.parametrize("symbol", ["IMCC", "IBUC"])
def test_classes_of_change_are_thinned_as_classes(symbol):
    assert thin_of(symbol) is prevailing_class
