"""Delivery from a small store made with the real store and records: names, form, when it is written, and failures."""

import os
import resource
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE, DEFAULT, layers_of
from imperv.tasks.delivery import geotiff
from imperv.tasks.delivery.delivery import deliver, delivered_symbols, delivery_standing, places_of, product_paths
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.checks.delivery_check import check_file, check_paths, pixel_counts
from imperv.tasks.imperviousness.products.names import file_name
from imperv.tasks.imperviousness.settings import EEADelivery
from imperv.tasks.job import Job
from tests.support.delivered import CONTACT, production, put
from tests.tasks.imperviousness.checks.test_consistency import layers

gdal = pytest.importorskip("osgeo.gdal")

IMD = "CLMS_HRLNVLCC_IMD_S2021_R10m_E43N32_03035_V01_R00.tif"


@pytest.fixture
def job(tmp_path):
    return Job.of(production(tmp_path / "store"), "E43N32")


def with_settings(job, **delivery):
    return replace(job, production=job.production.model_copy(update={"delivery": EEADelivery(**delivery)}))


def products(job):
    """Every file below `products`, by path from there."""
    folder = Path(job.store.full("products"))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def files_of(job, symbol, zip=False):
    """What a product consists of."""
    places = places_of(job, symbol)
    wanted = {places.tif, places.record, *places.beside} - (set() if zip else {places.package})
    return sorted(place.removeprefix("products/") for place in wanted)


def local(job, symbol):
    return job.store.full(product_paths(job, symbol)[0])


# names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "then", "now", "settings", "expected"),
    [
        ("IMDC", "2017-08-01/2018-07-31", "2020-09-01/2021-08-31", {"edition": "2021-2024"},
         "CLMS_NVLCC_IMDC_C2021-2024_R20m_E43N32_03035_V01_R00.tif"),
        ("IMD_now", "2018", "2021", {}, IMD),
        ("IMD_now_resampled", "2018", "2021", {}, "CLMS_HRLNVLCC_IMD_S2021_R100m_E43N32_03035_V01_R00.tif"),
        ("IMDC", "2018", "2021", {}, "CLMS_HRLNVLCC_IMDC_C2018-2021_R20m_E43N32_03035_V01_R00.tif"),
        ("IBUC", "2021", "2024", {}, "CLMS_NVLCC_IBUC_C2021-2024_R20m_E43N32_03035_V01_R00.tif"),
        ("IMD_now", "2021", "2024", {"release": "R01"}, "CLMS_NVLCC_IMD_S2024_R10m_E43N32_03035_V01_R01.tif"),
        ("SBCC", "2018", "2021", {"release": "R02"}, "CLMS_HRLNVLCC_SBCC_C2018-2021_R100m_E43N32_03035_V01_R02.tif"),
        ("IMDCL", "2021", "2024", {"version": "V03"}, "CLMS_NVLCC_IMDCL_S2024_R10m_E43N32_03035_V03_R00.tif"),
        ("IBU_now", "2018", "2021", {"theme": "NVLCC"}, "CLMS_NVLCC_IBU_S2021_R10m_E43N32_03035_V01_R00.tif"),
        ("IBU_now", "2017-08-01/2018-07-31", "2020-09-01/2021-08-31", {},
         "CLMS_HRLNVLCC_IBU_S2021_R10m_E43N32_03035_V01_R00.tif"),
    ],
)  # fmt: skip
def test_file_names(symbol, then, now, settings, expected):
    made = production(then=then, now=now, **settings)
    assert file_name(CATALOGUE[symbol], made, Tile("E43N32")) == expected


def test_no_two_layers_share_a_name():
    names = {file_name(CATALOGUE[s], production(), Tile("E43N32")) for s in delivered_symbols()}
    assert len(names) == len(delivered_symbols()) == 18
    assert list(delivered_symbols()) == [s for s, layer in layers_of(DEFAULT).items() if layer.kind == "final"]


def test_other_layers_are_refused(job):
    with pytest.raises(InputError, match="RMSD is not delivered"):
        deliver(job, "RMSD")
    with pytest.raises(InputError, match="no layer is called"):
        deliver(job, "IMDX")


# form ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", delivered_symbols())
def test_every_layer_passes_the_delivery_check(job, symbol):
    array = put(job, symbol)
    record, ran = deliver(job, symbol)
    assert ran
    assert record.made
    assert record.windowed
    [path] = check_paths([job.store.full("products")])
    assert str(path) == job.store.full(record.href)
    assert [f for f in check_file(path, window=True) if not f.ok] == []
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(1), array)
    assert products(job) == files_of(job, symbol)


def test_gdal_sees_the_form(job):
    put(job, "IMD_now")
    deliver(job, "IMD_now")
    info = gdal.Info(local(job, "IMD_now"), format="json")
    band = info["bands"][0]
    assert info["driverShortName"] == "GTiff"
    assert info["size"] == [200, 200]
    assert info["geoTransform"] == [4300000, 10, 0, 3300000, 0, -10]
    assert info["metadata"]["IMAGE_STRUCTURE"]["COMPRESSION"] == "LZW"
    assert (band["type"], band["block"], band["noDataValue"]) == ("Byte", [512, 512], 255)
    assert 'ID["EPSG",3035]' in info["coordinateSystem"]["wkt"].splitlines()[-1]
    entries = band["colorTable"]["entries"]
    assert len(entries) == 256
    assert [e[:3] for e in (entries[0], entries[50], entries[255])] == [[240, 240, 240], [175, 74, 51], [0, 0, 0]]
    assert not [name for name in info["files"] if name.endswith(".aux.xml")]


@pytest.mark.slow
def test_a_whole_tile_in_several_strips(tmp_path, monkeypatch):
    job = Job.of(production(tmp_path / "store", bbox=None), "E43N32")
    array = put(job, "SBU", np.random.default_rng(1).integers(0, 101, (1000, 1000), np.uint8))
    monkeypatch.setattr("imperv.tasks.delivery.geotiff.STRIP_ROWS", 384)
    record, _ = deliver(job, "SBU")
    assert not record.windowed
    assert all(f.ok for f in check_file(local(job, "SBU")))
    with rasterio.open(local(job, "SBU")) as source:
        np.testing.assert_array_equal(source.read(1), array)
        assert tuple(source.bounds) == Tile("E43N32").bounds


def test_the_record_tells_what_it_is(job):
    array = put(job, "IMD_now")
    record, _ = deliver(job, "IMD")
    again = job.store.read_record(product_paths(job, "IMD_now")[1])
    assert again == replace(record, bbox=again.bbox, ingredients=again.ingredients)
    assert record.ingredients["inputs"] == {"IMD_now": job.record("IMD_now").version}
    assert (record.start, record.end) == ("2021-01-01", "2021-12-31")
    assert record.statistics["IMD_now"]["outside"] == int((array == 255).sum())
    assert record.files == 6
    assert record.size == sum(Path(job.store.full(p)).stat().st_size for p in (record.href, *record.beside))
    put(job, "IMDC")
    assert deliver(job, "IMDC")[0].start == "2018-01-01"


@pytest.mark.slow
def test_built_up_classes_are_folded_where_asked_for(job):
    arrays = layers()
    for symbol in ("IBUC", "IBUCS", "IMCC"):
        put(job, symbol, arrays[symbol])
    record, _ = deliver(job, "IBUC")
    assert "EEA" in record.warnings[0]
    assert {11, 12} <= set(pixel_counts(local(job, "IBUC")))
    before = pixel_counts(local(job, "IBUC"))
    folding = with_settings(job, fold_built_up_classes=True)
    assert delivery_standing(folding, "IBUC").reason == "delivery.fold_built_up_classes False -> True"
    record, ran = deliver(folding, "IBUC")
    after = pixel_counts(local(job, "IBUC"))
    assert ran
    assert record.warnings == ()
    assert after == {
        0: before[0],
        1: before[1],
        2: before[2],
        10: before[10] + before[11] + before[12],
        255: before[255],
    }
    for symbol in ("IBUCS", "IMCC"):
        deliver(job, symbol)
        assert deliver(folding, symbol)[1] is False
        assert {11, 12} <= set(pixel_counts(local(job, symbol)))


# when it is written -------------------------------------------------------------------------------------------------


def test_up_to_date_until_something_changes(job):
    put(job, "IMD_now")
    assert delivery_standing(job, "IMD_now").reason == "not delivered yet"
    first, ran = deliver(job, "IMD_now")
    assert ran
    assert deliver(job, "IMD_now") == (job.store.read_record(product_paths(job, "IMD_now")[1]), False)
    put(job, "IMD_now", np.full((200, 200), 7, np.uint8))
    assert delivery_standing(job, "IMD_now").reason == "input IMD_now changed"
    second, ran = deliver(job, "IMD_now")
    assert ran
    assert second.key != first.key
    assert pixel_counts(local(job, "IMD_now")) == {7: 40_000}


def test_a_plan_knows_what_will_change(job):
    assert delivery_standing(job, "IMD_now").reason == "IMD_now is not made yet"
    put(job, "IMD_now")
    deliver(job, "IMD_now")
    assert delivery_standing(job, "IMD_now", {"IMD_now": "run"}).state == "run"
    assert delivery_standing(job, "IMD_now", {"IMD_now": "maybe"}).state == "up to date"


@pytest.mark.parametrize("part", ["table", "metadata", "style", "quicklook", "stac"])
def test_what_belongs_to_a_product_is_written_again_with_it(job, part):
    put(job, "SBU")
    deliver(job, "SBU")
    path = Path(job.store.full(getattr(places_of(job, "SBU"), part)))
    before = path.read_bytes()
    path.unlink()
    assert delivery_standing(job, "SBU").state == "maybe"
    assert deliver(job, "SBU")[1]
    assert path.read_bytes() == before


def test_a_package_is_written_where_it_is_asked_for_and_goes_again(job):
    put(job, "SBU")
    deliver(job, "SBU")
    zipping = with_settings(job, zip=True, contact=CONTACT)
    assert "delivery.zip" in delivery_standing(zipping, "SBU").reason
    record, _ = deliver(zipping, "SBU")
    assert products(job) == files_of(job, "SBU", zip=True)
    assert (record.files, places_of(job, "SBU").package in record.beside) == (7, True)
    stem = Path(record.href).stem
    with zipfile.ZipFile(job.store.full(places_of(job, "SBU").package)) as package:
        assert package.testzip() is None
        assert package.namelist() == [f"{stem}.tif", f"{stem}.tif.vat.dbf", f"Metadata/{stem}.xml"]
        assert package.read(f"{stem}.tif") == Path(local(job, "SBU")).read_bytes()
        assert b"S\xc3\xb6hne &amp; Cie &lt;GmbH&gt;" in package.read(f"Metadata/{stem}.xml")
    deliver(job, "SBU")
    assert products(job) == files_of(job, "SBU")


def test_a_package_needs_somebody_to_ask():
    with pytest.raises(ValueError, match=r"add \[delivery.contact\]"):
        EEADelivery(zip=True)
    for wrong in ({"edition": "2024-2021"}, {"edition": "2021"}, {"contact": {"organisation": "x", "email": "nobody"}}):
        with pytest.raises(ValueError):
            EEADelivery(**wrong)


def test_the_same_layer_gives_the_same_bytes(job):
    put(job, "IMCC")
    contents = []
    for _ in range(2):
        deliver(job, "IMCC")
        contents.append({n: Path(job.store.full(f"products/{n}")).read_bytes() for n in products(job)})
        job.store.remove_record(places_of(job, "IMCC").record)
    record = places_of(job, "IMCC").record.removeprefix("products/")
    assert [contents[0][n] == contents[1][n] for n in contents[0] if n != record] == [True] * 6


@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_a_file_that_is_gone_or_changed_is_written_again(job, damage):
    put(job, "IMD_now")
    first, _ = deliver(job, "IMD_now")
    if damage == "gone":
        job.store.fs.rm_file(local(job, "IMD_now"))
    else:
        os.truncate(local(job, "IMD_now"), first.size - 1)
    assert delivery_standing(job, "IMD_now").state == "maybe"
    second, ran = deliver(job, "IMD_now")
    assert ran
    assert (second.digest, second.size) == (first.digest, first.size)


def test_what_other_programs_left_beside_the_old_file_goes_with_it(job):
    put(job, "IMD_now")
    deliver(job, "IMD_now")
    job.store.fs.pipe_file(f"{local(job, 'IMD_now')}.aux.xml", b"<PAMDataset/>")
    put(job, "IMD_now", np.full((200, 200), 7, np.uint8))
    deliver(job, "IMD_now")
    assert not any(name.endswith(".aux.xml") for name in products(job))


def test_another_release_leaves_the_earlier_one_alone(job):
    put(job, "IMD_now")
    deliver(job, "IMD_now")
    later = with_settings(job, release="R01")
    assert deliver(later, "IMD_now")[1]
    assert deliver(job, "IMD_now")[1] is False
    names = [Path(name).name for name in products(job) if name.endswith(".tif")]
    assert names == [IMD, IMD.replace("R00", "R01")]


def test_a_layer_that_is_not_made_is_not_delivered(job):
    put(job, "IMDCL")
    deliver(job, "IMDCL")
    put(job, "IMDCL", np.zeros((1, 1)), made=False, reason="a single model has no deviation")
    assert delivery_standing(job, "IMDCL").reason == "to be removed: a single model has no deviation"
    record, ran = deliver(job, "IMDCL")
    assert (record.made, record.reason, record.href, ran) == (False, "a single model has no deviation", "", True)
    assert products(job) == []
    assert delivery_standing(job, "IMDCL").state == "up to date"
    assert deliver(job, "IMDCL")[1] is False


# failures -----------------------------------------------------------------------------------------------------------


def test_nothing_is_delivered_of_a_layer_that_is_not_done(job):
    with pytest.raises(WorkError, match="IMD_now of tile E43N32: cannot be delivered, it is not made yet"):
        deliver(job, "IMD_now")
    put(job, "IMD_now")
    shutil.rmtree(job.store.full(job.place("IMD_now").data))
    with pytest.raises(WorkError, match="gone or damaged"):
        deliver(job, "IMD_now")
    put(job, "IMD_now")
    elsewhere = Job.of(production(job.store.url, bbox=(4300000, 3297000, 4302000, 3299000)), "E43N32")
    with pytest.raises(WorkError, match="another area"):
        deliver(elsewhere, "IMD_now")
    assert products(job) == []


def test_a_file_that_fails_the_check_is_not_delivered(job):
    put(job, "IBU_now", np.full((200, 200), 77, np.uint8))
    with pytest.raises(WorkError) as failure:
        deliver(job, "IBU_now")
    text = str(failure.value)
    assert text.startswith("CLMS_HRLNVLCC_IBU_S2021_R10m_E43N32_03035_V01_R00.tif: the delivery check failed, value: ")
    assert "77 (40000 pixels)" in text
    assert "\n" not in text
    assert products(job) == []


def test_a_failure_leaves_the_earlier_product(job):
    put(job, "IBU_now")
    deliver(job, "IBU_now")
    before = pixel_counts(local(job, "IBU_now"))
    put(job, "IBU_now", np.full((200, 200), 77, np.uint8))
    with pytest.raises(WorkError):
        deliver(job, "IBU_now")
    assert pixel_counts(local(job, "IBU_now")) == before
    assert delivery_standing(job, "IBU_now").state == "run"
    assert len(products(job)) == 7


@pytest.mark.parametrize(("free", "text"), [(0, "no room left on the disk"), (2**40, "GDAL cannot write it")])
def test_a_disk_that_takes_no_more(job, monkeypatch, capfd, free, text):
    put(job, "IMD_now", np.random.default_rng(1).integers(0, 101, (200, 200), np.uint8))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(WorkError, match=text) as failure:
            deliver(job, "IMD_now")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(failure.value)
    assert products(job) == []
    assert capfd.readouterr().err == ""


def test_a_program_that_has_gdal_raise_its_errors(job):
    put(job, "IMD_now")
    gdal.UseExceptions()
    try:
        assert deliver(job, "IMD_now")[1]
        assert gdal.GetUseExceptions()
    finally:
        gdal.DontUseExceptions()


@pytest.mark.slow
def test_several_at_once(job):
    arrays = layers()
    for symbol in delivered_symbols():
        put(job, symbol, arrays[symbol])
    with ThreadPoolExecutor(4) as pool:
        assert all(ran for _, ran in pool.map(lambda symbol: deliver(job, symbol), delivered_symbols()))
    files = check_paths([job.store.full("products")])
    assert len(files) == 18
    assert all(f.ok for file in files for f in check_file(file, window=True))


def test_blocks_that_never_reached_the_disk_are_noticed(job, monkeypatch):
    put(job, "IMD_now", np.full(job.grid(10).shape, 37, np.uint8))
    # A lost block reads as whatever the driver has at hand, which may by chance be right: zeros are wrong for certain.
    write = geotiff._write
    monkeypatch.setattr(geotiff, "_write", lambda band, row, pixels: write(band, row, np.zeros_like(pixels)))
    with pytest.raises(WorkError, match="differs from the pixels that were written"):
        deliver(job, "IMD_now")
    assert products(job) == []


def test_a_folder_that_cannot_be_written(job):
    put(job, "IMD_now")
    job.store.fs.pipe_file(job.store.full("products"), b"a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        deliver(job, "IMD_now")


def test_missing_bindings_are_explained(job, monkeypatch):
    put(job, "IMD_now")
    monkeypatch.setitem(sys.modules, "osgeo", None)
    with pytest.raises(InputError, match=r'pip install "gdal\[numpy\]==\$\(gdal-config --version\)"') as failure:
        deliver(job, "IMD_now")
    assert "\n" not in str(failure.value)
    assert products(job) == []


def test_a_killed_delivery_is_swept(job):
    put(job, "IMD_now")
    record, _ = deliver(job, "IMD_now")
    draft = Path(f"{job.store.full(record.href).removesuffix('.tif')}.part-0123abcd")
    draft.mkdir()
    (draft / IMD).write_bytes(b"half")
    assert job.store.sweep(job.tile) > 0
    assert len(products(job)) == 7


# not a folder -------------------------------------------------------------------------------------------------------


def test_delivery_into_a_store_that_is_no_folder():
    job = Job.of(production("memory://delivery"), "E43N32")
    assert not job.store.is_local
    array = put(job, "IMD_now")
    record, ran = deliver(job, "IMD_now")
    assert ran
    assert (record.files, record.size) == job.store.measure_all(record)
    assert record.files == 6
    with rasterio.io.MemoryFile(job.store.fs.cat_file(job.store.full(record.href))) as file, file.open() as source:
        np.testing.assert_array_equal(source.read(1), array)
    assert deliver(job, "IMD_now")[1] is False
    job.store.fs.rm_file(job.store.full(record.href))
    assert deliver(job, "IMD_now")[1] is True
    put(job, "IMD_now", np.full((200, 200), 101, np.uint8))
    with pytest.raises(WorkError, match="value: "):
        deliver(job, "IMD_now")
    put(job, "IMD_now", np.zeros((1, 1)), made=False, reason="not asked for")
    assert deliver(job, "IMD_now")[0].made is False
    assert job.store.measure("products")[0] == 0


def test_a_layer_that_is_to_be_made_again_contradicts_nothing(job):
    """Of another change mask, when only one of the two change layers is asked for."""
    arrays = layers()
    arrays["IMDC"][arrays["IMDC"] == 101] = 102
    for symbol in ("CHM_resampled", "IMDC", "IMDCS", "IMD_now", "IMD_then"):
        put(job, symbol, arrays.get(symbol))
    made = job.record("IMDCS")
    mask = job.record("CHM_resampled")
    for version, delivered in ((mask.version, False), ("of another mask", True)):
        ingredients = {"inputs": {"CHM_resampled": version}}
        job.store.write_record(job.place("IMDCS").record, replace(made, ingredients=ingredients))
        if delivered:
            assert deliver(job, "IMDC")[1]
        else:
            with pytest.raises(WorkError, match="do not add up"):
                deliver(job, "IMDC")


def test_a_layer_that_contradicts_another_is_not_delivered(job):
    arrays = layers()
    arrays["IMDC"][arrays["IMDC"] == 101] = 102
    for symbol in ("IMDC", "IMDCS", "IMD_now", "IMD_then"):
        put(job, symbol, arrays[symbol])
    with pytest.raises(WorkError, match=r"the delivery check failed, change: \d+ of 10000 pixels do not add up"):
        deliver(job, "IMDC")
    assert products(job) == []
    assert deliver(job, "IMD_now")[1]
