"""Prepared scenes against NumPy and GDAL: every way to other pixels, every mask, and what cannot be met."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from imperv.flows.cli.commands import main
from tests.support.safe_products import Product, write_product, zipped

ROWS, COLUMNS = 120, 120
LEFT, TOP = 501_360, 5_629_620
"""Whole multiples of 60 m, so that the grid of a product is the grid of its granule."""

PIXEL = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10), **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}  # fmt: skip


def ground(seed: int = 1) -> dict[str, np.ndarray]:
    """Digital numbers with an offset of 1000, and classes: cloud, cirrus, shadow, vegetation, water; a corner without data."""
    rng = np.random.default_rng(seed)
    found = {}
    for band, size in PIXEL.items():
        shape = ROWS * 10 // size, COLUMNS * 10 // size
        found[band] = rng.integers(1200, 5000, shape).astype("uint16")
        found[band][: shape[0] // 10, : shape[1] // 10] = 0
    found["SCL"] = rng.choice([3, 4, 5, 6, 8, 9, 10], (ROWS // 2, COLUMNS // 2)).astype("uint8")
    found["SCL"][:6, :6] = 0
    return found


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """A product of Level-2A."""
    return write_product(tmp_path_factory.mktemp("safe"), Product(left=LEFT, top=TOP, shape=(ROWS, COLUMNS)), ground())


def dn(band: str) -> np.ndarray:
    """Reflectance x 10 000 without offset."""
    values = ground()[band].astype(int)
    return np.where(values > 0, values - 1000, 0)


def prepared(product: Path, out: Path, *options: str) -> rasterio.DatasetReader:
    assert main(["s2", "prepare", str(product), "-o", str(out), *options]) == 0
    return rasterio.open(out)


def test_the_defaults_are_those_of_the_table(product, tmp_path, capsys):
    """Blue, green, red and near infrared at 10 m in UTM, no mask, from the zip as from the folder."""
    with prepared(product, tmp_path / "a.tif") as file:
        assert file.descriptions == ("B02", "B03", "B04", "B08") and file.crs.to_epsg() == 32631 and file.res == (10, 10)
        assert file.nodata == 0 and set(file.scales) == {1e-4} and file.tags()["date"] == "2018-05-06"
        assert (file.transform.c, file.transform.f) == (LEFT, TOP)
        np.testing.assert_array_equal(file.read(), [dn(b) for b in ("B02", "B03", "B04", "B08")])
    assert "4 bands, 120 x 120 pixels, 10 m, data 99.0%" in capsys.readouterr().out
    with prepared(zipped(product, tmp_path), tmp_path / "b.tif") as file:
        np.testing.assert_array_equal(file.read(3), dn("B04"))


@pytest.mark.parametrize("way", ["nearest", "bilinear", "cubic"])
def test_bands_come_to_smaller_pixels(product, tmp_path, way):
    with prepared(product, tmp_path / "a.tif", "--bands", "B11,b1", "--upsampling", way) as file:
        found, grid = file.read(), file.transform
    for band, plane in zip(("B11", "B01"), found, strict=True):
        times = PIXEL[band] // 10
        if way == "nearest":
            np.testing.assert_array_equal(plane, dn(band).repeat(times, 0).repeat(times, 1))
            continue
        source = tmp_path / f"{band}.tif"
        with rasterio.open(source, "w", driver="GTiff", height=ROWS // times, width=COLUMNS // times, count=1, dtype="uint16",
                           crs="EPSG:32631", transform=grid @ Affine.scale(times), nodata=0) as out:  # fmt: skip
            out.write(dn(band).astype("uint16"), 1)
        with (
            rasterio.open(source) as file,
            WarpedVRT(file, crs="EPSG:32631", transform=grid, width=COLUMNS, height=ROWS, resampling=Resampling[way]) as expected,
        ):
            np.testing.assert_array_equal(plane, expected.read(1))


@pytest.mark.parametrize("way", ["first", "min", "max", "mean", "median"])
def test_bands_come_to_larger_pixels(product, tmp_path, way):
    with prepared(product, tmp_path / "a.tif", "--bands", "B4,B12", "--resolution", "60", "--downsampling", way) as file:
        found = file.read()
    for band, plane in zip(("B04", "B12"), found, strict=True):
        n = 60 // PIXEL[band]
        values = blocks(dn(band), n)
        if way == "first":
            np.testing.assert_array_equal(plane, values[..., 0])
            continue
        known = np.ma.masked_equal(values, 0)
        if way == "median":  # of an even number GDAL takes one of the two middle values
            assert ((known < plane[..., None]).sum(-1) <= known.count(-1) / 2).all()
            assert ((known > plane[..., None]).sum(-1) <= known.count(-1) / 2).all()
        else:
            expected = {"min": known.min, "max": known.max, "mean": known.mean}[way](axis=-1)
            assert np.abs(plane - expected.filled(0)).max() <= (0.5 if way == "mean" else 0)


def blocks(values: np.ndarray, n: int) -> np.ndarray:
    """(y, x, n * n): values of squares of n pixels."""
    rows, columns = values.shape[0] // n, values.shape[1] // n
    return values.reshape(rows, n, columns, n).transpose(0, 2, 1, 3).reshape(rows, columns, n * n)


@pytest.mark.parametrize("size", [10, 20, 60])
@pytest.mark.parametrize("way", ["first", "and", "or", "median-and", "median-or"])
def test_clouds_are_taken_out(product, tmp_path, size, way):
    options = ("--cloud-mask", "L2A", "--resolution", str(size), "--flag-downsampling", way)
    with prepared(product, tmp_path / "a.tif", *options) as file:
        found = file.read()
    cloud = np.isin(ground()["SCL"], (3, 8, 9, 10))
    if size == 10:
        cloud = cloud.repeat(2, 0).repeat(2, 1)
    elif size == 60:
        parts = blocks(cloud, 3)
        cloud = {
            "first": parts[..., 0], "and": parts.all(-1), "or": parts.any(-1), "median-and": parts.mean(-1) > 0.5,
            "median-or": parts.mean(-1) >= 0.5,
        }[way]  # fmt: skip
    first = dn("B02")[:: size // 10, :: size // 10]
    np.testing.assert_array_equal(found[0], np.where(cloud, 0, first))


def test_classes_of_clouds_may_be_named(product, tmp_path):
    with prepared(product, tmp_path / "a.tif", "--cloud-mask", "L2A", "--cloud-classes", "6", "--resolution", "20") as file:
        found = file.read(1)
    np.testing.assert_array_equal(found, np.where(ground()["SCL"] == 6, 0, dn("B02")[::2, ::2]))


def test_half_of_four_pixels_is_told_apart(product, tmp_path):
    """At 40 m a pixel has four of SCL: two of them are the median only for `median-or`."""
    cloud = np.isin(ground()["SCL"], (3, 8, 9, 10)).reshape(30, 2, 30, 2).mean((1, 3))
    options = ("--cloud-mask", "L2A", "--resolution", "40", "--flag-downsampling")
    for way, expected in (("median-and", cloud > 0.5), ("median-or", cloud >= 0.5)):
        with prepared(product, tmp_path / f"{way}.tif", *options, way) as file:
            np.testing.assert_array_equal(file.read(1), np.where(expected, 0, dn("B02")[::4, ::4]))


@pytest.mark.parametrize(("removed", "kept"), [("sea", "west"), ("land", "east")])
@pytest.mark.parametrize("by", ["dem", "land"])
def test_land_and_sea(product, tmp_path, removed, kept, by):
    """Land in the west, by elevation or by a polygon."""
    middle = LEFT + 600
    if by == "dem":
        path = tmp_path / "dem.tif"
        height = np.zeros((40, 40), "int16")
        height[:, :20] = 7
        with rasterio.open(path, "w", driver="GTiff", height=40, width=40, count=1, dtype="int16", crs="EPSG:32631",
                           transform=Affine(30, 0, LEFT, 0, -30, TOP)) as out:  # fmt: skip
            out.write(height, 1)
    else:
        import geopandas
        import shapely

        path = tmp_path / "land.gpkg"
        shape = shapely.box(LEFT - 100, TOP - 2000, middle, TOP + 100)
        geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32631").to_file(path)
    with prepared(product, tmp_path / "a.tif", "--land-sea-mask", removed, f"--{by}", str(path)) as file:
        found = file.read(1)
    west = np.arange(COLUMNS) < 60
    np.testing.assert_array_equal(found, np.where(west == (kept == "west"), dn("B02"), 0))


def test_an_area_is_cut_out(product, tmp_path):
    """By WKT in degrees, as by a file."""
    import geopandas
    import shapely

    shape = shapely.box(LEFT + 120, TOP - 660, LEFT + 480, TOP - 240)
    frame = geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32631")
    frame.to_file(tmp_path / "a.gpkg")
    with prepared(product, tmp_path / "file.tif", "--aoi", str(tmp_path / "a.gpkg")) as file:
        assert (file.transform.c, file.transform.f, file.shape) == (LEFT + 120, TOP - 240, (42, 36))
        np.testing.assert_array_equal(file.read(1), dn("B02")[24:66, 12:48])
    words = frame.to_crs("EPSG:4326").geometry[0].wkt
    with prepared(product, tmp_path / "wkt.tif", "--aoi", words) as file:
        inside = file.read(1) > 0
        assert 0.9 * 42 * 36 < inside.sum() <= 42 * 36


def test_another_reference_system(product, tmp_path):
    with prepared(product, tmp_path / "laea.tif", "--projection", "EPSG:3035", "--resolution", "20") as file:
        assert file.crs.to_epsg() == 3035 and file.res == (20, 20)
        found, place = file.read(1), file.transform
    with rasterio.open(tmp_path / "utm.tif", "w", driver="GTiff", height=60, width=60, count=1, dtype="uint16", crs="EPSG:32631",
                       transform=Affine(20, 0, LEFT, 0, -20, TOP), nodata=0) as out:  # fmt: skip
        out.write(dn("B02")[::2, ::2].astype("uint16"), 1)
    with (
        rasterio.open(tmp_path / "utm.tif") as file,
        WarpedVRT(
            file, crs="EPSG:3035", transform=place, width=found.shape[1], height=found.shape[0], resampling=Resampling.nearest
        ) as expected,
    ):
        np.testing.assert_array_equal(found, expected.read(1))
    with prepared(product, tmp_path / "degrees.tif", "--projection", "EPSG:4326") as file:
        assert file.crs.to_epsg() == 4326 and 0.00005 < file.res[0] < 0.0002


def test_another_format(product, tmp_path):
    with prepared(product, tmp_path / "a.img", "--format", "ENVI") as file:
        assert file.driver == "ENVI"
        np.testing.assert_array_equal(file.read(2), dn("B03"))
    assert {p.name for p in tmp_path.iterdir()} >= {"a.img", "a.hdr"} and not list(tmp_path.glob(".*"))


def test_several_products_go_to_a_folder(product, tmp_path):
    later = Product(when="2018-05-11T10:50:29.027Z", left=LEFT, top=TOP, shape=(ROWS, COLUMNS))
    other = write_product(tmp_path, later, ground(2))
    assert main(["s2", "prepare", str(product), str(other), "-o", str(tmp_path / "out")]) == 0
    assert sorted(p.name[:19] for p in (tmp_path / "out").iterdir()) == ["S2A_MSIL2A_20180506", "S2A_MSIL2A_20180511"]


@pytest.mark.slow
def test_real_items(shared_data, tmp_path):
    """One date of Flanders: pixels as they lie in the file."""
    items = shared_data / "flanders" / "items.json"
    assert main(["s2", "prepare", str(items), "-o", str(tmp_path / "out"), "--bands", "B2,B8A", "--cloud-mask", "L2A"]) == 0
    made = sorted((tmp_path / "out").iterdir())
    assert len(made) == 118
    scenes, some = shared_data / "flanders" / "scenes", made[::10]
    for path in some:
        with rasterio.open(path) as file, rasterio.open(scenes / path.stem / "blue.tif") as own:
            found, raw = file.read(1), own.read(1, window=own.window(*file.bounds), boundless=True, fill_value=0)
            np.testing.assert_array_equal(found[found > 0], raw[found > 0])
            assert file.tags()["clouds"] == "L2A"


LEVEL_1C = {"level": "1C", "left": LEFT, "top": TOP, "shape": (ROWS, COLUMNS)}


def test_level_1c_needs_sen2cor(product, tmp_path, monkeypatch, capsys):
    """A program of that name stands in, which puts a product of Level-2A where Sen2Cor would: Sen2Cor cannot be had here."""
    raw = write_product(tmp_path, Product(**LEVEL_1C), {k: v for k, v in ground().items() if k != "SCL"})
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert main(["s2", "prepare", str(raw), "-o", str(tmp_path / "a.tif")]) == 2
    assert "no L2A_Process is installed" in (said := capsys.readouterr().err) and said.count("\n") == 1
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "L2A_Process"
    program.write_text(f'#!/bin/sh\n/bin/cp -r "{product}" "$2"\n')
    program.chmod(0o755)
    with prepared(raw, tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), dn("B02"))
    program.write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    assert main(["s2", "prepare", str(raw), "-o", str(tmp_path / "b.tif")]) == 1
    assert "exit code 3, 'out of memory'" in capsys.readouterr().err and not (tmp_path / "b.tif").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bands", "B2,B10"], "--bands: B10: bands of Level-2A are"),
        (["--bands", "red"], "--bands: red is no band"),
        (["--bands", "B2,B02"], "name each band once"),
        (["--cloud-classes", "12"], "--cloud-classes: '12'"),
        (["--cloud-mask", "L1C"], "has no CLASSI"),
        (["--resolution", "1e9"], "pixels have at most 10000 m"),
        (["--projection", "EPSG:4978"], "or none of a map"),
        (["--land-sea-mask", "sea"], "one of --dem and --land tells land from sea"),
        (["--land-sea-mask", "sea", "--dem", "gone.tif"], "--dem: gone.tif cannot be read"),
        (["--projection", "EPSG:99999"], "--projection: EPSG:99999 is not known, or none of a map"),
        (["--format", "Word"], "--format: Word is no format"),
        (["--aoi", "POLYGON ((1 2, 3))"], "--aoi: POLYGON"),
        (["--aoi", "POLYGON ((10 10, 10 11, 11 11, 10 10))"], "lies outside of"),
    ],
)
def test_what_cannot_be_met(product, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(["s2", "prepare", str(product), "-o", "a.tif", *options]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())


def test_a_band_that_is_missing(tmp_path, capsys):
    bands = {name: values for name, values in ground().items() if name != "B08"}
    short = write_product(tmp_path, Product(left=LEFT, top=TOP, shape=(ROWS, COLUMNS)), bands)
    assert main(["s2", "prepare", str(short), "-o", str(tmp_path / "a.tif")]) == 2
    assert "B08" in (said := capsys.readouterr().err) and said.count("\n") == 1


def dem(path: Path, height: np.ndarray, nodata: float | None, crs: str | None = "EPSG:32631") -> Path:
    form = {"driver": "GTiff", "height": 40, "width": 40, "count": 1, "dtype": height.dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=crs, transform=Affine(30, 0, LEFT, 0, -30, TOP), **form) as out:
        out.write(height, 1)
    return path


@pytest.mark.parametrize(
    ("kind", "none", "tag"), [("int16", -32768, -32768), ("float32", np.nan, np.nan), ("float32", np.nan, None)]
)
def test_elevation_without_data_is_sea(product, tmp_path, kind, none, tag):
    height = np.full((40, 40), 5, kind)
    height[:, :20] = none
    path = dem(tmp_path / "dem.tif", height, tag)
    with prepared(product, tmp_path / "a.tif", "--land-sea-mask", "sea", "--dem", str(path)) as file:
        np.testing.assert_array_equal(file.read(1), np.where(np.arange(COLUMNS) < 60, 0, dn("B02")))


def test_elevation_without_a_reference_system_is_refused(product, tmp_path, capsys):
    path = dem(tmp_path / "dem.tif", np.ones((40, 40), "int16"), None, None)
    assert main(["s2", "prepare", str(product), "-o", str(tmp_path / "a.tif"), "--land-sea-mask", "sea", "--dem", str(path)]) == 2
    assert "has no reference system" in capsys.readouterr().err


@pytest.mark.parametrize("west", [-179.9, 100])
def test_land_far_away_is_none(product, tmp_path, west, capsys):
    """Continents fold in UTM."""
    import geopandas
    import shapely

    shapes = [shapely.box(west, -60, west + 79, 60)]
    geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:4326").to_file(tmp_path / "land.gpkg")
    options = ("--land-sea-mask", "sea", "--land", str(tmp_path / "land.gpkg"))
    with prepared(product, tmp_path / "a.tif", *options) as file:
        assert not file.read().any()
    assert "no pixel has data" in capsys.readouterr().err


def test_an_area_larger_than_the_scene_is_the_scene(product, tmp_path):
    with prepared(product, tmp_path / "a.tif", "--aoi", "POLYGON ((-20 20, 20 20, 20 70, -20 70, -20 20))") as file:
        assert file.shape == (ROWS, COLUMNS)
        np.testing.assert_array_equal(file.read(3), dn("B04"))


def test_the_mask_of_level_1c_in_a_product_of_level_2a(tmp_path):
    rng = np.random.default_rng(8)
    mask = (rng.random((3, ROWS // 6, COLUMNS // 6)) < 0.3).astype("uint8")
    product = write_product(tmp_path, Product(left=LEFT, top=TOP, shape=(ROWS, COLUMNS)), ground() | {"MASK": mask})
    with prepared(product, tmp_path / "a.tif", "--cloud-mask", "L1C") as file:
        cloud = (mask[0] | mask[1]).repeat(6, 0).repeat(6, 1) > 0
        np.testing.assert_array_equal(file.read(1), np.where(cloud, 0, dn("B02")))


def test_of_two_granules_that_one_tells_clouds_whose_pixels_are_taken(tmp_path):
    """The second lies 60 pixels further east; where both show, the first is taken, and its classes."""
    names = ("31UDS", "31UES")
    classes = [np.full((ROWS // 2, COLUMNS // 2), code, "uint8") for code in (4, 9)]
    for k, (mgrs, scl) in enumerate(zip(names, classes, strict=True)):
        place = Product(left=LEFT + 600 * k, top=TOP, shape=(ROWS, COLUMNS), mgrs=mgrs)
        bands = {name: np.full(values.shape, 3000 + 1000 * k, "uint16") for name, values in ground().items() if name != "SCL"}
        write_product(tmp_path / "in", place, bands | {"SCL": scl})
    with prepared(tmp_path / "in", tmp_path / "a.tif", "--cloud-mask", "L2A") as file:
        found = file.read(1)
    assert found.shape == (ROWS, 180)
    assert set(np.unique(found[:, :60])) == {2000} and set(np.unique(found[:, 120:])) == {0}
    with prepared(tmp_path / "in", tmp_path / "b.tif") as file:
        own = file.read(1)
    np.testing.assert_array_equal(found, np.where(own == 2000, 2000, 0))


def test_bright_pixels_stay_what_they_are(tmp_path):
    """A saturated pixel has no reflectance to average."""
    bands = {name: np.full(values.shape, 3000, "uint16") for name, values in ground().items()}
    bands["SCL"] = np.full((ROWS // 2, COLUMNS // 2), 4, "uint8")
    bands["B02"][10, 10] = 65535
    product = write_product(tmp_path, Product(left=LEFT, top=TOP, shape=(ROWS, COLUMNS)), bands)
    with prepared(product, tmp_path / "a.tif", "--resolution", "60", "--downsampling", "mean") as file:
        found = file.read(1)
    assert found[1, 1] == 65535 and set(np.unique(found)) == {2000, 65535} and (found == 65535).sum() == 1


def test_what_is_finished_stays_and_a_damaged_one_stops_no_other(product, tmp_path, capsys):
    damaged = write_product(
        tmp_path, Product(when="2018-05-01T10:50:29.027Z", left=LEFT, top=TOP, shape=(ROWS, COLUMNS)), ground(3)
    )
    band = next(damaged.rglob("*B04_10m.jp2"))
    band.write_bytes(band.read_bytes()[:700])
    command = ["s2", "prepare", str(damaged), str(product), "-o", str(tmp_path / "out")]
    assert main(command) == 1
    assert "1 of 2 overpasses could not be prepared" in capsys.readouterr().err
    (made,) = (tmp_path / "out").iterdir()
    before = made.stat().st_mtime_ns
    assert main(command) == 1 and made.stat().st_mtime_ns == before
    assert "was there" in capsys.readouterr().out
    assert main([*command, "--cloud-mask", "L2A"]) == 1 and made.stat().st_mtime_ns != before


@pytest.mark.parametrize("name", ["JPEG", "VRT", "MEM", "GPKG", "PDF"])
def test_formats_that_do_not_hold_the_pixels_are_refused(product, tmp_path, capsys, name):
    assert main(["s2", "prepare", str(product), "-o", str(tmp_path / "out"), "--format", name]) != 0
    error = capsys.readouterr().err
    assert "choose another --format" in error or "no format that GDAL writes" in error
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.parent.name == "out"]


def test_feet_are_no_metres(product, tmp_path):
    with prepared(product, tmp_path / "a.tif", "--projection", "EPSG:2263", "--resolution", "60") as file:
        assert file.res[0] == pytest.approx(60 / 0.3048, rel=1e-3)
