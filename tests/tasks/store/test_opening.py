"""Layers as xarray objects: CF attributes, masks, mosaics, lists, scratch stores."""

import json

import numpy as np
import pytest
import xarray as xr

from imperv.layers.attributes import cf_attributes
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.imperviousness import LAYERS
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.store.overlay import BASE, Overlay, store_of
from imperv.tasks.store.store import Store
from tests.support.delivered import production, put
from tests.support.stored_layers import put as put_arrays

WEST, EAST = "E43N32", "E44N32"
AROUND = (4398000, 3298000, 4402000, 3300000)
"""Two kilometres on each side of the border of the two tiles."""


@pytest.fixture
def pair(tmp_path) -> tuple[Job, Job]:
    """Two neighbouring tiles with a window across their border."""
    settings = production(tmp_path / "store", bbox=AROUND).model_copy(update={"tiles": (WEST, EAST)})
    return Job.of(settings, WEST), Job.of(settings, EAST)


def test_every_raster_layer_has_a_long_name_and_units_or_flags():
    for layer in LAYERS:
        if not layer.resolution or layer.stem == "PP":
            continue
        found = cf_attributes(layer)
        assert found["long_name"] == layer.description
        coded = "flag_values" in found
        assert coded or "units" in found or "comment" in found, layer.symbol
        if coded:
            assert len(found["flag_meanings"].split()) == len(found["flag_values"])
            assert set(found["flag_values"].tolist()) <= set(layer.codes) - {255}
            assert "units" not in found, "classes have none (CF 3.1)"


def test_units_and_flags_of_known_layers():
    assert cf_attributes(CATALOGUE["IMD_now"])["units"] == "%"
    assert cf_attributes(CATALOGUE["RMSD"])["units"] == "1"
    assert cf_attributes(CATALOGUE["OSM_distance"])["units"] == "m"
    assert float(cf_attributes(CATALOGUE["CR_probability"], "CR_probability")["units"]) == pytest.approx(1 / 254, rel=1e-5)
    assert cf_attributes(CATALOGUE["IBU_now"])["flag_meanings"] == "non_built-up built-up"
    assert cf_attributes(CATALOGUE["IMCC"])["flag_values"].tolist() == [0, 1, 2, 10, 11, 12]
    assert "100" in cf_attributes(CATALOGUE["IMDC"])["comment"]


def test_an_opened_layer_tells_what_it_is(pair):
    west, _ = pair
    codes = put(west, "IMD_now")
    imd = west.store.open("imd_now", "e43n32")
    assert imd.attrs["long_name"] == "Imperviousness density, percent" and imd.attrs["units"] == "%"
    assert (imd.attrs["tile"], imd.attrs["period"]) == (WEST, "2018-2021")
    assert imd.dtype == np.uint8 and imd.rio.nodata == 255 and np.array_equal(imd.values, codes)


def test_masked_pixels_are_nan_and_go_out_as_the_code(pair, tmp_path):
    west, _ = pair
    codes = put(west, "IMD_now")
    imd = west.store.open("IMD_now", WEST, masked=True)
    assert imd.dtype == np.float32
    assert np.array_equal(np.isnan(imd.values), codes == 255) and (codes == 255).any()
    assert np.nanmax(imd.values) == 100 and np.isnan(imd.rio.nodata) and imd.rio.encoded_nodata == 255
    imd.rio.to_raster(tmp_path / "imd.tif", dtype="uint8")
    import rasterio

    with rasterio.open(tmp_path / "imd.tif") as file:
        assert file.nodata == 255 and np.array_equal(file.read(1), codes)


def test_attributes_survive_a_copy(pair, tmp_path):
    west, _ = pair
    codes = put(west, "IMCC")
    west.store.open("IMCC", WEST).to_dataset().to_zarr(tmp_path / "copy.zarr")
    with xr.open_zarr(tmp_path / "copy.zarr", mask_and_scale=False) as read:
        assert list(read["IMCC"].attrs["flag_values"]) == [0, 1, 2, 10, 11, 12]
        assert read["IMCC"].attrs["flag_meanings"].split()[1].startswith("new_cover")
        assert np.array_equal(read["IMCC"].values, codes)


def test_a_mosaic_is_the_tiles_beside_each_other(pair):
    west, east = pair
    rng = np.random.default_rng(1)
    parts = [rng.choice([0, 7, 100, 255], job.grid(10).shape).astype(np.uint8) for job in pair]
    for job, codes in zip(pair, parts, strict=True):
        put(job, "IMD_now", codes)
    mosaic = west.store.mosaic("IMD_now")
    assert np.array_equal(mosaic.values, np.concatenate(parts, axis=1))
    assert mosaic.odc.geobox.boundingbox.bbox == AROUND and mosaic.rio.nodata == 255
    assert mosaic.attrs["units"] == "%" and "tile" not in mosaic.attrs
    expected = xr.combine_by_coords([west.store.open("IMD_now", t) for t in (WEST, EAST)], combine_attrs="drop_conflicts")
    assert np.array_equal(mosaic.values, expected.sortby("y", ascending=False)["IMD_now"].values)
    assert np.allclose(mosaic.x, expected.x)


def test_a_mosaic_has_no_data_where_no_tile_is(tmp_path):
    """Tiles that touch at a corner only, each with a window of its own."""
    settings = production(tmp_path / "store", bbox=None).model_copy(update={"tiles": (WEST, "E44N33")})
    settings = settings.model_validate(
        settings.model_dump() | {"area": {"each": (0, 0, 1000, 2000)}, "root": tmp_path, "tiles": (WEST, "E44N33")}
    )
    for tile, code in ((WEST, 10), ("E44N33", 20)):
        job = Job.of(settings, tile)
        put(job, "IMD_now", np.full(job.grid(10).shape, code, np.uint8))
    store = Store(tmp_path / "store")
    mosaic = store.mosaic("IMD_now", masked=True)
    assert mosaic.shape == (10_200, 10_100)
    assert mosaic.sum().compute() == 200 * 100 * (10 + 20)
    for tile, code in ((WEST, 10), ("E44N33", 20)):
        own = store.open("IMD_now", tile)
        assert (mosaic.sel(x=own.x, y=own.y) == code).all()
    assert int(mosaic.notnull().sum()) == 2 * 200 * 100


def test_a_mosaic_of_features_is_a_dataset(pair):
    for k, job in enumerate(pair):
        shape = job.grid(10).shape
        put_arrays(job, "PP_now", np.full((10, *shape), 5 + k, "u2"), np.full(shape, 0.5, "f4"),
                   np.full((7, *shape), 0.1 * k, "f4"), np.full(shape, 9, "u2"))  # fmt: skip
    features = pair[0].store.mosaic("PP_now")
    assert features["quantiles"].shape == (10, 200, 400)
    assert features["quantiles"].attrs["units"] == "1e-4" and features["quantiles"].rio.nodata == 0
    assert (features["quantiles"].isel(x=slice(200, None)) == 6).all() and features["harmonics"].dtype == np.float32
    assert list(features["band"].values)[:2] == ["B02_q20", "B03_q20"]


def test_the_list_of_layers_is_what_can_be_opened(pair):
    west, east = pair
    put(west, "IMD_now")
    put(east, "IMDCL", made=False, reason="one model only")
    shape = west.grid(10).shape
    put_arrays(west, "NDVI_p0_now", np.zeros(shape, "f4"))
    store = west.store
    table = store.layers()
    assert list(zip(table["tile"], table["layer"], table["period"], table["made"], strict=True)) == [
        (WEST, "NDVI_p0", "2021", True), (WEST, "IMD_now", "2018-2021", True), (EAST, "IMDCL", "2018-2021", False),
    ]  # fmt: skip
    assert table["reason"].iloc[2] == "one model only" and list(table["units"]) == ["1", "%", "%"]
    for row in table[table["made"]].itertuples():
        assert store.open(row.layer, row.tile, row.period).shape == shape
    assert list(store.layers(EAST)["layer"]) == ["IMDCL"]
    assert store.layers("E45N32").empty and list(store.layers("E45N32")) == list(table)


def test_a_scratch_store_follows_its_base(pair, tmp_path):
    west, _ = pair
    old = put(west, "IMD_now", np.full(west.grid(10).shape, 10, np.uint8))
    put(west, "IBU_now")
    scratch = west.production.model_copy(update={"store": str(tmp_path / "scratch"), "base": str(tmp_path / "store")})
    job = Job.of(scratch, WEST)
    assert isinstance(job.store, Overlay)
    with job.store.tile_lock(job.tile):
        put(job, "IMD_now", old + 1)
    opened = Store(tmp_path / "scratch")
    assert int(opened.open("IMD_now", WEST)[0, 0]) == 11, "its own"
    assert opened.open("IBU_now", WEST).shape == old.shape, "of the production"
    assert set(opened.layers(WEST)["layer"]) == {"IMD_now", "IBU_now"} and opened.tiles() == [WEST]
    assert int(Store(tmp_path / "store").open("IMD_now", WEST)[0, 0]) == 10


def test_secrets_of_the_base_are_not_written_down(pair, tmp_path):
    settings = pair[0].production.model_copy(
        update={
            "store": str(tmp_path / "scratch"),
            "base": "s3://there/x",
            "base_options": {"key": "AKIA", "secret": "s", "anon": False},
        }
    )
    job = Job.of(settings, WEST)
    with job.store.tile_lock(job.tile):
        pass
    text = (tmp_path / "scratch" / BASE).read_text()
    assert "AKIA" not in text and json.loads(text) == {"url": "s3://there/x", "options": {"anon": False}}
    assert store_of(settings).base.options["key"] == "AKIA"


def test_what_is_wrong_is_said(pair, tmp_path):
    west, _ = pair
    put(west, "IMD_now")
    with pytest.raises(InputError, match="did you mean"):
        west.store.open("IMDD", WEST)
    with pytest.raises(InputError, match="not a raster"):
        west.store.open("IMD_model", WEST)
    with pytest.raises(InputError, match="not done for any tile"):
        west.store.mosaic("IBU_now")
    with pytest.raises(InputError, match="IMD_now of tile E44N32 is not done"):
        west.store.mosaic("IMD_now", [WEST, EAST])
    (tmp_path / "store" / BASE).write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        west.store.open("IMD_now", WEST)
