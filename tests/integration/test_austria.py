"""Both sites of Austria from a real S3 server: the pixels of the files, and one scale although the sites differ in the offset.

The files of one site hold the offset of baseline 04.00, those of the other do not. Policy: fields and meadows, told by the
classification, which no offset touches, have about the same reflectance in visible light at both sites; a wrong decision at
either of them breaks that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.shutil import copy as gdal_copy
from rasterio.warp import Resampling, reproject, transform_bounds

from imperv.flows.cli.commands import main
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.job import Job, Made
from imperv.tasks.scenes import access as access_module
from imperv.tasks.scenes.reading import Target, read_window
from imperv.tasks.settings.production import Production
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.store.store import Store
from imperv.tasks.yearly.freezing import make_scene_list
from imperv.tasks.yearly.preprocessing import make_pp, read_scene_list
from tests.support.objections import objections
from tests.support.s3_server import serving_s3
from tests.support.safe_products import write_jp2

TILE = "E47N26"
SITES = {"site_2004": 1000, "site_2008": 0}
"""Digital numbers that the right decision subtracts."""
EVERY = {"site_2004": 3, "site_2008": 6}
"""Of 37 and 90 dates every so manyth is used: 13 and 15."""
VISIBLE = [QUANTILE_BANDS.index(band) for band in ("B02", "B03", "B04")]


@dataclass(frozen=True)
class Bucket:
    """The COGs of both sites on a running S3 server."""

    endpoint: str
    folder: Path
    """The same files."""


@pytest.fixture(scope="module")
def bucket(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("austria")
    with serving_s3("austria") as url:
        fs = Store("s3://austria", {"endpoint_url": url}).fs
        for site in SITES:
            table = json.loads((shared_data / "austria" / site / "items.json").read_text())
            table["features"] = table["features"][:: EVERY[site]]
            for item in table["features"]:
                (folder / site / item["id"]).mkdir(parents=True)
                for key, asset in item["assets"].items():
                    source = shared_data / "austria" / site / asset["href"]
                    asset["href"] = f"{item['id']}/{key}.tif"
                    gdal_copy(source, folder / site / asset["href"], driver="COG", compress="deflate", overviews="none")
            (folder / site / "items.json").write_text(json.dumps(table))
            for item in table["features"]:
                for asset in item["assets"].values():
                    name = f"{site}/{asset['href']}"
                    fs.call_s3("put_object", Bucket="austria", Key=name, Body=(folder / name).read_bytes(), ACL="public-read")
                    asset["href"] = f"s3://austria/{name}"
            body = json.dumps(table).encode()
            fs.call_s3("put_object", Bucket="austria", Key=f"{site}/items.json", Body=body, ACL="public-read")
        yield Bucket(url, folder)


def production(folder: Path, bucket: Bucket, site: str, catalogue: str, more: str = "", access: str = "") -> Path:
    table = json.loads((bucket.folder / site / "items.json").read_text())
    box = transform_bounds("EPSG:4326", "EPSG:3035", *table["features"][0]["bbox"])
    path = folder / f"{site}.toml"
    path.write_text(
        f'tiles = ["{TILE}"]\nstore = "store_{site}"\n[periods]\nthen = "2021"\nnow = "2022"\n[area]\nbbox = {list(box)}\n'
        f'[scenes]\ncatalogue = "{catalogue}"\n{more}\n[scenes.access]\n{access}\n'
    )
    return path


def features(path: Path) -> tuple[Job, Made]:
    job = Job.of(Production.read(path), TILE)
    make_scene_list(job, CATALOGUE["S2_now"])
    return job, make_pp(job, CATALOGUE["PP_now"])


@pytest.fixture(scope="module")
def local(bucket, tmp_path_factory) -> dict[str, tuple[Job, Made]]:
    """What the files of both sites give."""
    folder = tmp_path_factory.mktemp("local")
    return {site: features(production(folder, bucket, site, str(bucket.folder / site))) for site in SITES}


@pytest.mark.parametrize(("site", "how"), [("site_2004", "keys"), ("site_2008", "unsigned")])
def test_a_site_from_the_bucket_is_that_of_the_files(bucket, local, tmp_path, monkeypatch, site, how):
    """Items behind a URL of the bucket, COGs below s3://, once with keys and once as a public bucket is read, without."""
    access_module._s3.cache_clear()
    access = f'endpoint_url = "{bucket.endpoint}"\n'
    if how == "unsigned":
        access += "unsigned = true\n"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    _, remote = features(production(tmp_path, bucket, site, f"{bucket.endpoint}/austria/{site}/items.json", access=access))
    assert remote.digest == local[site][1].digest and remote.statistics["lost_scenes"] == {}
    assert remote.statistics["offset_check"]["medians"].keys() == {str(SITES[site])}


def test_the_scenes_of_the_bucket_are_listed(bucket, tmp_path, capsys):
    path = production(tmp_path, bucket, "site_2004", f"{bucket.endpoint}/austria/site_2004/items.json")
    assert main(["scenes", TILE, "--config", str(path)]) == 2
    printed = capsys.readouterr()
    # Libraries may have their own word on standard error.
    (objection,) = objections(printed.err)
    assert objection.startswith(f"imperv: S2_then of tile {TILE}: no scenes in 2021 in {bucket.endpoint}")
    lines = [line for line in printed.out.splitlines() if line.startswith("  2022-")]
    assert len(lines) == 13 and all(" -1000  flag says not applied, baseline 04.00" in line for line in lines)


def test_jpeg_2000_below_s3_is_read(bucket, tmp_path):
    """As the provider's own files lie at Copernicus Data Space."""
    source = next((bucket.folder / "site_2008").rglob("red.tif"))
    with rasterio.open(source) as opened:
        values, transform = opened.read(1), opened.transform
    write_jp2(tmp_path / "B04_10m.jp2", values, transform, "EPSG:32633")
    body = (tmp_path / "B04_10m.jp2").read_bytes()
    fs = Store("s3://austria", {"endpoint_url": bucket.endpoint}).fs
    fs.call_s3("put_object", Bucket="austria", Key="R10m/B04_10m.jp2", Body=body)
    grid = GeoBox(values.shape, transform, "EPSG:32633")
    access = SceneAccess(endpoint_url=bucket.endpoint, region="us-east-1")
    window = read_window("s3://austria/R10m/B04_10m.jp2", "s", Target(grid), access=access)
    assert window is not None and np.array_equal(window.pixels, values)


# one scale --------------------------------------------------------------------------------------------------------


def vegetation(job: Job) -> np.ndarray:
    """Pixels that were seen green twice or more, as GDAL brings the classifications to the grid."""
    grid = job.grid(10)
    green = np.zeros(grid.shape, int)
    for scene in read_scene_list(job, "S2_now").scenes:
        here = np.zeros(grid.shape, "uint8")
        with rasterio.open(scene.bands["SCL"]) as source:
            reproject(
                rasterio.band(source, 1), here, dst_transform=grid.affine, dst_crs="EPSG:3035", resampling=Resampling.nearest
            )
        green += here == 4
    return green >= 2


def visible_of_vegetation(job: Job) -> np.ndarray:
    """Median of q20 over what was green: blue, green, red."""
    q20, green = job.group("PP_now")["quantiles"][:].astype(int), vegetation(job)
    assert green.sum() > 50
    return np.array([np.median(q20[k][green & (q20[k] > 0)]) for k in VISIBLE])


ONE_SCALE = 300
"""Digital numbers between two sites; a wrong decision moves one of them by 1000, or down to 1 where no more is left."""


def test_both_sites_lie_on_one_scale_and_a_wrong_decision_shows(bucket, local, tmp_path):
    def decided(site: str, setting: str) -> np.ndarray:
        path = production(tmp_path, bucket, site, str(bucket.folder / site), f'boa_offset = "{setting}"')
        return visible_of_vegetation(features(path)[0])

    added, applied = (visible_of_vegetation(local[site][0]) for site in SITES)
    left, twice = decided("site_2004", "none"), decided("site_2008", "subtract")
    assert np.all(np.abs(added - applied) < ONE_SCALE), (added, applied)
    assert np.all(np.abs(left - added - 1000) <= 1), "nothing but the offset differs"
    assert np.all(np.abs(left - applied) > ONE_SCALE) and np.all(np.abs(added - twice) > ONE_SCALE), (left, twice)
