"""Same look or not: names of overpasses across catalogues, and processings told from complementary parts.

Datastrips and their times are those of real products; their footprints are small squares.
"""

from __future__ import annotations

import itertools

import pytest

from imperv.tasks.scenes.overpasses import age_of, is_part, with_overpass
from imperv.tasks.scenes.scenes import select_scenes
from tests.flows.tile.test_scenes import granule, item

ESA = "S2A_MSIL2A_20210612T101031_N0500_R022_T32TPT_{made}"
STRIP = "S2A_OPER_MSI_L2A_DS_{centre}_{made}_S{start}_N{baseline}"


def strip(start: str = "20210612T101000", baseline: str = "05.00", made: str = "20230301T010000", centre: str = "S2RP") -> str:
    return STRIP.format(centre=centre, made=made, start=start, baseline=baseline)


def half(entry: dict, south: bool) -> dict:
    """The northern or southern half of a footprint."""
    (ring,) = entry["geometry"]["coordinates"]
    west, low, east, high = ring[0][0], ring[0][1], ring[1][0], ring[2][1]
    middle = (low + high) / 2
    low, high = (low, middle) if south else (middle, high)
    corner = [[west, low], [east, low], [east, high], [west, high], [west, low]]
    return {**entry, "geometry": {"type": "Polygon", "coordinates": [corner]}, "bbox": [west, low, east, high]}


def kept(*entries: dict) -> list[str]:
    """Ids of what is read, in every order of the items the same."""
    lists = [[s.id for s in select_scenes(order).scenes] for order in itertools.permutations(entries)]
    assert all(found == lists[0] for found in lists)
    return lists[0]


# parts ------------------------------------------------------------------------------------------------------------------


def test_two_parts_are_read_as_granules_of_one_overpass():
    north, south = (
        half(granule("32TPT", "05.00", name=ESA.format(made=made)), south)
        for made, south in (("20230301T010000", False), ("20230301T020000", True))
    )
    found = select_scenes([south, north])
    assert [s.id for s in found.scenes] == [north["id"], south["id"]]
    assert found.dropped == {} and len(found.overpasses) == 1


@pytest.mark.parametrize("baseline", ["05.00", "05.10"])
def test_other_datastrips_are_parts_whatever_footprints_say(baseline):
    """Some catalogues give the whole tile as footprint of each part."""
    a = granule("32TPT", "05.00", name="a", s2__datastrip_id=strip("20210612T101000"))
    b = granule("32TPT", baseline, name="b", s2__datastrip_id=strip("20210612T101512", baseline))
    assert kept(a, b) == ["a", "b"]


def test_the_same_datastrip_in_a_newer_baseline_is_a_duplicate():
    """Also where its footprint or its time has been written anew."""
    old = granule("32TPT", "02.14", name="old", s2__datastrip_id=strip(baseline="02.14", made="20210612T150000", centre="EPAE"))
    new = granule("32TPT", "05.00", name="new", s2__datastrip_id=strip(), when="2021-06-12T10:14:50Z", longitude=11.31)
    assert kept(old, new) == ["new"]


def test_of_each_part_the_newest_processing():
    parts = [
        granule("32TPT", baseline, name=f"{k}{baseline}", s2__datastrip_id=strip(f"20210612T10100{k}", baseline))
        for k in (0, 1) for baseline in ("02.14", "05.00")
    ]  # fmt: skip
    assert kept(*parts) == ["005.00", "105.00"]
    assert kept(*parts[:3]) == ["005.00", "102.14"]


def test_two_products_of_one_baseline_are_parts_by_their_names():
    names = [ESA.format(made=f"20230301T0{k}0000") for k in (1, 2)]
    assert kept(*(granule("32TPT", "05.00", name=name) for name in names)) == names
    named = [granule("32TPT", "05.00", name=str(k), s2__product_uri=f"{name}.SAFE") for k, name in enumerate(names)]
    assert kept(*named) == ["0", "1"]


def test_footprints_tell_where_nothing_else_does():
    north, south = (half(granule("32TPT", "05.00", name=name), south) for name, south in (("a", False), ("b", True)))
    assert kept(north, south) == ["a", "b"]
    whole = granule("32TPT", "02.09", name="whole")
    assert kept(north, whole) == ["a", "whole"]  # the south is not in the newer product
    assert kept(north, granule("32TPT", "05.10", name="whole")) == ["whole"]


def test_times_tell_where_they_are_those_of_the_granule():
    a, b = (
        granule("32TPT", "05.00", name=name, when=when)
        for name, when in (("a", "2021-06-12T10:14:30Z"), ("b", "2021-06-12T10:14:42Z"))
    )
    assert kept(a, b) == ["a", "b"]
    # One catalogue gives the start of the datatake.
    c = granule("32TPT", "05.00", name="c", when="2021-06-12T10:10:31.024Z")
    assert kept(a, c) == ["a"]


def test_the_newest_part_is_preferred_where_both_show_something():
    old = granule("32TPT", "02.14", name="a", s2__datastrip_id=strip("20210612T101512", "02.14"))
    own = granule("32TPT", "99.99", name="b", s2__datastrip_id=strip("20210612T101612", "99.99"))
    new = granule("32TPT", "05.00", name="c", s2__datastrip_id=strip("20210612T101000"))
    other = granule("32TPS", "02.14", name="aa")
    (group,) = select_scenes([old, own, new, other]).overpasses.values()
    assert [s.id for s in group] == ["c", "aa", "a", "b"]


def test_parts_without_names_of_their_own():
    """Ids of one catalogue leave out what tells parts apart."""
    parts = [granule("32TPT", "05.00", name="same", s2__datastrip_id=strip(f"20210612T10100{k}")) for k in (0, 1)]
    assert kept(*parts) == ["same", "same~2"]


def test_a_part_without_all_bands_is_lost_though_the_other_is_sound():
    parts = [granule("32TPT", "05.00", name=str(k), s2__datastrip_id=strip(f"20210612T10100{k}")) for k in (0, 1)]
    del parts[0]["assets"]["scl"]
    assert select_scenes(parts).lost == ("0",)
    again = granule("32TPT", "05.10", name="again", s2__datastrip_id=strip("20210612T101000", "05.10"))
    assert select_scenes([*parts, again]).lost == ()


def test_footprints_that_cannot_be_compared_are_no_parts():
    bow = granule("32TPT", "05.00", name="a")
    bow["geometry"]["coordinates"][0][1:3] = bow["geometry"]["coordinates"][0][2:0:-1]
    assert not is_part(bow, bow)
    assert not is_part({**bow, "geometry": {"type": "Point", "coordinates": [11, 46]}}, bow)


# catalogues -------------------------------------------------------------------------------------------------------------


def overpasses(*entries: dict) -> list[str]:
    """Names of the overpasses, in every order of the items the same."""
    names = [sorted({i["overpass"] for i in with_overpass(order)}) for order in itertools.permutations(entries)]
    assert all(found == names[0] for found in names)
    return names[0]


def test_one_look_in_two_spellings():
    a = item("S2A_32TPT_20210612_0_L2A", platform="sentinel-2a")
    b = item(ESA.format(made="20210612T150000"), platform="Sentinel-2A", grid__code="T32TPT")
    found = select_scenes([a, b])
    assert len(found.scenes) == len(found.overpasses) == 1
    assert found.dropped == {a["id"]: f"duplicate of {b['id']}"}  # a baseline is known of the other


def test_one_product_under_two_names():
    """Earth Search's item beside the provider's: another time, the same name of the product."""
    uri = ESA.format(made="20210612T150000")
    a = granule("32TPT", "05.00", "2021-06-12T15:00:00Z", name="S2A_32TPT_20210612_0_L2A", s2__product_uri=f"{uri}.SAFE",
                when="2021-06-12T10:20:12.345Z", s2__datastrip_id=strip())  # fmt: skip
    b = item(
        uri, when="2021-06-12T10:10:31.024Z", platform="S2A", grid__code=None, s2__mgrs_tile="32TPT", s2__processing_baseline=5.0
    )
    found = select_scenes([a, b])
    assert [s.id for s in found.scenes] == [a["id"]] and len(found.dropped) == 1
    assert found.scenes[0].overpass == "sentinel-2a|GS2A_20210612T101031_031193|2021-06-12"


@pytest.mark.parametrize(
    "other",
    [
        {"s2__datatake_id": "gs2a_20210612t101031_031193"}, {"s2__datatake_id": "GS2A_20210612T101031_031193_N0500"},
        {"eopf__datatake_id": "GS2A_20210612T101031_031193_N05.00"}, {}, {"platform": "S2A"}, {"platform": None},
        {"platform": "sentinel-2"}, {"platform": None, "when": "2021-06-12T10:14:10Z"},
        {"when": "2021-06-12T10:31:10Z"},  # the granule's time, and of the other that of the datatake
    ],
)  # fmt: skip
def test_a_datatake_that_one_catalogue_writes_otherwise_or_not_at_all(other):
    a = granule("32TPT", "05.00", when="2021-06-12T10:10:31Z")
    b = item("b", mgrs="32TPS", **other)
    assert overpasses(a, b) == ["sentinel-2a|GS2A_20210612T101031_031193|2021-06-12"]


@pytest.mark.parametrize(
    "other",
    [
        {"platform": "S2B"}, {"platform": None, "when": "2021-06-12T10:36:31Z"}, {"when": "2021-06-12T11:50:31Z"},
        {"when": "2021-06-13T10:10:31Z"}, {"name": "S2A_MSIL2A_20210612T102031_N0500_R022_T32TPS_20230301T010000"},
    ],
)  # fmt: skip
def test_other_overpasses_stay_others(other):
    """Another satellite, the next orbit, another day, another datatake by name."""
    a = granule("32TPT", "05.00", when="2021-06-12T10:10:31Z")
    assert len(overpasses(a, item(**{"name": "b", "mgrs": "32TPS", **other}))) == 2


def test_of_two_datatakes_the_nearest_is_joined():
    a = granule("32TPT", "05.00", name="a", when="2021-06-12T10:10:31Z")
    b = granule("32TPT", "05.00", name="b", when="2021-06-12T10:24:31Z", datatake="GS2A_20210612T102331_031193")
    c = item("c", when="2021-06-12T10:24:40Z")
    assert {i["id"]: i["overpass"] for i in with_overpass([a, b, c])}["c"].split("|")[1] == "GS2A_20210612T102331_031193"


def test_an_unknown_tile_is_compared_by_footprint():
    a = item("a")
    b = item("b", grid__code="?")
    assert kept(a, b) == ["a"]
    assert kept(a, item("c", grid__code=None, longitude=11.38)) == ["a", "c"]


def test_real_series_beside_itself_in_other_spelling(shared_data):
    """Every look of Flanders twice: once as it is, once as another catalogue would write it."""
    import json

    table = json.loads((shared_data / "flanders" / "items.json").read_text())["features"]
    twins = []
    for k, entry in enumerate(table):
        props = dict(entry["properties"])
        entry["properties"]["platform"] = "sentinel-2a" if k % 2 else "S2A"
        mgrs = props.pop("grid:code").removeprefix("MGRS-")
        stamp = props["datetime"].replace("-", "").replace(":", "").removesuffix("Z")
        name = f"S2A_MSIL2A_{stamp}_N0206_R051_T{mgrs}_{stamp}"
        twins.append({**entry, "id": name, "properties": {**props, "platform": "Sentinel-2A", "s2:mgrs_tile": f"T{mgrs}"}})
    alone, both = select_scenes(table), select_scenes(table + twins)
    assert len(both.scenes) == len(both.overpasses) == len(alone.overpasses) == 118
    assert set(both.overpasses) == set(alone.overpasses)


# age --------------------------------------------------------------------------------------------------------------------


def test_ages():
    ages = [
        item(), item(s2__processing_baseline="99.99", s2__generation_time="2024-01-01T00:00:00Z"),
        item(s2__processing_baseline="02.14", s2__generation_time="2023-03-01T00:00:00Z"), item(s2__processing_baseline=4.0),
        item(s2__processing_baseline="05.09", updated="yesterday"),
        item(s2__processing_baseline=5.1), item(s2__processing_baseline="05.10", s2__generation_time="2023-03-01T10:00:00Z"),
        item(s2__processing_baseline="05.10", s2__generation_time="2023-03-01T12:30:00+02:00"),
        item(s2__processing_baseline="05.10", s2__generation_time="2023-03-01T10:30:00.5Z"),
    ]  # fmt: skip
    assert [age_of(i) for i in ages] == sorted(age_of(i) for i in reversed(ages))
    assert age_of(ages[0])[0] == age_of(ages[1])[0] == ()
