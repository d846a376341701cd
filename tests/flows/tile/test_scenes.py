"""Sentinel-2 scenes from STAC items: bands, the offset of baseline 04.00, overpasses, duplicates, and what is refused.

The decisions on real items are typed by hand from what their publishers say of them; the rest is small items made here.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
import shutil
from pathlib import Path
from urllib.parse import quote, urlparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.scenes.bands import BANDS, band_files, band_of, baseline_of, is_top_of_atmosphere, offset_decision
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.items import parsed
from imperv.tasks.scenes.scenes import SceneList, mgrs_of, overpass_of, select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import make_scene_list, search_scenes

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
KEYS = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir08": "B8A", "swir16": "B11", "swir22": "B12", "scl": "SCL",
}  # fmt: skip
"""Asset keys of Earth Search v1 (docs/dev/sentinel2.md, section 8)."""


def item(
    name: str = "S2A_32TPT_20210612_0_L2A", when: str = "2021-06-12T10:10:30Z", mgrs: str = "32TPT", longitude: float = 11.3,
    keys: dict[str, str] = KEYS, **properties,
) -> dict:  # fmt: skip
    """A small item as Earth Search writes it; properties with ``__`` for a colon."""
    props = {"datetime": when, "platform": "sentinel-2a", "grid:code": f"MGRS-{mgrs}"}
    props |= {key.replace("__", ":"): value for key, value in properties.items()}
    corner = [[longitude, 46.4], [longitude + 0.1, 46.4], [longitude + 0.1, 46.5], [longitude, 46.5], [longitude, 46.4]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a", "properties": props,
        "geometry": {"type": "Polygon", "coordinates": [corner]}, "bbox": [longitude, 46.4, longitude + 0.1, 46.5],
        "links": [], "assets": {key: {"href": f"./{name}/{key}.tif"} for key in keys},
    }  # fmt: skip


def without(table: dict, *keys: str) -> dict:
    return {k: v for k, v in table.items() if k not in keys}


# real items -------------------------------------------------------------------------------------------------------

PUBLISHED = {
    # id: (baseline, MGRS, digital numbers to subtract, reason, overpass)
    "S2B_T24MUV_20250731T130245_L2A": (
        "05.11", "24MUV", 1000, "raster offset -0.1", "sentinel-2b|GS2B_20250731T130249_043879|2025-07-31",
    ),
    "S2B_24MUV_20250731_0_L2A": (
        "05.11", "24MUV", 0, "offset applied already, by flag", "sentinel-2b|GS2B_20250731T130249_043879|2025-07-31",
    ),
    "S2B_24MUV_20250731_0_L1C": (
        "05.11", "24MUV", 1000, "raster offset -0.1", "sentinel-2b|GS2B_20250731T130249_043879|2025-07-31",
    ),
    "S2B_20EPT_20250731_0_L2A": (
        "05.11", "20EPT", 0, "offset applied already, by flag", "sentinel-2b|20250731T1319|2025-07-31",
    ),
    "S2A_13TDE_20231008_0_L2A": (
        "05.09", "13TDE", 0, "offset applied already, by flag", "sentinel-2a|GS2A_20231008T175231_043324|2023-10-08",
    ),
    "S2B_T22HBD_20210122T133224_L2A": (
        "02.14", "22HBD", 0, "raster offset 0", "sentinel-2b|GS2B_20210122T133229_020270|2021-01-22",
    ),
    "S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBP": (
        "04.00", "34LBP", 1000, "raster offset -0.1", "sentinel-2a|20220401T0903|2022-04-01",
    ),
    "S2B_OPER_MSI_L2A_TL_S2RP_20230315T224658_A018417_T01VCG": (
        "05.00", "01VCG", 1000, "raster offset -0.1", "sentinel-2b|20200914T2319|2020-09-14",
    ),
}  # fmt: skip
PROVIDER_FOLDERS = [name for name in PUBLISHED if "_OPER_" in name or name.startswith("S2B_T22HBD")]
"""Items that list the provider's own files, with 20 m and 60 m copies of the finer bands."""


@pytest.fixture(scope="module")
def published(shared_data) -> dict[str, dict]:
    table = json.loads((shared_data / "stac" / "earthsearch_items.json").read_text())
    return {entry["id"]: entry for entry in table["features"]}


def test_the_table_knows_every_published_item(published):
    assert set(published) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_items(published, name):
    baseline, mgrs, subtract, reason, overpass = PUBLISHED[name]
    entry = published[name]
    assert baseline_of(entry) == baseline
    assert mgrs_of(entry) == mgrs
    assert overpass_of(entry) == overpass
    assert offset_decision(entry) == (subtract, reason)
    assert offset_decision(entry, "none") == (0, "boa_offset = none")
    assert offset_decision(entry, "subtract") == (1000, "boa_offset = subtract")


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in PROVIDER_FOLDERS])
def test_bands_of_published_items(published, name):
    """Earth Search names its files after the band; the JPEG 2000 twins, previews and 60 m bands are none of ours."""
    files = band_files(published[name])
    missing = {"SCL"} if name.endswith("_L1C") else set()
    assert set(files) == set(BANDS) - missing
    for band, href in files.items():
        path = Path(urlparse(href).path)
        assert path.stem == band
        assert path.suffix == (".jp2" if name.endswith("_L1C") else ".tif")


@pytest.mark.parametrize("name", PROVIDER_FOLDERS)
def test_the_finest_copy_of_a_band_is_taken(published, name):
    files = band_files(published[name])
    for band in ("B02", "B03", "B04", "B08"):
        assert "R10m" in files[band]
    for band in ("B05", "B06", "B07", "B8A", "B11", "B12", "SCL"):
        assert "R20m" in files[band]


def test_top_of_atmosphere_is_left_out_and_processings_of_one_look_count_once(published):
    found = select_scenes(published.values())
    assert {s.id for s in found.scenes} == set(PUBLISHED) - {
        "S2B_24MUV_20250731_0_L1C",
        "S2B_T24MUV_20250731T130245_L2A",
    }
    assert found.dropped == {
        "S2B_24MUV_20250731_0_L1C": "is Level-1C, top of the atmosphere; Level-2A is needed",
        # same baseline and generation time: the one that was updated last
        "S2B_T24MUV_20250731T130245_L2A": "duplicate of S2B_24MUV_20250731_0_L2A",
    }


@pytest.mark.parametrize(
    ("site", "count", "subtract", "reason"),
    [
        ("site_2004", 37, 1000, "flag says not applied, baseline 04.00"),
        ("site_2008", 90, 0, "offset applied already, by flag"),
    ],
)
def test_both_conventions_of_a_provider(shared_data, site, count, subtract, reason):
    """The decision is checked against the pixels: with the right one, clear ground is dark in the blue."""
    import rasterio

    items = ItemFiles(shared_data / "austria" / site, "sentinel-2-l2a").search(EVERYWHERE, Period.parse("2022"))
    found = select_scenes(items)
    assert len(found.scenes) == count and not found.dropped
    assert {(s.subtract, s.reason, s.baseline) for s in found.scenes} == {(subtract, reason, "04.00")}
    assert len(found.overpasses) == count
    blue = []
    for scene in found.scenes:
        with rasterio.open(scene.bands["B02"]) as band, rasterio.open(scene.bands["SCL"]) as scl:
            clear = np.isin(scl.read(1).repeat(2, axis=0).repeat(2, axis=1), (4, 5, 6))
            values = band.read(1)[clear]
        blue.append(values[values > 0].astype(int) - scene.subtract)
    darkest = np.percentile(np.concatenate(blue), 1)
    assert -50 < darkest < 500
    opposite = [offset_decision(entry, "none" if subtract else "subtract")[0] for entry in items]
    assert set(opposite) == {1000 - subtract}


def test_overlapping_years_of_flanders(shared_data):
    catalogue = ItemFiles(shared_data / "flanders" / "items.json", "sentinel-2-l2a")
    then = catalogue.search(EVERYWHERE, Period.parse("2017-08-01/2018-07-31"))
    now = catalogue.search(EVERYWHERE, Period.parse("2017-12-01/2018-11-30"))
    assert (
        len(catalogue.search(EVERYWHERE, Period.parse("2017"))) + len(catalogue.search(EVERYWHERE, Period.parse("2018"))) == 118
    )
    assert min(i["properties"]["datetime"] for i in then) == "2017-08-04T10:53:28Z"
    assert (
        max(i["properties"]["datetime"] for i in then) < "2018-08" and min(i["properties"]["datetime"] for i in now) > "2017-12"
    )
    scenes = select_scenes(then)
    assert {(s.subtract, s.reason, s.mgrs) for s in scenes.scenes} == {(0, "raster offset 0", "31UDS")}
    assert all(Path(f).is_file() for s in scenes.scenes for f in s.bands.values())


# bands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "asset", "band"),
    [
        ("blue", {}, "B02"), ("rededge1", {}, "B05"), ("nir", {}, "B08"), ("nir08", {}, "B8A"), ("scl", {}, "SCL"),
        ("B02", {}, "B02"), ("B02_10m", {}, "B02"), ("B8A_20m", {}, "B8A"), ("SCL_20m", {}, "SCL"), ("b04", {}, "B04"),
        ("x", {"eo:bands": [{"name": "B11"}]}, "B11"),
        ("x", {"eo:bands": [{"common_name": "swir22"}]}, "B12"),
        ("x", {"bands": [{"eo:common_name": "rededge071"}]}, "B05"),
        ("B02", {"eo:bands": [{"name": "B03"}]}, "B03"),  # metadata before key
        ("rededge2", {"eo:bands": [{"name": "rededge2", "common_name": "rededge"}]}, "B06"),  # one name for three bands
        ("visual", {"eo:bands": [{"name": "B04"}, {"name": "B03"}, {"name": "B02"}]}, None),
        ("blue-jp2", {"eo:bands": [{"name": "B02"}]}, None), ("coastal", {"eo:bands": [{"name": "B01"}]}, "B01"),
        ("nir09", {"eo:bands": [{"common_name": "nir09"}]}, "B09"), ("thumbnail", {}, None), ("B10", {}, "B10"),
        ("aot", {"raster:bands": [{}]}, None), ("B02_5m", {}, None),
    ],
)  # fmt: skip
def test_band_of_an_asset(key, asset, band):
    assert band_of(key, asset) == band


def test_all_bands_by_key_and_by_metadata():
    assert band_files(item()) == {band: f"./S2A_32TPT_20210612_0_L2A/{key}.tif" for key, band in KEYS.items()}
    anonymous = item(keys=dict.fromkeys(f"asset{k}" for k in range(len(BANDS))))
    for asset, band in zip(anonymous["assets"].values(), BANDS, strict=True):
        asset["eo:bands"] = [{"name": band}]
    assert set(band_files(anonymous)) == set(BANDS)


def test_of_two_resolutions_the_finer():
    entry = item(keys={})
    entry["assets"] = {
        "B02_60m": {"href": "c", "gsd": 60}, "B02_10m": {"href": "a", "gsd": 10}, "B02_20m": {"href": "b", "gsd": 20},
    }  # fmt: skip
    assert band_files(entry) == {"B02": "a"}
    for asset in entry["assets"].values():
        del asset["gsd"]
    assert band_files(entry) == {"B02": "a"}


def test_configured_keys_are_last_and_overrule():
    entry = item(keys={**without(KEYS, "blue"), "image_blue": ""})
    assert select_scenes([entry]).dropped == {entry["id"]: "has no asset for B02"}
    assert band_files(entry, {"B02": "image_blue"})["B02"].endswith("image_blue.tif")
    assert band_files(entry, {"B03": "image_blue"})["B03"].endswith("image_blue.tif")
    assert band_files(entry, {"B03": "not there"})["B03"].endswith("green.tif")
    assert len(select_scenes([entry], bands={"B02": "image_blue"}).scenes) == 1


JP2 = {f"{key}-jp2": band for key, band in KEYS.items()}


def test_the_providers_files_are_used_where_an_item_has_no_others():
    entry = item(keys=JP2)
    assert band_files(entry) == {band: f"./{entry['id']}/{key}.tif" for key, band in JP2.items()}
    both = item(keys={**JP2, **KEYS})
    assert band_files(both) == band_files(item())


def test_files_of_two_kinds_are_never_mixed():
    """Their offsets differ: what the catalogue has taken away from its own is still in the provider's."""
    assert band_files(item(keys={**JP2, **without(KEYS, "red")})) == band_files(item(keys=JP2))
    found = select_scenes([item("a", keys={**without(JP2, "blue-jp2"), **without(KEYS, "red", "green")})])
    assert found.dropped == {"a": "has no asset for B02"} and found.lost == ("a",)
    configured = {"B02": "image_blue"}
    assert band_files(item(keys={**JP2, "image_blue": "", **without(KEYS, "blue")}), configured)["B03"].endswith("green.tif")


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize(
    ("baseline", "raster", "expected"),
    [
        ("05.09", None, (1000, "baseline 05.09")), ("05.09", -0.1, (1000, "raster offset -0.1")),
        ("02.14", None, (0, "no offset before baseline 04.00 (02.14)")), ("02.14", 0, (0, "raster offset 0")),
    ],
)  # fmt: skip
def test_flags_do_not_speak_of_the_providers_files(flag, baseline, raster, expected):
    entry = item(keys=JP2, s2__processing_baseline=baseline, earthsearch__boa_offset_applied=flag)
    if raster is not None:
        for key in without(entry["assets"], "scl-jp2"):
            entry["assets"][key]["raster:bands"] = [{"offset": raster, "scale": 0.0001}]
    assert offset_decision(entry) == expected


def test_the_providers_files_of_published_items(published):
    """Without its GeoTIFFs, an item is read from the provider's bucket, and the offset is still in there."""
    for name in ("S2B_24MUV_20250731_0_L2A", "S2A_13TDE_20231008_0_L2A"):
        entry = copy.deepcopy(published[name])
        assert offset_decision(entry) == (0, "offset applied already, by flag")
        entry["assets"] = {key: asset for key, asset in entry["assets"].items() if key.endswith("-jp2")}
        (scene,) = select_scenes([entry]).scenes
        assert (scene.subtract, scene.reason) == (1000, "raster offset -0.1")
        assert set(scene.bands) == set(BANDS)
        for band, href in scene.bands.items():
            assert href.startswith("s3://sentinel-s2-l2a/tiles/") and href.endswith(f"/{band}.jp2")


@pytest.mark.parametrize(
    ("name", "properties"),
    [("S2A_32TPT_20210612_0_L2A", {}), ("x", {"s2__product_type": "S2MSI2A"}), ("x", {"processing__level": "L2A"})],
)
def test_what_says_that_it_is_level_2a_and_gives_nothing_is_lost(name, properties):
    entry = item(name, keys={"B2": "", "visual": ""}, **properties)
    found = select_scenes([entry, item("sound", when="2021-06-22T10:10:30Z")])
    assert found.dropped == {name: f"has no asset for {', '.join(BANDS)}"} and found.lost == (name,)
    again = {**item("again"), "properties": entry["properties"]}
    assert select_scenes([entry, again]).lost == ()


def test_items_without_all_bands_are_left_out_with_the_names():
    found = select_scenes([item(keys=without(KEYS, "scl", "swir16"))])
    assert found.scenes == ()
    assert found.dropped == {"S2A_32TPT_20210612_0_L2A": "has no asset for B11, SCL"}


@pytest.mark.parametrize("said", [65535, 0, None, "nan", True, [7]])
@pytest.mark.parametrize("field", ["raster:bands", "bands", ""])
def test_an_item_may_state_what_is_no_data(said, field):
    """As the raster extension, STAC 1.1 for a band, and STAC 1.1 for an asset have it; 0 and words say nothing."""
    entry = item("S2A_32TPT_20210612_0_L2A")
    asset = entry["assets"]["red"]
    if field:
        asset[field] = [{"nodata": said}]
    else:
        asset["nodata"] = said
    (scene,) = select_scenes([entry]).scenes
    assert scene.nodata == ({"B04": 65535.0} if said == 65535 else {})
    assert SceneList.from_json(SceneList((scene,)).to_json()).scenes == (scene,)


# offset -----------------------------------------------------------------------------------------------------------


def with_raster_offset(entry: dict, offset: float, scale: float | None = 0.0001, field: str = "raster:bands") -> dict:
    for key, asset in entry["assets"].items():
        if key != "scl":
            band = {"offset": offset} if field == "raster:bands" else {"raster:offset": offset}
            scaled = {} if scale is None else {"scale" if field == "raster:bands" else "raster:scale": scale}
            asset[field] = [{**band, **scaled}]
    return entry


@pytest.mark.parametrize("name", ["earthsearch__boa_offset_applied", "sentinel__boa_offset_applied"])
@pytest.mark.parametrize(
    ("flag", "baseline", "raster", "expected"),
    [
        (True, "05.09", -0.1, (0, "offset applied already, by flag")),  # the classic mistake: subtracting again
        (True, "02.14", None, (0, "offset applied already, by flag")),
        (False, "04.00", None, (1000, "flag says not applied, baseline 04.00")),
        (False, "04.00", 0.0, (1000, "flag says not applied, baseline 04.00")),
        (False, "10.00", None, (1000, "flag says not applied, baseline 10.00")),
        (False, "03.01", -0.1, (1000, "flag says not applied, raster offset -0.1")),
        (False, None, -0.1, (1000, "flag says not applied, raster offset -0.1")),
        (False, "03.01", None, (0, "no offset before baseline 04.00 (03.01)")),
        (False, None, None, (0, "no offset before baseline 04.00 (unknown)")),
    ],
)
def test_offset_with_a_flag(name, flag, baseline, raster, expected):
    entry = item(**{name: flag}, **({"s2__processing_baseline": baseline} if baseline else {}))
    assert offset_decision(entry if raster is None else with_raster_offset(entry, raster)) == expected


@pytest.mark.parametrize(
    ("baseline", "raster", "expected"),
    [
        ("05.11", -0.1, (1000, "raster offset -0.1")),
        ("02.14", -0.1, (1000, "raster offset -0.1")),  # the raster offset comes before the baseline
        ("05.11", 0.0, (0, "raster offset 0")),
        ("03.01", None, (0, "no offset before baseline 04.00 (03.01)")),
        ("03.99", None, (0, "no offset before baseline 04.00 (03.99)")),
        ("04.00", None, (1000, "baseline 04.00")),
        ("99.99", None, (1000, "baseline 99.99")),
        (None, None, (0, "no offset before baseline 04.00 (unknown)")),
    ],
)
def test_offset_without_a_flag(baseline, raster, expected):
    entry = item(**({"s2__processing_baseline": baseline} if baseline else {}))
    assert offset_decision(entry if raster is None else with_raster_offset(entry, raster)) == expected


@pytest.mark.parametrize("field", ["raster:bands", "bands"])
@pytest.mark.parametrize("scale", [0.0001, None, 1.0])
def test_raster_offset_in_both_forms_of_stac(field, scale):
    """Offset over scale is -1000 digital numbers; a catalogue in digital numbers says -1000 and 1."""
    entry = with_raster_offset(item(), -1000 if scale == 1 else -0.1, scale, field)
    assert offset_decision(entry) == (1000, "raster offset -0.1")


def test_offset_of_other_assets_does_not_count():
    entry = item(s2__processing_baseline="05.00")
    entry["assets"]["aot"] = {"href": "aot.tif", "raster:bands": [{"offset": 0, "scale": 0.001}]}
    entry["assets"]["scl"]["raster:bands"] = [{"offset": 0}]
    assert offset_decision(entry) == (1000, "baseline 05.00")


@pytest.mark.parametrize(
    ("properties", "name", "baseline"),
    [
        ({"s2:processing_baseline": "05.10"}, "x", "05.10"),
        ({"processing:version": "05.10"}, "x", "05.10"),
        ({"sentinel:processing_baseline": "N0510"}, "x", "05.10"),
        ({"s2:product_uri": "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE"}, "x", "02.14"),
        ({}, "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500", "02.14"),
        ({"s2:processing_baseline": "unknown"}, "x_N0500", "05.00"),
        ({}, "S2B_24MUV_20250731_0_L2A", ""),
    ],
)
def test_baseline(properties, name, baseline):
    assert baseline_of({"id": name, "properties": properties}) == baseline


@pytest.mark.parametrize(
    ("properties", "name", "mgrs"),
    [
        ({"grid:code": "MGRS-32TPT"}, "x", "32TPT"),
        ({"s2:mgrs_tile": "32TPT"}, "x", "32TPT"),
        ({}, "S2B_20EPT_20250731_0_L2A", "20EPT"),
        ({}, "S2B_1WCV_20250731_0_L2A", "01WCV"),
        ({}, "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500", "22HBD"),
        ({}, "something else", ""),
    ],
)
def test_mgrs(properties, name, mgrs):
    assert mgrs_of({"id": name, "properties": properties}) == mgrs


@pytest.mark.parametrize("scale", [0.0001, None])
def test_raster_offset_of_an_asset_itself(scale):
    """As STAC 1.1 has it, and Copernicus Data Space: the asset speaks for its only band."""
    entry = item(processing__version="05.11", eopf__datatake_id="GS2A_20210612T101031_031193_N05.11")
    for key, asset in entry["assets"].items():
        if key != "scl":
            asset |= {"raster:offset": -0.1, "bands": [{"name": KEYS[key]}]} | ({"raster:scale": scale} if scale else {})
    assert offset_decision(entry) == (1000, "raster offset -0.1")
    assert overpass_of(entry) == "sentinel-2a|GS2A_20210612T101031_031193|2021-06-12"


@pytest.mark.parametrize(
    ("changes", "name", "collection", "expected"),
    [
        ({"s2__product_type": "S2MSI1C"}, "x", "sentinel-2-l2a", True),
        ({"s2__product_type": "S2MSI2A"}, "x", "sentinel-2-l1c", False),  # what it is before where it lies
        ({"product__type": "S2MSI1C"}, "x", "sentinel-2", True),
        ({"processing__level": "L1C"}, "x", "sentinel-2", True),
        ({"processing__level": "L2A"}, "x", "sentinel-2", False),
        ({}, "x", "sentinel-2-l1c", True),
        ({}, "S2A_MSIL1C_20210612T101031_N0300_R022_T32TPT_20210612T121031", None, True),
        ({"s2__product_uri": "S2A_MSIL1C_20210612T101031_N0300_R022_T32TPT_20210612T121031.SAFE"}, "x", None, True),
        ({}, "x", None, False),
    ],
)
def test_level_1c(changes, name, collection, expected):
    entry = item(name, **changes) | {"collection": collection}
    assert is_top_of_atmosphere(entry) == expected
    assert select_scenes([entry]).dropped == (
        {name: "is Level-1C, top of the atmosphere; Level-2A is needed"} if expected else {}
    )  # fmt: skip


# overpasses and duplicates ----------------------------------------------------------------------------------------


def granule(tile: str, baseline: str, generation: str = "", *, datatake: str = "GS2A_20210612T101031_031193", **more) -> dict:
    extra = {"s2__generation_time": generation} if generation else {}
    name = more.pop("name", f"S2A_{tile}_{datatake[-6:]}_{baseline}_{generation}")
    return item(name, mgrs=tile, s2__datatake_id=f"{datatake}_N{baseline}", s2__processing_baseline=baseline, **extra, **more)


def test_granules_of_one_overpass_share_it_whatever_their_baseline():
    found = select_scenes([granule("32TPT", "05.00"), granule("32TPS", "02.09", when="2021-06-12T10:10:45Z")])
    assert len(found.scenes) == 2
    assert list(found.overpasses) == ["sentinel-2a|GS2A_20210612T101031_031193|2021-06-12"]


def test_what_separates_overpasses():
    """Platform, datatake and solar day each do."""
    base = granule("32TPT", "05.00", name="a")
    others = [
        granule("32TPS", "05.00", name="b", platform="sentinel-2b"),
        granule("32TPS", "05.00", name="c", datatake="GS2A_20210612T101031_031194"),
        granule("32TPS", "05.00", name="d", when="2021-06-13T10:10:30Z"),
    ]
    assert len({overpass_of(entry) for entry in [base, *others]}) == 4


def test_the_solar_day_is_that_of_the_place():
    """23:19 UTC at 170 degrees east is late morning of the next day."""
    east = item(when="2020-09-14T23:19:31Z", longitude=170.0)
    assert overpass_of(east).endswith("|2020-09-15")
    assert overpass_of(item(when="2020-09-14T23:19:31Z", longitude=-175.0)).endswith("|2020-09-14")


def test_without_a_datatake_the_time_stands_for_it():
    entries = [item("a"), item("b", when="2021-06-12T10:10:50Z", mgrs="32TPS"), item("c", when="2021-06-12T12:10:30Z")]
    assert [overpass_of(e) for e in entries] == [
        "sentinel-2a|20210612T1010|2021-06-12", "sentinel-2a|20210612T1010|2021-06-12", "sentinel-2a|20210612T1210|2021-06-12",
    ]  # fmt: skip


def test_granules_on_both_sides_of_a_minute_are_one_overpass():
    a = item("S2A_32TPT_20210612_0_L2A", when="2021-06-12T10:10:55Z")
    b = item("S2A_32TPS_20210612_0_L2A", when="2021-06-12T10:11:09Z", mgrs="32TPS")
    assert len(select_scenes([a, b]).overpasses) == 1


def test_a_time_without_a_zone_is_utc():
    found = select_scenes([item("a", when="2021-06-12T10:10:30"), item("b", when="2021-06-12T12:00:00+02:00", mgrs="32TPS")])
    assert [s.datetime for s in found.scenes] == ["2021-06-12T10:00:00+00:00", "2021-06-12T10:10:30+00:00"]


def test_of_two_processings_the_newest_baseline_is_kept():
    old, new = granule("32TPT", "02.09", "2022-01-01T00:00:00Z"), granule("32TPT", "05.00", "2021-06-12T12:00:00Z")
    found = select_scenes([new, old])
    assert [s.id for s in found.scenes] == [new["id"]]
    assert found.dropped == {old["id"]: f"duplicate of {new['id']}"}


def test_of_one_baseline_the_newest_generation_is_kept_then_the_newest_update():
    old, new = (granule("32TPT", "05.00", f"2021-06-{day}T12:00:00Z") for day in (12, 13))
    assert [s.id for s in select_scenes([new, old]).scenes] == [new["id"]]
    old, new = (granule("32TPT", "05.00", name=f"{day}", updated=f"2021-06-{day}") for day in (12, 13))
    assert [s.id for s in select_scenes([new, old]).scenes] == [new["id"]]


def test_other_tiles_and_datatakes_are_no_duplicates():
    entries = [
        granule("32TPT", "05.00"),
        granule("32TPS", "05.00"),
        granule("32TPT", "05.00", datatake="GS2A_20210612T101031_031194"),
    ]
    found = select_scenes(entries)
    assert len(found.scenes) == 3 and not found.dropped


def test_the_same_item_twice_is_one():
    entry = granule("32TPT", "05.00")
    found = select_scenes([entry, copy.deepcopy(entry)])
    assert len(found.scenes) == 1 and not found.dropped


def test_of_one_id_published_twice_the_newest_is_kept_in_any_order():
    old, new = granule("32TPT", "02.09", name="same"), granule("32TPT", "05.00", name="same")
    for order in ([old, new], [new, old]):
        assert [s.baseline for s in select_scenes(order).scenes] == ["05.00"]


@st.composite
def archives(draw):
    """Granules of few datatakes and tiles, processed several times, each with an id of its own."""
    kinds = st.tuples(
        st.sampled_from(["GS2A_20210612T101031_031193", "GS2A_20210622T101031_031336"]),
        st.sampled_from(["32TPT", "32TPS"]),
        st.sampled_from(["02.09", "03.01", "05.00", "05.10"]),
        st.sampled_from(["2021-06-13T00:00:00Z", "2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z"]),
    )
    found = draw(st.lists(kinds, min_size=1, max_size=12))
    return [
        granule(mgrs, baseline, generation, datatake=datatake, name=f"{k:02d}")
        for k, (datatake, mgrs, baseline, generation) in enumerate(found)
    ]


@given(archives(), st.randoms(use_true_random=False))
def test_selection_keeps_the_newest_of_each_look_in_any_order(items, randomness):
    found = select_scenes(items)
    shuffled = items.copy()
    randomness.shuffle(shuffled)
    again = select_scenes(shuffled)
    assert again.scenes == found.scenes
    assert again.dropped == found.dropped
    newest: dict[tuple[str, str], tuple[str, str]] = {}
    for entry in items:
        props = entry["properties"]
        key = (props["s2:datatake_id"].rpartition("_N")[0], props["grid:code"].removeprefix("MGRS-"))
        age = (props["s2:processing_baseline"], props["s2:generation_time"])
        newest[key] = max(newest.get(key, age), age)
    kept = {entry["id"]: entry["properties"] for entry in items}
    assert {(s.overpass.split("|")[1], s.mgrs): (s.baseline, kept[s.id]["s2:generation_time"]) for s in found.scenes} == newest
    assert {s.id for s in found.scenes} | set(found.dropped) == set(kept)
    assert len(found.scenes) + len(found.dropped) == len(items)
    assert list(found.scenes) == sorted(found.scenes, key=lambda s: (s.datetime, s.id))
    assert sum(len(group) for group in found.overpasses.values()) == len(found.scenes)


def test_a_scene_list_survives_being_written():
    entries = [
        granule("32TPT", "05.00", eo__cloud_cover=12.5),
        granule("32TPS", "02.09"),
        item(keys={}, name="useless"),
    ]
    found = select_scenes(entries)
    again = SceneList.from_json(found.to_json())
    assert again == found
    assert again.dropped == {"useless": f"has no asset for {', '.join(BANDS)}"}
    assert {s.cloud for s in again.scenes} == {12.5, None}
    assert str(again.scenes[0].day) == "2021-06-12"


def test_a_setting_overrules_every_item():
    entries = [granule("32TPT", "05.00"), granule("32TPS", "02.09")]
    assert {s.baseline: s.subtract for s in select_scenes(entries).scenes} == {"05.00": 1000, "02.09": 0}
    assert {s.subtract for s in select_scenes(entries, boa_offset="none").scenes} == {0}
    assert {s.subtract for s in select_scenes(entries, boa_offset="subtract").scenes} == {1000}


# files ------------------------------------------------------------------------------------------------------------


def write(path: Path, items: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def ids(found) -> list[str]:
    return sorted(entry["id"] for entry in found)


def test_both_days_of_a_period_are_in(tmp_path):
    times = ["2017-07-31T23:59:59Z", "2017-08-01T00:00:00Z", "2018-07-31T23:59:59.999Z", "2018-08-01T00:00:00Z"]
    path = write(tmp_path / "items.json", [item(str(k), when=time) for k, time in enumerate(times)])
    assert ids(ItemFiles(path).search(EVERYWHERE, Period.parse("2017-08-01/2018-07-31"))) == ["1", "2"]


def test_only_items_that_touch_the_area(tmp_path):
    entries = [item("west", longitude=10.0), item("here", longitude=11.3), item("east", longitude=12.0), item("high")]
    entries[3]["bbox"] = [11.3, 46.4, 0, 11.4, 46.5, 3000]  # three dimensions
    path = write(tmp_path / "items.json", entries)
    bounds = (11.35, 46.45, 11.5, 46.6)
    assert ids(ItemFiles(path).search(bounds, Period.parse("2021"))) == ["here", "high"]
    for entry in entries:
        del entry["bbox"]
    write(path, entries)
    assert ids(ItemFiles(path).search(bounds, Period.parse("2021"))) == ["here", "high"]
    assert ItemFiles(path).search((11.35, 47.0, 11.5, 47.1), Period.parse("2021")) == []


def test_only_items_of_the_collection_or_of_none(tmp_path):
    entries = [item("a"), item("b") | {"collection": "sentinel-2-l1c"}, without(item("c"), "collection")]
    path = write(tmp_path / "items.json", entries)
    assert ids(ItemFiles(path, "sentinel-2-l2a").search(EVERYWHERE, Period.parse("2021"))) == ["a", "c"]
    assert ids(ItemFiles(path).search(EVERYWHERE, Period.parse("2021"))) == ["a", "b", "c"]


def test_hrefs_are_made_absolute_from_the_file_that_holds_them(tmp_path):
    entry = item("a")
    entry["assets"]["green"]["href"] = "https://host/green.tif"
    entry["assets"]["red"]["href"] = "/data/red.tif"
    path = write(tmp_path / "deep" / "items.json", [entry])
    (found,) = ItemFiles(path).search(EVERYWHERE, Period.parse("2021"))
    files = band_files(found)
    assert files["B02"] == str(tmp_path / "deep" / "a" / "blue.tif")
    assert files["B03"] == "https://host/green.tif"
    assert files["B04"] == "/data/red.tif"
    assert entry["assets"]["blue"]["href"] == "./a/blue.tif"


def test_hrefs_of_files_are_decoded(shared_data, tmp_path):
    """URIs of files, relative ones with escapes, and a catalogue named by a URI are the same scenes."""
    folder = shutil.copytree(shared_data / "flanders" / "scenes" / "S2_31UDS_20180119T110351_L2A", tmp_path / "my scenes")
    entry = item("a", when="2021-06-12T10:10:30Z", longitude=11.0)
    hrefs = {"plain": "{0}/{1}", "uri": "file://{2}/{1}", "relative": "./my%20scenes/{1}", "blank": "my scenes/{1}"}
    found = {}
    for kind, href in hrefs.items():
        for key, asset in entry["assets"].items():
            asset["href"] = href.format(folder, f"{key}.tif", quote(str(folder)))
        path = write(tmp_path / f"{kind}.json", [entry])
        found[kind] = select_scenes(ItemFiles(path).search(EVERYWHERE, Period.parse("2021")))
    assert all(scenes == found["plain"] for scenes in found.values())
    assert all(Path(file).is_file() for file in found["uri"].scenes[0].bands.values())
    job = job_with(tmp_path / "named by uri", [entry])
    text = (tmp_path / "named by uri" / "production.toml").read_text()
    (tmp_path / "named by uri" / "production.toml").write_text(
        text.replace('"items.json"', f'"file://{quote(str(tmp_path))}/named%20by%20uri/items.json"')
    )
    assert search_scenes(Job.of(Production.read(tmp_path / "named by uri"), "E44N25"), CATALOGUE["S2_now"]) == search_scenes(
        job, CATALOGUE["S2_now"]
    )


def test_debris_of_other_systems_is_no_item(tmp_path):
    write(tmp_path / "a.json", [item("a")])
    for name in ("._a.json", "__MACOSX/a.json", "__MACOSX/._a.json", ".ipynb_checkpoints/a-checkpoint.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert ids(ItemFiles(tmp_path).search(EVERYWHERE, Period.parse("2021"))) == ["a"]


def test_folders_of_items(tmp_path):
    (tmp_path / "catalog.json").write_text('{"type": "Catalog"}')
    (tmp_path / "2021").mkdir()
    (tmp_path / "2021" / "collection.json").write_text('{"type": "Collection"}')
    (tmp_path / "2021" / "a.json").write_text(json.dumps(item("a")))
    write(tmp_path / "2021" / "more.json", [item("b"), item("c")])
    for path in (tmp_path, tmp_path / "catalog.json", tmp_path / "2021" / "collection.json"):  # without links: what lies there
        assert ids(ItemFiles(path).search(EVERYWHERE, Period.parse("2021"))) == ["a", "b", "c"]
    write(tmp_path / "items.json", [item("only")])
    assert ids(ItemFiles(tmp_path).search(EVERYWHERE, Period.parse("2021"))) == ["only"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_items_in_other_encodings(tmp_path, encoding):
    data = json.dumps(item("Fläche"), ensure_ascii=False).encode(encoding)
    (tmp_path / "items.json").write_bytes(data)
    assert ids(ItemFiles(tmp_path).search(EVERYWHERE, Period.parse("2021"))) == ["Fläche"]
    assert parsed("\ufeff" + json.dumps(item("a")), "https://host/items.json")["id"] == "a"  # as a server sends it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[]", "is neither a STAC item nor an ItemCollection"),
        ('{"type": "Something"}', "is neither a STAC item nor an ItemCollection"),
        ('"text"', "is neither a STAC item nor an ItemCollection"),
        (json.dumps({"type": "Feature", "id": "x"}), "holds a feature that is not a STAC item"),
        ('{"type": "FeatureCollection", "features": null}', "its list of features is not a list"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}, 7]}', "that is not a STAC item"),
        ('{"type": "Catalog", "links": [{"rel": "item"}]}', "has a link to its item without href"),
    ],
)
def test_files_that_are_no_stac_are_refused_in_one_line(tmp_path, text, expected):
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        ItemFiles(path).search(EVERYWHERE, Period.parse("2021"))
    message = str(caught.value)
    assert message.startswith(f"scenes.catalogue: {path}: ")
    assert expected in message
    assert "\n" not in message


def test_no_file_and_empty_folder(tmp_path):
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(InputError, match="there is no STAC item file or folder of items"):
            ItemFiles(path).search(EVERYWHERE, Period.parse("2021"))


# the frozen list of a tile ----------------------------------------------------------------------------------------


def job_with(tmp_path: Path, items: list[dict], more: str = "") -> Job:
    write(tmp_path / "items.json", items)
    (tmp_path / "production.toml").write_text(
        'tiles = ["E44N25"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n' + more
    )
    return Job.of(Production.read(tmp_path), "E44N25")


def archive(count: int, year: int = 2021) -> list[dict]:
    """Overpasses over the tile, from the first of January to the end of December."""
    first = dt.date(year, 1, 1)
    days = [first + dt.timedelta(k * 364 // (count - 1)) for k in range(count)]
    return [item(f"s{k:02d}", when=f"{day}T10:10:30Z", longitude=11.0) for k, day in enumerate(days)]


def test_the_list_is_frozen_with_what_was_decided(tmp_path):
    items = archive(9) + [item("no-scl", keys=without(KEYS, "scl"))]
    random.Random(1).shuffle(items)
    job = job_with(tmp_path, items)
    made = make_scene_list(job, CATALOGUE["S2_now"])
    assert made.statistics == {
        "scenes": 9, "overpasses": 9, "dropped": {"no-scl": "has no asset for SCL"}, "first": "2021-01-01",
        "last": "2021-12-31", "offset_subtracted": 0, "lost_items": {"no-scl": "has no asset for SCL"},
    }  # fmt: skip
    assert made.warnings == ("scene no-scl left out: has no asset for SCL",)
    frozen = SceneList.from_json(job.store.read_text(job.place("S2_now").data))
    assert [s.id for s in frozen.scenes] == [f"s{k:02d}" for k in range(9)]
    again = make_scene_list(job_with(tmp_path, sorted(items, key=lambda i: i["id"])), CATALOGUE["S2_now"])
    assert again.digest == made.digest
    fewer = make_scene_list(job_with(tmp_path, archive(8)), CATALOGUE["S2_now"])
    assert fewer.digest != made.digest


def test_the_digest_follows_the_offset(tmp_path):
    digests = {
        make_scene_list(job_with(tmp_path, archive(9), f'boa_offset = "{setting}"\n'), CATALOGUE["S2_now"]).digest
        for setting in ("auto", "none", "subtract")
    }
    assert len(digests) == 2  # these items have no offset: auto and none read the same pixels


def test_no_scenes(tmp_path):
    job = job_with(tmp_path, archive(9))
    with pytest.raises(InputError) as caught:
        make_scene_list(job, CATALOGUE["S2_then"])
    assert "\n" not in str(caught.value)
    for word in ("S2_then", "E44N25", "no scenes in 2018", str(tmp_path / "items.json"), "correct scenes.catalogue"):
        assert word in str(caught.value)
    unusable = job_with(tmp_path, [item(keys={}, longitude=11.0)])
    with pytest.raises(InputError, match=r"no scenes in 2021 .*, 1 items could not be used \(.*: has no asset for B02"):
        make_scene_list(unusable, CATALOGUE["S2_now"])


def test_too_many_items_that_cannot_be_used(tmp_path):
    """Counted as scenes that cannot be read are; what another item shows is not lost."""
    broken = [item(f"x{k}", when=f"2021-07-0{k}T10:10:30Z", longitude=11.0, keys=without(KEYS, "scl")) for k in (5, 6)]
    with pytest.raises(InputError) as caught:
        make_scene_list(job_with(tmp_path, archive(9) + broken), CATALOGUE["S2_now"])
    assert str(caught.value) == (
        "S2_now of tile E44N25: 2 of 11 scenes cannot be used (x5: has no asset for SCL; x6: has no asset for SCL); "
        f"mend them in {tmp_path / 'items.json'} or raise parameters.preprocessing.max_lost_share"
    )
    twin = {**broken[0], "id": "sound", "assets": item(longitude=11.0)["assets"]}
    made = make_scene_list(job_with(tmp_path, [*archive(9), *broken, twin]), CATALOGUE["S2_now"])
    assert made.statistics["lost_items"] == {"x6": "has no asset for SCL"} and made.statistics["scenes"] == 10
    other = item("landsat", when="2021-07-03T10:10:30Z", longitude=11.0, keys={})
    assert select_scenes([*archive(9), other]).lost == ()


def test_too_few_overpasses(tmp_path):
    """Granules do not count, overpasses do."""
    items = archive(6) + [item("twin", when="2021-01-01T10:10:40Z", mgrs="32TPS", longitude=11.0)]
    with pytest.raises(InputError, match=r"S2_now of tile E44N25: 6 overpasses in 2021, 7 are needed; add scenes"):
        make_scene_list(job_with(tmp_path, items), CATALOGUE["S2_now"])
    allowed = job_with(tmp_path, items, "[parameters.preprocessing]\nmin_observations = 6\n")
    assert make_scene_list(allowed, CATALOGUE["S2_now"]).statistics["scenes"] == 7


def spread(*days: str) -> list[dict]:
    return [item(f"s{k:02d}", when=f"{day}T10:10:30Z", longitude=11.0) for k, day in enumerate(days)]


MONTHS = [f"2021-{month:02d}-15" for month in range(1, 13)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (MONTHS[3:], "no scenes for 104 days, from 2021-01-01 to 2021-04-15"),  # the beginning
        (MONTHS[:8], "no scenes for 138 days, from 2021-08-15 to 2021-12-31"),  # the end
        (MONTHS[:4] + MONTHS[8:], "no scenes for 153 days, from 2021-04-15 to 2021-09-15"),
    ],
)
def test_a_hole_in_the_year(tmp_path, days, expected):
    with pytest.raises(InputError) as caught:
        make_scene_list(job_with(tmp_path, spread(*days), "[parameters.preprocessing]\nmax_gap_days = 60\n"), CATALOGUE["S2_now"])
    assert str(caught.value) == (
        f"S2_now of tile E44N25: {expected}, in {tmp_path / 'items.json'}, 60 are allowed; "
        "add scenes or raise parameters.preprocessing.max_gap_days"
    )
    made = make_scene_list(
        job_with(tmp_path, spread(*days), "[parameters.preprocessing]\nmax_gap_days = 153\n"), CATALOGUE["S2_now"]
    )
    assert made.statistics["scenes"] == len(days)


def test_the_longest_hole_that_is_allowed(tmp_path):
    """From the 1st of May, 120 days lead to the 29th of August."""
    days = [*MONTHS[:4], "2021-05-01", "2021-08-29", *MONTHS[8:]]
    make_scene_list(job_with(tmp_path, spread(*days)), CATALOGUE["S2_now"])
    days[5] = "2021-08-30"
    with pytest.raises(InputError, match="no scenes for 121 days, from 2021-05-01 to 2021-08-30"):
        make_scene_list(job_with(tmp_path, spread(*days)), CATALOGUE["S2_now"])


def test_real_series_have_no_such_hole(shared_data):
    for path, periods in {
        "flanders": ("2017-08-01/2018-07-31", "2017-12-01/2018-11-30", "2018"), "austria/site_2004": ("2022",),
        "austria/site_2008": ("2022",),
    }.items():  # fmt: skip
        for text in periods:
            period = Period.parse(text)
            first, last = select_scenes(ItemFiles(shared_data / path).search(EVERYWHERE, period)).longest_gap(period)
            assert (last - first).days <= 34


def test_a_refresh_tells_what_has_changed(tmp_path):
    items = archive(12)
    make_scene_list(job_with(tmp_path, items[:11]), CATALOGUE["S2_now"])
    items[3]["properties"]["s2:processing_baseline"] = "05.00"
    made = make_scene_list(job_with(tmp_path, items[1:]), CATALOGUE["S2_now"])
    assert {key: made.statistics[key] for key in ("added", "gone", "decided otherwise")} == {
        "added": ["s11"], "gone": ["s00"], "decided otherwise": ["s03"],
    }  # fmt: skip
    assert made.warnings == ("1 scenes added: s11", "1 scenes gone: s00", "1 scenes decided otherwise: s03")


def test_configured_bands_must_be_there(tmp_path):
    with pytest.raises(InputError, match=r"scenes\.bands: B2: bands are named B02, "):
        job_with(tmp_path, archive(9), '[scenes.bands]\nB2 = "blue"\n')
    job = job_with(tmp_path, archive(9), '[scenes.bands]\nB02 = "image_blue"\n')
    with pytest.raises(InputError, match=r"scenes\.bands\.B02: no item has an asset image_blue; they have .*blue"):
        make_scene_list(job, CATALOGUE["S2_now"])


def test_servers_are_not_read_by_accident(tmp_path):
    job = job_with(tmp_path, archive(9))
    text = (tmp_path / "production.toml").read_text().replace('"items.json"', '"nowhere://host/v1"')
    (tmp_path / "production.toml").write_text(text)
    job = Job.of(Production.read(tmp_path), "E44N25")
    with pytest.raises(InputError, match=r"scenes.catalogue: nowhere://host/v1"):
        make_scene_list(job, CATALOGUE["S2_now"])


def test_a_catalogue_without_end_is_not_believed(shared_data, monkeypatch):
    monkeypatch.setattr("imperv.tasks.scenes.items.MOST_ITEMS", 10)
    catalogue = ItemFiles(shared_data / "flanders" / "items.json", "sentinel-2-l2a")
    with pytest.raises(InputError, match="items.json: gives more than 10 items for a tile and year"):
        catalogue.search(EVERYWHERE, Period.parse("2018"))
