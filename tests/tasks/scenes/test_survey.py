"""What headers of scenes tell before pixels are used: exact agreement of made-up bands, and files on disk.

Policy: any band that is missing, of another kind, system or extent loses the scene; differences of one pixel do not.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from imperv.tasks.scenes.scenes import BANDS, SCL, Scene
from imperv.tasks.scenes.survey import Header, damaged, disagreement, readable, survey
from tests.support.hidden_pixels import hide
from tests.support.range_server import serving

UTM = CRS.from_epsg(32632).to_wkt()
BOX = (600_000.0, 5_190_000.0, 610_000.0, 5_200_000.0)


def headers(**changed: Header) -> dict[str, Header]:
    found = {SCL: Header(UTM, BOX, 20, "uint8"), "B02": Header(UTM, BOX, 10, "uint16"), "B12": Header(UTM, BOX, 20, "uint16")}
    return found | changed


def test_bands_that_agree():
    moved = (BOX[0], BOX[1] - 20, BOX[2] + 20, BOX[3])
    assert disagreement(headers()) == ""
    assert disagreement(headers(B12=Header(UTM, moved, 20, "uint16"))) == ""


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"crs": CRS.from_epsg(32633).to_wkt()}, "B12 is in EPSG:32633, SCL in EPSG:32632"),
        ({"crs": ""}, "B12 has no coordinate reference system"),
        ({"dtype": "int16"}, "B12 holds int16, not uint16"),
        ({"bounds": (600_000.0, 5_195_000.0, 610_000.0, 5_200_000.0)}, "B12 covers 10000 x 5000 m from 600000, 5.2e+06, SCL"),
    ],
)
def test_bands_that_disagree(changed, text):
    assert disagreement(headers(B12=replace(headers()["B12"], **changed))).startswith(text)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, ""),
        ({"B02": {"nodata": 0.0}}, ""),
        ({"B02": {"nodata": 65535.0}, "B12": {"nodata": 65535.0}, "SCL": {"nodata": 255.0}}, ""),
        ({"B02": {"nodata": 65535.0}, "B12": {"masked": True}}, ""),
        ({"B02": {"nodata": 65535.0}}, "B02 has 65535 for no data, B12 0"),
        (
            {"B12": {"nodata": 65535.0, "masked": True}, "B02": {"nodata": 1.0, "masked": True}},
            "B02 has 1 for no data, B12 65535",
        ),
        ({"B12": {"nodata": -9999.0}}, "B12 says that -9999 is no data, which no pixel of uint16 can be"),
        ({"B12": {"nodata": 65536.0}}, "B12 says that 65536 is no data, which no pixel of uint16 can be"),
        ({"B12": {"nodata": 0.5}}, "B12 says that 0.5 is no data, which no pixel of uint16 can be"),
        ({"B12": {"nodata": float("nan")}}, "B12 says that nan is no data, which no pixel of uint16 can be"),
        ({"SCL": {"nodata": 256.0}}, "SCL says that 256 is no data, which no pixel of uint8 can be"),
        ({"SCL": {"nodata": 4.0}}, "SCL says that its class 4 is no data"),
        ({"B12": {"layers": 3}}, "B12 holds 3 bands, not one"),
        ({"B12": {"stated": 65535.0}}, "B12 has 0 for no data, its item 65535"),
        ({"B12": {"stated": 65535.0, "nodata": 0.0}}, "B12 has 0 for no data, its item 65535"),
        ({"B02": {"nodata": 7.0}, "B12": {"stated": 7.0, "nodata": 7.0}}, ""),
        ({"B12": {"stated": 7.0, "masked": True}}, ""),
    ],
)
def test_what_files_say_is_no_data(changed, text):
    assert disagreement({band: replace(header, **changed.get(band, {})) for band, header in headers().items()}) == text


@pytest.fixture
def scene(tmp_path):
    """Makes a scene of small files."""

    def go(name: str) -> Scene:
        bands = {}
        for band in BANDS:
            path = tmp_path / name / f"{band}.tif"
            path.parent.mkdir(exist_ok=True)
            noise = np.random.default_rng(1).integers(1, 200, (64, 64)).astype("uint8" if band == SCL else "uint16")
            with rasterio.open(
                path, "w", driver="GTiff", height=64, width=64, count=1, dtype=noise.dtype, crs="EPSG:32632",
                transform=Affine(20, 0, 600_000, 0, -20, 5_200_000), tiled=True, blockxsize=16, blockysize=16,
            ) as target:  # fmt: skip
                target.write(noise, 1)
            bands[band] = str(path)
        return Scene(name, "2021-01-01T10:00:00", name, "", "", None, 0, "", bands)

    return go


def test_sound_scenes_have_bounds(scene):
    found = survey([scene("a"), scene("b")], 2)
    assert found.lost == {} and set(found.bounds) == {"a", "b"}
    left, bottom, right, top = found.bounds["a"]
    assert 1280 + 200 <= right - left <= 1700 and 1280 + 200 <= top - bottom <= 1700


def test_each_trouble_is_named(scene):
    names = ("sound", "gone", "short", "middle", "incomplete")
    scenes = {name: scene(name) for name in names}
    Path(scenes["gone"].bands["B05"]).unlink()
    short = Path(scenes["short"].bands["B08"])
    short.write_bytes(short.read_bytes()[:3000])
    kept = {b: p for b, p in scenes["incomplete"].bands.items() if b != SCL}
    scenes["incomplete"] = replace(scenes["incomplete"], bands=kept)
    found = survey(scenes.values(), 2)
    assert set(found.lost) == {"gone", "short", "incomplete"}
    assert found.lost["gone"].endswith("B05.tif does not exist") and found.lost["incomplete"] == "SCL is missing"
    assert "B08.tif cannot be read" in found.lost["short"]
    assert readable([scenes["gone"], scenes["sound"]], 2) == {"sound"}


def rewritten(path: str, raw: float | None = None, **profile) -> None:
    """Write a file again with another header."""
    with rasterio.open(path) as source:
        array, old = source.read(1), source.profile
    with rasterio.open(path, "w", **{**old, **profile}) as target:
        target.write(array, 1)
    if raw is not None:  # as GDAL itself writes it and rasterio refuses to
        code = f"from osgeo import gdal; d = gdal.Open({path!r}, 1); d.GetRasterBand(1).SetNoDataValue({raw!r})"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_headers_of_no_data_are_read_to_the_letter(scene):
    pytest.importorskip("osgeo.gdal")
    scenes = {name: scene(name) for name in ("usual", "other", "odd", "beyond", "alpha", "several")}
    for band in BANDS:
        rewritten(scenes["usual"].bands[band], nodata=0)
        rewritten(scenes["other"].bands[band], nodata=255)
        hide(scenes["alpha"].bands[band], np.eye(64, dtype=bool), "alpha")
    rewritten(scenes["odd"].bands["B11"], nodata=65535)
    rewritten(scenes["beyond"].bands["B05"], raw=-9999.0)
    rewritten(scenes["several"].bands["B05"], count=2)
    assert survey(scenes.values(), 2).lost == {
        "odd": "B02 has 0 for no data, B11 65535",
        "beyond": "B05 says that -9999 is no data, which no pixel of uint16 can be",
        "several": "B05 holds 2 bands, not one",
    }


def test_a_header_without_a_value_takes_no_more_requests(scene, tmp_path):
    one = scene("one")
    with serving(tmp_path) as server:
        remote = replace(one, bands={b: f"{server.url}/one/{b}.tif" for b in BANDS})
        assert survey([remote], 1).bounds == survey([one], 1).bounds
        assert Counter(r.method for r in server.requests) == {"HEAD": len(BANDS), "GET": len(BANDS)}


def test_scenes_that_begin_in_the_south_lie_where_others_do(scene):
    north, south = scene("north"), scene("south")
    for path in south.bands.values():
        hide(path, np.zeros((64, 64), bool), "zero", south_up=True)
    found = survey([north, south], 2)
    assert found.lost == {} and found.bounds["south"] == pytest.approx(found.bounds["north"], abs=1e-6)
    hide(north.bands["B12"], np.zeros((64, 64), bool), "zero", south_up=True)  # in one scene bands may run both ways
    assert survey([north], 2).lost == {}


def test_damage_inside_of_a_file_is_found_when_all_of_it_is_read(scene):
    from rasterio.shutil import copy

    hurt = scene("hurt")
    path = Path(hurt.bands["B03"])
    copy(path, path.with_suffix(".new"), driver="GTiff", compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    data = bytearray(path.with_suffix(".new").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    assert survey([hurt], 2).lost == {}
    assert "B03.tif cannot be read" in damaged([hurt, scene("sound")], 2)["hurt"]
    assert readable([hurt], 2) == set()


def test_files_that_no_scene_comes_in_are_left_alone(tmp_path):
    """A virtual raster may lead to any other file; a huge one costs memory before anything is wrong with it."""
    lost = {}
    with rasterio.open(
        tmp_path / "b.tif",
        "w",
        driver="GTiff",
        width=20,
        height=20,
        count=1,
        dtype="uint16",
        crs=UTM,
        transform=Affine.scale(10, -10),
    ) as target:
        target.write(np.ones((1, 20, 20), "u2"))
    (tmp_path / "virtual.tif").write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="20"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path / 'b.tif'}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(
        tmp_path / "huge.tif", "w", driver="GTiff", width=10, height=30_000, count=1, dtype="uint16", crs=UTM, SPARSE_OK=True
    ):
        pass
    for name in ("virtual", "huge"):
        bands = dict.fromkeys((SCL, *BANDS), str(tmp_path / f"{name}.tif"))
        scene = Scene(name, "2021-01-01T10:00:00", name, "", "", None, 0, "", bands)
        lost[name] = survey([scene], 1).lost[name]
    assert "is a VRT, neither GeoTIFF nor JPEG 2000" in lost["virtual"]
    assert "has 10 x 30000 pixels" in lost["huge"]
