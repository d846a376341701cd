"""What is delivered of super-resolution: files and what their catalogues, styles and pictures say, read back by others."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from pystac.extensions.eo import EOExtension
from pystac.extensions.raster import RasterExtension

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.reflectance import SPECTRAL
from imperv.tasks.delivery.delivery import delivery_standing, places_of
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.superresolution.cuts import detail_by_cell, measured_cut, sharp_cut, sharpest
from imperv.tasks.superresolution.delivery import EDGE, GAP, properties_of
from imperv.tasks.superresolution.models import digest_of_model
from tests.support.sharpened import DAY, TILE

pytestmark = pytest.mark.slow  # a whole production is made for them


def item_of(job, symbol: str) -> pystac.Item:
    return pystac.Item.from_file(job.store.full(places_of(job, symbol).stac))


def test_items_name_bands_with_their_wavelengths(job):
    for symbol, pixel in (("SR10", 10), ("SR5", 5), ("SR10_laea", 10), ("SR10_sd", 10)):
        item = item_of(job, symbol)
        assert item.properties["gsd"] == pixel
        data = item.assets["data"]
        bands = EOExtension.ext(data).bands
        assert [b.name for b in bands] == list(SHARP)
        assert [(b.common_name, b.center_wavelength, b.full_width_half_max) for b in bands] == [SPECTRAL[name] for name in SHARP]
        raster = RasterExtension.ext(data).bands
        assert (
            len(raster) == len(SHARP)
            and {b.scale for b in raster} == {1e-4}
            and {b.spatial_resolution for b in raster} == {pixel}
        )
    assert "eo:bands" not in item_of(job, "SR_mask").assets["data"].extra_fields


def test_wavelengths_ascend_and_bands_do_not_reach_beyond_the_instrument():
    centres = [SPECTRAL[name][1] for name in SHARP]
    assert centres == sorted(centres)
    assert all(c - w / 2 > 0.43 and c + w / 2 < 2.3 for _, c, w in SPECTRAL.values())


def test_items_tell_scenes_level_models_and_consistency(job):
    told = item_of(job, "SR10").properties
    scene = f"S2A_32TPS_{DAY.replace('-', '')}_0_L2A"
    assert told["superresolution:scenes"] == [scene] and told["processing:level"] == "L2A"
    assert scene in told["processing:lineage"] and "networks: none" in told["processing:lineage"]
    digest = job.record("SR_model").digest[:16]
    assert told["superresolution:scene_model"] == digest and digest in told["processing:lineage"]
    lacks = told["superresolution:consistency"]
    assert list(lacks) == list(SHARP) and lacks["B04"] == 0 and max(lacks.values()) <= 2
    assert item_of(job, "SR10_laea").properties["superresolution:consistency"] == lacks
    assert (
        item_of(job, "SR5_sd").properties["superresolution:consistency"]
        == item_of(job, "SR5").properties["superresolution:consistency"]
    )
    assert "superresolution:models" not in item_of(job, "SR_mask").properties


def test_items_name_the_networks_of_their_own_steps(copied):
    """The model of a scene names all of them, whatever is made of it."""
    job = Job.of(Production.read(copied), TILE)
    record = job.record("SR_model")
    statistics = {**record.statistics, "networks": {"20to10": "aa", "10to5": "bb"}, "tuned": {"10to5": {}}}
    job.store.write_record(job.place("SR_model").record, replace(record, statistics=statistics))
    lineage = Lineage("", (), (), {})
    ten, five = (properties_of(job, CATALOGUE[symbol], lineage) for symbol in ("SR10_laea", "SR5"))
    assert (ten["superresolution:models"], ten["superresolution:tuned"]) == ({"20to10": "aa"}, [])
    assert "networks: 20to10 aa." in ten["processing:lineage"]
    assert five["superresolution:models"] == {"20to10": "aa", "10to5": "bb"} and five["superresolution:tuned"] == ["10to5"]
    assert "networks: 20to10 aa, 10to5 tuned on the scene." in five["processing:lineage"]


def test_styles_show_natural_and_false_colour_from_2_to_98_percent_of_the_pixels(job):
    for symbol in ("SR10", "SR5_laea"):
        places = places_of(job, symbol)
        with rasterio.open(job.store.full(places.tif)) as source:
            pixels = source.read()
        for place, names in ((places.style, ("B04", "B03", "B02")), (places.more["style_false_colour"], ("B11", "B8A", "B04"))):
            renderer = ElementTree.parse(job.store.full(place)).getroot().find("pipe/rasterrenderer")
            assert renderer.get("type") == "multibandcolor"
            for colour, name in zip(("red", "green", "blue"), names, strict=True):
                assert int(renderer.get(f"{colour}Band")) == SHARP.index(name) + 1
                stretch = renderer.find(f"{colour}ContrastEnhancement")
                limits = [float(stretch.find(f"{end}Value").text) for end in ("min", "max")]
                band = pixels[SHARP.index(name)]
                expected = np.quantile(band[band > 0], (0.02, 0.98), method="inverted_cdf")
                assert limits == expected.tolist()
    deviation = ElementTree.parse(job.store.full(places_of(job, "SR10_sd").style)).getroot().find("pipe/rasterrenderer")
    assert deviation.get("type") == "singlebandgray" and int(deviation.get("grayBand")) == SHARP.index("B11") + 1


def test_the_quicklook_is_in_natural_colour(job):
    places = places_of(job, "SR10")
    with rasterio.open(job.store.full(places.tif)) as source:
        red, blue = source.read(SHARP.index("B04") + 1), source.read(SHARP.index("B02") + 1)
    picture = np.array(Image.open(job.store.full(places.quicklook)))
    assert picture.shape == (*red.shape, 4)
    assert np.array_equal(picture[..., 3] > 0, red > 0) and not (picture[..., 3] > 0).all()
    seen = red > 0
    for channel, band in ((0, red), (2, blue)):
        low, high = np.quantile(band[seen], (0.02, 0.98), method="inverted_cdf")
        expected = 255 * np.clip((band[seen].astype("f8") - low) / (float(high) - low), 0, 1)
        assert np.abs(picture[seen][:, channel] - expected).max() <= 0.51


def test_before_and_after_stand_side_by_side(job):
    """One row at 10 m, where natural colour is measured; two at 5 m. The left half is made of repeated pixels."""
    for symbol, rows, each in (("SR10", 1, 2), ("SR5", 2, 4)):
        picture = np.array(Image.open(job.store.full(places_of(job, symbol).more["comparison"])))
        cut = sharpest(detail_by_cell(job), EDGE[int(20 / each)])
        high, wide = (n * 6 * each // 2 for n in cut.shape)
        assert picture.shape == (rows * high + (rows - 1) * GAP, 2 * wide + GAP, 4)
        before, after = picture[-high:, :wide], picture[-high:, wide + GAP :]
        assert np.array_equal(before[::each, ::each, 0], before[1::each, 1::each, 0])
        assert not np.array_equal(after[::each, ::each, 0], after[1::each, 1::each, 0])
        assert np.array_equal(before[..., 3], after[..., 3])


def test_the_cut_is_where_detail_is(job):
    """Against all windows one by one; cells under the cloud or without data count nothing."""
    detail = detail_by_cell(job)
    assert detail.shape == (18, 34) and not detail[:, 0].any()  # no data
    assert not detail[0, -1].any() and detail[5:, 2:].all()  # cloud
    rng = np.random.default_rng(0)
    for _ in range(5):
        some = rng.random((9, 12)).astype("f4")
        found = sharpest(some, 240)
        sums = {(y, x): some[y : y + 4, x : x + 4].sum() for y in range(6) for x in range(9)}
        assert (found.y0, found.x0) == max(sums, key=sums.get) and found.shape == (4, 4)
    assert sharpest(np.zeros((3, 2), "f4"), 6000).shape == (3, 2)


def test_cuts_are_the_stored_pixels(job):
    cut = sharpest(detail_by_cell(job), 300)
    found = measured_cut(job, cut, ("B04", "B11", "B01"), 5)
    red, swir, coastal = job.array("SR_B10")[2], job.array("SR_B20")[4], job.array("SR_B60")[0]
    for band, (array, size) in zip(found, ((red, 10), (swir, 20), (coastal, 60)), strict=True):
        block = cut.scaled(60 // size)
        assert np.array_equal(np.nan_to_num(band[:: size // 5, :: size // 5]), np.asarray(array)[block.slices])
    sharp = sharp_cut(job, "SR10", cut, ("B04",))
    assert np.array_equal(sharp[0], measured_cut(job, cut, ("B04",), 10)[0], equal_nan=True)


def test_all_files_are_in_the_record_and_in_the_item(job):
    places = places_of(job, "SR5")
    record = job.store.read_record(places.record)
    assert set(record.beside) == {places.style, places.quicklook, places.stac, *places.more.values()}
    table = json.loads(job.store.read_text(places.stac))
    assert set(table["assets"]) == {"data", "style", "quicklook", "style_false_colour", "comparison"}
    assert table["assets"]["style_false_colour"]["title"] == "QGIS style, false colour"
    pystac.validation.validate_dict({**table, "stac_extensions": []})
    assert delivery_standing(job, "SR5").state == "up to date"


def test_networks_are_told_apart_by_their_weights():
    from imperv.layers.sharpening.network import Model, Shape

    one, other = (Model("10to5", Shape(), (np.full(9, value, "f4"),)) for value in (1, 2))
    assert digest_of_model(one) != digest_of_model(other) == digest_of_model(other)
