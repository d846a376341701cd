"""A site of mirrored landscapes in granules of their real extent: the tiling grid, overlaps, and a call that goes on."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.vrt
from rasterio.windows import from_bounds

from imperv.grids import Tile
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.simulator import simulate_mirrored
from imperv.tasks.simulator.granules import real_granules
from imperv.tasks.simulator.sampling import fold
from imperv.tasks.simulator.simulation import write_production

SIZE, EDGE = 300, 144


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_mirrored(tmp_path_factory.mktemp("mirrored") / "site", "E42N26", SIZE, EDGE, overpasses=3).parent


def items(folder: Path) -> list[dict]:
    return json.loads((folder / "items.json").read_text())["features"]


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def test_granules_are_those_of_the_tiling_grid():
    """Corners as the products of these granules state them."""
    found = {g.mgrs: (g.left, g.top) for g in real_granules(tuple(map(int, Tile("E42N26").bounds)))}
    assert found == {
        "32TMS": (399960, 5200020), "32TNS": (499980, 5200020), "32TMT": (399960, 5300040), "32TNT": (499980, 5300040),
    }  # fmt: skip
    toulouse = {g.mgrs: (g.left, g.top) for g in real_granules((3_600_000, 2_300_000, 3_610_000, 2_310_000))}
    assert toulouse["31TCJ"] == (300000, 4900020)
    with pytest.raises(ValueError, match="more than one UTM zone"):
        real_granules((4_400_000, 2_700_000, 4_500_000, 2_800_000))


def test_a_landscape_is_folded_at_its_edges():
    """Of 4 pixels of 10 m: 0 1 2 3 | 3 2 1 0 | 0 1, and west of it 0 1."""
    along = np.array([[5.0, 15, 25, 35, 45, 55, 65, 75, 85, 95, -5, -15]])
    assert np.rint(fold(along, 10.0, 4)).astype(int).tolist() == [[0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 0, 1]]


@pytest.mark.slow
def test_granules_of_an_overpass_agree_where_they_overlap(folder):
    first = [item for item in items(folder) if item["properties"]["datetime"][:4] == "2021"][:4]
    assert {item["properties"]["grid:code"] for item in first} == {"MGRS-32TMS", "MGRS-32TNS", "MGRS-32TMT", "MGRS-32TNT"}
    for key in ("red", "swir16", "scl"):
        sources = [rasterio.open(folder / item["assets"][key]["href"]) for item in first]
        left, bottom, right, top = (f(source.bounds[k] for source in sources) for k, f in enumerate((max, max, min, min)))
        parts = [source.read(1, window=from_bounds(left, bottom, right, top, source.transform)).astype(int) for source in sources]
        seen = parts[0] > 0
        assert seen.sum() > 3000
        for other in parts[1:]:
            assert ((other > 0) == seen).mean() > 0.999
            # Coordinates are interpolated within each granule: here and there a value is rounded the other way.
            assert (np.abs(other - parts[0])[seen & (other > 0)] > 1).mean() < 0.01


@pytest.mark.slow
def test_files_are_whole_granules_in_blocks(folder):
    with rasterio.open(folder / items(folder)[0]["assets"]["nir"]["href"]) as source:
        assert source.shape == (10980, 10980) and source.block_shapes == [(1024, 1024)]
        assert source.compression.value == "DEFLATE"
    assert items(folder)[0]["assets"]["scl"]["proj:shape"] == [5490, 5490]


@pytest.mark.slow
def test_references_are_mirrored_and_show_what_scenes_show(folder):
    for name in ("imd_then", "clcplus_now"):
        layer = read(folder / "reference" / f"{name}.tif")
        assert layer.shape == (SIZE, SIZE)
        assert np.array_equal(layer[:EDGE, :EDGE], layer[EDGE : 2 * EDGE, :EDGE][::-1])
        assert np.array_equal(layer[:EDGE, :EDGE], layer[:EDGE, EDGE : 2 * EDGE][:, ::-1])
    density = read(folder / "reference" / "imd_then.tif")
    # Vegetation is where nothing is sealed, in every mirror.
    item = next(i for i in items(folder) if "_32TMT_" in i["id"] and i["properties"]["eo:cloud_cover"] < 1)
    values = []
    for key in ("red", "nir"):
        with (
            rasterio.open(folder / item["assets"][key]["href"]) as source,
            rasterio.open(folder / "reference/imd_then.tif") as grid,
        ):
            vrt = rasterio.vrt.WarpedVRT(source, crs=grid.crs, transform=grid.transform, width=SIZE, height=SIZE)
            values.append(vrt.read(1).astype(float))
    red, nir = values
    seen = (red > 0) & (nir > 0)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    for rows in (slice(0, EDGE), slice(EDGE, 2 * EDGE)):
        for columns in (slice(0, EDGE), slice(EDGE, 2 * EDGE)):
            part = (rows, columns)
            sealed, bare = seen[part] & (density[part] > 50), seen[part] & (density[part] == 0)
            assert sealed.sum() > 100
            assert ndvi[part][bare].mean() - ndvi[part][sealed].mean() > 0.1


@pytest.mark.slow
def test_footprints_lie_in_every_mirror(folder):
    lines = (folder / "reference" / "footprints.geojsonl").read_text().splitlines()
    corners = np.array([json.loads(line)["geometry"]["coordinates"][0][0] for line in lines])
    from pyproj import Transformer

    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(*corners.T)
    left, _, _, top = tomllib.loads((folder / "production.toml").read_text())["area"]["bbox"]
    counts = np.histogram2d((top - y) / 10, (x - left) / 10, bins=[[0, EDGE, 2 * EDGE]] * 2)[0]
    assert counts.min() > 5 and counts.max() - counts.min() <= 0.1 * counts.max()


@pytest.mark.slow
def test_a_call_that_was_killed_goes_on(folder):
    """A granule of a year whose list of items is not there is made again, with the same bytes; the others are left alone."""
    wanted = items(folder)
    gone = folder / "items" / "32TMS_2021.json"
    mine = sorted((folder / "scenes").glob("*_32TMS_2021*/red.tif"))
    others = {p: p.stat().st_mtime_ns for p in (folder / "scenes").glob("*/red.tif") if p not in mine}
    before = [p.read_bytes() for p in mine]
    gone.unlink()
    mine[0].write_bytes(b"half")
    simulate_mirrored(folder, "E42N26", SIZE, EDGE, overpasses=3)
    assert items(folder) == wanted
    assert [p.read_bytes() for p in mine] == before
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_a_whole_tile_has_no_area(tmp_path):
    (tmp_path / "items.json").write_text("{}")
    production = Production.read(write_production(tmp_path, ["E42N26"], (2018, 2021), "", footprints="footprints.geojsonl"))
    assert Job.of(production, "E42N26").grid(10).shape == (10_000, 10_000)
    assert production.references.footprints[0].endswith("reference/footprints.geojsonl")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ValueError, match="something else"):
        simulate_mirrored(tmp_path, "E42N26", SIZE, EDGE)
    assert (tmp_path / "mine").read_text() == "x"
