"""Identifiers of Sentinel-2 in the spellings of catalogues: Earth Search, Planetary Computer, Copernicus Data Space, SAFE."""

from __future__ import annotations

import datetime as dt

import pytest

from imperv.tasks.scenes.identifiers import (
    Datastrip,
    Product,
    baseline_of,
    datastrip_of,
    datatake_of,
    datatake_start,
    level_by_name,
    mgrs_of,
    platform_of,
    product_of,
    stated_level,
)  # fmt: skip

ESA = "S2A_MSIL2A_20180102T105431_N0500_R051_T31UES_20230301T040506"


def said(name: str = "x", **properties) -> dict:
    return {"id": name, "properties": {key.replace("__", ":"): value for key, value in properties.items()}}


@pytest.mark.parametrize(
    "text", ["sentinel-2a", "Sentinel-2A", "SENTINEL-2A", "S2A", "s2a", "Sentinel 2A", "sentinel2a", " S2A "]
)
def test_spellings_of_a_platform(text):
    assert platform_of(said(platform=text)) == "sentinel-2a"


@pytest.mark.parametrize(
    ("item", "platform"),
    [
        (said(), ""),
        (said(platform="sentinel-2"), ""),
        (said(platform=None), ""),
        (said(platform=["sentinel-2a"]), ""),
        (said(platform="Landsat-8"), "landsat-8"),
        (said(s2__datatake_id="GS2B_20210612T101031_031193_N05.00"), "sentinel-2b"),
        (said(platform="sentinel-2", s2__product_uri=f"{ESA}.SAFE"), "sentinel-2a"),
        (said("S2C_31UES_20180102_0_L2A"), "sentinel-2c"),
        (said("S2_31UDS_20180102T105431_L2A"), ""),
        (said("S2B_31UES_20180102_0_L2A", platform="sentinel-2a"), "sentinel-2a"),
    ],
)
def test_platform(item, platform):
    assert platform_of(item) == platform


@pytest.mark.parametrize(
    ("item", "mgrs"),
    [
        (said(grid__code="MGRS-31UES"), "31UES"),
        (said(grid__code="31UES"), "31UES"),
        (said(grid__code="T31UES"), "31UES"),
        (said(s2__mgrs_tile="t31ues"), "31UES"),
        (said(grid__code="MGRS-1WCV"), "01WCV"),
        (said(s2__mgrs_tile="T01WCV"), "01WCV"),
        (said(mgrs__utm_zone=1, mgrs__latitude_band="W", mgrs__grid_square="CV"), "01WCV"),
        (said(sentinel__utm_zone="31", sentinel__latitude_band="U", sentinel__grid_square="ES"), "31UES"),
        (said(s2__product_uri=f"{ESA}.SAFE"), "31UES"),
        (said(ESA), "31UES"),
        (said("S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBP"), "34LBP"),
        (said("S2B_1WCV_20250731_0_L2A"), "01WCV"),
        (said(grid__code="WRS2-198024"), ""),
        (said(grid__code=["MGRS-31UES"]), ""),
        (said(), ""),
    ],
)
def test_mgrs_tile(item, mgrs):
    assert mgrs_of(item) == mgrs


@pytest.mark.parametrize(
    "text",
    ["GS2A_20210612T101031_031193_N05.00", "GS2A_20210612T101031_031193_N0500", "GS2A_20210612T101031_031193",
     "gs2a_20210612t101031_031193_n05.00", "S2A_20210612T101031_031193_N05.00", " GS2A_20210612T101031_031193_N05.11 "],
)  # fmt: skip
def test_spellings_of_a_datatake(text):
    for key in ("s2__datatake_id", "eopf__datatake_id"):
        assert datatake_of(said(**{key: text})) == "GS2A_20210612T101031_031193"
        assert datatake_start(said(**{key: text})) == dt.datetime(2021, 6, 12, 10, 10, 31, tzinfo=dt.UTC)


def test_start_of_a_datatake_by_the_name_of_the_product():
    assert datatake_of(said(ESA)) == ""
    assert datatake_start(said(ESA)) == dt.datetime(2018, 1, 2, 10, 54, 31, tzinfo=dt.UTC)
    assert datatake_start(said()) is None
    assert datatake_start(said(s2__datatake_id="GS2A_20211312T101031_031193")) is None  # no thirteenth month


@pytest.mark.parametrize(
    "name", [ESA, f"{ESA}.SAFE", ESA.replace("_N0500", ""), ESA.lower(), ESA.replace("N0500", "N0511").replace("R051", "R137")]
)
def test_spellings_of_a_product(name):
    expected = Product("A", "2A", "20180102T105431", "31UES", "20230301T040506")
    assert product_of(said(name)) == expected
    assert product_of(said(s2__product_uri=name)) == expected
    assert product_of(said(sentinel__product_id=name)) == expected


def test_what_is_no_product():
    assert product_of(said("S2A_31UES_20180102_0_L2A")) is None
    assert product_of(said(f"{ESA}_B02")) is None


def test_a_datastrip_keeps_its_start_when_it_is_processed_again():
    """Both of tile 13SDV on 2020-04-01, as Earth Search has them."""
    then = said(s2__datastrip_id="S2B_OPER_MSI_L2A_DS_EPAE_20200401T220155_S20200401T175716_N02.14")
    now = said(eopf__datastrip_id="S2B_OPER_MSI_L2A_DS_S2RP_20230624T053545_S20200401T175716_N05.00")
    assert datastrip_of(then) == Datastrip("20200401T175716", "EPAE_20200401T220155")
    assert datastrip_of(now) == Datastrip("20200401T175716", "S2RP_20230624T053545")
    assert datastrip_of(said(s2__datastrip_id=7)) is None


@pytest.mark.parametrize(
    ("value", "baseline"),
    [
        ("05.10", "05.10"), ("N05.10", "05.10"), ("N0510", "05.10"), ("0510", "05.10"), ("04.00", "04.00"),
        (4.0, "04.00"), (5.1, "05.10"), (5.09, "05.09"), (2.14, "02.14"), ("4.0", "04.00"), ("5.09", "05.09"),
        (99.99, "99.99"), ("unknown", ""), (None, ""), ([4, 0], ""), ({"value": "04.00"}, ""), (True, ""), (4, ""),
    ],
)  # fmt: skip
def test_spellings_of_a_baseline(value, baseline):
    for key in ("s2__processing_baseline", "processing__version", "sentinel__processing_baseline"):
        assert baseline_of(said(**{key: value})) == baseline


@pytest.mark.parametrize(
    ("item", "by_type", "by_name"),
    [
        (said(s2__product_type="S2MSI2A"), "2A", ""),
        (said(processing__level="L1C"), "1C", ""),
        (said(processing__level="L2"), "", ""),
        (said(s2__product_type=2), "", ""),
        (said(ESA), "", "2A"),
        (said("S2A_31UES_20180102_0_L2A"), "", "2A"),
        (said("S2B_OPER_MSI_L1C_TL_2BPS_20250731T131834_A043879_T24MUV"), "", "1C"),
        (said("sentinel-2-l2a"), "", ""),
    ],
)
def test_level(item, by_type, by_name):
    assert (stated_level(item), level_by_name(item)) == (by_type, by_name)
