"""STAC items of other form than they should be: left out and named, never a traceback, and never the whole file.

Real items of Earth Search and of Flanders are changed in one place at a time.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.items import items_in, time_of, trouble_with, with_absolute_hrefs
from imperv.tasks.scenes.scenes import SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from tests.flows.tile.test_scenes import EVERYWHERE, item, write

YEAR = Period.parse("2021")


def found_in(path, bounds=EVERYWHERE, period: Period = YEAR, collection: str = "") -> SceneList:
    return select_scenes(ItemFiles(path, collection).search(bounds, period))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no geometry": ({"geometry": None}, "has no valid datetime or geometry"),
    "half a geometry": ({"geometry": {"type": "Polygon"}}, "has no valid datetime or geometry"),
    "empty geometry": ({"geometry": {"type": "Polygon", "coordinates": []}}, "has no valid datetime or geometry"),
    "other geometry": ({"geometry": {"type": "Blob", "coordinates": []}}, "has no valid datetime or geometry"),
    "geometry in metres": (
        {"geometry": {"type": "Polygon", "coordinates": [[[5e5, 5e6], [6e5, 5e6], [6e5, 6e6], [5e5, 5e6]]]}},
        "has no valid datetime or geometry",
    ),
    "geometry that is not finite": (
        {"geometry": {"type": "Point", "coordinates": [float("nan"), 46.0]}},
        "has no valid datetime or geometry",
    ),
    "geometry of text": ({"geometry": {"type": "Polygon", "coordinates": [["a", "b"]]}}, "has no valid datetime or geometry"),
    "no properties": ({"properties": None}, "holds a feature that is not a STAC item"),
    "empty properties": ({"properties": {}}, "has no valid datetime or geometry"),
    "datetime of words": ({"properties": {"datetime": "yesterday"}}, "has no valid datetime or geometry"),
    "datetime of a number": ({"properties": {"datetime": 20210612}}, "has no valid datetime or geometry"),
    "datetime before time": ({"properties": {"datetime": "0001-01-01T00:00:00+01:00"}}, "has no valid datetime or geometry"),
    "no assets": ({"assets": None}, "holds a feature that is not a STAC item"),
    "assets in a list": ({"assets": []}, "holds a feature that is not a STAC item"),
    "half a box": ({"bbox": [1, 2]}, "holds a feature that is not a STAC item"),
    "box of text": ({"bbox": ["a", "b", "c", "d"]}, "holds a feature that is not a STAC item"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_item_is_left_out_and_named(tmp_path, kind):
    changes, reason = BROKEN[kind]
    path = write(tmp_path / "items.json", [item("good"), {**item("bad", when="2021-07-01T10:10:30Z"), **changes}])
    found = found_in(path)
    assert [s.id for s in found.scenes] == ["good"]
    assert found.dropped == {"bad": f"{reason} ({path})"}
    assert found.lost == ("bad",)


@pytest.mark.parametrize("said", [None, "", "  ", [], {}, 0.5])
def test_a_feature_without_a_name_is_named_by_its_place(tmp_path, said):
    path = write(tmp_path / "items.json", [item("good"), {**item(), "id": said}, 7])
    assert set(found_in(path).dropped) == {f"feature 2 of {path}", f"feature 3 of {path}"}


def test_a_broken_item_that_no_search_wants_is_not_named(tmp_path):
    """As far as it tells: another period, another collection, another place by its box."""
    entries = [
        item("good"),
        {**item("other year", when="2020-06-12T10:10:30Z"), "geometry": None},
        {**item("other collection"), "geometry": None, "collection": "sentinel-2-l1c"},
        {**item("elsewhere", longitude=40.0), "geometry": None},
        {**item("elsewhere and whenever", longitude=40.0), "properties": {}},
        {**item("here"), "geometry": None},
    ]
    path = write(tmp_path / "items.json", entries)
    assert set(found_in(path, (11.0, 46.0, 12.0, 47.0), YEAR, "sentinel-2-l2a").dropped) == {"here"}


def test_ids_are_printable_and_text(tmp_path):
    names = [7, "a\nb", "\x1b[31mred", "\ud800", "ü/&?#%20", "ordinary"]
    entries = [{**item(when=f"2021-06-{k + 1:02d}T10:10:30Z"), "id": name} for k, name in enumerate(names)]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": entries}))
    ids = [s.id for s in found_in(tmp_path / "items.json").scenes]
    assert ids == ["7", "a b", "?[31mred", "?", "ü/&?#%20", "ordinary"]


def test_one_id_of_several_looks(tmp_path):
    path = write(tmp_path / "items.json", [item("scene", when=f"2021-0{k}-12T10:10:30Z") for k in (3, 1, 2)])
    assert [(s.id, s.day.month) for s in found_in(path).scenes] == [("scene", 1), ("scene~2", 2), ("scene~3", 3)]


def test_assets_that_are_none(tmp_path):
    entry = item("a")
    entry["assets"] |= {"thumbnail": None, "visual": "visual.tif", "aot": {}, "info": {"href": None}}
    del entry["assets"]["scl"]["href"]
    found = found_in(write(tmp_path / "items.json", [entry]))
    assert found.dropped == {"a": "has no asset for SCL"} and found.lost == ("a",)


@pytest.mark.parametrize(
    ("said", "cloud"), [("12.5", 12.5), (" 7 ", 7.0), (3, 3.0), (None, None), ("1e1", 10.0)]
)  # fmt: skip
def test_cloud_cover_as_text_is_a_number(said, cloud):
    (scene,) = select_scenes([item(eo__cloud_cover=said)]).scenes
    assert scene.cloud == cloud


@pytest.mark.parametrize("said", ["much", "", "12,5", [12.5], {"value": 1}, True, "nan", float("inf")])
def test_cloud_cover_that_is_no_number(said):
    found = select_scenes([item("a", eo__cloud_cover=said)])
    assert found.dropped == {"a": f"its eo:cloud_cover is {said!r}, not a number"} and found.lost == ("a",)


@pytest.mark.parametrize(
    ("said", "subtract"), [("true", 0), ("True", 0), (1, 0), ("false", 1000), ("FALSE", 1000), (0, 1000), (None, 1000)]
)  # fmt: skip
def test_a_flag_as_text(said, subtract):
    """Text that is not understood would make the reader subtract twice."""
    entry = item("a", s2__processing_baseline=5.0, earthsearch__boa_offset_applied=said)
    assert [s.subtract for s in select_scenes([entry]).scenes] == [subtract]


def test_a_flag_that_is_none():
    found = select_scenes([item("a", earthsearch__boa_offset_applied="perhaps")])
    assert found.dropped == {"a": "its earthsearch:boa_offset_applied is 'perhaps', neither true nor false"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([{"offset": "-0.1", "scale": "0.0001"}], None),
        ([{"offset": "-0.1", "scale": 0}], None),
        ([{"offset": "low", "scale": 0.0001}], "its offset of red is 'low', not a number"),
        ([{"offset": -0.1, "scale": [1]}], "its scale of red is [1], not a number"),
        ({"offset": -0.1}, "its raster:bands of red is no list"),
        ("none", "its raster:bands of red is no list"),
    ],
)
def test_offsets_of_a_wrong_type(said, reason):
    entry = item("a", s2__processing_baseline="04.00")
    entry["assets"]["red"]["raster:bands"] = said
    found = select_scenes([entry])
    assert found.dropped == ({"a": reason} if reason else {})
    assert [s.subtract for s in found.scenes] == ([] if reason else [1000])


def test_bands_that_say_different_offsets():
    entry = item("a")
    entry["assets"]["red"]["raster:bands"] = [{"offset": -0.1}]
    entry["assets"]["blue"]["raster:bands"] = [{"offset": 0}]
    assert select_scenes([entry]).dropped == {"a": "its bands have different offsets"}


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ({"gsd": "10"}, None), ({"gsd": "ten"}, "its gsd of red is 'ten', not a number"), ({"eo:bands": "B04"}, None),
        ({"eo:bands": [None, 7]}, None), ({"bands": {"name": "B08"}}, None), ({"proj:transform": {}}, None),
        ({"proj:transform": [None]}, "its proj:transform of red is None, not a number"),
        ({"raster:bands": [{"spatial_resolution": "x"}]}, "its spatial_resolution of red is 'x', not a number"),
    ],
)  # fmt: skip
def test_metadata_of_bands_of_a_wrong_type(asset, reason):
    entry = item("a")
    entry["assets"]["red"] |= asset
    found = select_scenes([entry])
    assert found.dropped == ({"a": reason} if reason else {}) and len(found.scenes) == (reason is None)


def test_links_of_a_wrong_type(tmp_path):
    for links in (None, {}, "links", [None, 7, {"rel": "self"}]):
        path = write(tmp_path / "items.json", [{**item("a"), "links": links}])
        assert len(found_in(path).scenes) == 1
        (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
        assert [i["id"] for i in ItemFiles(tmp_path / "catalog.json").search(EVERYWHERE, YEAR)] == ["a"]  # of its folder


# any change --------------------------------------------------------------------------------------------------------------

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["2021-06-12", "file:///a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places_in(value: Any, place: tuple = ()) -> list[tuple]:
    """Every place in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, part in inner for deeper in places_in(part, (*place, key)))]


@pytest.fixture(scope="module")
def real(shared_data) -> list[dict]:
    published = json.loads((shared_data / "stac" / "earthsearch_items.json").read_text())["features"]
    flanders = json.loads((shared_data / "flanders" / "items.json").read_text())["features"]
    return [*published, *flanders[:2]]


@pytest.mark.slow
@settings(max_examples=100)
@given(data=st.data())
def test_no_change_of_a_real_item_is_a_traceback(real, data):
    entry = copy.deepcopy(data.draw(st.sampled_from(real)))
    first = data.draw(st.sampled_from(["id", "properties", "geometry", "bbox", "assets", "links", "collection"]))
    place = data.draw(st.sampled_from([(first, *deeper) for deeper in places_in(entry.get(first))]))
    holder = entry
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(ANY)
    (feature,) = items_in({"type": "FeatureCollection", "features": [entry]}, "here")
    if not trouble_with(feature):
        time_of(feature)
        usable = with_absolute_hrefs(feature, "/nowhere/items.json")
        found = select_scenes([usable, with_absolute_hrefs(real[0], "/nowhere/items.json")])
        assert usable["id"] in {s.id for s in found.scenes} | set(found.dropped)
        assert SceneList.from_json(found.to_json()) == found


def test_bands_that_nobody_needs_may_lack():
    """All thirteen are known; a family says which it needs."""
    entry = item("a")
    entry["assets"] |= {"coastal": {"href": "c.tif"}, "nir09": {"href": "n.tif"}}
    assert "B01" not in select_scenes([entry]).scenes[0].bands
    needed = ("B01", "B04", "B09", "SCL")
    (scene,) = select_scenes([entry], needed=needed).scenes
    assert scene.bands["B01"].endswith("c.tif") and set(scene.bands) == set(needed)
    del entry["assets"]["red"]
    assert select_scenes([entry], needed=("B01", "SCL")).lost == ()
    assert select_scenes([entry], needed=needed).dropped == {"a": "has no asset for B04"}
