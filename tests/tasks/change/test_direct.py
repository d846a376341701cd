"""`imperv s2 change` from two dates to files; and one line for what cannot be met."""

from __future__ import annotations

import json

import numpy as np
import pystac
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.layers.cva.noise import Noise
from imperv.layers.cva.vectors import change_vectors
from imperv.tasks.change.direct import change_of
from imperv.tasks.change.request import Request, Source
from imperv.tasks.errors import InputError
from tests.support.native_granules import write_granules
from tests.support.quiet_dates import BANDS, COLUMNS, FIRST, PATCH, ROWS, SECOND, date
from tests.support.safe_products import Product, write_product, zipped
from tests.tasks.change.test_dates import classes
from tests.tasks.native.test_looks import BY_SIZE


def made(first, second, out, **more):
    return change_of(Request(str(first), str(second), out, workers=1, **more), lambda *_: None)


def refused(text, first, second, out, **more):
    with pytest.raises(InputError, match=text) as caught:
        made(first, second, out, **more)
    assert "\n" not in str(caught.value)
    assert not out.exists() or not list(out.iterdir())


@pytest.fixture(scope="module")
def done(items, tmp_path_factory):
    """A run with quiet pairs, by the command."""
    out = tmp_path_factory.mktemp("done") / "change"
    code = main(
        ["s2", "change", f"{items}@{FIRST}", f"{items}@{SECOND}", "-o", str(out), "--quiet", str(items), "--confidence", "99.9"]
    )
    assert code == 0
    return out


@pytest.mark.slow
def test_what_was_planted_is_found_and_little_else(done):
    with rasterio.open(done / "S2-CD.tif") as source:
        codes = source.read(1)
        assert source.crs.to_epsg() == 32632 and source.res == (10, 10) and source.nodata == 255
        assert codes.shape == (ROWS, COLUMNS) and source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    changed = (codes > 0) & (codes < 255)
    assert changed[PATCH].all()
    changed[PATCH] = False
    assert changed.mean() < 3e-3


def test_the_vectors_are_those_of_the_two_dates(done):
    """From the granules and the noise in the record alone."""
    record = json.loads((done / "change.json").read_text())
    first, second = (np.stack([_pixels(record[key], name) for name in BANDS]) for key in ("first", "second"))
    noise = Noise.from_json(record["noise"])
    amplitude, angle = change_vectors(first, second, np.ones((ROWS, COLUMNS), bool), noise, (1, 0, 0, 0))
    with rasterio.open(done / "CVA.tif") as source:
        assert source.descriptions == ("amplitude", "angle") and source.dtypes == ("float32", "float32")
        assert np.allclose(source.read(1)[1:-1, 1:-1], amplitude[1:-1, 1:-1], rtol=1e-5)
        assert np.allclose(source.read(2), angle, atol=1e-3)
        amplitude = source.read(1)
    with rasterio.open(done / "S2-CD.tif") as source:
        assert ((source.read(1) > 0) == (amplitude >= record["threshold"]["threshold"])).all()


def _pixels(scenes, band):
    with rasterio.open(scenes[0]["bands"][band]) as source:
        return source.read(1) - np.uint16(1000)


def test_rates_stand_side_by_side(done):
    record = json.loads((done / "change.json").read_text())["threshold"]
    assert record["method"] == "quiet" and record["nominal"] == 1e-3 and 0 < record["measured"]["quiet"]["value"] < 4e-3
    page = (done / "report.html").read_text()
    assert all(text in page for text in ("Nominal", "Measured", "(used)", "polar plane", "Quiet pairs", FIRST, SECOND))
    with rasterio.open(done / "S2-CD.tif") as source:
        assert "nominal 0.001, measured" in source.tags()["false_alarms"]


def test_the_item_is_sound_and_nothing_else_lies_there(done):
    item = pystac.Item.from_file(done / "change.stac.json")
    assert set(item.assets) == {"cva", "s2-cd", "style", "quicklook", "report"}
    assert item.properties["change:false_alarms_nominal"] == 1e-3
    assert {path.name for path in done.iterdir()} == {
        "CVA.tif", "CVA.qml", "S2-CD.tif", "S2-CD.qml", "S2-CD.png", "report.html", "change.json", "change.stac.json",
    }  # fmt: skip


def test_without_quiet_dates_the_rate_is_not_told(items, tmp_path):
    found = made(f"{items}@{FIRST}", f"{items}@{SECOND}", tmp_path / "out")
    assert found.calibration.method == "student" and not found.calibration.measured
    assert "not measured" in (tmp_path / "out" / "report.html").read_text()


def test_any_area_system_and_format(items, tmp_path):
    out = tmp_path / "out"
    area = _square(items)
    made(f"{items}@{FIRST}", f"{items}@{SECOND}", out, area=area, projection="EPSG:4326", resolution=20, form="GTiff", classes=2)
    with rasterio.open(out / "S2-CD.tif") as source:
        assert source.crs.to_epsg() == 4326 and source.res[0] == pytest.approx(20 / 111_320)
        assert set(np.unique(source.read(1))) <= {0, 1, 2, 255}
    with rasterio.open(out / "CVA.tif") as source:
        assert not np.isnan(source.read(1)).all()


@pytest.mark.parametrize(("system", "step"), [("EPSG:2263", 20 / 0.3048), ("+proj=laea +lat_0=46 +lon_0=11", 20)])
def test_pixels_are_metres_in_a_system_of_feet_and_in_one_without_a_code(items, tmp_path, system, step):
    out = tmp_path / "out"
    made(f"{items}@{FIRST}", f"{items}@{SECOND}", out, area=_square(items), projection=system, resolution=20)
    with rasterio.open(out / "S2-CD.tif") as source:
        assert source.res[0] == pytest.approx(step, rel=1e-4)
        assert (source.read(1) < 255).any()


def _square(items) -> str:
    west, south, east, north = json.loads(items.read_text())["features"][0]["bbox"]
    x, y = (east - west) / 10, (north - south) / 10
    corners = ((west + x, south + y), (east - x, south + y), (east - x, north - y), (west + x, north - y), (west + x, south + y))
    return f"POLYGON(({', '.join(f'{a} {b}' for a, b in corners)}))"


def test_a_run_that_stops_leaves_nothing_that_looks_done(items, tmp_path, monkeypatch):
    """Also what a process left that was killed with -9 is taken away by the next run."""
    out = tmp_path / "out"

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("imperv.tasks.change.files.write_quicklook", stop)
        with pytest.raises(KeyboardInterrupt):
            made(f"{items}@{FIRST}", f"{items}@{SECOND}", out)
    assert list(out.iterdir()) == []
    (out / ".draft").mkdir()
    (out / ".draft" / "CVA.draft").write_bytes(b"half")
    made(f"{items}@{FIRST}", f"{items}@{SECOND}", out)
    assert (out / "change.json").exists() and not (out / ".draft").exists()


def test_products_as_the_provider_packs_them(tmp_path):
    """A SAFE folder and a zip, with offset and without."""
    kinds = {"left": 677760, "top": 5153040, "crs": "EPSG:32632", "mgrs": "32TPS", "shape": (ROWS, COLUMNS)}
    sources = []
    for k, (day, more) in enumerate(((FIRST, {"baseline": "02.06", "offset": None}), (SECOND, {})), 1):
        granule = date(day, k, (900, 900, 1000, -900) if k == 2 else (), baseline=more.get("baseline", "05.00"))
        product = Product(when=f"{day}T10:10:30.000Z", **kinds, **more)
        pixels = {name: granule.pixels(name) for name in (*sum(BY_SIZE.values(), ()), "SCL")}
        sources.append(write_product(tmp_path / f"safe-{k}", product, pixels))
    found = made(sources[0], zipped(sources[1], tmp_path), tmp_path / "out", confidence=99.9)
    with rasterio.open(tmp_path / "out" / "S2-CD.tif") as source:
        codes = source.read(1)
    assert ((codes[PATCH] > 0) & (codes[PATCH] < 255)).all() and (codes == 0).mean() > 0.95
    assert [look.scenes[0].subtract for look in found.looks] == [0, 1000]


def test_a_date_is_a_path_or_a_path_with_a_day():
    assert Source.parse("a/b@c.SAFE").day is None and Source.parse("a/b@c.SAFE").path == "a/b@c.SAFE"
    assert str(Source.parse("items.json@2021-06-15").day) == "2021-06-15"
    with pytest.raises(InputError, match="2021-06 is no date"):
        Source.parse("items.json@2021-06")


# what cannot be met -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("--reference has 2 numbers for 4 bands", {"reference": (1.0, 0.0)}),
        ("--reference is zero everywhere", {"reference": (0.0,) * 4}),
        ("--confidence: 100 is not between", {"confidence": 100.0}),
        ("--bands: 'B13' is no band", {"bands": ("B2", "B13")}),
        ("--bands: B02 is named twice", {"bands": ("B2", "B02")}),
        ("--classes: 0 is not between 1 and", {"classes": 0}),
        ("--resolution: 1 m is not between", {"resolution": 1.0}),
        ("--projection: EPSG:1 is no reference system", {"projection": "EPSG:1"}),
        ("--format: JPEG is none of", {"form": "JPEG"}),
        ("--threshold quiet needs dates", {"threshold": "quiet"}),
        ("is no well-known text", {"area": "POLYGON((11 46, 12 46"}),
        ("are no degrees", {"area": "POLYGON((677760 5153040, 677860 5153040, 677860 5153140, 677760 5153040))"}),
        ("lies outside of its 6 scenes", {"area": "POLYGON((13 50, 13.1 50, 13.1 50.1, 13 50))"}),
    ],
)
def test_a_request_that_cannot_be_met(items, tmp_path, text, more):
    refused(text, f"{items}@{FIRST}", f"{items}@{SECOND}", tmp_path / "out", **more)


def test_dates_that_are_none(items, tmp_path):
    out = tmp_path / "out"
    refused(f"both dates are {FIRST}", f"{items}@{FIRST}", f"{items}@{FIRST}", out)
    refused("is later than the second", f"{items}@{SECOND}", f"{items}@{FIRST}", out)
    refused("holds several dates", items, f"{items}@{SECOND}", out)
    refused("no scene on 2018-06-13; the nearest dates are", f"{items}@2018-06-13", f"{items}@{SECOND}", out)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("shows nothing of the area but cloud", {"bands": classes((slice(None), slice(None)))}, {}),
        (
            "show no ground in common",
            {"bands": classes((slice(None), slice(0, 32)))},
            {"bands": classes((slice(None), slice(28, 60)))},
        ),
        ("lie on different grids", {}, {"epsg": 32633, "mgrs": "33TUM", "left": 219780}),
        ("are of different granules", {}, {"mgrs": "32TPT"}),
        ("show no ground in common|nothing is what both", {}, {"left": 777780}),
        ("has no asset for B08", {}, {"without": ("B10", "B08")}),
        ("neither its processing baseline nor its offset is known", {}, {"properties": {"s2:processing_baseline": None}}),
    ],
)
def test_pairs_that_cannot_be_compared(tmp_path, text, first, second):
    """All cloud; clear in different places; other zones, granules and ground; a missing band; an offset known of one only."""
    sources = [
        write_granules(tmp_path / name, date(day, k, **changes))
        for k, (name, day, changes) in enumerate((("a", FIRST, first), ("b", SECOND, second)), 1)
    ]
    refused(text, *sources, tmp_path / "out")


def test_an_offset_that_is_known_does_not_matter(tmp_path):
    """Baseline 02.06 without offset, 05.00 with one."""
    sources = [
        write_granules(tmp_path / name, date(day, 1, **changes))
        for name, day, changes in (("a", FIRST, {"baseline": "02.06"}), ("b", SECOND, {}))
    ]
    with pytest.raises(InputError, match="equal, pixel by pixel"):
        made(*sources, tmp_path / "out")
