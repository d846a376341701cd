"""`imperv sharpen`: what it writes, against plain reads of the scene; bad requests and scenes are one line and exit code 2.

Policy: nothing has the name of the result before all is finished, whatever happens; measured pixels are those of the scene.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.features import geometry_mask

from imperv.flows.cli.commands import main
from imperv.layers.catalogue.superresolution import NO_DEVIATION, SHARP
from imperv.layers.sharpening.enlarging import enlarge
from imperv.tasks.engine import RESERVED
from imperv.tasks.networks import precision
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.settings.periods import Period
from imperv.tasks.superresolution.direct import Plan, sharpen_scene
from imperv.tasks.superresolution.request import Request
from imperv.tasks.superresolution.sharpening import REGRESSION_NS, SHARPEN_BYTES
from imperv.tasks.superresolution.windows import MEASURED
from tests.support.native_granules import Granule, write_granules
from tests.support.safe_products import Product, write_product

LEFT, TOP = Granule().left, Granule().top
CORNERS = ((400, 310), (1480, 310), (1480, 700), (1100, 700), (1100, 1270), (400, 1270))
FIELD = shapely.Polygon([(LEFT + x, TOP - y) for x, y in CORNERS])
"""Its edges are those of pixels: rounding of coordinates moves no centre of one across."""
WIDE, HIGH = 48, 36
"""Pixels of 60 m."""


def ground(seed: int, more: int = 0) -> dict[str, np.ndarray]:
    """Bands of a landscape of patches and points, alike but for level and contrast."""
    rng = np.random.default_rng(seed)
    fine = np.kron(rng.random((HIGH * 3, WIDE * 3)), np.ones((2, 2))) + (rng.random((HIGH * 6, WIDE * 6)) > 0.97)
    found = {}
    for k, band in enumerate(PIXEL):
        f = PIXEL[band] // 10
        mean = fine.reshape(HIGH * 6 // f, f, WIDE * 6 // f, f).mean((1, 3))
        found[band] = np.rint(1400 + 100 * k + (800 + 150 * k) * mean + more).astype("uint16")
    return found | {"SCL": np.full((HIGH * 3, WIDE * 3), 4, "uint8")}


def clouded(bands: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return bands | {"SCL": np.full((HIGH * 3, WIDE * 3), 9, "uint8")}


def dated(day: str, bands: dict[str, np.ndarray], **changes) -> Granule:
    name = f"S2A_32TPS_{day.replace('-', '')}_0_L2A"
    return Granule(name, f"{day}T10:10:30Z", size=(HIGH, WIDE), bands=bands, **changes)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    """A cloudy date, a clear one, and one of another month."""
    granules = (
        dated("2021-06-02", clouded(ground(1))), dated("2021-06-12", ground(2)), dated("2021-08-22", ground(2, 50)),
    )  # fmt: skip
    return write_granules(tmp_path_factory.mktemp("scenes"), *granules)


def drawn(path: Path, shape: shapely.Geometry = FIELD, crs: str | None = "EPSG:4326") -> Path:
    """A vector file of an area given in UTM."""
    table = geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:32632")
    (table.to_crs(crs) if crs else table.to_crs(4326).set_crs(None, allow_override=True)).to_file(path)
    return path


@pytest.fixture(scope="module")
def aoi(tmp_path_factory) -> Path:
    return drawn(tmp_path_factory.mktemp("area") / "area.geojson")


def quick(*words: object) -> int:
    return main(["sharpen", *map(str, words), "--method", "regression"])


def read(path: Path) -> dict[str, np.ndarray]:
    with rasterio.open(path) as source:
        return dict(zip(source.descriptions, source.read(), strict=True))


def inside(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return geometry_mask([FIELD], source.shape, source.transform, invert=True)


def native(bands: dict[str, np.ndarray], path: Path, name: str) -> np.ndarray:
    """Pixels of a granule, without offset, where a file of whole pixels of them lies."""
    size = PIXEL[name]
    with rasterio.open(path) as source:
        box = source.bounds
    rows = slice(round(TOP - box.top) // size, round(TOP - box.bottom) // size)
    columns = slice(round(box.left - LEFT) // size, round(box.right - LEFT) // size)
    return bands[name][rows, columns] - np.uint16(1000)


# what is written --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(items, aoi, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out.tif"
    assert quick(items, "--aoi", aoi, "--date", "2021-06", "-o", out, "--raw", "--deviation") == 0
    return out


def test_the_result_is_a_cloud_optimised_file_of_all_bands(made):
    with rasterio.open(made) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and source.block_shapes[0] == (512, 512)
        assert source.descriptions == SHARP and set(source.dtypes) == {"uint16"}
        assert source.crs.to_epsg() == 32632 and source.res == (10, 10)
        assert source.nodata == 0 and source.scales == (1e-4,) * 12
        assert all(v % 60 == 0 for v in source.bounds)
        assert source.tags(11)["wavelength"] == "1.614 micrometres" and source.tags(11)["measured_at"] == "20 m"
        shown = {name: c.name for name, c in zip(source.descriptions, source.colorinterp, strict=True) if c.value}
        assert shown == {"B02": "blue", "B03": "green", "B04": "red"}
        pixels, tags = source.read(5, masked=True), source.tags(5)
        assert float(tags["STATISTICS_MINIMUM"]) == pixels.min() and np.isclose(float(tags["STATISTICS_MEAN"]), pixels.mean())
        said = source.tags()
    assert said["scenes"] == "S2A_32TPS_20210612_0_L2A" and said["date"] == "2021-06-12" and said["level"] == "L2A"
    assert said["method"] == "regression" and said["input"] == "one overpass" and said["clear"] == "1.0000"
    assert all(0 <= float(part.split()[1]) <= 2 for part in said["consistency"].split(", "))


def test_bands_of_10_m_are_those_of_the_scene_and_nothing_lies_outside_of_the_area(made):
    found, within = read(made), inside(made)
    assert 0.2 < within.mean() < 0.9
    for name in MEASURED[10]:
        np.testing.assert_array_equal(found[name], np.where(within, native(ground(2), made, name), 0))
    assert all((pixels > 0).sum() == within.sum() for pixels in found.values())


def test_the_sharpened_bands_are_nearer_to_the_ground_than_enlarged_ones(made):
    """Bands of the landscape differ in level and contrast only, so that B04 tells what B11 is at 10 m."""
    found, raw, within = read(made), read(made.with_name("out_raw.tif")), inside(made)
    red = native(ground(2), made, "B04").astype("f8")
    for name in MEASURED[20]:
        line = np.polyfit(red[within], found[name][within], 1)
        errors = [np.std(pixels[name][within] - np.polyval(line, red[within])) for pixels in (found, raw)]
        assert errors[0] < 0.5 * errors[1], name


def test_the_measured_bands_come_along_enlarged(made):
    raw, within = read(made.with_name("out_raw.tif")), inside(made)
    for name in ("B03", "B11", "B09"):
        whole = enlarge(ground(2)[name].astype("f4") - 1000, PIXEL[name] // 10)
        with rasterio.open(made) as source:
            y, x = round(TOP - source.bounds.top) // 10, round(source.bounds.left - LEFT) // 10
        expected = np.rint(whole[y : y + within.shape[0], x : x + within.shape[1]])
        assert np.abs(raw[name].astype("f8") - expected)[within].max() <= 1
        assert not raw[name][~within].any()


def test_the_deviation_comes_along(made):
    with rasterio.open(made.with_name("out_deviation.tif")) as source:
        assert source.nodata == NO_DEVIATION
    found, within = read(made.with_name("out_deviation.tif")), inside(made)
    assert all((pixels[~within] == NO_DEVIATION).all() for pixels in found.values())
    assert not found["B04"][within].any() and found["B11"][within].mean() > 1 and (found["B11"][within] < NO_DEVIATION).all()


def request_of(items: Path, aoi: Path, out: Path, **changes) -> Request:
    return Request(str(items), out, aoi, Period.parse("2021-06"), network=False, **changes)


@pytest.mark.parametrize("to", [10, pytest.param(5, marks=pytest.mark.slow)])
def test_blocks_show_nothing(items, aoi, tmp_path, to):
    told: list[tuple[str, int, int]] = []
    whole = sharpen_scene(request_of(items, aoi, tmp_path / "whole.tif", to=to, workers=1), lambda *said: told.append(said))
    sharpen_scene(request_of(items, aoi, tmp_path / "parts.tif", to=to, workers=2, block=60), lambda *said: told.append(said))
    assert [total for step, done, total in told if step == "sharpen" and done == 0] == [1, 4]
    one, many = read(tmp_path / "whole.tif"), read(tmp_path / "parts.tif")
    assert whole.shape == (12, *one["B02"].shape)
    for name in SHARP:
        assert np.abs(one[name].astype(int) - many[name]).max() <= 1, name
    with rasterio.open(tmp_path / "whole.tif") as source:
        assert source.res == (to, to)


@pytest.mark.slow
def test_what_a_request_costs_is_told_before_anything_is_read(items, aoi, tmp_path, capsys):
    told: list[tuple[str, Plan | str]] = []
    for block in (60, 996):
        request = request_of(items, aoi, tmp_path / "out.tif", workers=1, block=block)
        sharpen_scene(request, lambda step, *_: told.append(("step", step)), lambda plan: told.append(("plan", plan)))
    assert {what for _, what in told[: [kind for kind, _ in told].index("plan")]} == {"choose"}
    small, large = (what for kind, what in told if kind == "plan")
    assert (small.blocks, large.blocks) == (4, 1)
    rows, columns = (n + 2 * 96 for n in inside(tmp_path / "out.tif").shape)  # 960 m around
    assert large.memory - RESERVED == SHARPEN_BYTES[10] * rows * columns > small.memory - RESERVED
    more = (rows + 2 * 96) * (columns + 2 * 96) - rows * columns  # two blocks each way
    assert small.core_seconds - large.core_seconds == pytest.approx(1e-9 * more * REGRESSION_NS[10])
    assert quick(items, "--aoi", aoi, "--date", "2021-06", "-o", tmp_path / "again.tif") == 0
    assert re.search(r"imperv: planned: 1 block, [\d.]+ s of one core, [\d.]+ MiB of memory", capsys.readouterr().err)


@pytest.mark.slow
def test_where_the_area_ends_changes_nothing_inside(items, tmp_path):
    """Statistics are those of 5 km around, here all of the scene, for a smaller area with the same middle."""
    middle = LEFT + 1440, TOP - 1080
    for name, half in (("small", 240), ("large", 480)):
        x, y = middle
        area = drawn(tmp_path / f"{name}.gpkg", shapely.box(x - half, y - half, x + half, y + half), "EPSG:32632")
        sharpen_scene(request_of(items, area, tmp_path / f"{name}.tif"), lambda *_: None)
    small, large = read(tmp_path / "small.tif"), read(tmp_path / "large.tif")
    for name in SHARP:
        assert small[name].shape == (48, 48) and (small[name] > 0).all()
        assert np.abs(small[name].astype(int) - large[name][24:-24, 24:-24]).max() <= 1, name


@pytest.mark.slow
def test_several_dates_tell_of_5_m(items, aoi, tmp_path):
    out = tmp_path / "five.tif"
    assert quick(items, "--aoi", aoi, "-o", out, "--to", "5", "--dates", "2") == 0
    with rasterio.open(out) as source:
        tags = source.tags()
    assert tags["scenes"] == "S2A_32TPS_20210822_0_L2A, S2A_32TPS_20210612_0_L2A" and tags["input"] == "2 overpasses"


def test_a_mosaic_is_the_median_of_what_is_clear(items, aoi, tmp_path, capsys):
    out = tmp_path / "mosaic.tif"
    assert quick(items, "--aoi", aoi, "-o", out, "--mosaic") == 0
    found, within = read(out), inside(out)
    first, last = (native(ground(2, more), out, "B08").astype(int) for more in (0, 50))
    np.testing.assert_array_equal(found["B08"][within], ((first + last + 1) // 2)[within])
    assert "method       regression" in capsys.readouterr().out


def test_a_whole_product_without_an_area_or_a_date(tmp_path, capsys):
    """Level-1C: no scene classification, and an offset of its own."""
    rng = np.random.default_rng(1)
    product = Product(level="1C", left=501360, top=5629680, shape=(60, 72))
    shapes = {name: (600 // size, 720 // size) for size, names in MEASURED.items() for name in names}
    pixels = {name: rng.integers(2000, 4000, shape).astype("uint16") for name, shape in shapes.items()}
    place = write_product(tmp_path, product, pixels | {"B10": pixels["B01"]})
    out = tmp_path / "out.tif"
    assert quick(place, "-o", out) == 0
    found = read(out)
    np.testing.assert_array_equal(found["B02"], pixels["B02"] - 1000)
    told = capsys.readouterr()
    assert "S2A 2018-05-06 31UDS  L1C" in told.out and "has no mask of clouds" in told.err


def test_bands_that_a_scene_lacks_are_left_out(tmp_path, aoi, capsys):
    some = write_granules(tmp_path, dated("2021-06-12", ground(2), without=("B10", "B09")))
    assert quick(some, "--aoi", aoi, "-o", tmp_path / "out.tif") == 0
    assert list(read(tmp_path / "out.tif")) == [name for name in SHARP if name != "B09"]
    assert "no scene has B09: it is left out" in capsys.readouterr().err


@pytest.mark.slow
def test_pixels_without_data_and_saturated_ones_stay(tmp_path, aoi, capsys):
    bands = ground(2)
    bands["B04"][60:70, 80:90] = 0
    bands["B03"][75, 90] = 65535
    some = write_granules(tmp_path, dated("2021-06-12", bands))
    assert quick(some, "--aoi", aoi, "-o", tmp_path / "out.tif") == 0
    found, within = read(tmp_path / "out.tif"), inside(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as source:
        row, column = (round(v) for v in (~source.transform * (LEFT + 905, TOP - 755))[::-1])
    assert found["B03"].max() == 65535 and found["B03"][row - 1 : row + 1, column - 1 : column + 1].max() == 65535
    assert ((found["B04"] == 0) & within).sum() == 100
    assert all(((pixels == 0) & within).sum() == (100 if name == "B04" else 0) for name, pixels in found.items())
    assert "saturated pixels, which are kept: B03 1" in capsys.readouterr().err


@pytest.mark.slow
def test_networks_take_part(items, aoi, tmp_path):
    out = tmp_path / "out.tif"
    assert main(["sharpen", str(items), "--aoi", str(aoi), "-o", str(out)]) == 0
    with rasterio.open(out) as source:
        assert source.tags()["method"] == "network" and re.fullmatch("20to10 [0-9a-f]{16}", source.tags()["networks"])
    for name in MEASURED[10]:
        assert (read(out)[name] > 0).sum() == inside(out).sum()


@pytest.mark.slow
@pytest.mark.parametrize("has", [True, False])
def test_networks_compute_in_16_bits_where_that_is_asked_for_and_the_processor_has_them(
    items, aoi, tmp_path, monkeypatch, capsys, has
):
    monkeypatch.setattr(precision, "gains_by_bfloat16", lambda: has)
    plain, short = tmp_path / "plain.tif", tmp_path / "short.tif"
    assert main(["sharpen", str(items), "--aoi", str(aoi), "-o", str(plain), "--deviation"]) == 0
    capsys.readouterr()
    assert main(["sharpen", str(items), "--aoi", str(aoi), "-o", str(short), "--deviation", "--precision", "bfloat16"]) == 0
    told = capsys.readouterr().err
    with rasterio.open(short) as source:
        assert source.tags()["method"] == ("network, bfloat16" if has else "network")
    assert ("warning: --precision: this processor has no AMX" in told) is not has
    first, second = read(plain), read(short)
    for name in first:
        apart = np.abs(first[name].astype(int) - second[name])
        assert apart.max() <= (0 if name in MEASURED[10] or not has else 10)
    spreads = (read(path.with_name(f"{path.stem}_deviation.tif"))["B11"] for path in (plain, short))
    assert np.array_equal(*spreads) is not has


# areas ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.crs. was not provided")
@pytest.mark.parametrize(("ending", "crs"), [("gpkg", "EPSG:3035"), ("shp", None), ("fgb", "EPSG:32633")])
def test_areas_in_any_file_and_reference_system(items, made, tmp_path, ending, crs):
    """Without a reference system coordinates are degrees."""
    area = drawn(tmp_path / f"area.{ending}", FIELD, crs)
    assert quick(items, "--aoi", area, "--date", "2021-06", "-o", tmp_path / "out.tif") == 0
    found, first = read(tmp_path / "out.tif"), read(made)
    assert found["B11"].shape == first["B11"].shape
    assert np.array_equal(found["B11"], first["B11"])


# what is refused --------------------------------------------------------------------------------------------------------


def refused(capsys, text: str, *words: object) -> None:
    out = next((Path(str(w)) for k, w in enumerate(words) if k and words[k - 1] == "-o"), None)
    assert quick(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("imperv: ") and said.count("\n") == 1 and text in said
    assert out is None or not out.is_file()


def test_scenes_that_cannot_be_used(tmp_path, aoi, capsys):
    out = tmp_path / "out.tif"
    bare = write_granules(tmp_path / "bare", dated("2021-06-12", ground(2), without=("B10", *MEASURED[20])))
    refused(capsys, "B05", bare, "--aoi", aoi, "-o", out)
    top = write_product(tmp_path, replace(Product(), level="1C"), {"B02": np.ones((62, 64), "uint16")})
    refused(capsys, "is Level-1C, top of the atmosphere; Level-2A is needed", top, "--level", "L2A", "-o", out)
    cloudy = write_granules(tmp_path / "cloudy", dated("2021-06-02", clouded(ground(1))))
    refused(capsys, "all of the area lies under cloud, shadow or snow on 2021-06-02", cloudy, "--aoi", aoi, "-o", out)
    sea = {name: np.zeros_like(pixels) for name, pixels in ground(1).items()}
    dry = write_granules(tmp_path / "sea", dated("2021-06-02", sea))
    refused(capsys, "no scene of 2021-06-02 has a pixel in the area", dry, "--aoi", aoi, "-o", out)
    refused(capsys, "gone.json", tmp_path / "gone.json", "-o", out)


def test_clouds_over_the_area_alone_count(tmp_path, aoi, capsys):
    """All of its rectangle but the polygon is clear."""
    bands = ground(1)
    to_area = geometry_mask(
        [FIELD.buffer(30)], (HIGH * 3, WIDE * 3), rasterio.transform.from_origin(LEFT, TOP, 20, 20), invert=True
    )
    bands["SCL"][to_area] = 9
    some = write_granules(tmp_path, dated("2021-06-02", bands))
    refused(capsys, "lies under cloud, shadow or snow", some, "--aoi", aoi, "-o", tmp_path / "out.tif")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--date", "2021-07"], "no scene in 2021-07; the nearest dates are 2021-06-02, 2021-06-12, 2021-08-22"),
        (["--date", "June"], "--date: 'June' is not a year like 2018, a month like 2021-06"),
        (["--memory", "much"], "--memory: 'much' is not an amount of memory like '8 GiB'"),
        (["--memory", "1 GiB"], "--memory: 1.00 GiB are too few; at least 2.00 GiB are needed"),
        (["--dates", "3"], "--dates 3: several dates tell of 5 m; add --to 5"),
        (["--dates", "3", "--to", "5", "--mosaic"], "--dates 3: a mosaic holds all dates already"),
        (["--tune"], "--tune trains networks, which --method regression does without"),
        (["--precision", "bfloat16"], "--precision bfloat16 is of networks, which --method regression does without"),
        (["--to", "20"], "'20' is not one of '10', '5'"),
    ],
)
def test_requests_that_cannot_be_met(items, aoi, tmp_path, capsys, words, text):
    refused(capsys, text, items, "--aoi", aoi, "-o", tmp_path / "out.tif", *words)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written(items, tmp_path, capsys):
    refused(capsys, "--output: the folder", items, "-o", tmp_path / "none" / "out.tif")
    refused(capsys, "out.png: name a file that ends in .tif", items, "-o", tmp_path / "out.png")
    (tmp_path / "folder.tif").mkdir()
    refused(capsys, "folder.tif is a folder; name a file", items, "-o", tmp_path / "folder.tif")


def test_areas_that_cannot_be_used(items, tmp_path, capsys):
    out = tmp_path / "out.tif"
    away = drawn(tmp_path / "away.geojson", shapely.box(LEFT + 90_000, TOP, LEFT + 91_000, TOP + 900))
    refused(capsys, "the area lies outside of its 3 scenes, which lie within 11.3", items, "--aoi", away, "-o", out)
    beside = drawn(tmp_path / "beside.geojson", shapely.box(LEFT - 900, TOP - 600, LEFT - 300, TOP - 300))
    refused(capsys, "outside of", items, "--aoi", beside, "-o", out)
    points = drawn(tmp_path / "points.geojson", shapely.Point(LEFT + 90, TOP - 90))
    refused(capsys, "points.geojson holds no polygon", items, "--aoi", points, "-o", out)
    refused(capsys, "gone.geojson cannot be read", items, "--aoi", tmp_path / "gone.geojson", "-o", out)
    (tmp_path / "metres.geojson").write_text(json.dumps(shapely.geometry.mapping(FIELD)))
    refused(
        capsys, "are no degrees; write the file with its reference system", items, "--aoi", tmp_path / "metres.geojson", "-o", out
    )


# runs that end early ----------------------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_leaves_nothing(items, aoi, tmp_path):
    def stop(step: str, done: int, total: int) -> None:
        if step == "write":
            assert [p.name for p in tmp_path.iterdir()] == [".out.tif.draft"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharpen_scene(request_of(items, aoi, tmp_path / "out.tif", raw=True), stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_that_looks_done_and_the_next_one_clears_up(items, aoi, tmp_path):
    out = tmp_path / "out.tif"
    out.write_bytes(b"of before")
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from imperv.tasks.superresolution.direct import sharpen_scene\n"
        "from imperv.tasks.superresolution.request import Request\n"
        f"request = Request({str(items)!r}, Path({str(out)!r}), Path({str(aoi)!r}), network=False, raw=True)\n"
        "def tell(step, done, total):\n    if step == 'write' and done == 1:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sharpen_scene(request, tell)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == -9
    assert out.read_bytes() == b"of before" and sorted(p.name for p in tmp_path.iterdir()) == [".out.tif.draft", "out.tif"]
    sharpen_scene(request_of(items, aoi, out), lambda *_: None)
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"] and "B11" in read(out)


@pytest.mark.slow
def test_an_area_over_two_zones_lies_in_that_of_its_centre(tmp_path):
    """Granules of both zones show all of it."""
    to_next = Transformer.from_crs(32632, 32633, always_xy=True)
    left, top = 735000, 5151000  # just beyond 12 degrees east, where zone 33 begins
    x, y = (round(v / 60) * 60 for v in to_next.transform(left, top))
    here = {"when": "2021-06-12T10:10:30Z", "size": (40, 40), "bands": {}}
    west = Granule("S2A_32TQS_20210612_0_L2A", mgrs="32TQS", left=left - 6600, top=top, **here)
    east = Granule("S2A_33TTM_20210612_0_L2A", mgrs="33TTM", epsg=32633, left=x - 6600, top=y, **here)
    middle = Transformer.from_crs(32632, 4326, always_xy=True).transform(left - 5400, top - 1200)
    area = drawn(tmp_path / "area.geojson", shapely.box(left - 5700, top - 1500, left - 5100, top - 900))
    items = write_granules(tmp_path, west, east)
    assert quick(items, "--aoi", area, "-o", tmp_path / "out.tif") == 0
    with rasterio.open(tmp_path / "out.tif") as source:
        assert source.crs.to_epsg() == (32632 if middle[0] < 12 else 32633)
        assert (source.read(2) > 0).any()
