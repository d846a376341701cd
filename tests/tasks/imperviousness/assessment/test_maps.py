"""Maps against points and rasters: what NumPy finds in the same pixels, per tile and for all, and what is said of bad input."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import Affine

from imperv.flows.cli.commands import main
from imperv.flows.cli.imperviousness.validation_page import html_fragment, plot_scatter
from imperv.layers.statistics.accuracy import Z
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.maps import Design, maps_of_files, validate
from imperv.tasks.imperviousness.assessment.reference_points import Columns
from tests.support.objections import nothing_but_objections
from tests.support.product_files import BLACK, CHANGE, CLASSES, LEFT, NAME, TOP, write

WEST = NAME.replace("E43N32", "E42N32")
IBU = {0: (240, 240, 240), 1: (255, 178, 0), 255: BLACK}


def land(seed, edge=200):
    """A density and a map of it that is wrong in places."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([0, 0, 0, 20, 60, 100], np.uint8), (edge // 10, edge // 10)).repeat(10, 0).repeat(10, 1)
    mapped = np.clip(truth + rng.integers(-9, 10, truth.shape) * (truth > 0) + 30 * (rng.random(truth.shape) < 0.05), 0, 100)
    mapped = mapped.astype(np.uint8)
    mapped[:20, :20] = 255
    return mapped, truth


def points(path, truth, number, seed=1, left=LEFT, top=TOP, **columns):
    rng = np.random.default_rng(seed)
    row, column = rng.integers(0, truth.shape[0], (2, number))
    table = pd.DataFrame({"x": left + 10 * column + 5, "y": top - 10 * row - 5, "density": truth[row, column], **columns})
    table.to_csv(path, index=False)
    return table, row, column


def test_points_are_post_stratified_by_the_areas_of_the_map(tmp_path):
    mapped, truth = land(1)
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    table, row, column = points(tmp_path / "p.csv", truth, 400)
    [found] = validate(maps, "IMD", tmp_path / "p.csv", threshold=15).places
    inside = mapped[row, column] != 255
    m, r = mapped[row, column][inside] >= 15, truth[row, column][inside] >= 15
    n = np.array([[np.sum(~m & ~r), np.sum(~m & r)], [np.sum(m & ~r), np.sum(m & r)]])
    assert np.array_equal(found.matrix, n) and found.units == inside.sum() and found.place == "E43N32"
    valid = mapped[mapped != 255]
    w = np.array([(valid < 15).mean(), (valid >= 15).mean()])
    p = w[:, None] * n / n.sum(axis=1, keepdims=True)
    users = np.diag(n) / n.sum(axis=1)
    assert found.overall.value == pytest.approx(np.trace(p))
    assert found.overall.se == pytest.approx(np.sqrt((w**2 * users * (1 - users) / (n.sum(axis=1) - 1)).sum()))
    sealed = found.classes[1]
    assert sealed.area_km2.value == pytest.approx(p[:, 1].sum() * valid.size / 1e4)
    assert sealed.mapped_km2 == pytest.approx((valid >= 15).sum() / 1e4)
    e = found.density.error
    weights = (w / n.sum(axis=1))[m.astype(int)]
    difference = mapped[row, column][inside].astype(float) - truth[row, column][inside]
    assert e.bias.value == pytest.approx(np.average(difference, weights=weights))
    assert found.density.area_km2.value == pytest.approx((valid.mean() - e.bias.value) / 100 * valid.size / 1e4)
    assert found.density.scatter.sum() == inside.sum()
    assert found.notes == (f"{400 - inside.sum()} of 400 points lie where the map has no data",)


def test_designs(tmp_path):
    mapped, truth = land(2)
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    region = np.where(np.arange(300) < 150, "north", "south")
    table, row, column = points(tmp_path / "p.csv", truth, 300, region=region, w=np.linspace(1, 5, 300))
    inside = mapped[row, column] != 255
    right = ((mapped >= 1) == (truth >= 1))[row, column]

    def overall(columns=None, design=None):
        [place] = validate(maps, "IMD", tmp_path / "p.csv", columns=columns, design=design).places
        return place.overall.value, place.design

    assert overall(design=Design(simple=True)) == (pytest.approx(right[inside].mean()), "simple random")
    expected = np.average(right[inside], weights=table["w"][inside])
    assert overall(Columns(weight="w")) == (pytest.approx(expected), "given weights")
    assert overall(Columns(weight="w", strata="region"))[1] == "given weights, within strata"
    areas = Design(stratum_km2={"north": 1.0, "south": 3.0})
    by_region = [right[inside & (region == g)].mean() for g in ("north", "south")]
    assert overall(Columns(strata="region"), areas) == (pytest.approx(np.average(by_region, weights=(1, 3))), "stratified")
    with pytest.raises(InputError, match="give weights"):
        overall(Columns(strata="region"))
    with pytest.raises(InputError, match="stratum east has 0 points, at least 2 are needed; merge strata or add points"):
        overall(Columns(strata="region"), Design(stratum_km2={"north": 1.0, "south": 3.0, "east": 1.0}))


def test_strata_that_are_the_map_classes_take_their_areas(tmp_path):
    mapped, truth = land(3)
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    rng = np.random.default_rng(1)
    where = [rng.choice(np.flatnonzero((mapped != 255) & ((mapped >= 1) == k)), 60) for k in (False, True)]
    row, column = np.unravel_index(np.concatenate(where), mapped.shape)
    table = pd.DataFrame({"x": LEFT + 10 * column + 5, "y": TOP - 10 * row - 5, "density": truth[row, column]})
    table["stratum"] = (mapped[row, column] >= 1).astype(int)
    table.to_csv(tmp_path / "p.csv", index=False)
    [strata] = validate(maps, "IMD", tmp_path / "p.csv", columns=Columns(strata="stratum")).places
    [after] = validate(maps, "IMD", tmp_path / "p.csv").places
    assert strata.design == "stratified" and after.design.startswith("post-stratified")
    assert (strata.overall.value, strata.overall.se) == pytest.approx((after.overall.value, after.overall.se))


def test_a_class_with_one_point_leaves_the_sample_as_it_was_drawn(tmp_path):
    mapped, truth = np.zeros((200, 200), np.uint8), np.zeros((200, 200), np.uint8)
    mapped[0, 0] = truth[0, 0] = 50
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    points(tmp_path / "p.csv", truth, 50)
    [found] = validate(maps, "IMD", tmp_path / "p.csv").places
    assert found.design == "simple random" and "map class 1 has 0 points" in found.notes[-1]


def test_tiles_and_all_of_them(tmp_path):
    (a, ta), (b, tb) = land(4), land(5)
    write(tmp_path / "out", array=a)
    write(tmp_path / "out", WEST, b, left=LEFT - 2000)
    maps = maps_of_files([tmp_path / "out"], "IMD_now")
    one, *_ = points(tmp_path / "a.csv", ta, 100)
    two, *_ = points(tmp_path / "b.csv", tb, 60, left=LEFT - 2000)
    far = pd.DataFrame({"x": [5e6], "y": [4e6], "density": [1]})
    pd.concat([one, two, far]).to_csv(tmp_path / "p.csv", index=False)
    found = validate(maps, "IMD", tmp_path / "p.csv")
    assert [p.place for p in found.places] == ["E42N32", "E43N32", "all"]
    west, east, total = found.places
    assert west.units + east.units == total.units and np.array_equal(west.matrix + east.matrix, total.matrix)
    assert "1 of 161 points lie outside of the maps" in total.notes and not any("outside" in n for n in west.notes)
    assert total.density.mapped_km2 == pytest.approx(west.density.mapped_km2 + east.density.mapped_km2)
    json.dumps(found.as_dict(), allow_nan=False)


def raster(path, array, pixel=10, left=LEFT, top=TOP, crs="EPSG:3035", nodata=255):
    profile = {
        "driver": "GTiff",
        "dtype": array.dtype,
        "count": 1,
        "height": len(array),
        "width": array.shape[1],
        "nodata": nodata,
    }
    with rasterio.open(path, "w", crs=crs, transform=Affine(pixel, 0, left, 0, -pixel, top), **profile) as out:
        out.write(array, 1)
    return path


def test_a_raster_is_compared_pixel_by_pixel(tmp_path):
    mapped, truth = land(6)
    truth[100:120] = 255
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    [found] = validate(maps, "IMD", raster(tmp_path / "truth.tif", truth)).places
    both = (mapped != 255) & (truth != 255)
    m, r = mapped[both].astype(float), truth[both].astype(float)
    assert found.units == both.sum() and found.unit == "pixel"
    assert found.overall.value == pytest.approx(((m >= 1) == (r >= 1)).mean())
    e = found.density.error
    assert (e.bias.value, e.rmse.value) == pytest.approx(((m - r).mean(), np.sqrt(((m - r) ** 2).mean())))
    assert e.r2 == pytest.approx(1 - ((m - r) ** 2).sum() / ((r - r.mean()) ** 2).sum())
    # The spread between the four blocks of 1 km.
    block = (np.indices(mapped.shape) // 100 * np.array([2, 1])[:, None, None]).sum(axis=0)[both]
    n, wrong = np.bincount(block), np.bincount(block, m - r)
    residual = wrong - e.bias.value * n
    assert e.bias.se == pytest.approx(np.sqrt(4 / 3 * ((residual - residual.mean()) ** 2).sum()) / n.sum())
    assert found.notes == (f"the reference covers {100 * both.sum() / (mapped != 255).sum():.1f} % of the map",)


def test_memory_of_a_raster_does_not_grow_with_its_height(tmp_path):
    """Four times the rows hold no more at once than the strip of one block."""
    peaks = []
    for rows in (200, 800):
        mapped = np.tile(land(7)[0], (rows // 200, 2))
        maps = maps_of_files([write(tmp_path / str(rows), array=mapped)], "IMD_now")
        reference = raster(tmp_path / f"{rows}.tif", mapped)
        tracemalloc.start()
        validate(maps, "IMD", reference)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_finer_raster_is_averaged(tmp_path):
    mapped, truth = land(7)
    fine = np.kron(truth, np.array([[1, 1], [1, 1]], np.uint8))
    fine[::2, ::2] = np.where(fine[::2, ::2] > 0, fine[::2, ::2] - 20, 0)
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    [found] = validate(maps, "IMD", raster(tmp_path / "fine.tif", fine.astype(np.float32), pixel=5, nodata=None)).places
    means = fine.reshape(200, 2, 200, 2).mean(axis=(1, 3))[mapped != 255]
    assert found.density.error.mean.value == pytest.approx(means.mean(), abs=0.01)


def test_change_layers_are_compared_as_change(tmp_path):
    rng = np.random.default_rng(8)
    codes = rng.choice(np.array([60, 100, 100, 130, 201, 255], np.uint8), (100, 100))
    name = "CLMS_HRLNVLCC_IMDC_C2018-2021_R20m_E43N32_03035_V01_R00.tif"
    maps = maps_of_files([write(tmp_path / "out", name, codes, colours=CHANGE, pixel=20)], "IMDC")
    other = np.where(codes == 130, np.uint8(125), codes)
    [found] = validate(maps, "IMDC", raster(tmp_path / "c.tif", other, pixel=20), threshold=5).places
    assert [c.name for c in found.classes] == ["decrease", "unchanged", "increase"] and found.overall.value == 1
    share = (codes == 130).sum() / (codes != 255).sum()
    assert found.density.error.bias.value == pytest.approx(5 * share) and found.density.lowest == -100


def test_classes_and_masks(tmp_path):
    rng = np.random.default_rng(9)
    classes = rng.choice(np.array([0, 1, 2, 10, 11, 12], np.uint8), (100, 100))
    name = "CLMS_HRLNVLCC_IMCC_C2018-2021_R20m_E43N32_03035_V01_R00.tif"
    row, column = rng.integers(0, 100, (2, 200))
    table = pd.DataFrame({"x": LEFT + 20 * column + 10, "y": TOP - 20 * row - 10, "class": classes[row, column], "mask": 1})
    table.to_csv(tmp_path / "p.csv", index=False)
    maps = maps_of_files([write(tmp_path / "out", name, classes, colours=CLASSES, pixel=20)], "IMCC")
    [found] = validate(maps, "IMCC", tmp_path / "p.csv").places
    assert found.overall.value == 1 and found.density is None and [c.code for c in found.classes] == [0, 1, 2, 10, 11, 12]
    change = write(tmp_path / "out", name.replace("IMCC", "IBUC"), classes, colours=CLASSES, pixel=20)
    [found] = validate(maps_of_files([change], "IBUC"), "IBUC", tmp_path / "p.csv").places
    assert found.overall.value == 1 and found.classes[1].name == "1 New cover, built-up at the second date only"
    built = write(
        tmp_path / "out", NAME.replace("IMD", "IBU"), (np.arange(40_000) % 2).reshape(200, 200).astype(np.uint8), colours=IBU
    )
    [found] = validate(maps_of_files([built], "IBU_now"), "IBU", tmp_path / "p.csv", columns=Columns(classes="mask")).places
    assert found.matrix[:, 0].sum() == 0 and found.units == 200
    with pytest.raises(InputError, match=r"holds the classes \[2, 10, 11, 12\]; the layer has 0, 1"):
        validate(maps_of_files([built], "IBU_now"), "IBU", tmp_path / "p.csv")
    with pytest.raises(InputError, match="there are no densities to draw"):
        plot_scatter(validate(maps, "IMCC", tmp_path / "p.csv"))


def test_references_that_cannot_serve(tmp_path):
    mapped, truth = land(10)
    maps = maps_of_files([write(tmp_path / "out", array=mapped)], "IMD_now")
    points(tmp_path / "far.csv", truth, 20, left=LEFT + 1e6)
    cases = [
        (tmp_path / "far.csv", "IMD", {}, "no point lies inside the maps: points span 53"),
        (raster(tmp_path / "far.tif", truth, left=LEFT + 1e6), "IMD", {}, "shares no valid pixel"),
        (
            raster(tmp_path / "codes.tif", np.full((200, 200), 140, np.uint8)),
            "IMD",
            {},
            "holds 140, which the layer does not have",
        ),
        (raster(tmp_path / "none.tif", truth, crs=None), "IMD", {}, "has no coordinate reference system"),
        (tmp_path / "nothing.tif", "IMD", {}, "cannot be opened"),
        (tmp_path / "far.csv", "IMDCL", {}, "cannot be validated by a reference"),
        (tmp_path / "far.csv", "IMD", {"threshold": 0}, "--threshold 0"),
        (tmp_path / "far.csv", "IMX", {}, "no layer is called"),
    ]
    for path, layer, more, message in cases:
        with pytest.raises(InputError) as raised:
            validate(maps, layer, path, **more)
        assert message in str(raised.value) and "\n" not in str(raised.value)


def test_files_that_are_not_one_map(tmp_path):
    mapped, _ = land(11)
    write(tmp_path / "out", array=mapped)
    with pytest.raises(InputError, match="no delivered file of IBU_now"):
        maps_of_files([tmp_path / "out"], "IBU_now")
    write(tmp_path / "out", NAME.replace("HRLNVLCC", "NVLCC").replace("S2021", "S2024"), mapped)
    with pytest.raises(InputError, match="are both IMD_now of tile E43N32"):
        maps_of_files([tmp_path / "out"], "IMD_now")


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    mapped, truth = land(12)
    folder = tmp_path / "out"
    write(folder, array=mapped)
    points(tmp_path / "p.csv", truth, 200)
    request = ["validate", str(folder), "--reference", str(tmp_path / "p.csv"), "--threshold", "15"]
    assert main(request) == 0
    text = capsys.readouterr().out
    assert text.startswith("IMD_now against p.csv, sealed from 15 %") and "overall accuracy" in text and "user's" in text
    assert main([*request, "--json", "--plot", str(tmp_path / "plot.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    place = found["places"][0]
    assert place["overall"]["high"] == pytest.approx(place["overall"]["value"] + Z * place["overall"]["se"])
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    fragment = html_fragment(validate(maps_of_files([folder], "IMD_now"), "IMD", tmp_path / "p.csv"))
    assert fragment.startswith("<section") and "data:image/png;base64" in fragment and 'src="http' not in fragment
    for more in (["--stratum-area", "forest"], ["--plot", str(tmp_path / "no" / "x.png")], ["--layer", "IMX"], ["--column", "x"]):
        assert main([*request, *more]) == 2
    assert main(["validate", "--reference", str(tmp_path / "p.csv")]) == 2
    assert len(nothing_but_objections(capsys.readouterr().err)) == 5
