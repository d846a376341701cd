"""Reference rasters on the tile's grid: read as they are, resampled with a warning, or refused in one line; fingerprints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.family import FAMILY
from imperv.tasks.job import Job
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.references.references import make_reference
from imperv.tasks.settings.production import Production
from tests.support.hidden_pixels import HIDDEN, hide
from tests.support.range_server import serving

WINDOW = (3_829_000, 3_101_000, 3_831_000, 3_103_000)
"""Two by two kilometres of tile E38N31."""
SHAPE = (200, 200)
CORNER = (3_829_000.0, 3_103_000.0)


@pytest.fixture
def job(tmp_path):
    """Makes the job of the window with some references, footprints or settings."""

    def make(references: str = "", more: str = "") -> Job:
        (tmp_path / "production.toml").write_text(
            f'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(WINDOW)}\n'
            f'[scenes]\ncatalogue = "items.json"\n[references]\n{references}\n{more}'
        )
        return Job.of(Production.read(tmp_path), "E38N31")

    return make


def write(path: Path, array, *, corner=CORNER, pixel=10.0, crs="EPSG:3035", south_up=False, **profile) -> Path:
    bands = array if array.ndim == 3 else array[np.newaxis]
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    if south_up:
        bands = bands[:, ::-1]
        transform = Affine(pixel, 0, corner[0], 0, pixel, corner[1] - pixel * bands.shape[1])
    with rasterio.open(
        path, "w", driver="GTiff", height=bands.shape[1], width=bands.shape[2], count=len(bands), dtype=bands.dtype,
        crs=crs, transform=transform, **profile,
    ) as target:  # fmt: skip
        target.write(bands)
    return path


def make(job: Job, symbol: str):
    """What the task tells, and the pixels it stored."""
    made = make_reference(job, CATALOGUE[symbol])
    return made, job.array(symbol)[:]


def refusal(job: Job, symbol: str) -> str:
    with pytest.raises(InputError) as caught:
        make_reference(job, CATALOGUE[symbol])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"references.{FAMILY.references[symbol].key}: ")
    assert not job.store.fs.exists(job.store.full(job.place(symbol).data))
    return message


def random_codes(symbol: str, shape=SHAPE, seed: int = 0) -> np.ndarray:
    codes = np.array(CATALOGUE[symbol].codes, "uint8")
    return np.random.default_rng(seed).choice(codes, shape)


# on the grid ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", FAMILY.references)
def test_real_rasters_are_read_as_they_are(shared_data, job, symbol):
    path = shared_data / "flanders" / "reference" / f"{FAMILY.references[symbol].key}.tif"
    made, found = make(job(f'{FAMILY.references[symbol].key} = "{path}"'), symbol)
    assert made.warnings == (f"{path} covers 14 % of the area; the rest has no data",)  # 750 x 730 m of 2 x 2 km
    with rasterio.open(path) as source:
        expected = np.full(SHAPE, 255, "uint8")
        expected[96:169, 82:157] = source.read(1)  # 3829820, 3102040 is row 96, column 82 of the window
    np.testing.assert_array_equal(found, expected)
    name = CATALOGUE[symbol].stem
    counts = {str(code): int(count) for code, count in zip(*np.unique(expected, return_counts=True), strict=True)}
    assert next(iter(made.statistics.values()))["histogram"] == counts, name


@pytest.mark.parametrize("symbol", FAMILY.references)
@pytest.mark.parametrize("tag", [None, 0, 255])
def test_a_larger_raster_is_cut_and_codes_are_kept(tmp_path, job, symbol, tag):
    """Whatever its no-data tag says: 0 is a code of its own where the layer has it."""
    codes = random_codes(symbol, (300, 400))
    path = write(tmp_path / "x.tif", codes, corner=(CORNER[0] - 500, CORNER[1] + 300), nodata=tag)
    made, found = make(job(f'{FAMILY.references[symbol].key} = "{path.name}"'), symbol)
    assert made.warnings == ()
    np.testing.assert_array_equal(found, codes[30:230, 50:250])


@pytest.mark.parametrize("tag", [None, 0, 255])
@pytest.mark.parametrize(("dy", "dx"), [(-50, -60), (120, 70), (-50, 70), (0, 0)])
def test_a_raster_that_covers_a_part_leaves_the_rest_outside(tmp_path, job, tag, dy, dx):
    codes = random_codes("IMD_then", (150, 140))
    path = write(tmp_path / "x.tif", codes, corner=(CORNER[0] + 10 * dx, CORNER[1] - 10 * dy), nodata=tag)
    _, found = make(job(f'imd_then = "{path.name}"'), "IMD_then")
    canvas = np.full((600, 600), 255, "uint8")
    canvas[200 + dy : 350 + dy, 200 + dx : 340 + dx] = codes
    np.testing.assert_array_equal(found, canvas[200:400, 200:400])


def test_unclassifiable_of_older_editions_is_outside(tmp_path, job):
    codes = random_codes("IMD_then")
    older = codes.copy()
    older[::3] = 254
    write(tmp_path / "imd.tif", older)
    _, found = make(job('imd_then = "imd.tif"'), "IMD_then")
    codes[::3] = 255
    np.testing.assert_array_equal(found, codes)


def test_a_tag_that_is_no_code_of_the_layer_is_outside(tmp_path, job):
    codes = random_codes("IBU_then")
    tagged = np.where(codes == 255, 7, codes).astype("uint8")
    write(tmp_path / "ibu.tif", tagged, nodata=7)
    _, found = make(job('ibu_then = "ibu.tif"'), "IBU_then")
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("symbol", FAMILY.references)
@pytest.mark.parametrize("pixel", [10, 20])
def test_hidden_pixels_are_outside_whatever_they_hold(tmp_path, job, how, symbol, pixel):
    """Masks in and beside the file, alpha bands; in the grid of the tile, and before anything is interpolated."""
    codes = random_codes(symbol, (200 * 10 // pixel,) * 2)
    gone = np.random.default_rng(3).random(codes.shape) < 0.2
    plain = write(tmp_path / "plain.tif", np.where(gone, 255, codes).astype("uint8"), pixel=pixel)
    _, expected = make(job(f'{FAMILY.references[symbol].key} = "{plain.name}"'), symbol)
    hide(str(write(tmp_path / "hidden.tif", codes, pixel=pixel)), gone, how)
    _, found = make(job(f'{FAMILY.references[symbol].key} = "hidden.tif"'), symbol)
    np.testing.assert_array_equal(found, expected)
    assert 0.1 < (found == 255).mean() < 0.5


def test_codes_of_clcplus_outside_stay(tmp_path, job):
    """253 is sea and 254 unclassified: kept as they are, the sealing mask knows them."""
    codes = np.full(SHAPE, 1, "uint8")
    codes[:100], codes[:50] = 253, 254
    write(tmp_path / "c.tif", codes)
    _, found = make(job('clcplus_now = "c.tif"'), "CLCP_now")
    np.testing.assert_array_equal(found, codes)


# off the grid -----------------------------------------------------------------------------------------------------


def warned(made, *words: str) -> None:
    (text,) = made.warnings
    assert "not on the 10 m EEA grid" in text and "from full resolution" in text
    assert all(word in text for word in words), text


def test_classes_of_20_m_are_repeated(tmp_path, job):
    codes = random_codes("CLCP_then", (100, 100))
    write(tmp_path / "c.tif", codes, pixel=20)
    made, found = make(job('clcplus_then = "c.tif"'), "CLCP_then")
    warned(made, "EPSG:3035", "20 m", "nearest", "c.tif")
    np.testing.assert_array_equal(found, codes.repeat(2, axis=0).repeat(2, axis=1))


def test_densities_of_20_m_are_interpolated(tmp_path, job):
    """Quarters and three quarters of a coarse pixel, away from no data."""
    coarse = np.random.default_rng(0).integers(0, 101, (110, 110)).astype("uint8")
    write(tmp_path / "imd.tif", coarse, pixel=20, corner=(CORNER[0] - 100, CORNER[1] + 100))
    made, found = make(job('imd_then = "imd.tif"'), "IMD_then")
    warned(made, "20 m", "bilinear")
    a = coarse.astype(float)
    place = (np.arange(200) + 0.5) / 2 + 5 - 0.5
    low, share = np.floor(place).astype(int), place % 1
    rows = a[low] * (1 - share[:, None]) + a[low + 1] * share[:, None]
    expected = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    assert np.abs(found - expected).max() <= 1


def utm_position() -> tuple[np.ndarray, np.ndarray]:
    """EPSG:32631 coordinates of the pixel centres of the window."""
    y, x = np.mgrid[0:200, 0:200] + 0.5
    return Transformer.from_crs("EPSG:3035", "EPSG:32631", always_xy=True).transform(CORNER[0] + 10 * x, CORNER[1] - 10 * y)


def test_classes_in_utm_are_the_nearest(tmp_path, job):
    codes = random_codes("CLCP_now", (400, 400))
    write(tmp_path / "c.tif", codes, corner=(500_000.0, 5_631_600.0), crs="EPSG:32631")
    made, found = make(job('clcplus_now = "c.tif"'), "CLCP_now")
    warned(made, "EPSG:32631", "10 m", "nearest")
    x, y = utm_position()
    row, column = (5_631_600 - y) / 10, (x - 500_000) / 10
    clear = (np.abs(row - np.rint(row)) > 0.02) & (np.abs(column - np.rint(column)) > 0.02)
    expected = codes[np.floor(row).astype(int), np.floor(column).astype(int)]
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], expected[clear])


def test_densities_in_utm_never_mix_with_outside(tmp_path, job):
    codes = np.full((400, 400), 40, "uint8")
    codes[np.random.default_rng(0).random(codes.shape) < 0.2] = 255
    codes[:, 200:] = 255
    write(tmp_path / "imd.tif", codes, corner=(500_000.0, 5_631_600.0), crs="EPSG:32631")
    made, found = make(job('imd_then = "imd.tif"'), "IMD_then")
    warned(made, "EPSG:32631", "bilinear")
    assert set(np.unique(found)) == {40, 255}


@pytest.mark.parametrize("tag", [None, 254, 200])
def test_densities_never_mix_with_other_codes_of_no_data(tmp_path, job, tag):
    outside = 200 if tag == 200 else 254
    codes = np.full((100, 100), 40, "uint8")
    codes[::4, ::3] = outside
    write(tmp_path / "imd.tif", codes, pixel=20, nodata=tag)
    _, found = make(job('imd_then = "imd.tif"'), "IMD_then")
    assert set(np.unique(found)) <= {40, 255}


@pytest.mark.parametrize("shift", [(5.0, 0.0), (0.0, 5.0), (3.3, 1.7)])
def test_a_shifted_grid_is_resampled(tmp_path, job, shift):
    codes = random_codes("IBU_then", (220, 220))
    write(tmp_path / "ibu.tif", codes, corner=(CORNER[0] - 100 - shift[0], CORNER[1] + 100 + shift[1]))
    made, found = make(job('ibu_then = "ibu.tif"'), "IBU_then")
    warned(made, "nearest")
    if shift == (3.3, 1.7):
        np.testing.assert_array_equal(found, codes[10:210, 10:210])
    assert set(np.unique(found)) == {0, 1, 255}


def test_a_raster_that_begins_in_the_south_is_turned(tmp_path, job):
    codes = random_codes("IBU_then")
    write(tmp_path / "ibu.tif", codes, south_up=True)
    _, found = make(job('ibu_then = "ibu.tif"'), "IBU_then")
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize("pixel", [10.0, 2.5])
def test_poisoned_overviews_do_not_matter(tmp_path, job, pixel):
    edge = int(2000 / pixel)
    path = write(tmp_path / "imd.tif", np.full((edge, edge), 40, "uint8"), pixel=pixel, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4], Resampling.nearest)
    for level in (0, 1):
        with rasterio.open(path, "r+", OVERVIEW_LEVEL=level) as overview:
            overview.write(np.full(overview.shape, 99, "uint8"), 1)
    with rasterio.open(path) as source:
        assert source.read(1, out_shape=(edge // 4, edge // 4)).max() == 99
    _, found = make(job('imd_then = "imd.tif"'), "IMD_then")
    assert set(np.unique(found)) == {40}


# refusals ---------------------------------------------------------------------------------------------------------


def test_not_named(job):
    assert refusal(job(), "IMD_then") == "references.imd_then: is missing; IMD_then of tile E38N31 needs it"


def test_missing_file(tmp_path, job):
    message = refusal(job('imd_then = "nothing.tif"'), "IMD_then")
    assert message == f"references.imd_then: {tmp_path / 'nothing.tif'} does not exist; correct the path"


def test_not_a_raster(tmp_path, job):
    (tmp_path / "x.tif").write_text("no raster")
    message = refusal(job('imd_then = "x.tif"'), "IMD_then")
    assert str(tmp_path / "x.tif") in message and "cannot be opened" in message and "name a readable raster" in message


def test_cut_short(tmp_path, job):
    path = write(tmp_path / "x.tif", random_codes("IMD_then"), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refusal(job('imd_then = "x.tif"'), "IMD_then")
    assert str(path) in message and "cannot be read" in message


def test_no_reference_system(tmp_path, job):
    path = write(tmp_path / "x.tif", random_codes("IMD_then"), crs=None)
    message = refusal(job('imd_then = "x.tif"'), "IMD_then")
    assert f"{path} has no coordinate reference system; assign one" in message


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(SHAPE, "float32"), "1 band(s) of float32"),
        (np.zeros(SHAPE, "uint16"), "1 band(s) of uint16"),
        (np.zeros((2, *SHAPE), "uint8"), "2 band(s) of uint8"),
    ],
)
def test_one_band_of_uint8_is_needed(tmp_path, job, array, words):
    path = write(tmp_path / "x.tif", array)
    assert f"{path} has {words}; one band of uint8 is needed" in refusal(job('ibu_then = "x.tif"'), "IBU_then")


@pytest.mark.parametrize(
    ("symbol", "wrong"),
    [("IMD_then", 101), ("IMD_then", 200), ("IBU_then", 2), ("IBU_then", 100), ("CLCP_now", 0), ("CLCP_then", 12)],
)
def test_unknown_codes(tmp_path, job, symbol, wrong):
    codes = random_codes(symbol)
    codes[17, 23] = wrong
    path = write(tmp_path / "x.tif", codes)
    message = refusal(job(f'{FAMILY.references[symbol].key} = "x.tif"'), symbol)
    assert f"{path} holds the codes [{wrong}], which {symbol} does not have; name the right file or recode it" in message


@pytest.mark.parametrize(("east", "north"), [(2000, 0), (0, 2000), (-500_000, 0)])
def test_a_raster_elsewhere(tmp_path, job, east, north):
    path = write(tmp_path / "x.tif", random_codes("IMD_then"), corner=(CORNER[0] + east, CORNER[1] + north))
    message = refusal(job('imd_then = "x.tif"'), "IMD_then")
    assert f"{path} does not cover tile E38N31" in message
    assert str([round(v) for v in WINDOW]) in message and "name a file that covers it" in message


def test_a_raster_in_another_zone(tmp_path, job):
    write(tmp_path / "x.tif", random_codes("IMD_then"), corner=(500_000.0, 5_631_600.0), crs="EPSG:32633")
    assert "does not cover tile E38N31" in refusal(job('imd_then = "x.tif"'), "IMD_then")


def test_nothing_but_outside(tmp_path, job):
    path = write(tmp_path / "x.tif", np.full(SHAPE, 255, "uint8"))
    message = refusal(job('imd_then = "x.tif"'), "IMD_then")
    assert f"{path} holds no data inside tile E38N31; name a file that covers it" in message


# fingerprints -----------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_size_and_digest(tmp_path, job):
    import hashlib

    path = tmp_path / "x.tif"
    path.write_bytes(b"12345")
    expected = {"size": 5, "digest": hashlib.blake2b(b"12345", digest_size=16).hexdigest()}
    assert list(fingerprint(job(), str(path)).values()) == [expected]


def test_a_changed_file_is_noticed_and_an_unchanged_one_remembered(tmp_path, job, monkeypatch):
    here, path = job(), tmp_path / "x.tif"
    path.write_bytes(b"12345")
    first = fingerprint(here, str(path))
    reads = []
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (reads.append(self), original(self, *a, **k))[1])
    assert fingerprint(here, str(path)) == first
    assert path not in reads
    past = path.stat()
    path.write_bytes(b"54321")  # as long as before
    os.utime(path, ns=(past.st_atime_ns, past.st_mtime_ns + 1))
    changed = fingerprint(here, str(path))
    assert path in reads
    assert changed != first
    path.write_bytes(b"12345")
    os.utime(path, ns=(past.st_atime_ns, past.st_mtime_ns + 2))
    assert fingerprint(here, str(path)) == first  # touched, but the same


def test_another_run_remembers_too(tmp_path, job, monkeypatch):
    path = tmp_path / "x.tif"
    path.write_bytes(b"12345")
    first = fingerprint(job(), str(path))
    monkeypatch.setattr("imperv.tasks.references.fingerprints.file_digest", None)
    assert fingerprint(job(), str(path)) == first


def test_a_mask_beside_a_file_counts(tmp_path, job):
    path = str(write(tmp_path / "imd.tif", random_codes("IMD_then")))
    before = fingerprint(job(), path)
    (tmp_path / "imd.tif.msk").write_bytes(b"a mask")
    after = fingerprint(job(), path)
    assert set(before) == {"imd.tif"} and set(after) == {"imd.tif", "imd.tif.msk"} and after["imd.tif"] == before["imd.tif"]


def test_signing_anew_makes_no_other_file(tmp_path, job):
    """Names of files in keys are those without signatures."""
    with serving(tmp_path) as server:
        write(tmp_path / "imd.tif", random_codes("IMD_then"))
        one, other = (fingerprint(job(), f"{server.url}/imd.tif?sig={text}&se=2026") for text in ("AAAA", "BBBB"))
    assert one == other and list(one) == ["imd.tif"] and one["imd.tif"]["size"] > 0


def test_a_missing_file_has_a_fingerprint_of_its_own(tmp_path, job):
    here, path = job(), tmp_path / "x.tif"
    missing = fingerprint(here, str(path))
    path.write_bytes(b"")
    assert fingerprint(here, str(path)) != missing


def test_the_parts_of_a_mosaic_count(tmp_path, job):
    write(tmp_path / "a.tif", random_codes("IBU_then"))
    with rasterio.open(tmp_path / "a.tif") as source, rasterio.vrt.WarpedVRT(source) as mosaic:
        rasterio.shutil.copy(mosaic, tmp_path / "m.vrt", driver="VRT")
    here = job()
    first = fingerprint(here, str(tmp_path / "m.vrt"))
    assert set(first) == {"m.vrt", "a.tif"}
    write(tmp_path / "a.tif", random_codes("IBU_then", seed=1))
    assert fingerprint(here, str(tmp_path / "m.vrt"))["a.tif"] != first["a.tif"]


def test_a_missing_mosaic_is_refused_like_any_file(tmp_path, job):
    from imperv.tasks.nodes import make_node

    with pytest.raises(InputError, match=r"nothing\.vrt"):
        make_node(job('imd_then = "nothing.vrt"'), "IMD_then")


def test_all_parts_of_a_shapefile_and_of_a_geodatabase_count(tmp_path, job):
    """Whatever signs of patterns are in their names."""
    for name in ("a[1]*.shp", "a[1]*.dbf", "a[1]*.prj", "a1b.dbf", "b.gdb/a.gdbtable", "b.gdb/a.gdbtablx", "b.gdb/x.sr.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    assert set(fingerprint(job(), str(tmp_path / "a[1]*.shp"))) == {"a[1]*.shp", "a[1]*.dbf", "a[1]*.prj"}
    first = fingerprint(job(), str(tmp_path / "b.gdb"))
    assert set(first) == {"a.gdbtable", "a.gdbtablx"}
    (tmp_path / "b.gdb/a.gdbtable").write_bytes(b"12")
    assert fingerprint(job(), str(tmp_path / "b.gdb")) != first
