"""SAFE products as scenes: folders and zips in the provider's layout, with JPEG 2000 inside, written by these tests.

Policy: a damaged product is left out with its reason and never stops a search; what a product is, its metadata tells.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.scenes.bands import BANDS, REFLECTANCE_10M
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.safe import SafeProducts
from imperv.tasks.scenes.scenes import SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.features import yearly_features
from imperv.tasks.yearly.freezing import make_scene_list, open_catalogue
from imperv.tasks.yearly.looks import Looks
from tests.support.safe_products import Product, write_product, zipped

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
YEAR = Period.parse("2018")


def pixels(product: Product, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows, columns = product.shape
    found = {
        band: rng.integers(1, 9000, (rows, columns) if band in REFLECTANCE_10M else (rows // 2, columns // 2)).astype("uint16")
        for band in BANDS[:-1]
    }
    return found | {"SCL": rng.integers(0, 12, (rows // 2, columns // 2)).astype("uint8")}


@pytest.fixture(params=["folder", "zip"])
def write(request, tmp_path):
    """Writes products below one folder, as folders or zips."""

    def go(product: Product, bands: dict[str, np.ndarray] | None = None, under: str = "archive") -> Path:
        folder = tmp_path / under
        folder.mkdir(parents=True, exist_ok=True)
        if request.param == "folder":
            return write_product(folder, product, bands or pixels(product))
        return zipped(write_product(tmp_path / "unpacked", product, bands or pixels(product)), folder)

    return go


def found_in(folder: Path, period: Period = YEAR, bounds=EVERYWHERE) -> SceneList:
    return select_scenes(SafeProducts(folder).search(bounds, period))


def test_a_product_is_a_scene(write, tmp_path):
    product = Product()
    place, expected = write(product), pixels(product)
    (scene,) = found_in(tmp_path / "archive").scenes
    assert scene.id == place.stem == "S2A_MSIL2A_20180506T105029_N0500_R051_T31UDS_20230301T040506"
    assert scene.datetime == "2018-05-06T10:50:29.027000+00:00"
    assert scene.overpass == "sentinel-2a|GS2A_20180506T105029_011057|2018-05-06"
    assert (scene.mgrs, scene.baseline, scene.cloud) == ("31UDS", "05.00", 12.5)
    assert (scene.subtract, scene.reason) == (1000, "raster offset -0.1")
    assert set(scene.bands) == set(BANDS)
    for band, path in scene.bands.items():
        assert path.startswith("/vsizip/") == (place.suffix == ".zip")
        with rasterio.open(path) as source:
            assert source.driver == "JP2OpenJPEG" and source.crs.to_epsg() == 32631
            assert source.transform.c == 501360 and source.transform.f == 5629660
            np.testing.assert_array_equal(source.read(1), expected[band])


@pytest.mark.parametrize(
    ("offset", "baseline", "decision"),
    [
        (-1000, "05.00", (1000, "raster offset -0.1")),
        (-1000, "99.99", (1000, "raster offset -0.1")),
        (0, "04.00", (0, "raster offset 0")),
        (None, "02.06", (0, "no offset before baseline 04.00 (02.06)")),
        (None, "04.00", (0, "no list of offsets in the product (04.00)")),
        # Sen2Cor's own number is no baseline: before version 2.10 it added no offset.
        (None, "99.99", (0, "no list of offsets in the product (99.99)")),
    ],
)
def test_the_offset_is_decided_by_the_same_rule(tmp_path, offset, baseline, decision):
    product = Product(offset=offset, baseline=baseline)
    write_product(tmp_path, product, pixels(product))
    (scene,) = found_in(tmp_path).scenes
    assert (scene.subtract, scene.reason) == decision


def test_the_footprint_is_that_of_the_data_or_of_the_granule(tmp_path):
    product = Product()
    (item,) = SafeProducts(write_product(tmp_path / "a", product, pixels(product))).search(EVERYWHERE, YEAR)
    with rasterio.open(item["assets"]["B02_10m"]["href"]) as source:
        box = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
    longitudes, latitudes = zip(*item["geometry"]["coordinates"][0], strict=True)
    assert (min(longitudes), min(latitudes), max(longitudes), max(latitudes)) == pytest.approx(box, abs=1e-6)
    corners = ((3.0, 50.0), (3.5, 50.0), (3.5, 50.5), (3.0, 50.0))
    (item,) = SafeProducts(write_product(tmp_path / "b", replace(product, footprint=corners), pixels(product))).search(
        EVERYWHERE, YEAR
    )
    assert item["geometry"]["coordinates"] == (corners,)


def test_a_search_finds_by_area_and_day(write, tmp_path):
    days = ("2017-12-31T23:59:59.000Z", "2018-01-01T00:00:00.000Z", "2018-12-31T23:59:59.000Z", "2019-01-01T00:00:00.000Z")
    places = [write(Product(when), under=f"archive/{when[:4]}/{when[5:7]}/{when[8:10]}") for when in days]
    found = found_in(tmp_path / "archive")
    assert [s.id for s in found.scenes] == [place.stem for place in places[1:3]] and not found.dropped
    for bounds, count in (((3.0, 50.8, 3.1, 50.9), 2), ((4.0, 50.8, 4.1, 50.9), 0), ((3.02, 50.9, 3.03, 51.0), 0)):
        assert len(found_in(tmp_path / "archive", bounds=bounds).scenes) == count


def test_one_product_alone_and_twice(tmp_path):
    product = Product()
    place = write_product(tmp_path, product, pixels(product))
    assert len(found_in(place).scenes) == 1
    archive = zipped(place, tmp_path)
    assert len(found_in(archive).scenes) == 1
    found = found_in(tmp_path)
    assert len(found.scenes) == 1 and not found.dropped


def test_of_two_processings_the_newer_is_kept(tmp_path):
    old, new = Product(baseline="02.06", offset=None, generation="2018-05-06T20:00:00.000000Z"), Product()
    for product in (old, new):
        write_product(tmp_path, product, pixels(product))
    found = found_in(tmp_path)
    assert [s.id for s in found.scenes] == [new.name]
    assert found.dropped == {old.name: f"duplicate of {new.name}"}


def test_of_a_product_of_ones_own_and_that_of_the_provider_the_latter_is_kept(tmp_path):
    """99.99 is no baseline, and newer than none."""
    strip = {"strip": "20180506T105024"}
    own = Product(baseline="99.99", offset=None, generation="2024-05-06T20:00:00.000000Z", texts=strip)
    for product in (own, Product(texts=strip)):
        write_product(tmp_path, product, pixels(product))
    found = found_in(tmp_path)
    assert [(s.id, s.subtract) for s in found.scenes] == [(Product().name, 1000)]
    assert found.dropped == {own.name: f"duplicate of {Product().name}"}


def test_both_products_of_a_granule_at_the_end_of_a_datastrip_are_read(write, tmp_path):
    parts = [
        Product(generation=f"2023-03-01T0{k}:00:00.000000Z", texts={"strip": f"20180506T1050{24 + k}"}) for k in (1, 2)
    ]  # fmt: skip
    older = replace(parts[0], baseline="02.06", offset=None, generation="2018-05-06T14:00:00.000000Z")
    for product in (*parts, older):
        write(product)
    found = found_in(tmp_path / "archive")
    assert [s.id for s in found.scenes] == [p.name for p in parts]
    assert len(found.overpasses) == 1 and found.lost == ()
    assert found.dropped == {older.name: f"duplicate of {parts[0].name}"}


def test_a_damaged_part_is_lost_though_the_other_is_sound(tmp_path):
    parts = [Product(generation=f"2023-03-01T0{k}:00:00.000000Z") for k in (1, 2)]
    for product in parts:
        write_product(tmp_path, product, pixels(product))
    (tmp_path / f"{parts[0].name}.SAFE" / parts[0].path("SCL", 20)).unlink()
    found = found_in(tmp_path)
    assert [s.id for s in found.scenes] == [parts[1].name] and found.lost == (parts[0].name,)


def test_level_1c_is_left_out(write, tmp_path):
    write(Product())
    write(Product(level="1C"))
    found = found_in(tmp_path / "archive")
    assert len(found.scenes) == 1
    assert found.dropped == {Product(level="1C").name: "is Level-1C, top of the atmosphere; Level-2A is needed"}


def test_zips_of_something_else_are_not_looked_at(tmp_path):
    write_product(tmp_path, Product(), pixels(Product()))
    (tmp_path / "notes.zip").write_bytes(b"notes")
    found = found_in(tmp_path)
    assert len(found.scenes) == 1 and not found.dropped


# ways of unpacking and packing -----------------------------------------------------------------------------------------


def pack(product: Path, zip_file: Path, *, sep: str = "/", before: str = "", top: bool = True) -> None:
    """A zip with names as tools write them."""
    with zipfile.ZipFile(zip_file, "a") as archive:
        for file in sorted(product.rglob("*")):
            name = before + str(file.relative_to(product.parent if top else product)).replace("/", sep)
            info = zipfile.ZipInfo(name)
            info.filename = name + sep * file.is_dir()  # a backslash stays
            archive.writestr(info, b"" if file.is_dir() else file.read_bytes())


def pour_out(zip_file: Path, folder: Path) -> None:
    """What unzipping does that knows no backslashes: all files in one folder."""
    with zipfile.ZipFile(zip_file) as archive:
        for info in archive.infolist():
            if info.file_size:
                (folder / info.filename).write_bytes(archive.read(info))


def with_forks(product: Path, folder: Path) -> None:
    """A copy from a Mac: a resource fork beside every file."""
    copied = shutil.copytree(product, folder / product.name)
    for file in [copied, *copied.rglob("*")]:
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\x16\7")
    shutil.copytree(product, folder / "__MACOSX" / product.name)
    (folder / ".Trash").mkdir()
    shutil.copytree(product, folder / ".Trash" / "S2A_MSIL2A_20180507T105029_N0500_R051_T31UDS_20230301T040506.SAFE")


def zipped_on_a_mac(product: Path, folder: Path) -> None:
    pack(product, folder / "Archive.zip")
    with zipfile.ZipFile(folder / "Archive.zip", "a") as archive:
        for name in archive.namelist():
            archive.writestr("__MACOSX/" + re.sub(r"([^/]+)$", r"._\1", name), b"\0\5\x16\7")


def flat(product: Path, folder: Path, top: bool) -> None:
    pack(product, folder.parent / "x.zip", sep="\\", top=top)
    pour_out(folder.parent / "x.zip", folder)


WAYS = {
    "a folder in itself": lambda p, to: shutil.copytree(p, to / p.name / p.name),
    "twice in itself": lambda p, to: shutil.copytree(p, to / p.name / p.name / p.name),
    "in a folder of its name": lambda p, to: shutil.copytree(p, to / p.stem / p.name),
    "without .SAFE": lambda p, to: shutil.copytree(p, to / p.stem),
    "under another name": lambda p, to: shutil.copytree(p, to / "tile of may"),
    "in small letters": lambda p, to: shutil.copytree(p, to / f"{p.stem}.safe"),
    "zip with backslashes": lambda p, to: pack(p, to / f"{p.stem}.zip", sep="\\"),
    "zip with a drive": lambda p, to: pack(p, to / f"{p.stem}.zip", sep="\\", before="C:\\data\\"),
    "zip of another name": lambda p, to: pack(p, to / "0f3c-11.ZIP"),
    "second download": lambda p, to: pack(p, to / f"{p.stem} (1).zip"),
    "zip with dots": lambda p, to: pack(p, to / f"{p.name}.zip", before="./"),
    "zip without a folder": lambda p, to: pack(p, to / f"{p.stem}.zip", top=False),
    "zip called .SAFE": lambda p, to: pack(p, to / p.name),
    "zip in a folder called .zip": lambda p, to: ((to / "a.zip").mkdir(), pack(p, to / "a.zip" / f"{p.stem}.zip")),
    "backslashes on disk": lambda p, to: flat(p, to, True),
    "backslashes on disk, no folder": lambda p, to: flat(p, to, False),
    "forks of a Mac": with_forks,
    "zip of a Mac": zipped_on_a_mac,
}


@pytest.mark.parametrize("way", WAYS)
def test_however_a_product_is_unpacked_or_packed(tmp_path, way):
    product = Product()
    expected = pixels(product)
    place = write_product(tmp_path / "source", product, expected)
    (tmp_path / "archive").mkdir()
    WAYS[way](place, tmp_path / "archive")
    assert isinstance(open_catalogue(job_of(tmp_path, tmp_path / "archive")), SafeProducts)
    found = found_in(tmp_path / "archive")
    assert [(s.id, s.subtract) for s in found.scenes] == [(product.name, 1000)]
    assert found.dropped == {} and found.lost == ()
    for band, path in found.scenes[0].bands.items():
        with rasterio.open(path) as source:
            np.testing.assert_array_equal(source.read(1), expected[band])
    assert found_in(tmp_path / "archive", Period.parse("2019")).scenes == ()


def test_a_zip_of_several_products(tmp_path):
    products = [Product(f"2018-05-{day:02d}T10:50:29.027Z") for day in (6, 9)]
    for product in products:
        pack(write_product(tmp_path / "source", product, pixels(product)), tmp_path / "may.zip")
    assert [s.id for s in found_in(tmp_path / "may.zip").scenes] == [p.name for p in products]
    (tmp_path / "source" / f"{products[0].name}.SAFE" / "MTD_MSIL2A.xml").write_text("<a>")
    (tmp_path / "may.zip").unlink()
    for product in products:
        pack(tmp_path / "source" / f"{product.name}.SAFE", tmp_path / "may.zip")
    found = found_in(tmp_path / "may.zip")
    assert [s.id for s in found.scenes] == [products[1].name]
    assert found.dropped[products[0].name].startswith("MTD_MSIL2A.xml cannot be read: ")


def set_in_headers(zip_file: Path, local: int, central: int, value: int) -> None:
    """Change a byte of all headers of a zip."""
    data = bytearray(zip_file.read_bytes())
    for signature, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] = value
            place = data.find(signature, place + 4)
    zip_file.write_bytes(data)


def encrypted(product: Path, folder: Path) -> None:
    pack(product, folder / f"{product.stem}.zip")
    set_in_headers(folder / f"{product.stem}.zip", 6, 8, 1)


def packed_by_explorer(product: Path, folder: Path) -> None:
    """Deflate64, which Windows takes for large files and Python does not know."""
    pack(product, folder / f"{product.stem}.zip")
    set_in_headers(folder / f"{product.stem}.zip", 8, 10, 9)


def zip_in_zip(product: Path, folder: Path) -> None:
    pack(product, folder.parent / f"{product.stem}.zip")
    with zipfile.ZipFile(folder / "download.zip", "w") as archive:
        archive.write(folder.parent / f"{product.stem}.zip", f"download/{product.stem}.zip")


def cut_off(product: Path, folder: Path) -> None:
    pack(product, folder / "0f3c-11.zip")
    (folder / "0f3c-11.zip").write_bytes((folder / "0f3c-11.zip").read_bytes()[:5000])


NAMED = {
    "encrypted": (encrypted, "MTD_MSIL2A.xml cannot be read: File .* is encrypted"),
    "deflate64": (packed_by_explorer, "MTD_MSIL2A.xml cannot be read: That compression method is not supported"),
    "zip in a zip": (zip_in_zip, r"download/S2A_\w+\.zip is a zip inside of a zip or product; unpack it"),
    "zip cut off": (cut_off, "cannot be opened: File is not a zip file"),
    "other archive": (lambda p, to: (to / f"{p.stem}.SAFE.tar.gz").write_bytes(b"x"), "cannot be opened: File is not a zip"),
    "empty": (lambda p, to: (to / p.name).mkdir(), "has no MTD_MSIL2A.xml"),
    "empty in itself": (lambda p, to: (to / p.name / p.name).mkdir(parents=True), "has no MTD_MSIL2A.xml"),
    "half unpacked": (lambda p, to: shutil.copytree(p / "GRANULE", to / p.stem / "GRANULE"), "has no MTD_MSIL2A.xml"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMED)
def test_what_cannot_be_read_is_named(tmp_path, kind):
    spoil, reason = NAMED[kind]
    product = Product()
    (tmp_path / "archive").mkdir()
    spoil(write_product(tmp_path / "source", product, pixels(product)), tmp_path / "archive")
    found = found_in(tmp_path / "archive")
    assert found.scenes == () and found.lost == (product.name,) and set(found.dropped) == {product.name}
    assert re.match(reason, found.dropped[product.name]) and str(tmp_path / "archive") in found.dropped[product.name]
    assert found_in(tmp_path / "archive", Period.parse("2019")).dropped == {}


# damage ---------------------------------------------------------------------------------------------------------------

DAMAGE = {
    "no main metadata": (lambda p: (p / "MTD_MSIL2A.xml").unlink(), "has no MTD_MSIL2A.xml"),
    "empty main metadata": (lambda p: (p / "MTD_MSIL2A.xml").write_text(""), "has no MTD_MSIL2A.xml"),
    "broken main metadata": (lambda p: (p / "MTD_MSIL2A.xml").write_text("<a><b>"), "MTD_MSIL2A.xml cannot be read: "),
    "foreign metadata": (lambda p: (p / "MTD_MSIL2A.xml").write_text("<a/>"), "its metadata lacks "),
    "no tile metadata": (lambda p: (p / Product().granule / "MTD_TL.xml").unlink(), "has no GRANULE/*/MTD_TL.xml"),
    "no band": (lambda p: (p / Product().path("B05", 20)).unlink(), "lacks T31UDS_20180506T105029_B05_20m.jp2"),
    "no SCL": (lambda p: (p / Product().path("SCL", 20)).unlink(), "lacks T31UDS_20180506T105029_SCL_20m.jp2"),
    "empty band": (lambda p: (p / Product().path("B02", 10)).write_bytes(b""), "lacks T31UDS_20180506T105029_B02_10m.jp2"),
    "two granules": (
        lambda p: shutil.copytree(p / Product().granule, p / "GRANULE" / "other"), "has 2 granules, one is expected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_product_is_left_out_with_its_reason(tmp_path, kind, packed):
    spoil, reason = DAMAGE[kind]
    folder = tmp_path / "archive"
    sound = Product("2018-05-09T10:50:29.027Z")
    write_product(folder, sound, pixels(sound))
    place = write_product(tmp_path / "unpacked" if packed else folder, Product(), pixels(Product()))
    spoil(place)
    if packed:
        place = zipped(place, folder)
    found = found_in(folder)
    assert [s.id for s in found.scenes] == [sound.name]
    ((name, said),) = found.dropped.items()
    assert name == Product().name and said.startswith(reason) and said.endswith(f"({place})") and "\n" not in said


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"quantification": "1000"}, "its reflectance is in units of 1/1000, not 1/10000"),
        ({"start": ""}, "its metadata lacks PRODUCT_START_TIME"),
        ({"start": "yesterday"}, "MTD_MSIL2A.xml holds something unexpected: "),
        ({"cloud": "much"}, "MTD_MSIL2A.xml holds something unexpected: "),
        ({"left": "west"}, "its metadata has no valid footprint: "),
        ({"crs": "EPSG:1"}, "its metadata has no valid footprint: "),
        ({"offsets": '<BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET>'}, "its bands have different offsets"),
        ({"offsets": '<BOA_ADD_OFFSET band_id="13">-1000</BOA_ADD_OFFSET>'}, "MTD_MSIL2A.xml holds something unexpected: "),
        ({"cloud": "nan"}, "MTD_MSIL2A.xml holds something unexpected: "),
        ({"offsets": '<BOA_ADD_OFFSET band_id="x">-1000</BOA_ADD_OFFSET>'}, "MTD_MSIL2A.xml holds something unexpected: "),
    ],
)
def test_metadata_that_cannot_be_right(tmp_path, texts, reason):
    write_product(tmp_path, Product(texts=texts), pixels(Product()))
    found = found_in(tmp_path)
    assert not found.scenes
    assert found.dropped[Product().name].startswith(reason)


def test_what_of_damaged_products_is_lost(tmp_path):
    """Not what another processing shows, and not what lies elsewhere."""
    looks = [Product(f"2018-05-{day:02d}T10:50:29.027Z") for day in (6, 9, 12)]
    for product in looks[:2]:
        write_product(tmp_path, product, pixels(product))
    older = replace(looks[0], baseline="04.00")
    elsewhere = replace(looks[2], mgrs="33TWN")
    for product in (looks[2], older, elsewhere):
        (write_product(tmp_path, product, pixels(product)) / product.path("SCL", 20)).unlink()
    found = found_in(tmp_path)
    assert [s.id for s in found.scenes] == [p.name for p in looks[:2]]
    assert set(found.dropped) == {looks[2].name, older.name, elsewhere.name}
    assert found.lost == (looks[2].name,)


def test_a_zip_cut_short(tmp_path):
    archive = zipped(write_product(tmp_path / "unpacked", Product(), pixels(Product())), tmp_path)
    archive.write_bytes(archive.read_bytes()[:5000])
    assert found_in(tmp_path).dropped[Product().name].startswith("cannot be opened: ")


def test_a_folder_without_products(tmp_path):
    with pytest.raises(InputError, match="there are no SAFE products; correct the path"):
        SafeProducts(tmp_path).search(EVERYWHERE, YEAR)


# the whole way ----------------------------------------------------------------------------------------------------


def job_of(tmp_path: Path, catalogue: Path) -> Job:
    (tmp_path / "production.toml").write_text(
        f'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "{catalogue}"\n'
    )
    return Job.of(Production.read(tmp_path), "E38N31")


def test_what_is_a_folder_of_products(write, tmp_path):
    place = write(Product(), under="archive/2018/05")
    assert isinstance(open_catalogue(job_of(tmp_path, tmp_path / "archive")), SafeProducts)
    assert isinstance(open_catalogue(job_of(tmp_path, place)), SafeProducts)
    (tmp_path / "archive" / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert isinstance(open_catalogue(job_of(tmp_path, tmp_path / "archive")), ItemFiles)


@pytest.mark.slow
def test_features_of_products_equal_those_of_geotiffs(write, shared_data, tmp_path):
    """A year of Flanders, written once more in the provider's form of baseline 05.00, with its offset."""
    source = ItemFiles(shared_data / "flanders" / "items.json", "sentinel-2-l2a")
    expected = select_scenes(source.search(EVERYWHERE, YEAR))
    for scene in expected.scenes:
        bands = {}
        for band, path in scene.bands.items():
            with rasterio.open(path) as file:
                values = file.read(1)
            bands[band] = values if band == "SCL" else np.where(values == 0, 0, values + 1000).astype("uint16")
        write(Product(scene.datetime[:19] + ".000Z"), bands)
    job = job_of(tmp_path, tmp_path / "archive")
    made = make_scene_list(job, CATALOGUE["S2_then"])
    assert made.statistics["overpasses"] == len(expected.overpasses) == made.statistics["offset_subtracted"]
    found = SceneList.from_json(job.store.read_text(job.place("S2_then").data))
    with rasterio.open(found.scenes[0].bands["B02"]) as file:
        left, bottom, right, top = transform_bounds(file.crs, "EPSG:3035", *file.bounds)
    corner = (round(left, -2) - 100, round(bottom, -2) - 100)
    grid = GeoBox.from_bbox((*corner, corner[0] + 1000, corner[1] + 1000), "EPSG:3035", resolution=10)
    with_products, with_files = (yearly_features(Looks.of(scenes), grid, 2) for scenes in (found, expected))
    assert (with_files["observations"] > 10).sum() > 1000
    for name, values in with_files.items():
        np.testing.assert_array_equal(with_products[name], values, err_msg=name)
