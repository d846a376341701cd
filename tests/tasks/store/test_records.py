"""Records: STAC Items that say that a layer is done, read back as written, and why a layer is out of date."""

from __future__ import annotations

import datetime as dt
import json
import socket

import pystac
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pystac.validation import RegisteredValidator
from shapely.geometry import box, shape

from imperv.tasks.store.records import Record, digest_of, explain_difference

RECORD = Record(
    symbol="IMD_now",
    tile="E43N32",
    key="0123456789abcdef",
    digest="fedcba9876543210",
    ingredients={
        "algorithm": "IMD_now 1", "window": [4300000.0, 3200000.0, 4400000.0, 3300000.0], "periods": ["2018", "2021"],
        "parameters": {"change.minimum": 1}, "inputs": {"NDVI_p0_now": "a:b"},
    },
    href="tiles/E43N32/2018-2021/IMD_now.zarr",
    files=101,
    size=123_456_789,
    bbox=(4_300_000, 3_200_000, 4_400_000, 3_300_000),
    start="2018-01-01",
    end="2021-12-31",
    statistics={"IMD_now": {"pixels": 100, "outside": 3, "histogram": {"0": 90, "100": 7, "255": 3}}, "mean": 0.25},
    warnings=("scene x left out: gone", "ümlaut and \"quotes\""),
    seconds=12.345,
    cpu_seconds=20.5,
    peak_memory=2**33,
    bytes_read=123,
    bytes_written=45,
    software={"python": "3.11.7", "numpy": "2.3.0"},
    created="2025-01-02T03:04:05Z",
)  # fmt: skip
NOT_MADE = Record(
    "IMDCL", "E43N32", "k", made=False, reason="a single model took part", windowed=True,
    bbox=(4_310_000, 3_210_000, 4_311_000, 3_212_000), start="2017-08-01", end="2018-07-31", created="2025-01-02T03:04:05Z",
)  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, NOT_MADE])
def test_round_trip(record):
    assert Record.from_json(record.to_json()) == record


texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(
    st.builds(
        Record,
        symbol=texts,
        tile=texts,
        key=texts,
        digest=texts,
        ingredients=st.dictionaries(texts, values, max_size=3),
        made=st.booleans(),
        reason=texts,
        href=st.sampled_from(["", "tiles/E43N32/2021/PP.zarr", "models/IMD/E43N32/model.keras"]),
        files=st.integers(0, 10**6),
        size=st.integers(0, 2**50),
        bbox=st.just((4_300_000, 3_200_000, 4_400_000, 3_300_000)),
        windowed=st.booleans(),
        start=st.dates().map(str),
        end=st.dates(max_value=dt.date(9999, 1, 1)).map(str),
        statistics=st.dictionaries(texts, values, max_size=3),
        warnings=st.lists(texts, max_size=3).map(tuple),
        seconds=st.floats(0, 1e6),
        cpu_seconds=st.floats(0, 1e6),
        peak_memory=st.integers(0, 2**50),
        software=st.dictionaries(texts, texts, max_size=3),
        created=texts,
    )
)
def test_round_trip_of_anything(record):
    again = Record.from_json(record.to_json())
    assert again == record
    assert again.version == record.version == f"{record.key}:{record.digest}"


@pytest.mark.parametrize("record", [RECORD, NOT_MADE])
def test_it_is_a_stac_item(record):
    table = json.loads(record.to_json())
    item = pystac.Item.from_dict(table)
    assert item.id == f"{record.tile}_{record.symbol}_{record.start}_{record.end}"
    assert item.datetime is None
    assert item.common_metadata.start_datetime.isoformat() == f"{record.start}T00:00:00+00:00"
    assert item.common_metadata.end_datetime.isoformat() == f"{record.end}T23:59:59+00:00"
    assert item.properties["proj:code"] == "EPSG:3035"
    assert item.properties["proj:bbox"] == list(record.bbox)
    assert item.properties["created"] == record.created
    assert item.properties["imperv:key"] == record.key
    assert ("data" in item.assets) == bool(record.href)
    west, south, east, north = item.bbox
    assert shape(item.geometry).equals(box(west, south, east, north))
    assert table["type"] == "Feature"


def test_it_is_valid_by_the_schema_of_stac(monkeypatch):
    """Against the schema that comes with pystac; nothing is fetched, so the projection extension is left out."""
    pytest.importorskip("jsonschema")

    def no_network(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", no_network)
    table = json.loads(RECORD.to_json())
    table["stac_extensions"] = []
    try:
        RegisteredValidator.get_validator().validate_core(table, pystac.STACObjectType.ITEM, pystac.get_stac_version(), href=None)
    except pystac.STACValidationError as error:
        pytest.fail(str(error))
    except OSError:
        pytest.skip("this pystac fetches its schemas")
    del table["properties"]["start_datetime"]
    with pytest.raises(pystac.STACValidationError):
        RegisteredValidator.get_validator().validate_core(table, pystac.STACObjectType.ITEM, pystac.get_stac_version(), href=None)


def test_the_box_on_the_globe_holds_the_tile():
    """E43N32 around Frankfurt: every corner and edge of the tile lies in the item's box, which is little larger."""
    from pyproj import Transformer

    item = json.loads(RECORD.to_json())
    west, south, east, north = item["bbox"]
    to_lonlat = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(
        *zip(*[(4_300_000 + 10_000 * k, 3_200_000 + 10_000 * j) for k in range(11) for j in range(11)], strict=True)
    )
    almost = 1e-4  # degrees, ten metres: edges are sampled
    assert west - almost < min(lon) and max(lon) < east + almost and south - almost < min(lat) and max(lat) < north + almost
    assert abs(west - min(lon)) < 0.01 and abs(north - max(lat)) < 0.01
    assert 9.5 < west < 10.1 and 51 < south < 52


def test_json_is_strict():
    """What other readers understand: no NaN, no infinity."""

    def refuse(name):
        raise ValueError(name)

    json.loads(RECORD.to_json(), parse_constant=refuse)


def test_what_a_newer_version_adds_is_passed_over():
    table = json.loads(RECORD.to_json())
    table["properties"]["imperv:invented_later"] = 1
    table["properties"]["eo:cloud_cover"] = 3
    assert Record.from_json(json.dumps(table)) == RECORD


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"text"', "{}", '{"properties": {}}', '{"properties": null}',
        json.dumps({"type": "Feature", "properties": {"datetime": None}, "assets": {}}),
    ],
)  # fmt: skip
def test_what_is_no_record(text):
    with pytest.raises(ValueError, match="not a record"):
        Record.from_json(text)


@pytest.mark.parametrize("name", ["imperv:symbol", "imperv:tile", "imperv:key", "proj:bbox", "start_datetime", "created"])
def test_a_record_without_an_essential_part(name):
    table = json.loads(RECORD.to_json())
    del table["properties"][name]
    with pytest.raises(ValueError, match="not a record"):
        Record.from_json(json.dumps(table))


def test_a_record_cut_short_is_none():
    text = RECORD.to_json()
    for length in range(0, len(text) - 2, 97):
        with pytest.raises(ValueError, match="not a record"):
            Record.from_json(text[:length])


# digests ----------------------------------------------------------------------------------------------------------


def test_digest():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": (1, 2), "a": 1})
    assert len(digest_of(None)) == 32
    different = [{"a": 1}, {"a": 2}, {"b": 1}, [1, 2], [2, 1], "1", 1, 1.5, None, True, "", {}, []]
    assert len({digest_of(value) for value in different}) == len(different)


@given(values)
def test_a_digest_survives_being_written(value):
    assert digest_of(json.loads(json.dumps(value))) == digest_of(value)


# why a layer is out of date ---------------------------------------------------------------------------------------

OLD = {
    "algorithm": "CHM 1", "window": [0, 0, 1, 1], "periods": ["2018", "2021"],
    "parameters": {"change_mask.sieve": 8, "change_mask.lower": 97.5}, "inputs": {"RMSD": "a:b", "CHM_raw": "c:d"},
    "files": {"imd.tif": {"size": 1, "digest": "x"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "made by an earlier version"),
        ({"algorithm": "CHM 2"}, "algorithm changed"),
        ({"window": [0, 0, 2, 2]}, "window changed"),
        ({"periods": ["2018", "2024"]}, "periods changed"),
        ({"parameters": {"change_mask.sieve": 12, "change_mask.lower": 97.5}}, "change_mask.sieve 8 -> 12"),
        (
            {"parameters": {"change_mask.sieve": 12, "change_mask.lower": 95}},
            "change_mask.lower 97.5 -> 95, change_mask.sieve 8 -> 12",
        ),
        ({"parameters": {"change_mask.sieve": 8}}, "change_mask.lower 97.5 -> (gone)"),
        ({"parameters": {**OLD["parameters"], "change_mask.upper": 99}}, "change_mask.upper (new) -> 99"),
        ({"inputs": {"RMSD": "a:z", "CHM_raw": "c:d"}}, "input RMSD changed"),
        ({"inputs": {"RMSD": "x", "CHM_raw": "y"}}, "input CHM_raw changed, input RMSD changed"),
        ({"files": {"imd.tif": {"size": 2, "digest": "y"}}}, "file imd.tif changed"),
        ({"files": None}, "files changed"),
        ({"models": {"E42N32": "v"}}, "models changed"),
        ({"algorithm": "CHM 2", "inputs": {"RMSD": "z", "CHM_raw": "c:d"}}, "algorithm changed, input RMSD changed"),
    ],
)
def test_what_changed(changes, text):
    assert explain_difference(OLD, {**OLD, **changes}) == text


def test_a_record_without_ingredients():
    assert "algorithm changed" in explain_difference({}, OLD)
