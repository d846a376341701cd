"""Land cover from scenes to a package: base map, rounds of tuning, restoring, evaluation, refusals, a killed run."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from imperv.flows.cli.commands import main
from imperv.flows.plan.planning import layer_bytes
from imperv.flows.portal.content import legend_of
from imperv.flows.portal.site import open_site
from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.colouring import colour_table
from imperv.layers.landcover.classes import FRAME
from imperv.layers.network import baselines
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.landcover import network_tuning, session
from imperv.tasks.landcover.predicting import planned_arrays
from imperv.tasks.landcover.rounds import choose, present
from imperv.tasks.landcover.types import features_around, load_types, read_features, some_answers, types_of
from imperv.tasks.maps.opening import GoneError
from imperv.tasks.samples import pixels_of
from imperv.tasks.settings.production import Production
from tests.support.urban import BBOX, TILE, small_production

COMMAND = "from imperv.flows.cli.commands import main; raise SystemExit(main())"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    file = small_production(tmp_path_factory.mktemp("urban") / "p")
    assert main(["run", TILE, "--config", str(file)]) == 0
    return file


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "p")
    return tmp_path / "p" / finished.name


@pytest.fixture
def few_trees(monkeypatch) -> None:
    """Baselines of a tenth of their trees: whether they are there, not how good they are, is asked."""
    monkeypatch.setitem(baselines.CLASS_FOREST, "n_estimators", 20)
    monkeypatch.setitem(baselines.CLASS_BOOSTED, "max_iter", 20)


@pytest.fixture(scope="module")
def tuned(finished, tmp_path_factory) -> Path:
    """A copy with two rounds: all polygons, then none."""
    folder = tmp_path_factory.mktemp("tuned") / "p"
    shutil.copytree(finished.parent, folder)
    file = folder / finished.name
    none = folder / "none.geojson"
    none.write_text('{"type": "FeatureCollection", "features": []}')
    for polygons in (folder / "training/polygons.geojson", none):
        assert main(["landcover", "tune", TILE, "-c", str(file), "-p", str(polygons)]) == 0
    return file


def job_of(file: Path) -> Job:
    return Job.of(Production.read(file), TILE)


def states(file: Path, capsys) -> dict[str, str]:
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(file), "--json"]) == 0
    return {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}


def product(file: Path, layer: str) -> Path:
    return file.parent / f"store/products/{TILE}/{layer}_2021-06_{TILE}_R5m.tif"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def truth(file: Path) -> np.ndarray:
    with rasterio.open(file.parent / "truth/truth_landcover.tif") as source:
        return source.read(1)


def test_what_is_read_of_super_resolution_is_made_first(finished, capsys):
    found = states(finished, capsys)
    order = list(found)
    assert order.index("SR5_laea") < order.index("LC_mosaic") and set(found.values()) == {"up to date"}
    assert product(finished, "SR5_laea").exists() and not product(finished, "SR5").exists()
    assert main(["verify", "--config", str(finished)]) == 0


def test_the_base_map_is_right_where_the_labels_are(finished):
    with rasterio.open(product(finished, "LC_base")) as source:
        codes = source.read(1)
        assert source.colormap(1)[7][:3] == (42, 114, 196) and source.nodata == 255 and source.res == (5, 5)
    known = (truth(finished) != 255) & (codes != 255)
    assert known.mean() > 0.95 and (codes == truth(finished))[known].mean() > 0.6
    assert set(np.unique(codes[known])) <= set(range(1, 8))
    job = job_of(finished)
    shares = job.array("LC_probability")[:]
    assert np.array_equal(np.where(shares[0] == 255, 255, 1 + shares.argmax(axis=0)), codes)
    with rasterio.open(product(finished, "LC_confidence")) as source:
        assert np.array_equal(
            source.read(1), np.where(shares[0] == 255, 255, np.rint(100 * shares.max(axis=0).astype(float) / 254))
        )


def test_the_plan_counts_the_arrays_that_are_made(finished):
    """What the networks see last is as wide as the production says, not as the catalogue."""
    job = job_of(finished)
    group = job.group("LC_probability")
    planned = {one.name: (len(one.labels), one.dtype) for one in planned_arrays(job, CATALOGUE["LC_probability"])}
    assert planned == {name: (array.shape[0], str(array.dtype)) for name, array in group.arrays() if array.ndim == 3}
    pixels = group["LC_probability"][0].size
    assert layer_bytes(job, "LC_probability") == pixels * sum(bands for bands, _ in planned.values())


def test_what_the_span_does_not_show_is_filled_and_marked(finished):
    """June is cloudy in a corner, July is not."""
    job = job_of(finished)
    looks = job.group("LC_mosaic")["looks"][:]
    assert set(np.unique(looks)) <= {1, 254, 255} and 0.005 < (looks == 254).mean() < 0.1
    bands = job.array("LC_mosaic")[:]
    assert np.array_equal(looks == 255, bands[0] == 0) and bands[:, looks == 254].max() < 6000
    assert "filled from the months around" in " ".join(job.record("LC_mosaic").warnings)


def test_without_polygons_the_tuned_map_is_the_base_map_to_the_bit(tuned):
    assert np.array_equal(job_of(tuned).array("LC_tuned")[:], job_of(tuned).array("LC_base")[:])
    assert session.rounds(job_of(tuned))[1]["changed_share"] == 0


def test_rounds_are_kept_compared_and_restored(tuned, tmp_path, capsys):
    shutil.copytree(tuned.parent, tmp_path / "p")
    file = tmp_path / "p" / tuned.name
    job = job_of(file)
    first, second = session.rounds(job)
    assert (first["polygons"], second["polygons"], second["present"]) == (21, 0, True)
    assert first["scores"]["scores"]["oa"]["value"] > 0.6 and np.sum(first["scores"]["confusion"]) == pytest.approx(21, abs=0.01)
    whole = Block(0, 0, *job.array("LC_base").shape)
    wanted = session.map_of_round(job, 1, whole)
    assert main(["landcover", "restore", TILE, "1", "-c", str(file)]) == 0
    assert present(job) == 1 and np.array_equal(job.array("LC_tuned")[:], wanted)
    with rasterio.open(product(file, "LC_tuned")) as source:
        assert np.array_equal(source.read(1), wanted)
    # A switch that was killed has chosen another round, and the map is still of this one.
    choose(job, 2)
    assert [one["present"] for one in session.rounds(job)] == [True, False] and session.shown(job) == 1
    assert session.suggest(job, 3)
    choose(job, 1)
    found = session.compare(job, 0, 1)
    base = job.array("LC_base")[:]
    assert found["changed_share"] == pytest.approx((base != wanted)[base != 255].mean())
    assert np.sum(found["pixels"]) == (base != 255).sum()
    capsys.readouterr()
    assert main(["landcover", "rounds", TILE, "-c", str(file)]) == 0
    assert capsys.readouterr().out.count("accuracy on left-out polygons") == 2
    assert main(["landcover", "restore", TILE, "0", "-c", str(file)]) == 0
    assert not product(file, "LC_tuned").exists() and len(session.rounds(job)) == 2
    assert main(["landcover", "restore", TILE, "7", "-c", str(file)]) == 2
    assert "round 7 of tile E44N25 is not there; there are 1, 2" in capsys.readouterr().err


def test_a_view_is_tuned_without_keeping_anything(tuned):
    job, block = job_of(tuned), Block(20, 30, 120, 190)
    polygons = session.read_polygons(job, tuned.parent / "training/polygons.geojson")
    codes, scores = session.preview(job, polygons, block)
    assert np.array_equal(codes, session.map_of_round(job, 1, block)) and scores["polygons"] == 21
    assert len(session.rounds(job)) == 2


def test_suggestions_lie_apart_and_off_the_polygons(tuned, tmp_path):
    out = tmp_path / "next.geojson"
    assert main(["landcover", "suggest", TILE, "-c", str(tuned), "--count", "6", "-o", str(out)]) == 0
    table = json.loads(out.read_text())
    assert len(table["features"]) == 6 and all(0 <= f["properties"]["doubt"] <= 2 for f in table["features"])
    found = session.suggest(job_of(tuned), 6)
    places = np.array([(one.row, one.column) for one in found])
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e9 * np.eye(6)
    assert distance.min() > 10 and found == session.suggest(job_of(tuned), 6)


def test_a_package_has_everything_and_is_the_same_each_time(tuned, tmp_path, capsys):
    first, again = tmp_path / "a.zip", tmp_path / "b.zip"
    before = contents(tuned.parent / "store")
    assert main(["package", TILE, "-c", str(tuned), "--round", "1", "-o", str(first)]) == 0
    assert present(job_of(tuned)) == 2 and contents(tuned.parent / "store") == before  # another round is made elsewhere
    assert main(["package", TILE, "-c", str(tuned), "--round", "1", "-o", str(again)]) == 0
    assert first.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == sorted([
            "classification.tif", "classification.qml", "classification.png", "classification.stac.json", "summary.txt",
            "metadata.pdf", "training_polygons.geojson", "tuning.json",
        ])  # fmt: skip
        archive.extractall(tmp_path)
    wanted = session.map_of_round(job_of(tuned), 1, Block(0, 0, *job_of(tuned).array("LC_base").shape))
    with rasterio.open(tmp_path / "classification.tif") as source:
        assert np.array_equal(source.read(1), wanted)
    summary = (tmp_path / "summary.txt").read_text()
    assert "Resolution   5 m, EPSG:3035" in summary and f"{(wanted != 255).sum() * 25 / 1e6:.4f} km2" in summary
    shares = [float(line.split("%")[0].split()[-1]) for line in summary.splitlines()[6:]]
    assert sum(shares) == pytest.approx(100, abs=0.05)
    assert len(session.read_polygons(job_of(tuned), tmp_path / "training_polygons.geojson")) == 21


def test_the_pdf_says_what_it_must(tuned, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    assert main(["package", TILE, "-c", str(tuned), "--round", "1", "-o", str(tmp_path / "a.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        document = pdfium.PdfDocument(archive.read("metadata.pdf"))
    text = " ".join(page.get_textpage().get_text_range() for page in document).replace("\r\n", " ")
    for words in (
        "Urban land cover, tuned map",
        "EPSG:3035",
        "5 m, 400 x 200 pixels",
        "coniferous trees",
        "2021-06-12",
        "Round 1: 21 polygons",
        "Limits",
        "Terms of use",
        "Copernicus Sentinel data",
    ):
        assert words in text, words
    pixels = document[0].render(scale=1).to_numpy()
    assert any((np.abs(pixels[..., :3].astype(int) - colour[::-1]).sum(axis=-1) < 12).sum() > 50 for colour in [(42, 114, 196)])


@pytest.mark.timeout(3000)
def test_evaluation_has_intervals_and_baselines(tuned, few_trees, capsys):
    capsys.readouterr()
    path = tuned.parent / "truth/truth_landcover.tif"
    assert main(["evaluate", "-c", str(tuned), "--truth-raster", f"classes={path}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ways = ("network", "random forest", "gradient boosting")
    assert set(found["held_out"]) == {"labels", *ways, *(f"{way}, 10 m enlarged" for way in ways)}
    for scores in (*found["held_out"].values(), *found["stored"].values()):
        assert scores["oa"]["low"] <= scores["oa"]["value"] <= scores["oa"]["high"]
    assert found["stored"]["tuned map"]["oa"]["value"] == pytest.approx(found["stored"]["base map"]["oa"]["value"], abs=1e-6)
    assert main(["evaluate", "-c", str(tuned), "--truth-raster", f"other={path}"]) == 2
    assert "write classes=FILE or types=FILE" in capsys.readouterr().err


def test_a_tile_that_is_too_large_is_refused_before_anything_is_scored(finished, monkeypatch, capsys):
    monkeypatch.setattr("imperv.tasks.landcover.evaluation.LARGEST", 100)
    path = finished.parent / "truth/truth_landcover.tif"
    assert main(["evaluate", "-c", str(finished), "--truth-raster", f"classes={path}"]) == 2
    said = capsys.readouterr()
    assert "is too large to train models anew" in said.err and "scored" not in said.err + said.out


def test_features_around_a_piece_are_those_of_the_tile(finished):
    """Patches are cut from pieces: at a seam, and beyond the edge of the tile."""
    job, (rows, columns) = job_of(finished), job_of(finished).array("LC_base").shape
    whole = read_features(job, Block(0, 0, rows, columns))
    padded = np.pad(whole, ((0, 0), (7, 7), (7, 7)), constant_values=np.nan)
    for piece in (Block(0, 0, 60, 90), Block(60, 90, 130, 220), Block(150, 300, rows, columns)):
        expected = padded[:, piece.y0 : piece.y1 + 14, piece.x0 : piece.x1 + 14]
        np.testing.assert_allclose(features_around(job, piece, 7), expected, atol=1e-6)


TYPE_OF = np.array([255, 0, 1, 0, 0, 0, 3, 0], "u1")
"""Built-up type of a class: roofs are residential, what else is sealed is open."""


@pytest.fixture(scope="module")
def typed(finished, tmp_path_factory) -> Path:
    """A copy with built-up types from points, as many of each type."""
    folder = tmp_path_factory.mktemp("typed") / "p"
    shutil.copytree(finished.parent, folder)
    file = folder / finished.name
    with rasterio.open(folder / "truth/truth_landcover.tif") as source:
        profile, kind = source.profile, TYPE_OF[np.where(source.read(1) == 255, 0, source.read(1))]
    with rasterio.open(folder / "truth/types.tif", "w", **profile) as target:
        target.write(kind, 1)
    rng, lines = np.random.default_rng(1), ["x,y,class"]
    for code, name in ((0, "none"), (1, "residential"), (3, "artificial_open")):
        for y, x in rng.permutation(np.argwhere(kind == code))[:60].tolist():
            lines.append(f"{BBOX[0] + 5 * x + 2.5},{BBOX[3] - 5 * y - 2.5},{name}")
    (folder / "points.csv").write_text("\n".join(lines))
    types = "[parameters.types]\npatch = 7\nfilters = 8\nmembers = 2\nepochs = 12\nblock = 24\nlearning_rate = 0.01\n"
    file.write_text(file.read_text().replace("[references]\n", '[references]\npoints = "points.csv"\n') + types)
    assert main(["run", TILE, "-c", str(file)]) == 0
    return file


@pytest.mark.slow
def test_built_up_types_weigh_half_way_by_their_shares_in_the_area(typed, few_trees, monkeypatch, capsys):
    job = job_of(typed)
    types, kind = np.asarray(job.array("LC_types")[:]), rasterio.open(typed.parent / "truth/types.tif").read(1)
    known = (types != 255) & (kind != 255)
    found, true = job.record("LC_types_model").statistics, np.bincount(kind[known], minlength=4) / known.sum()
    assert found["points"] == 180 and 0 < found["held_out"] < 180 and len(found["validation"]) == 2
    assert found["shares"][2] == 0 and sum(found["shares"]) == pytest.approx(1)  # nobody taught it
    np.testing.assert_allclose(found["shares"], true, atol=0.05)
    assert (types[known] == kind[known]).mean() > 0.8
    network = load_types(job)
    np.testing.assert_allclose(network.scale, [(3 * s) ** 0.5 for s in found["shares"]], rtol=1e-5)
    whole = Block(0, 0, *types.shape)
    np.testing.assert_array_equal(types_of(job, whole, network, np.arange(4, dtype="u1")), types)  # as block by block
    monkeypatch.setattr("imperv.tasks.landcover.types.PIECE", 40)
    few = some_answers(job, network)  # of eight small pieces with data, a tenth of their pixels
    assert few.shape[0] == 4 and 8 * 10 < few.shape[1] <= 8 * 160 and np.isfinite(few).all()

    capsys.readouterr()
    path = typed.parent / "truth/types.tif"
    assert main(["evaluate", "-c", str(typed), "--truth-raster", f"types={path}", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["built_up"]
    assert {"centre patches", "random forest, pixel by pixel", "random forest, pixel by pixel, weighed by shares"} < set(scores)
    assert main(["report", TILE, "-c", str(typed)]) == 0
    page = (typed.parent / "store" / job.report_path).read_text()
    assert f"none {found['shares'][0]:.1%}, residential {found['shares'][1]:.1%}" in page


@pytest.mark.slow
def test_points_alone_make_the_types_anew(typed, tmp_path, capsys):
    """Types as alike as their points; a file that holds nothing of the area is refused before anything runs."""
    shutil.copytree(typed.parent, tmp_path / "p")
    file = tmp_path / "p" / typed.name
    file.write_text(file.read_text().replace("patch = 7", "shares = 0\npatch = 7"))
    assert {node for node, state in states(file, capsys).items() if state == "run"} == {
        "LC_types_model",
        "LC_types",
        "deliver LC_types",
    }
    assert main(["run", TILE, "-c", str(file)]) == 0
    assert load_types(job_of(file)).scale.tolist() == [1, 1, 0, 1]
    (file.parent / "points.csv").write_text("x,y,class\n1,2,none\n")
    assert main(["run", TILE, "-c", str(file)]) == 2
    assert "no point lies in the area" in capsys.readouterr().err


def test_a_model_of_elsewhere_serves_where_nothing_is_known(finished, tmp_path, capsys):
    exported = tmp_path / "lc.zip"
    assert main(["model", "export", "LC", TILE, "-c", str(finished), "-o", str(exported)]) == 0
    file = small_production(tmp_path / "p", references=False)
    assert main(["run", TILE, "-c", str(file)]) == 2
    assert "nothing to learn from and no model of a tile near by" in capsys.readouterr().err
    assert main(["model", "import", str(exported), "-c", str(file)]) == 0
    assert main(["run", TILE, "-c", str(file)]) == 0
    assert np.array_equal(job_of(file).array("LC_base")[:], job_of(finished).array("LC_base")[:])
    other = file.with_name("other.toml")
    other.write_text(
        file.read_text().replace('store = "store"', 'store = "other"')
        + '[[parameters.classes.list]]\nname = "green"\ncode = 1\ncolour = "#00ff00"\n'
        '[[parameters.classes.list]]\nname = "grey"\ncode = 2\ncolour = "#808080"\n'
    )
    assert main(["model", "import", str(exported), "-c", str(other)]) == 2
    assert "other classes: bare soil, buildings" in capsys.readouterr().err


def test_the_map_of_a_round_is_read_by_windows(tuned, tmp_path):
    """As map tiles of a portal, beside the layers of the store: pixels, colours, values; gone where the base map goes."""
    shutil.copytree(tuned.parent, tmp_path / "p")
    file = tmp_path / "p" / tuned.name
    job, site = job_of(file), open_site(None, file)
    site.look()
    first, second = (layer for layer in site.holdings.layers.values() if layer.round)
    assert (first.title, second.title, site.trouble) == ("Round 1", "Round 2", "") and first.key != second.key
    assert first.id == "LC_tuned_round_1.2021-06.0"
    whole = Block(0, 0, *job.array("LC_base").shape)
    wanted, table = session.map_of_round(job, 1, whole), colour_table(first.view.palette, 255)
    assert (wanted != job.array("LC_tuned")[:]).any()
    part = first.parts[TILE]
    for rows, columns in ((slice(0, 200), slice(0, 400)), (slice(3, 199), slice(250, 257)), (slice(199, 200), slice(399, 400))):
        assert np.array_equal(part.taught.pixels.read(rows, columns)[0], wanted[rows, columns])
    left, _, _, top = part.bounds
    x, y = int(left // (256 * 5)), int((6_000_000 - top) // (256 * 5))
    picture = np.asarray(Image.open(io.BytesIO(site.tiles.tile(first, 13, x, y))).convert("RGBA"))
    row, column = int((6_000_000 - top) / 5) - 256 * y, int(left / 5) - 256 * x
    drawn = wanted[: 256 - row, : 256 - column]
    assert np.array_equal(picture[row : row + drawn.shape[0], column : column + drawn.shape[1]], table[drawn])
    assert site.tiles.values(first, left + 502.5, top - 302.5)["values"][0]["stored"] == wanted[60, 100]
    job.store.remove(job.place("LC_probability"))
    site.tiles.pictures.entries.clear()
    with pytest.raises(GoneError, match="load it anew"):
        site.tiles.tile(first, 13, x, y)
    site.look()
    assert not [layer for layer in site.holdings.layers.values() if layer.round]


def test_a_view_is_taught_as_the_whole_area_will_be(tuned):
    job, teaching = job_of(tuned), family("landcover").teaching()
    polygons = tuned.parent / "training/polygons.geojson"
    before = contents(tuned.parent)
    left, bottom, right, top = job.bounds
    found = teaching.view(job, polygons, (left + 203, bottom + 100, left + 1200, top + 4000))
    assert found.bounds == (left + 200, bottom + 100, left + 1200, top) and found.codes.shape == (180, 200)
    wanted = session.map_of_round(job, 1, Block(0, 0, *job.array("LC_base").shape))
    assert np.array_equal(found.codes, wanted[:180, 40:240])
    assert found.scores == {key: session.rounds(job)[0]["scores"][key] for key in found.scores}
    assert teaching.view(job, polygons, (0, 0, 1e7, 1e7)).codes.shape == (200, 400)
    assert teaching.view(job, polygons, (right + 10, bottom, right + 900, top)) is None
    assert contents(tuned.parent) == before
    assert teaching.count(job, polygons) == dict.fromkeys((one.name for one in FRAME), 3) and teaching.missing(job) == ""
    assert teaching.state(job) == teaching.state(job_of(tuned))


def test_a_file_may_have_polygons_of_all_tiles_of_a_production(tmp_path):
    """Each tile takes its part; what lies in none is a fault."""
    file = small_production(tmp_path / "p")
    text = file.read_text().replace('tiles = ["E44N25"]', 'tiles = ["E44N25", "E44N26"]')
    file.write_text(text.replace(str(list(BBOX)), "[4422000, 2598000, 4424000, 2602000]"))
    production = Production.read(file)
    south, north = (Job.of(production, tile) for tile in production.tile_names)

    def write(*boxes: tuple[float, float, float, float]) -> Path:
        shapes = [json.loads(shapely.to_geojson(shapely.box(*box))) for box in boxes]
        features = [{"type": "Feature", "properties": {"class": "grass"}, "geometry": shape} for shape in shapes]
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
        path = tmp_path / "drawn.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
        return path

    x, edge = 4_423_000, 2_600_000
    drawn = write((x, edge - 20, x + 20, edge + 10), (x, edge - 100, x + 20, edge - 50), (x, edge, x + 10, edge + 10))
    below, above = session.read_polygons(south, drawn), session.read_polygons(north, drawn)
    assert [sample.number for sample in below] == [1, 2] and [sample.number for sample in above] == [1, 3]
    assert [sample.shape.area for sample in (*below, *above)] == [400, 1000, 200, 100]
    assert [len(pixels_of(sample, south.grid(5))[0]) for sample in below] == [16, 40]
    with pytest.raises(InputError, match="lies outside of the area"):
        session.read_polygons(south, write((x, edge + 9000, x + 20, edge + 9020)))


def test_polygons_teach_a_class_that_the_base_model_cannot_know(copied, capsys):
    """FRAME's classes and one more: the base map has none of it, a round has it where it was drawn; one class alone is told."""
    with copied.open("a") as file:
        for one in FRAME:
            colour = "#{:02x}{:02x}{:02x}".format(*one.colour)
            file.write(f'[[parameters.classes.list]]\nname = "{one.name}"\ncode = {one.code}\ncolour = "{colour}"\n')
        file.write('[[parameters.classes.list]]\nname = "green roof"\ncode = 9\ncolour = "#e8862e"\n')
        file.write("[parameters.tuning]\nshares = 0\n")  # a class that the base map lacks weighs like the others
    polygons = copied.parent / "training/polygons.geojson"
    assert main(["landcover", "tune", TILE, "-c", str(copied), "-p", str(polygons)]) == 2
    assert "other classes or settings" in capsys.readouterr().err
    assert main(["run", TILE, "-c", str(copied)]) == 0
    assert "no label of green roof: the base model cannot know it here" in " ".join(
        job_of(copied).record("LC_reference").warnings
    )
    job = job_of(copied)
    assert 9 not in np.unique(job.array("LC_base")[:])
    table = json.loads(polygons.read_text())
    roofs = [feature for feature in table["features"] if feature["properties"]["class"] == "Buildings"]
    for feature in roofs:
        feature["properties"]["class"] = "green roof"
    polygons.write_text(json.dumps(table))
    session.tune_tile(job, session.read_polygons(job, polygons))
    (found,) = session.rounds(job)
    assert found["classes"]["green roof"]["polygons"] == 3 and "buildings" not in found["classes"] and not found["warnings"]
    codes, number = job.array("LC_tuned")[:], 0
    for sample in session.read_polygons(job, polygons):
        if sample.class_name == "green roof":
            number += int((codes[pixels_of(sample, job.grid(5))] == 9).sum())
    assert number >= 20  # of 27 pixels
    polygons.write_text(json.dumps(table | {"features": roofs}))
    session.tune_tile(job, session.read_polygons(job, polygons))
    assert "all polygons are of class green roof; draw another class" in session.rounds(job)[1]["warnings"][0]
    assert np.unique(job.array("LC_tuned")[:]).size > 3


def test_own_classes_have_own_labels_and_colours(finished, tmp_path, capsys):
    file = small_production(
        tmp_path / "p",
        '[[parameters.classes.list]]\nname = "water"\ncode = 20\ncolour = "#0000ff"\n'
        '[[parameters.classes.list]]\nname = "land"\ncode = 10\ncolour = "#00ff00"\n',
    )
    assert main(["run", TILE, "-c", str(file)]) == 2
    assert "it has labels for FRAME's classes only" in capsys.readouterr().err
    with rasterio.open(file.parent / "truth/truth_landcover.tif") as source:
        codes, profile = source.read(1), source.profile
    with rasterio.open(file.parent / "labels.tif", "w", **profile) as target:
        target.write(np.where(codes == 255, 255, np.where(codes == 7, 20, 10)).astype("u1"), 1)
    text = file.read_text().replace('clcplus = "reference/clcplus.tif"', 'labels = "labels.tif"')
    file.write_text(text)
    assert main(["run", TILE, "-c", str(file)]) == 0
    with rasterio.open(product(file, "LC_base")) as source:
        found, colours = source.read(1), source.colormap(1)
    assert colours[20][:3] == (0, 0, 255) and colours[10][:3] == (0, 255, 0)
    known = (codes != 255) & (found != 255)
    assert ((found == 20) == (codes == 7))[known].mean() > 0.9 and set(np.unique(found[known])) == {10, 20}
    assert main(["verify", "-c", str(file)]) == 0
    # The portal shows them as they are, and without the production file as codes without names.
    shown, unknown = open_site(None, file), open_site(str(file.parent / "store"), None)
    for site, names in ((shown, ["water", "land"]), (unknown, ["20", "10"])):
        site.look()
        layers = {layer.layer.symbol: layer for layer in site.holdings.layers.values()}
        assert not site.trouble
        assert sorted(entry["text"] for entry in legend_of(layers["LC_base"], site.tiles)["classes"]) == sorted(names)
        left, _, _, top = layers["LC_base"].parts[TILE].bounds
        told = site.tiles.values(layers["LC_base"], left + 302.5, top - 302.5)
        assert told["values"][0]["meaning"] == names[[20, 10].index(told["values"][0]["stored"])]
        shares = site.tiles.values(layers["LC_probability"], left + 302.5, top - 302.5)["values"]
        assert [share["label"] for share in shares] == ["water", "land"]
    # Another colour is another file of the same map.
    text = file.read_text()
    file.write_text(text.replace("#0000ff", "#0000f0"))
    todo = {node for node, state in states(file, capsys).items() if state == "run"}
    assert todo == {"deliver LC_base"}
    # In another order the numbers of the classes in the store would be of others.
    water, land = '"water"\ncode = 20', '"land"\ncode = 10'
    file.write_text(text.replace(water, "w").replace(land, water).replace("w\n", f"{land}\n", 1))
    polygons = file.parent / "training/polygons.geojson"
    assert [c.name for c in job_of(file).production.parameters.classes.classes] == ["land", "water"]
    with pytest.raises(InputError, match="was made with other classes or settings than the production file has now"):
        session.suggest(job_of(file))
    assert main(["landcover", "tune", TILE, "-c", str(file), "-p", str(polygons)]) == 2
    # Or where networks answer in other numbers.
    file.write_text(f'{text}\n[parameters.ensemble]\nprecision = "bfloat16"\n')
    with pytest.raises(InputError, match="LC_probability of tile .* was made with other classes or settings"):
        session.suggest(job_of(file))


def test_what_cannot_be_tuned_is_refused(finished, tmp_path, capsys):
    polygons = finished.parent / "training/polygons.geojson"
    file = small_production(tmp_path / "p")
    assert main(["landcover", "tune", TILE, "-c", str(file), "-p", str(polygons)]) == 2
    assert "is not there for this area; first `imperv run E44N25`" in capsys.readouterr().err
    assert main(["package", TILE, "-c", str(finished), "--round", "3", "-o", str(tmp_path / "x.zip")]) == 2
    assert "round 3 of tile E44N25 is not there; there are none yet" in capsys.readouterr().err
    assert main(["package", TILE, "-c", str(finished), "--layer", "LC_confidence", "-o", str(tmp_path / "x.zip")]) == 2
    assert "is no map of classes" in capsys.readouterr().err and not (tmp_path / "x.zip").exists()


def test_a_month_without_a_clear_look_is_one_line(tmp_path, capsys):
    file = small_production(tmp_path / "p")
    for path in (file.parent / "scenes").rglob("SCL.tif"):
        with rasterio.open(path) as source:
            profile = source.profile
        with rasterio.open(path, "w", **profile) as target:
            target.write(np.full((1, profile["height"], profile["width"]), 9, "u1"))
    assert main(["run", TILE, "-c", str(file)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("imperv: ")]
    assert len(said) == 1 and "clouds over the whole area in 2021-06" in said[0]


def test_a_killed_round_goes_on(copied, capsys):
    """SIGKILL as soon as the polygons are kept: nothing looks done that is not, and a restore finishes the round."""
    polygons = copied.parent / "training/polygons.geojson"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, "landcover", "tune", TILE, "-c", str(copied), "-p", str(polygons)],
        env=os.environ.copy(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    kept = copied.parent / f"store/rounds/{TILE}/2021-06/001.data.json"
    deadline = time.monotonic() + 120
    while not kept.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept.exists()
    job = job_of(copied)
    if not session.rounds(job)[0]["finished"]:
        assert main(["landcover", "rounds", TILE, "-c", str(copied)]) == 0
        assert "not finished" in capsys.readouterr().out
    assert main(["landcover", "restore", TILE, "1", "-c", str(copied)]) == 0
    assert session.rounds(job)[0]["finished"] and set(states(copied, capsys).values()) == {"up to date"}


@pytest.fixture(scope="module")
def trained_on(finished, tmp_path_factory) -> Path:
    """A copy whose first round trained networks on, by patches of grass that a person calls water."""
    folder = tmp_path_factory.mktemp("trained") / "p"
    shutil.copytree(finished.parent, folder)
    file = folder / finished.name
    quick = "folds = 2\nepochs = 3\nsteps = 20\nlearning_rate = 0.01\nshares = 0.0\nbase = 2.0\n"
    file.write_text(f"{file.read_text()}[parameters.tuning]\n{quick}")
    inside = np.argwhere(cv2.erode((truth(file) == 5).astype("u1"), np.ones((11, 11)), borderValue=0))
    features = []
    for y, x in np.random.default_rng(3).permutation(inside)[:16].tolist():
        left, top = BBOX[0] + 5 * (x - 4), BBOX[3] - 5 * (y - 4)
        shape = json.loads(shapely.to_geojson(shapely.box(left, top - 45, left + 45, top)))
        features.append({"type": "Feature", "properties": {"class": "water"}, "geometry": shape})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (folder / "training/other.geojson").write_text(text)
    given = ["-c", str(file), "-p", str(folder / "training/other.geojson"), "--network"]
    assert main(["landcover", "tune", TILE, *given]) == 0
    return file


@pytest.mark.timeout(3000)
def test_networks_that_are_trained_on_learn_what_polygons_say(trained_on):
    job = job_of(trained_on)
    base, tuned = job.array("LC_base")[:], job.array("LC_tuned")[:]
    grass = truth(trained_on) == 5
    assert (base[grass] == 7).mean() < 0.1 and (tuned[grass] == 7).mean() > 0.5
    trees = truth(trained_on) == 4
    assert (tuned[trees] == 4).mean() > (base[trees] == 4).mean() - 0.1
    (found,) = session.rounds(job)
    assert (found["way"], found["polygons"], found["scores"]["networks"], found["finished"]) == ("networks", 16, 2, True)
    assert 8 < np.sum(found["scores"]["confusion"]) < 17  # a guard band lies in neither part


@pytest.mark.timeout(3000)
def test_rounds_of_networks_are_kept_restored_and_packed(trained_on, tmp_path, capsys, monkeypatch):
    shutil.copytree(trained_on.parent, tmp_path / "p")
    file = tmp_path / "p" / trained_on.name
    job = job_of(file)
    wanted = job.array("LC_tuned")[:]
    part = Block(30, 40, 130, 240)
    assert (session.map_of_round(job, 1, part) == wanted[part.slices]).mean() > 0.999  # other windows, other rounding
    assert session.compare(job, 0, 1)["changed_share"] > 0.05 and len(session.suggest(job, 4)) == 4
    assert main(["landcover", "tune", TILE, "-c", str(file), "-p", str(file.parent / "training/other.geojson")]) == 0
    assert [one["way"] for one in session.rounds(job)] == ["networks", "head"]
    heads = job.array("LC_tuned")[:]
    assert not np.array_equal(heads, wanted)
    before = contents(file.parent / "store")
    assert main(["package", TILE, "-c", str(file), "--round", "1", "-o", str(tmp_path / "a.zip")]) == 0
    assert contents(file.parent / "store") == before
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path)
    with rasterio.open(tmp_path / "classification.tif") as source:
        assert np.array_equal(source.read(1), wanted)
    began = time.process_time()
    assert main(["landcover", "restore", TILE, "1", "-c", str(file)]) == 0
    assert np.array_equal(job.array("LC_tuned")[:], wanted)
    assert "networks" in session.rounds(job)[0]["way"] and time.process_time() - began < 60
    assert set(states(file, capsys).values()) == {"up to date"}
    assert main(["report", TILE, "-c", str(file)]) == 0

    def train_on(*given):
        raise WorkError("trained anew")

    # With other settings the networks that were kept are of another training.
    monkeypatch.setattr(network_tuning, "train_on", train_on)
    file.write_text(file.read_text().replace("base = 2.0", "base = 3.0"))
    with pytest.raises(WorkError, match="trained anew"):
        session.restore(job_of(file), 1)


@pytest.mark.timeout(3000)
def test_a_training_of_a_round_that_was_killed_goes_on(trained_on, tmp_path, capsys):
    """SIGKILL after an epoch: the restored round has the bits of one that was not killed."""
    wanted = job_of(trained_on).array("LC_tuned")[:]
    shutil.copytree(trained_on.parent, tmp_path / "p")
    file = tmp_path / "p" / trained_on.name
    shutil.rmtree(file.parent / "store/rounds")
    for name in ("LC_training", "LC_tuned_model", "LC_tuned"):
        for path in (file.parent / "store/tiles").rglob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    command = ["landcover", "tune", TILE, "-c", str(file), "-p", str(file.parent / "training/other.geojson"), "--network"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, *command],
        env=os.environ.copy(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 600
    while not (kept := list((file.parent / "store").rglob("*training.npz"))) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept and not session.rounds(job_of(file))[0]["finished"]
    assert main(["landcover", "restore", TILE, "1", "-c", str(file)]) == 0
    assert np.array_equal(job_of(file).array("LC_tuned")[:], wanted)
    assert not list((file.parent / "store").rglob("*training.npz"))


def test_networks_are_not_trained_on_without_polygons(finished, tmp_path, capsys):
    none = tmp_path / "none.geojson"
    none.write_text('{"type": "FeatureCollection", "features": []}')
    assert main(["landcover", "tune", TILE, "-c", str(finished), "-p", str(none), "--network"]) == 2
    assert "networks are not trained on without polygons" in capsys.readouterr().err
    assert not session.rounds(job_of(finished))


def test_the_report_shows_both_maps(tuned):
    assert main(["landcover", "restore", TILE, "1", "-c", str(tuned)]) == 0
    assert main(["report", TILE, "-c", str(tuned)]) == 0
    text = (tuned.parent / f"store/runs/landcover/{TILE}.report.html").read_text()
    for words in ("tuned map", "base map", "Confusion of left-out polygons", "coniferous trees", "Rounds", 'type="range"'):
        assert words in text, words
    assert "Could not be shown" not in text


def test_reference_points_give_areas_with_intervals(copied):
    """A sample of the truth: its estimate of each class is near the truth, and the interval holds most of them."""
    from imperv.tasks.landcover.report import areas

    codes = truth(copied)
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(0, codes.shape[0], 400), rng.integers(0, codes.shape[1], 400)
    known = codes[rows, columns] != 255
    lines = ["x,y,class"] + [
        f"{4_422_000 + 5 * x + 2.5},{2_599_000 - 5 * y - 2.5},{codes[y, x]}"
        for y, x in zip(rows[known].tolist(), columns[known].tolist(), strict=True)
    ]
    (copied.parent / "sample.csv").write_text("\n".join(lines) + "\n")
    copied.write_text(copied.read_text().replace("[references]\n", '[references]\nsample = "sample.csv"\n'))
    job = job_of(copied)
    found = areas(job, "LC_base", job.production.parameters.classes.classes)
    mapped = (job.array("LC_base")[:] != 255).sum() * 25 / 1e6
    true = [(codes == code).sum() / (codes != 255).sum() * mapped for code in range(1, 8)]
    assert sum(row["estimate"] for row in found) == pytest.approx(mapped, rel=0.02)
    assert sum(row["low"] <= area <= row["high"] for row, area in zip(found, true, strict=True)) >= 5
