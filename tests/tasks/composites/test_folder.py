"""Monthly composites of a folder with REFBOA and LAI, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from imperv.flows.cli.commands import main

SHAPE = (3, 40, 50)
DAYS = ("20170905", "20170915", "20170925", "20180110", "20180120", "20180903")


def write(path, values, nodata=None, left=500_000, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = values.reshape(-1, *values.shape[-2:])
    form = {"driver": "GTiff", "height": layers.shape[1], "width": layers.shape[2], "count": len(layers), "dtype": layers.dtype}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, left, 0, -10, 5_300_000)}
    with rasterio.open(path, "w", nodata=nodata, **place, **form) as out:
        out.write(layers)
        out.descriptions = more.get("names", ("B02", "B03", "B04")[: len(layers)])


@pytest.fixture
def folder(tmp_path):
    """Six dates; of the index 0 is no value, as nothing says otherwise."""
    rng = np.random.default_rng(4)
    for day in DAYS:
        write(tmp_path / "REFBOA" / f"T33UVP_{day}T100031.tif", rng.integers(0, 4000, SHAPE).astype("uint16"), 0)
        index = rng.uniform(0.1, 5, SHAPE[1:]).astype("float32") * (rng.random(SHAPE[1:]) < 0.7)
        write(tmp_path / "LAI" / f"LAI_T33UVP_{day}.tif", index.astype("float32"))
    return tmp_path


def expected(folder, days, lai=True):
    looks = []
    for day in days:
        values = rasterio.open(next((folder / "REFBOA").glob(f"*{day}*"))).read().astype(float)
        seen = values > 0
        if lai:
            seen &= rasterio.open(next((folder / "LAI").glob(f"*{day}*"))).read(1) > 0
        looks.append(np.where(seen, values, np.nan))
    with np.errstate(all="ignore"):
        return np.floor(np.nan_to_num(np.nanmedian(looks, axis=0)) + 0.5)


def compose(folder, *more):
    return main(["s2", "compose", str(folder), "-o", str(folder / "out"), "--season-start", "2017", *more])


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("lai", [True, False])
def test_months_of_the_season_as_numpy_computes_them(folder, capsys, lai):
    if not lai:
        (folder / "LAI").rename(folder / "other")
    assert compose(folder, "--tile", "33uvp") == 0
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["33uvp_A_2017-09.tif", "33uvp_E_2018-01.tif"]
    assert capsys.readouterr().out.count("no image") == 10
    for name, days in (("33uvp_A_2017-09.tif", DAYS[:3]), ("33uvp_E_2018-01.tif", DAYS[3:5])):
        with rasterio.open(folder / "out" / name) as file:
            assert file.dtypes[0] == "uint16" and file.nodata == 0 and file.descriptions == ("B02", "B03", "B04")
            np.testing.assert_array_equal(file.read(), expected(folder, days, lai))


def test_finished_months_stay_until_images_change(folder):
    assert compose(folder) == 0
    path = folder / "out" / "composite_A_2017-09.tif"
    before = path.stat().st_mtime_ns
    assert compose(folder) == 0 and path.stat().st_mtime_ns == before
    (folder / "REFBOA" / "T33UVP_20170925T100031.tif").unlink()
    (folder / "LAI" / "LAI_T33UVP_20170925.tif").unlink()
    assert compose(folder) == 0 and path.stat().st_mtime_ns != before


def test_strips_change_nothing(folder, monkeypatch):
    assert compose(folder) == 0
    whole = rasterio.open(folder / "out" / "composite_A_2017-09.tif").read()
    monkeypatch.setattr("imperv.tasks.composites.folder.STRIP_BYTES", 1)
    assert main(["s2", "compose", str(folder), "-o", str(folder / "again")]) == 0
    np.testing.assert_array_equal(rasterio.open(folder / "again" / "composite_A_2017-09.tif").read(), whole)


def test_what_does_not_fit(folder, capsys):
    def refused(said, *more):
        assert compose(folder, *more) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1, error
        assert not (folder / "out").exists()

    refused("holds no .tif of 33UXP", "--tile", "33UXP")
    refused("no image between 2020-09-01 and 2021-08-31, they are of 2017-09-05 to 2018-09-03", "--season-start", "2020")
    extra = folder / "REFBOA" / "T33UVP_20170930.tif"
    values = np.ones(SHAPE, "uint16")
    write(extra, values)
    refused("LAI: has no file of the date of T33UVP_20170930.tif")
    write(folder / "LAI" / "LAI_20170930.tif", np.ones(SHAPE[1:], "float32"))
    write(extra, values, left=500_010)
    refused("its grid is not that of")
    write(extra, values[:2])
    refused("its bands are not that of")
    write(extra, values.astype("float32"))
    refused("holds float32, not uint16")
    extra.write_bytes(b"nothing")
    refused("cannot be read")
    extra.unlink()
    write(folder / "REFBOA" / "T33UXP_20170905.tif", values)
    refused("is of 2017-09-05, as T33UVP_20170905T100031.tif is")
    (folder / "REFBOA").rename(folder / "images")
    refused("has no folder REFBOA")


def test_an_index_without_the_tile_in_its_name_is_taken(folder):
    for path in list((folder / "LAI").iterdir()):
        path.rename(path.with_name(path.name.replace("T33UVP_", "")))
    assert compose(folder, "--tile", "33UVP") == 0
    with rasterio.open(folder / "out" / "33UVP_A_2017-09.tif") as file:
        np.testing.assert_array_equal(file.read(), expected(folder, DAYS[:3]))


def test_images_that_change_or_go_take_their_months_along(folder, capsys):
    assert compose(folder) == 0
    january = folder / "out" / "composite_E_2018-01.tif"
    image = folder / "REFBOA" / "T33UVP_20180110T100031.tif"
    write(image, np.full(SHAPE, 77, "uint16"), 0)
    assert compose(folder) == 0
    with rasterio.open(january) as file:
        np.testing.assert_array_equal(file.read(), expected(folder, DAYS[3:5]))
    for day in DAYS[3:5]:
        next((folder / "REFBOA").glob(f"*{day}*")).unlink()
    assert compose(folder) == 0 and not january.exists()
    assert "E  no image" in capsys.readouterr().out


def test_a_folder_of_indices_without_dates_is_refused(folder, capsys):
    for number, path in enumerate(list((folder / "LAI").iterdir())):
        path.rename(path.with_name(f"lai{number}.tif"))
    assert compose(folder) == 2
    assert "has no file of the date of" in capsys.readouterr().err


def test_a_cut_image_is_named(folder, capsys):
    image = folder / "REFBOA" / "T33UVP_20180110T100031.tif"
    image.write_bytes(image.read_bytes()[:-3000])
    assert compose(folder) == 2
    assert f"{image}: cannot be read" in capsys.readouterr().err
    assert not (folder / "out" / "composite_E_2018-01.tif").exists() and not list((folder / "out").glob(".*"))
