"""Scenes from items in the forms of USGS, Planetary Computer and Earth Search.

Policy: what is none of Landsat Collection 2 Level 2 is left out with the reason; what is, but cannot be used, counts as lost too.
"""

from __future__ import annotations

import itertools
import random

import pytest

from imperv.layers.landsat import BANDS, NUMBERS
from imperv.tasks.landsat.scenes import BandFile, LandsatList, select_landsat
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.settings.periods import Period

ALL = (*BANDS, "qa_pixel", "qa_radsat")


def product(satellite=8, day="20210612", processed="20210622", tier="T1", row="028", level="L2SP", kind="C") -> str:
    return f"L{kind}{satellite:02d}_{level}_192{row}_{day}_{processed}_02_{tier}"


def item(name: str, assets: dict, **said) -> dict:
    day = name.split("_")[3]
    properties = {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:04:17Z", **said}
    geometry = {"type": "Polygon", "coordinates": [[[11, 46], [12, 46], [12, 47], [11, 47], [11, 46]]]}
    return {
        "type": "Feature",
        "id": name,
        "properties": properties,
        "geometry": geometry,
        "bbox": [11, 46, 12, 47],
        "assets": assets,
    }


def suffixes(sensor: str) -> dict[str, str]:
    return {b: f"SR_B{NUMBERS[sensor][b]}" for b in BANDS} | {"qa_pixel": "QA_PIXEL", "qa_radsat": "QA_RADSAT"}


def computer(sensor: str, name: str, **said) -> dict:
    """As of Planetary Computer and Earth Search: common names as keys, ids without the day of processing, `raster:bands`."""
    assets = {}
    for band, suffix in suffixes(sensor).items():
        assets[band] = {"href": f"https://store/{name}_{suffix}.TIF?sig=1"}
        if band in BANDS:
            assets[band]["raster:bands"] = [{"scale": 2.75e-5, "offset": -0.2, "nodata": 0, "data_type": "uint16"}]
    parts = name.split("_")
    said = {"landsat:wrs_path": "192", "landsat:wrs_row": parts[2][3:], "landsat:collection_category": parts[-1], **said}
    return item("_".join([*parts[:4], *parts[5:]]), assets, **{"platform": f"landsat-{int(name[2:4])}"} | said)


def survey(sensor: str, name: str) -> dict:
    """As of USGS: `alternate` addresses on S3, no scale, ids with the day of processing and the kind of product."""
    assets = {
        band: {
            "href": f"https://landsatlook/{name}_{suffix}.TIF",
            "alternate": {"s3": {"href": f"s3://usgs-landsat/{name}_{suffix}.TIF"}},
        }
        for band, suffix in suffixes(sensor).items()
    }
    return item(f"{name}_SR", assets, platform=f"LANDSAT_{int(name[2:4])}", **{"landsat:correction": "L2SP"})


def older(sensor: str, name: str) -> dict:
    """Keys that are ends of file names, nothing else said."""
    return item(name, {f"{suffix}.TIF": {"href": f"/data/{name}_{suffix}.TIF"} for suffix in suffixes(sensor).values()})


def by_files(sensor: str, name: str) -> dict:
    """Keys that tell nothing."""
    return item(name, {f"asset{k}": {"href": f"/data/{name}_{s}.TIF"} for k, s in enumerate(suffixes(sensor).values())})


@pytest.mark.parametrize("form", [computer, survey, older, by_files])
@pytest.mark.parametrize(("satellite", "kind"), [(4, "T"), (5, "T"), (7, "E"), (8, "C"), (9, "C")])
def test_every_form_gives_the_same_files(form, satellite, kind):
    sensor = {4: "tm", 5: "tm", 7: "etm+"}.get(satellite, "oli")
    name = product(satellite, kind=kind)
    (scene,) = select_landsat([form(sensor, name)]).scenes
    assert (scene.satellite, scene.sensor, scene.path, scene.row) == (satellite, sensor, "192", "028")
    assert (scene.tier, scene.processed, str(scene.day)) == ("T1", "20210622", "2021-06-12")
    found = {band: file.href.split("?")[0].rsplit("/", 1)[1] for band, file in scene.bands.items()}
    assert found == {band: f"{name}_{suffix}.TIF" for band, suffix in suffixes(sensor).items()}
    assert {(f.scale, f.offset, f.nodata) for f in scene.bands.values()} == {(2.75e-5, -0.2, 0)}


def test_addresses_on_s3_are_taken_where_they_are_wanted():
    scenes = select_landsat([survey("oli", product())], s3=True).scenes
    assert scenes[0].bands["red"].href == f"s3://usgs-landsat/{product()}_SR_B4.TIF"


def test_scale_and_offset_are_those_that_the_item_tells():
    one = computer("oli", product())
    one["assets"]["red"]["raster:bands"] = [{"scale": 1e-4, "offset": 0, "nodata": 65535}]
    one["assets"]["blue"] = {"href": "/blue.tif", "bands": [{"name": "blue"}], "raster:scale": 2e-4, "raster:offset": -0.1}
    scene = select_landsat([one]).scenes[0]
    assert scene.bands["red"] == BandFile(one["assets"]["red"]["href"], 1e-4, 0, 65535)
    assert scene.bands["blue"] == BandFile("/blue.tif", 2e-4, -0.1, 0)


def test_of_a_look_tier_one_and_the_newest_processing_are_kept():
    items = [
        computer("oli", product(tier=tier, processed=processed)) | {"id": f"{tier}-{processed}"}
        for tier, processed in (("T2", "20230101"), ("T1", "20200101"), ("T1", "20210101"), ("RT", "20240101"))
    ]
    items += [
        computer("oli", product(row="029")),
        computer("oli", product(day="20210628")),
        computer("oli", product(satellite=9)),
    ]
    for order in itertools.islice(itertools.permutations(items), 0, 5040, 331):
        found = select_landsat(order)
        assert "T1-20210101" in [s.id for s in found.scenes] and len(found.scenes) == 4
        assert found.dropped == dict.fromkeys(("RT-20240101", "T1-20200101", "T2-20230101"), "duplicate of T1-20210101")
    assert sorted(len(group) for group in found.groups) == [1, 1, 2]


def test_other_products_are_left_out_with_the_reason():
    level1 = computer("oli", product(level="L1TP"))
    mss = computer("tm", product(5, kind="M"), instruments=["mss"])
    heat = survey("oli", product()) | {"id": f"{product()}_ST"}
    first = computer("oli", product(day="20200612"), **{"landsat:collection_number": "01"})
    bare = computer("oli", product(day="20200714"))
    del bare["assets"]["swir16"], bare["assets"]["qa_pixel"]
    unknown = item("a_b_c_20200901", {band: {"href": f"/{band}.tif"} for band in ALL})
    wrong = computer("oli", product(day="20200816"))
    wrong["assets"]["red"]["raster:bands"][0]["scale"] = "much"
    gone = {"id": "torn", "unusable": "is torn", "asked_for": True}
    found = select_landsat([level1, mss, heat, first, bare, unknown, wrong, gone])
    assert not found.scenes
    assert found.dropped == {
        level1["id"]: "is Level 1 (L1TP); Level 2 is needed",
        mss["id"]: "is of the Multispectral Scanner, which has no short-wave infrared",
        heat["id"]: "is surface temperature",
        first["id"]: "is of Collection 1; Collection 2 is needed",
        bare["id"]: "has no asset for swir16, qa_pixel",
        unknown["id"]: "does not say which Landsat it is of",
        wrong["id"]: "its scale of red is 'much', not a number",
        "torn": "is torn",
    }
    assert set(found.lost) == {bare["id"], unknown["id"], wrong["id"], "torn"}


def test_a_list_is_read_as_it_was_written():
    items = [computer("oli", product(day=f"2021{m:02d}05"), **{"eo:cloud_cover": 12.5}) for m in range(1, 13)]
    random.Random(1).shuffle(items)
    found = select_landsat([*items, computer("oli", product(level="L1TP"))])
    assert LandsatList.from_json(found.to_json()) == found
    assert [s.day.month for s in found.scenes] == list(range(1, 13))


@pytest.mark.slow
def test_a_catalogue_of_two_years(fine_kit):
    catalogue = ItemFiles(fine_kit / "landsat", "landsat-c2-l2")
    for year, sensor in ((2021, "oli"), (2005, "etm+")):
        found = select_landsat(catalogue.search((-180, -90, 180, 90), Period.parse(year)))
        assert len(found.scenes) == len(found.overpasses) == 23 and not found.dropped
        assert {s.sensor for s in found.scenes} == {sensor} and {s.day.year for s in found.scenes} == {year}
