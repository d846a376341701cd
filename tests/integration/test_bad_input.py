"""Bad input gets one clear line that names file, layer or tile and the remedy, exit code 2 (1 where work failed).

And it leaves nothing that looks done.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.commands import main
from imperv.tasks.store.store import Store
from tests.integration.conftest import with_store
from tests.support.objections import objections

TILE = "E44N27"


@pytest.fixture
def config(site, tmp_path) -> Path:
    """Production file of the site with an empty store."""
    return with_store(site / "production.toml", tmp_path)


def edit(config: Path, old: str, new: str) -> Path:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    return config


def fails(capsys, arguments, code, *words):
    """The command ends with `code` and says so in one line that holds the words."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == code
    lines = objections(capsys.readouterr().err)
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]
    for word in words:
        assert word in lines[0], lines[0]


def done(tmp_path) -> set[str]:
    return {record.symbol for record in Store(tmp_path / "store").records(TILE).values()}


@pytest.mark.parametrize(
    ("tile", "words"),
    [
        ("E4427", ("E4427", "write it like E43N32")),
        ("E10N10", ("E10N10", "not an official tile", "sea")),
        ("E43N32", ("E43N32", "does not touch")),
    ],
)
def test_wrong_tile(config, capsys, tile, words):
    fails(capsys, ["run", tile, "--config", config], 2, *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('now = "2021"', 'now = "2021-01-01/2021-11-30"', ("periods.now", "not twelve months", "2021-12-31")),
        ('now = "2021"', 'now = "21"', ("periods.now", "is not a year like 2018")),
        ('then = "2018"', 'then = "2022"', ("periods", "must begin before")),
        ("[periods]", "[engine]\nmemry = '8 GiB'\n[periods]", ("engine.memry", "unknown key", "did you mean memory?")),
        ("[periods]", "[engine]\nmemory = 'much'\n[periods]", ("engine.memory", "8 GiB")),
        ("[periods]", "[periods", ("not valid TOML",)),
    ],
)
def test_wrong_production_file(config, capsys, old, new, words):
    fails(capsys, ["run", TILE, "--config", edit(config, old, new)], 2, config.name, *words)


def test_no_production_file(tmp_path, capsys):
    fails(capsys, ["run", TILE, "--config", tmp_path / "no.toml"], 2, "no.toml", "cannot be read")


def test_unknown_layer(config, capsys):
    fails(capsys, ["run", TILE, "--config", config, "--target", "IMCX"], 2, "IMCX", "did you mean")


def test_missing_reference_file(config, capsys, tmp_path):
    edit(config, "reference/ibu_then.tif", "reference/nothing.tif")
    fails(capsys, ["run", TILE, "-c", config, "-t", "IBU_then"], 2, "references.ibu_then", "nothing.tif", "does not exist")
    assert done(tmp_path) == set()


def test_reference_not_named(config, capsys):
    config.write_text("\n".join(line for line in config.read_text().splitlines() if "clcplus_now" not in line))
    fails(capsys, ["run", TILE, "-c", config, "-t", "CLCP_now"], 2, "references.clcplus_now", "is missing", TILE)
    assert main(["config", "check", str(config)]) == 2


def write_raster(path: Path, **changes) -> Path:
    profile = {
        "driver": "GTiff", "width": 100, "height": 100, "count": 1, "dtype": "uint8", "crs": "EPSG:3035", "nodata": 255,
        "transform": rasterio.transform.from_origin(4400000, 2700000, 10, 10), **changes,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(np.zeros((profile["count"], 100, 100), profile["dtype"]))
    return path


def test_reference_that_does_not_cover_the_tile(config, capsys, tmp_path):
    edit(config, "reference/imd_then.tif", str(write_raster(tmp_path / "far.tif")))
    fails(capsys, ["run", TILE, "-c", config, "-t", "IMD_then"], 2, "far.tif", "does not cover", TILE, "name a file")


def test_reference_without_crs(config, capsys, tmp_path):
    edit(config, "reference/imd_then.tif", str(write_raster(tmp_path / "bare.tif", crs=None)))
    fails(capsys, ["run", TILE, "-c", config, "-t", "IMD_then"], 2, "bare.tif", "no coordinate reference system")


def test_reference_of_another_type(config, capsys, tmp_path):
    edit(config, "reference/imd_then.tif", str(write_raster(tmp_path / "float.tif", dtype="float32", nodata=None)))
    fails(capsys, ["run", TILE, "-c", config, "-t", "IMD_then"], 2, "float.tif", "uint8")


def test_reference_in_another_crs_is_reprojected_from_full_resolution(config, site, tmp_path, capsys):
    """The same layer in UTM, with overviews that hold something else, gives nearly the same pixels."""
    source = site / "reference" / "ibu_then.tif"
    utm = tmp_path / "utm.tif"
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    with rasterio.open(source) as raster:
        transform, width, height = calculate_default_transform(
            raster.crs, "EPSG:32633", raster.width, raster.height, *raster.bounds
        )
        array = np.full((height, width), 255, "uint8")
        reproject(
            rasterio.band(raster, 1),
            array,
            dst_transform=transform,
            dst_crs="EPSG:32633",
            dst_nodata=255,
            resampling=Resampling.nearest,
        )
    with rasterio.open(
        utm,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=1,
        dtype="uint8",
        crs="EPSG:32633",
        transform=transform,
        nodata=255,
    ) as raster:
        raster.write(array, 1)
        raster.build_overviews([2, 4], Resampling.nearest)
    gdal = pytest.importorskip("osgeo.gdal")
    dataset = gdal.Open(str(utm), gdal.GA_Update)
    for k in range(2):
        overview = dataset.GetRasterBand(1).GetOverview(k)
        overview.WriteRaster(0, 0, overview.XSize, overview.YSize, b"\x01" * overview.XSize * overview.YSize)
    dataset = overview = None
    edit(config, "reference/ibu_then.tif", str(utm))
    assert main(["run", TILE, "-c", str(config), "-t", "IBU_then"]) == 0
    assert "resampled (nearest) from full resolution" in capsys.readouterr().err
    ours = Store(tmp_path / "store").open("IBU_then", TILE).values
    with rasterio.open(source) as raster:
        window = raster.window(*Store(tmp_path / "store").open("IBU_then", TILE).rio.bounds())
        truth = raster.read(1, window=window, boundless=True, fill_value=255)
    inside = (ours != 255) & (truth != 255)
    assert inside.mean() > 0.9
    assert (ours[inside] == truth[inside]).mean() > 0.95  # twice nearest neighbour moves edges by up to a pixel


def test_no_scenes(config, capsys, tmp_path):
    edit(config, 'now = "2021"', 'now = "2020"')
    fails(capsys, ["run", TILE, "-c", config, "-t", "PP_now"], 2, "no scenes in 2020", TILE, "items.json")
    assert done(tmp_path) == set()


def test_no_catalogue(config, capsys):
    edit(config, "items.json", "no.json")
    fails(capsys, ["run", TILE, "-c", config, "-t", "PP_now"], 2, "scenes.catalogue", "no.json")


def test_too_few_observations(config, capsys, tmp_path):
    config.write_text(config.read_text() + "\n[parameters.preprocessing]\nmin_observations = 30\n")
    fails(capsys, ["run", TILE, "-c", config, "-t", "PP_now"], 2, TILE, "8 overpasses in 2021", "30 are needed")
    assert done(tmp_path) == set()


def test_too_few_clear_looks(config, capsys, tmp_path):
    config.write_text(config.read_text() + "\n[parameters.preprocessing]\nmin_clear = 9\n")
    fails(capsys, ["run", TILE, "-c", config, "-t", "PP_now"], 2, "PP_now", TILE, "too few valid observations")
    assert done(tmp_path) == {"S2"}
    assert not list((tmp_path / "store").rglob("*.part-*"))


def damaged(config: Path, site: Path, tmp_path: Path, count: int) -> list[str]:
    """The site's items with the last asset of some scenes of 2021 cut short; their ids."""
    table = json.loads((site / "items.json").read_text())
    chosen = []
    for item in table["features"]:
        for asset in item["assets"].values():
            asset["href"] = str((site / asset["href"]).resolve())
        if item["properties"]["datetime"].startswith("2021") and len(chosen) < count:
            chosen.append(item["id"])
            cut = tmp_path / f"{item['id']}.tif"
            data = Path(item["assets"]["nir"]["href"]).read_bytes()
            cut.write_bytes(data[: len(data) // 2])
            item["assets"]["nir"]["href"] = str(cut)
    (tmp_path / "items.json").write_text(json.dumps(table))
    edit(config, "items.json", str(tmp_path / "items.json"))
    return chosen


def test_a_scene_cut_short_is_left_out_and_named(config, site, tmp_path, capsys):
    (name,) = damaged(config, site, tmp_path, 1)
    assert main(["run", TILE, "-c", str(config), "-t", "PP_now"]) == 0
    assert name in capsys.readouterr().err
    record = next(r for r in Store(tmp_path / "store").records(TILE).values() if r.symbol == "PP")
    assert list(record.statistics["lost_scenes"]) == [name] and "cannot be read" in record.warnings[0]


def test_too_many_scenes_cut_short(config, site, tmp_path, capsys):
    names = damaged(config, site, tmp_path, 5)
    fails(capsys, ["run", TILE, "-c", config, "-t", "PP_now"], 1, "PP_now", TILE, "5 of", "cannot be read", names[0])
    assert done(tmp_path) == {"S2"}


@pytest.mark.skipif(os.name != "posix", reason="limits file sizes the POSIX way")
def test_no_room_on_disk(config, tmp_path):
    """A file system that takes no more: here every file longer than 100 kB."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from imperv.tasks.errors import WorkError; from imperv.tasks.job import Job; from imperv.tasks.nodes import make_node\n"
        "from imperv.tasks.settings.production import Production\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        f"job = Job.of(Production.read(sys.argv[1]), '{TILE}')\n"
        "make_node(job, 'S2_then')\n"
        "try: make_node(job, 'PP_then')\n"
        "except WorkError as error: print(error); sys.exit(1)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "PP" in result.stdout and len(result.stdout.splitlines()) == 1 and "cannot be written" in result.stdout
    assert done(tmp_path) == {"S2"}
    assert not list((tmp_path / "store").rglob("*.part-*"))


def test_memory_that_is_too_small_is_said_before_anything_starts(config, capsys, tmp_path):
    """More buildings in one block than fit."""
    import re

    import geopandas as gpd
    import numpy as np
    import shapely

    left, bottom, right, top = map(float, re.search(r"bbox = \[(.*?)\]", config.read_text())[1].split(","))
    x, y = np.random.default_rng(1).uniform((left, bottom), (right - 9, top - 9), (80_000, 2)).T
    gpd.GeoSeries(shapely.box(x, y, x + 8, y + 8), crs="EPSG:3035").to_file(tmp_path / "many.fgb")
    text = re.sub(r"footprints = \[.*?\]", f'footprints = ["{tmp_path / "many.fgb"}"]', config.read_text())
    config.write_text(text + "\n[engine]\nmemory = '256 MiB'\nworkers = 1\n")
    fails(capsys, ["run", TILE, "-c", config, "-t", "IBUD_ref"], 2, "engine.memory", "raise engine.memory")


def test_degrees_instead_of_metres(config, capsys):
    import re

    text = re.sub(r"bbox = \[.*?\]", "bbox = [3.0, 50.8, 3.1, 50.9]", config.read_text())
    config.write_text(text)
    fails(capsys, ["run", TILE, "-c", config], 2, "area.bbox", "looks like degrees")


def test_a_wrong_reference_is_said_before_features_are_computed(config, capsys, tmp_path):
    edit(config, "reference/footprints.geojson", "items.toml")
    fails(capsys, ["run", "-c", config], 2, "references.footprints", "items.toml", "does not exist")
    assert done(tmp_path) == set()


def test_a_store_that_cannot_be_written(config, capsys):
    config.write_text(config.read_text().replace(config.read_text().split('store = "')[1].split('"')[0], "/proc/imperv"))
    fails(capsys, ["run", TILE, "-c", config, "-t", "IBU_then"], 2, "store: /proc/imperv", "cannot be written")


def test_a_demo_never_takes_a_folder_that_is_something_else(config, capsys):
    before = config.read_text()
    fails(capsys, ["demo", config.parent, "--size", "200"], 2, "is not empty and is no demo")
    assert config.read_text() == before
