"""Each defect is written into a file of its own and must be found by the rule it breaks, and by no other."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.kernels.overviews import overview
from imperv.tasks.delivery.overview_check import Overview, OverviewCheck
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.checks.delivery_check import check_file, check_name, check_paths, pixel_counts
from imperv.tasks.imperviousness.products.rules import RULES
from tests.support.product_files import (
    BLACK,
    CHANGE,
    CLASSES,
    COLUMNS,
    IMD,
    LAEA,
    LEFT,
    NAME,
    SBU,
    TOP,
    pixels,
    rows_of,
    write,
    write_table,
)


def failed(path, window=True):
    return {f.check for f in check_file(path, window=window) if not f.ok}


def text_of(path, check, window=True):
    return next(f.text for f in check_file(path, window=window) if f.check == check)


def test_a_good_window_passes_every_rule(tmp_path):
    findings = check_file(write(tmp_path), window=True)
    assert [f for f in findings if not f.ok or f.note] == []
    assert {f.check for f in findings} == {
        "naming", "side_files", "epsg", "origin", "bands", "bit_depth", "compress", "tile", "nodata", "pixel_size",
        "extent", "color", "value", "overviews", "attribute", "attribute_values",
    }  # fmt: skip


def test_a_good_tile_passes_every_rule(tmp_path):
    name = "CLMS_NVLCC_SBU_S2024_R100m_E43N32_03035_V01_R01.tif"
    path = write(tmp_path, name, pixels(1000), colours=SBU, pixel=100)
    assert failed(path, window=False) == set()
    assert failed(path, window=True) == set()


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("CLMS_NVLCC_IMDC_C2021-2024_R20m_E43N32_03035_V01_R00.tif", CHANGE),
        ("CLMS_HRLNVLCC_SBUC_C2018-2021_R100m_E43N32_03035_V01_R00.tif", CHANGE),
        (NAME.replace("IMD", "IMDCL"), {255: BLACK}),
    ],
)
def test_other_products_have_their_own_colours_and_pixel_sizes(tmp_path, name, colours):
    pixel = int(name.split("_R")[1].split("m")[0])
    assert failed(write(tmp_path, name, pixels(2000 // pixel), colours=colours, pixel=pixel)) == set()


NAMES = {
    "suffix": NAME.replace("_R00", "_R00_final"),
    "prefix": f"x{NAME}",
    "small letters": NAME.lower(),
    "capital ending": NAME.replace(".tif", ".TIF"),
    "other ending": NAME.replace(".tif", ".tiff"),
    "other epsg": NAME.replace("03035", "32622"),
    "theme": NAME.replace("HRLNVLCC", "VLCC"),
    "version": NAME.replace("V01", "V1"),
    "unknown layer": NAME.replace("IMD", "IMX"),
    "unknown pixel size": NAME.replace("R10m", "R20m"),
    "padded pixel size": NAME.replace("R10m", "R010m"),
    "change of a status layer": NAME.replace("S2021", "C2018-2021"),
    "status of a change layer": NAME.replace("IMD", "IMDC").replace("R10m", "R20m"),
    "years": NAME.replace("IMD_S2021_R10m", "IMDC_C2021-2018_R20m"),
    "tile off the list": NAME.replace("E43N32", "E09N54"),
    "no tile": NAME.replace("E43N32", "FR"),
    "overseas": NAME.replace("E43N32_03035", "GF_32622"),
    "edition": NAME.replace("HRLNVLCC", "NVLCC"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_naming(tmp_path, name):
    assert failed(write(tmp_path, name)) == {"naming"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("suffix", "'_final' follows V01_R00"), ("small letters", "capitals"), ("other epsg", "EPSG 32622"),
        ("overseas", "GF is a French overseas department"), ("edition", "belongs to the edition CLMS_HRLNVLCC"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_explained(name, text):
    finding, named = check_name(NAMES[name])
    assert named is None and text in finding.text


def test_names_of_both_editions_and_of_later_years():
    for theme, year in (("HRLNVLCC", 2021), ("NVLCC", 2024), ("NVLCC", 2027)):
        for (part, pixel), rule in RULES.items():
            timing = f"S{year}" if rule.timing == "S" else f"C{year - 3}-{year}"
            finding, named = check_name(f"CLMS_{theme}_{part}_{timing}_R{pixel}m_E43N32_03035_V01_R01.tif")
            assert finding.ok
            assert (named.part, named.pixel, str(named.tile)) == (part, pixel, "E43N32")


DEFECTS = {
    "epsg other code": ("epsg", {"crs": "EPSG:3034"}),
    "epsg no code": ("epsg", {"crs": LAEA}),
    "epsg none": ("epsg", {"crs": None}),
    "pixel size": ("pixel_size", {"pixel": 20, "array": pixels(100)}),
    "south up": ("pixel_size", {"transform": Affine(10, 0, LEFT, 0, 10, TOP - 2000)}),
    "origin": ("origin", {"left": LEFT + 500, "array": pixels(250)[:200]}),
    "outside the tile": ("extent", {"left": LEFT - 1000}),
    "another tile": ("extent", {"left": LEFT + 100_000}),
    "half a kilometre": ("extent", {"array": pixels(250)[:200]}),
    "bands": ("bands", {"array": np.stack([pixels(), pixels()]), "colours": None}),
    "uint16": ("bit_depth", {"array": pixels().astype(np.uint16)}),
    "deflate": ("compress", {"compress": "deflate"}),
    "uncompressed": ("compress", {"compress": None}),
    "wide strips": ("tile", {"array": pixels(1100), "tiled": False, "blockxsize": 1100, "blockysize": 1}),
    "no nodata": ("nodata", {"nodata": None}),
    "other nodata": ("nodata", {"nodata": 254}),
    "no colours": ("color", {"colours": None}),
    "colour one off": ("color", {"colours": {**IMD, 50: (175, 74, 52)}}),
    "outside not black": ("color", {"colours": {**IMD, 255: (255, 255, 255)}}),
    "code 101": ("value", {"array": pixels(200, 101)}),
    "code 254": ("value", {"array": pixels(200, 254)}),
    "no table": ("attribute", {"table": False}),
}


@pytest.mark.parametrize(("check", "change"), DEFECTS.values(), ids=DEFECTS.keys())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_defect_is_found_by_its_rule(tmp_path, check, change):
    assert failed(write(tmp_path, **change)) == {check}


def test_a_window_is_not_a_tile(tmp_path):
    path = write(tmp_path)
    assert failed(path, window=False) == {"extent"}
    assert "4300000 3200000 4400000 3300000" in text_of(path, "extent", window=False)


def test_loophole_1_a_raster_in_another_tile(tmp_path):
    name = "CLMS_HRLNVLCC_SBU_S2021_R100m_E43N32_03035_V01_R00.tif"
    path = write(tmp_path, name, pixels(1000), colours=SBU, pixel=100, top=TOP + 100_000)
    assert failed(path, window=False) == {"extent"}


def test_loophole_2_a_nodata_tag_that_hides_a_code(tmp_path):
    path = write(tmp_path, array=pixels(200, 254), nodata=254)
    assert failed(path) == {"nodata", "value"}
    assert pixel_counts(path)[254] == 1


def test_loophole_2_a_mask_that_hides_a_code(tmp_path):
    path = write(tmp_path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
        out.write_mask(np.zeros((200, 200), bool))
    assert failed(path) == {"nodata"}


HISTOGRAM = """<PAMDataset><PAMRasterBand band="1"><Histograms><HistItem><HistMin>-0.5</HistMin><HistMax>255.5</HistMax>
<BucketCount>256</BucketCount><IncludeOutOfRange>0</IncludeOutOfRange><Approximate>0</Approximate>
<HistCounts>40000{}</HistCounts></HistItem></Histograms></PAMRasterBand></PAMDataset>""".format("|0" * 255)


def test_loophole_3_a_stored_histogram_is_not_believed(tmp_path):
    path = write(tmp_path, array=pixels(200, 254))
    path.with_name(f"{NAME}.aux.xml").write_text(HISTOGRAM)
    assert failed(path) == {"side_files", "value"}
    assert "stored histogram" in text_of(path, "side_files")


@pytest.mark.parametrize("ending", [".tif.aux.xml", ".aux.xml", ".tif.AUX.XML", ".tif.msk"])
def test_side_files_of_any_kind_are_found(tmp_path, ending):
    path = write(tmp_path)
    path.with_name(f"{path.stem}{ending}").write_text("<PAMDataset></PAMDataset>")
    assert failed(path) == {"side_files"}


def test_loophole_4_a_colour_table_in_a_side_file_is_not_seen(tmp_path):
    entries = "".join('<Entry c1="{}" c2="{}" c3="{}" c4="255"/>'.format(*IMD.get(code, BLACK)) for code in range(256))
    path = write(tmp_path, colours=None)
    path.with_name(f"{NAME}.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><ColorInterp>Palette</ColorInterp>"
        f"<ColorTable>{entries}</ColorTable></PAMRasterBand></PAMDataset>"
    )
    with rasterio.open(path) as source:
        assert source.colormap(1)[50][:3] == IMD[50]  # what the loophole is
    assert failed(path) == {"side_files", "color"}


def test_georeferencing_in_a_side_file_is_not_seen(tmp_path):
    path = write(tmp_path, left=LEFT + 100_000)
    path.with_name(f"{NAME}.aux.xml").write_text(
        f"<PAMDataset><GeoTransform>{LEFT}, 10, 0, {TOP}, 0, -10</GeoTransform></PAMDataset>"
    )
    assert failed(path) == {"side_files", "extent"}


def test_codes_beyond_255_are_seen(tmp_path):
    array = pixels().astype(np.uint16)
    array[0, 0] = 356
    assert failed(write(tmp_path, array=array)) == {"bit_depth", "value"}


def test_overviews_do_not_stand_in_for_pixels(tmp_path):
    path = write(tmp_path, array=pixels(200, 254))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4], rasterio.enums.Resampling.mode)
    assert failed(path) == {"value"}
    assert sum(pixel_counts(path).values()) == 40_000


@pytest.mark.parametrize(("part", "notes"), [("IBUC", 1), ("IBUCS", 0), ("IMCC", 0)])
def test_classes_that_only_the_atbd_has_are_a_note_for_ibuc(tmp_path, part, notes):
    array = np.resize(np.array([0, 1, 2, 10, 11, 12, 255], np.uint8), (100, 100))
    name = f"CLMS_HRLNVLCC_{part}_C2018-2021_R20m_E43N32_03035_V01_R00.tif"
    path = write(tmp_path, name, array, colours=CLASSES, pixel=20)
    assert failed(path) == set()
    texts = [f.text for f in check_file(path, window=True) if f.note]
    assert len(texts) == notes
    assert all("11 and 12" in text and "EEA" in text for text in texts)


def test_support_layers_hold_the_codes_of_their_change_layer(tmp_path):
    name = "CLMS_HRLNVLCC_IMCCS_C2018-2021_R20m_E43N32_03035_V01_R00.tif"
    array = np.resize(np.array([0, 3], np.uint8), (100, 100))
    assert failed(write(tmp_path, name, array, colours=CLASSES, pixel=20)) == {"value"}


def test_a_file_that_cannot_be_read(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"no raster")
    assert failed(path) == {"readable"}
    assert "\n" not in text_of(path, "readable")


def test_a_file_cut_short(tmp_path):
    path = write(tmp_path, array=np.random.default_rng(1).integers(0, 101, (200, 200), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert failed(path) == {"readable"}


def test_a_png_in_disguise_is_not_read(tmp_path):
    with rasterio.open(tmp_path / NAME, "w", driver="PNG", dtype="uint8", count=1, width=200, height=200) as out:
        out.write(pixels(), 1)
    (tmp_path / f"{NAME}.aux.xml").unlink(missing_ok=True)
    assert failed(tmp_path / NAME) == {"readable"}


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"^[^\n]*no such file[^\n]*$"):
        check_file(tmp_path / NAME)


def test_folders_are_searched_below_and_leftovers_are_passed_over(tmp_path):
    good = write(tmp_path / "E43N32")
    wrong = write(tmp_path / "E43N32", NAME.replace(".tif", ".TIFF"))
    write(tmp_path / "E43N32.part-0123abcd")
    (tmp_path / "E43N32" / "notes.txt").write_text("")
    assert check_paths([tmp_path, good]) == sorted([good, wrong])
    assert check_paths([str(good)]) == [good]
    assert failed(good) == set()
    assert failed(wrong) == {"naming"}
    with pytest.raises(InputError, match="no such file"):
        check_paths([tmp_path / "other.tif"])


def test_an_empty_folder_is_no_success(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.tif"):
        check_paths([tmp_path])


def test_findings_can_be_written_as_json(tmp_path):
    from dataclasses import asdict

    assert json.loads(json.dumps([asdict(f) for f in check_file(write(tmp_path), window=True)]))[0]["check"] == "naming"


def aux(path, *elements):
    """Side file of GDAL with elements of its only band."""
    side = path.with_name(f"{path.name}.aux.xml")
    side.write_text(f'<PAMDataset><PAMRasterBand band="1">{"".join(elements)}</PAMRasterBand></PAMDataset>')
    return side


def rat(rows, names=tuple(c[0] for c in COLUMNS)):
    """A raster attribute table as GDAL writes it."""
    fields = "".join(
        f'<FieldDefn index="{k}"><Name>{n}</Name><Type>2</Type><Usage>0</Usage></FieldDefn>' for k, n in enumerate(names)
    )
    lines = "".join(f'<Row index="{k}">{"".join(f"<F>{v}</F>" for v in row)}</Row>' for k, row in enumerate(rows))
    return f'<GDALRasterAttributeTable tableType="thematic">{fields}{lines}</GDALRasterAttributeTable>'


def test_a_raster_attribute_table_stands_in_for_the_dbf(tmp_path):
    path = write(tmp_path, table=False)
    aux(path, rat(rows_of(pixels(), 10)))
    assert failed(path) == set()


def test_a_raster_attribute_table_counts_alone(tmp_path):
    path = write(tmp_path)
    aux(path, rat([r[:4] for r in rows_of(pixels(), 10)], ("VALUE", "count", "Area_km2", "Area_perc")))
    assert failed(path) == {"attribute"}
    assert text_of(path, "attribute").endswith("aux.xml lacks the columns Class_Name")


def test_a_histogram_beside_an_attribute_table_is_still_one(tmp_path):
    path = write(tmp_path, table=False)
    aux(path, rat(rows_of(pixels(), 10)), "<Histograms></Histograms>")
    assert failed(path) == {"side_files"}
    assert "stored histogram" in text_of(path, "side_files")


def test_a_table_under_the_wrong_name_is_not_found(tmp_path):
    path = write(tmp_path)
    path.with_name(f"{NAME}.vat.dbf").rename(path.with_name(NAME.replace(".tif", ".vat.dbf")))
    assert failed(path) == {"attribute"}
    assert f"name it {NAME}.vat.dbf" in text_of(path, "attribute")


def test_a_table_of_other_columns(tmp_path):
    path = write(tmp_path)
    write_table(path.with_name(f"{NAME}.vat.dbf"), [r[:2] for r in rows_of(pixels(), 10)], COLUMNS[:2])
    assert failed(path) == {"attribute"}
    assert "lacks the columns Area_km2, Area_perc, Class_Name" in text_of(path, "attribute")


def test_a_table_that_is_none(tmp_path):
    path = write(tmp_path)
    path.with_name(f"{NAME}.vat.dbf").write_bytes(b"no table")
    assert failed(path) == {"attribute"}


ROWS = {
    "count": (lambda rows: rows[3].__setitem__(1, rows[3][1] + 1), "Count of 3 is"),
    "area": (lambda rows: rows[3].__setitem__(2, 1.0), "Area_km2 of 3 is"),
    "share": (lambda rows: rows[3].__setitem__(3, 50.0), "Area_perc of 3 is"),
    "name": (lambda rows: rows[3].__setitem__(4, ""), "Class_Name of 3 is empty"),
    "missing": (lambda rows: rows.pop(3), "no row for the codes 3"),
    "twice": (lambda rows: rows.append(rows[3]), "a Value has two rows"),
    "code that is not there": (lambda rows: rows.append([77.5, 4, 0.0004, 0.01, "?"]), "Count of 77.5 is 4, the file has 0"),
}


@pytest.mark.parametrize(("change", "text"), ROWS.values(), ids=ROWS.keys())
def test_numbers_of_the_table_are_those_of_the_pixels(tmp_path, change, text):
    path = write(tmp_path)
    rows = rows_of(pixels(), 10)
    change(rows)
    write_table(path.with_name(f"{NAME}.vat.dbf"), rows, (("Value", "N", 12, 1), *COLUMNS[1:]))
    assert failed(path) == {"attribute_values"}
    assert text in text_of(path, "attribute_values")


def blocky(*values, edge=200):
    """Squares of 7 pixels with the values, in no order, so that no overview can go by luck."""
    cells = np.random.default_rng(3).choice(np.array(values, np.uint8), (edge // 7 + 1, edge // 7 + 1))
    return np.repeat(np.repeat(cells, 7, 0), 7, 1)[:edge, :edge]


@pytest.mark.parametrize("method", ["nearest", "mode"])
@pytest.mark.parametrize("edge", [200, 300])
def test_overviews_of_pixels(tmp_path, method, edge):
    path = write(tmp_path, array=blocky(0, 30, 100, 255, edge=edge))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8, 16], rasterio.enums.Resampling[method])
    assert failed(path) == set()
    assert "1:2, 1:4, 1:8, 1:1" in text_of(path, "overviews")


def with_means(path, array, valid):
    """Write means of 2 x 2 pixels, of the valid ones or of all, into the only overview."""
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2], rasterio.enums.Resampling.nearest)
    blocks = np.ma.masked_array(array, valid & (array == 255)).astype(float).reshape(100, 2, 100, 2)
    means = np.floor(np.ma.filled(blocks.mean(axis=(1, 3)), 255) + 0.5).astype(np.uint8)
    with rasterio.open(path, "r+", overview_level=0) as small:
        small.write(means, 1)
    with rasterio.open(path, overview_level=0) as small:
        assert np.array_equal(small.read(1), means)


def test_overviews_of_percentages_may_be_means_of_the_valid(tmp_path):
    path = write(tmp_path, array=blocky(0, 30, 100, 255))
    with_means(path, blocky(0, 30, 100, 255), True)
    assert failed(path) == set()


def test_overviews_that_average_255(tmp_path):
    path = write(tmp_path, array=blocky(0, 30, 100, 255))
    with_means(path, blocky(0, 30, 100, 255), False)
    assert failed(path) == {"overviews"}
    assert "none of the pixels below them nor their mean" in text_of(path, "overviews")


def test_overviews_of_averaged_colours(tmp_path):
    """What GDAL's `average` makes of a raster with a colour table: colours are averaged and the nearest one is looked up."""
    path = write(tmp_path, array=blocky(0, 30, 100))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2], rasterio.enums.Resampling.average)
    assert failed(path) == {"overviews"}


@pytest.mark.parametrize(("method", "wrong"), [("nearest", False), ("mode", False), ("average", True)])
@pytest.mark.parametrize(
    ("part", "codes", "colours"), [("IMCC", (0, 1, 10, 12, 255), CLASSES), ("IMDC", (100, 120, 201, 255), CHANGE)]
)
def test_overviews_of_codes_are_codes_of_their_pixels(tmp_path, method, wrong, part, codes, colours):
    name = f"CLMS_HRLNVLCC_{part}_C2018-2021_R20m_E43N32_03035_V01_R00.tif"
    path = write(tmp_path, name, blocky(*codes, edge=100), colours=colours, pixel=20)
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4], rasterio.enums.Resampling[method])
    assert failed(path) == ({"overviews"} if wrong else set())


@pytest.mark.parametrize("symbol", ["IMD_now", "IBU_now", "IMDC", "IMCC", "IBUC", "IMDCL"])
@pytest.mark.parametrize("shape", [(1250, 1250), (1100, 1500)])
def test_our_own_overviews_pass(symbol, shape):
    """Edges that no factor divides, as those of a whole tile."""
    layer, random = CATALOGUE[symbol], np.random.default_rng(5)
    rule, palette = RULES[layer.delivery.part, layer.resolution], layer.delivery.palette
    codes = np.array(layer.codes, np.uint8)
    towns = np.kron(random.random((shape[0] // 50 + 1, shape[1] // 50 + 1)) < 0.2, np.ones((50, 50), bool))[
        : shape[0], : shape[1]
    ]
    array = np.where(towns, random.choice(codes, shape), codes[0])
    overviews = []
    for factor in (2, 4, 8, 16, 32):
        small = overview(array, factor, palette)
        overviews.append(Overview(small, (shape[0] / small.shape[0], shape[1] / small.shape[1])))
    check = OverviewCheck(overviews, rule.averages)
    for first in range(0, shape[0], 333):
        check.add(array[first : first + 333], last=first + 333 >= shape[0])
    assert [o.wrong for o in overviews] == [0] * 5
    assert [o.done for o in overviews] == [o.pixels.shape[0] for o in overviews]
    if palette.overview == "mean":  # and what is wrong at the far edge is seen
        overviews[0].pixels[-20:, -20:] = 77
        worse = OverviewCheck([Overview(overviews[0].pixels, overviews[0].scale)], True)
        worse.add(array, last=True)
        assert worse.overviews[0].wrong > 100


def test_overviews_of_other_pixels(tmp_path):
    path = write(tmp_path, array=blocky(0, 30, 100))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2], rasterio.enums.Resampling.nearest)
        out.write(blocky(1, 31, 99), 1)
    write_table(path.with_name(f"{NAME}.vat.dbf"), rows_of(blocky(1, 31, 99), 10))
    assert "overviews" in failed(path)


def test_overviews_are_looked_at_in_strips(tmp_path, monkeypatch):
    path = write(tmp_path, array=blocky(0, 30, 100, 255, edge=300))
    with rasterio.open(path, "r+") as out:
        out.build_overviews([2, 4, 8, 16], rasterio.enums.Resampling.mode)
        out.write(np.roll(out.read(1), 40, axis=0), 1)
    whole = text_of(path, "overviews")
    monkeypatch.setattr("imperv.tasks.imperviousness.checks.delivery_check.STRIP_ROWS", 37)
    assert failed(path) == {"overviews"}
    assert text_of(path, "overviews") == whole
