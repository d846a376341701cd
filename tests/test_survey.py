"""What headers of scenes tell before pixels are used: exact agreement of made-up bands, and files on disk.

Policy: any band that is missing, of another kind, system or extent loses the scene; differences of one pixel do not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from tasks.scenes import BANDS, SCL, Scene
from tasks.survey import Header, damaged, disagreement, readable, survey

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
