"""What is counted of a layer, whatever its data type and no data, and layers on native UTM grids."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.catalogue import Layer, Variable
from imperv.tasks.errors import WorkError
from imperv.tasks.job import Job, attributes, report, summarise, without_data
from imperv.tasks.settings.production import Production


def layer(dtype: str, nodata: float, **more) -> Layer:
    return Layer("X", "", "A layer", "", (), "interim", "now", 10, dtype, nodata, **more)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("uint16", 0), ("uint16", 65535), ("int16", -1), ("float32", np.nan)]
)
def test_pixels_without_data_are_counted_by_the_layers_own_value(dtype, nodata):
    array = np.array([[1, 2, 0], [3, 0, 5]]).astype(dtype)
    array[0, 1] = nodata
    one, other = (report({"X": part}, layer(dtype, nodata)) for part in (array[:1], array[1:]))
    digest, statistics = summarise(layer(dtype, nodata), [one, other])
    expected = int(np.isnan(array).sum() if nodata != nodata else (array == nodata).sum())
    assert (statistics["X"]["pixels"], statistics["X"]["outside"]) == (6, expected)
    assert int(without_data(array, nodata).sum()) == expected
    assert digest == summarise(layer(dtype, nodata), [one, other])[0] != summarise(layer(dtype, nodata), [other, one])[0]


def test_a_wrong_code_is_an_error_but_in_a_second_array():
    coded = layer("uint8", 0, codes=(0, 1), arrays=(Variable("X", "uint8", 0), Variable("looks", "uint8", 0)))
    fine = {"X": np.array([[0, 1]], "u1"), "looks": np.array([[7, 9]], "u1")}
    assert summarise(coded, [report(fine, coded)])[1]["looks"]["histogram"] == {"7": 1, "9": 1}
    with pytest.raises(WorkError, match=r"X: check failed, it holds the codes \[2\]"):
        summarise(coded, [report(fine | {"X": np.array([[0, 2]], "u1")}, coded)])


def test_a_layer_on_the_native_grid(tmp_path):
    """Written and read back in its zone, in blocks of its resolution."""
    file = tmp_path / "production.toml"
    file.write_text(
        'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = [3829000, 3101000, 3831000, 3103000]\n'
        '[scenes]\ncatalogue = "x"\n'
    )
    job = Job.of(Production.read(file), "E38N31")
    native = Layer("X", "", "A layer", "", (), "interim", "now", 20, "uint16", 0, grid="utm")
    grid, place = job.grid_of(native), job.store.place(native, job.tile, "2021")
    assert (
        grid.crs.epsg == 32631
        and grid.boundingbox.left % 60 == 0
        and sum(b.shape[0] * b.shape[1] for b in job.blocks_of(native)) == np.prod(grid.shape)
    )
    values = np.arange(np.prod(grid.shape), dtype="uint16").reshape(grid.shape)
    with job.store.writing_arrays(place, grid, native.resolution, native.variables, attributes(job, native)) as out:
        for block in job.blocks_of(native):
            out["X"][block.slices] = values[block.slices]
    import odc.geo.xr  # noqa: F401  (registers the accessor)
    import xarray as xr

    with xr.open_zarr(job.store.full(place.data), consolidated=False, decode_coords="all", mask_and_scale=False) as found:
        assert found.X.odc.geobox == grid and np.array_equal(found.X.values, values)
