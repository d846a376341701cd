"""STAC Items of products: valid by pystac, true to the files, and readable where they are moved to."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pyproj import Transformer
from shapely.geometry import Polygon, box, shape

from imperv.tasks.delivery.delivery import deliver, delivered_symbols, places_of
from imperv.tasks.delivery.stac import footprint, item_json
from imperv.tasks.imperviousness.eea import EEA
from imperv.tasks.job import Job
from tests.support.delivered import CONTACT, product, production, put

NAME = "CLMS_HRLNVLCC_2018-2021_V01_R00"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"not read")
    return {"data": ("./map.tif", path)}


def valid(item):
    """Valid by the schemas that pystac brings; those of extensions lie on the web and are checked by hand here."""
    table = json.loads(item) if isinstance(item, str) else item
    pystac.validation.validate_dict({**table, "stac_extensions": []})
    return table


@pytest.mark.parametrize("symbol", delivered_symbols())
def test_items_are_valid(data, symbol):
    table = valid(item_json(product(symbol), data))
    names = {uri.split("/")[-3] for uri in table["stac_extensions"]}
    assert names == {"projection", "raster", "processing", "classification", "file"}
    classes = table["assets"]["data"]["classification:classes"]
    assert all(set(c["name"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and c["name"] for c in classes)
    assert len({c["name"] for c in classes}) == len(classes)
    assert all(len(c["color_hint"]) == 6 and int(c["color_hint"], 16) >= 0 for c in classes)
    assert [c["value"] for c in classes if c.get("nodata")] == [255]


def test_what_is_told_of_the_map(data):
    table = valid(item_json(product("IMD_now"), data))
    told, band = table["properties"], table["assets"]["data"]["raster:bands"][0]
    assert (told["proj:code"], told["proj:shape"]) == ("EPSG:3035", [200, 200])
    assert told["proj:transform"] == [10, 0, 4300000, 0, -10, 3300000]
    assert (told["start_datetime"], told["end_datetime"]) == ("2021-01-01T00:00:00Z", "2021-12-31T23:59:59Z")
    assert told["processing:lineage"] == "Made from <many> scenes & maps."
    assert told["processing:software"] == {"imperv": "0.1.0", "numpy": "2.4.6"}
    values = np.repeat([0, 40, 80], [30_000, 6_000, 2_000])
    assert band["statistics"] == {
        "minimum": 0, "maximum": 80, "mean": pytest.approx(values.mean(), abs=1e-4),
        "stddev": pytest.approx(values.std(), abs=1e-4), "valid_percent": 95.0,
    }  # fmt: skip
    assert (band["nodata"], band["data_type"], band["unit"], band["spatial_resolution"]) == (255, "uint8", "%", 10)


def test_no_mean_of_codes_that_are_no_quantity(data):
    for symbol, counts in (("IMDC", {100: 3, 201: 5}), ("IMCC", {0: 3, 12: 5}), ("IMD_now", {255: 4})):
        table = json.loads(item_json(product(symbol, counts), data))
        assert set(table["assets"]["data"]["raster:bands"][0]["statistics"]) == {"valid_percent"}


def test_the_footprint_is_the_rectangle_on_the_ground():
    found = shape(footprint((900000, 900000, 1000000, 1000000)))  # E09N09, where edges are far from straight
    assert found.is_valid
    assert len(found.exterior.coords) == 33
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(*np.array(found.exterior.coords).T)
    assert box(900000, 900000, 1000000, 1000000).symmetric_difference(Polygon(np.column_stack([x, y]))).area < 1e6


@pytest.fixture
def delivered(tmp_path):
    job = Job.of(production(tmp_path / "store", zip=True, contact=CONTACT), "E43N32")
    for symbol in ("SBU", "IMCC"):
        put(job, symbol)
        deliver(job, symbol)
    EEA.finish(job)
    return job


def test_a_collection_leads_to_every_item_wherever_it_is_moved(delivered, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(delivered.store.full("products")), moved)
    shutil.rmtree(delivered.store.full("products"))
    collection = pystac.Collection.from_file(str(moved / f"{NAME}.stac.json"))
    valid(json.loads((moved / f"{NAME}.stac.json").read_text()))
    assert [c.id for c in collection.get_children()] == [f"{NAME}_E43N32"]
    assert collection.providers[0].name == CONTACT["organisation"]
    items = list(collection.get_items(recursive=True))
    assert len(items) == 2
    for item in items:
        assert item.get_collection().id == NAME
        assert item.get_root().get_self_href() == collection.get_self_href()
        assert set(item.assets) == {"data", "table", "metadata", "style", "quicklook", "package"}
        for asset in item.assets.values():
            content = Path(asset.get_absolute_href()).read_bytes()
            assert asset.extra_fields["file:size"] == len(content)
            assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        with rasterio.open(item.assets["data"].get_absolute_href()) as source:
            assert item.properties["proj:shape"] == list(source.shape)
            assert item.properties["proj:bbox"] == list(source.bounds)
            assert tuple(item.properties["proj:transform"]) == tuple(source.transform)[:6]
    for path in moved.rglob("*.stac.json"):
        table = json.loads(path.read_text())
        assert all(not link["href"].startswith(("/", "http", "file")) for link in table["links"])


def test_a_collection_follows_what_is_there(delivered):
    root, store = Path(delivered.store.full("products")), delivered.store
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*.stac.json")}
    EEA.finish(delivered)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.stac.json")} == before
    other = Job.of(production(store.url, bbox=(4399000, 3299000, 4401000, 3300000)), "E44N32")
    put(other, "SBU")
    deliver(other, "SBU")
    EEA.finish(other)
    collection = pystac.Collection.from_file(str(root / f"{NAME}.stac.json"))
    assert len(list(collection.get_items(recursive=True))) == 3
    for symbol in ("SBU", "IMCC"):
        put(delivered, symbol, np.zeros((1, 1)), made=False, reason="not asked for")
        deliver(delivered, symbol)
    EEA.finish(delivered)
    collection = pystac.Collection.from_file(str(root / f"{NAME}.stac.json"))
    assert ["_E44N32_" in item.id for item in collection.get_items(recursive=True)] == [True]
    store.remove_record(places_of(other, "SBU").record)
    EEA.finish(other)
    assert not (root / f"{NAME}.stac.json").exists()


def test_records_are_not_mixed_up_with_items(delivered):
    assert {record.symbol for path, record in delivered.store.records("E43N32").items() if path.startswith("products/")} == {
        "SBU",
        "IMCC",
    }
