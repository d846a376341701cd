"""`imperv compare`: two finished productions that differ by one parameter, as stores, production files and delivered products."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from imperv.flows.cli.commands import main
from imperv.layers.palette import CLASSES, DENSITY
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.imperviousness.assessment.comparison_sides import open_sides
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.objections import nothing_but_objections
from tests.support.report_store import TILE, copied, fill, finish, new_job

pytestmark = pytest.mark.slow

CHANGED = "[parameters.change_mask]\nlower = 80.0\n[parameters.built_up]\nthreshold = 85\n"


@pytest.fixture(scope="module")
def jobs(filled, tmp_path_factory):
    """Two productions of the same inputs with other parameters, made by the real tasks."""
    folder = tmp_path_factory.mktemp("compare")
    return [copied(filled, folder / "a"), finish(copied(filled, folder / "b", CHANGED))]


@pytest.fixture
def places(jobs):
    return [str(job.production.root) for job in jobs]


def said(capsys, *arguments) -> dict:
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments) -> str:
    assert main(["compare", *map(str, arguments)]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    return line


def by_layer(answer: dict) -> dict[str, dict]:
    return {entry["layer"]: entry for entry in answer["layers"]}


def test_every_figure_of_every_layer(jobs, places, capsys):
    """Against whole arrays, as a notebook opens them."""
    layers = by_layer(said(capsys, *places))
    assert set(layers) == set(delivered_symbols())
    assert layers["IMCC"]["differing"] > 0
    assert layers["IBU_now"]["differing"] > 0
    for symbol, entry in layers.items():
        a, b = (Store(job.store.url).open(symbol, TILE).values for job in jobs)
        both = (a != 255) & (b != 255)
        assert entry["pixels"] == both.sum()
        assert entry["differing"] == (a != b)[both].sum()
        assert entry["share"] == pytest.approx((a != b)[both].mean())
        if entry["kind"] == "classes":
            codes = [0, 1, 2, 10, 11, 12]
            assert entry["transitions"] == [[int(((a == i) & (b == j)).sum()) for j in codes] for i in codes]
        if symbol.startswith("IMD_now"):
            difference = b[both].astype(float) - a[both]
            assert entry["rms"] == pytest.approx(np.sqrt((difference**2).mean()))
            assert entry["km2_a"] == pytest.approx(a[both].sum() / 100 * entry["metres"] ** 2 / 1e6)
        if symbol == "IBU_now":
            assert entry["km2_b"] == pytest.approx(1e-4 * (b == 1)[both].sum())


def test_what_differs_beside_the_pixels(places, capsys):
    answer = said(capsys, *places)
    assert [d for d in answer["settings"] if d["name"] != "scenes.catalogue"] == [
        {"name": "parameters.change_mask.lower", "a": "97.5", "b": "80.0"},
        {"name": "parameters.built_up.threshold", "a": "10.0", "b": "85.0"},
    ]
    assert answer["software"] == []
    nodes = answer["nodes"][TILE]
    assert nodes["causes"] == ["CHM_raw: change_mask.lower 97.5 -> 80.0", "IBU_now: built_up.threshold 10.0 -> 85.0"]
    assert nodes["same"] > 10
    assert nodes["other"] > 10
    assert main(["compare", *places]) == 0
    text = capsys.readouterr().out
    assert "  parameters.change_mask.lower: 97.5 | 80.0\n" in text
    assert "CHM_raw: change_mask.lower 97.5 -> 80.0" in text
    assert "software: the same" in text
    assert "km2  1 Built-up -> 0 Non built-up" in text


def test_other_software_is_named(jobs, places, capsys, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(jobs[0].store.url, copy)
    path = next(copy.glob("tiles/*/*/IMD_now.json"))
    text = path.read_text()
    numpy = json.loads(text)["properties"]["imperv:software"]["numpy"]
    path.write_text(text.replace(f'"numpy": "{numpy}"', '"numpy": "1.0"'))
    answer = said(capsys, places[0], copy, "-l", "imd")
    assert answer["software"] == [{"name": "numpy", "a": numpy, "b": f"1.0, {numpy}"}]
    assert main(["compare", places[0], str(copy), "-l", "imd"]) == 0
    assert f"software, A | B: numpy: {numpy} | 1.0, {numpy}\n" in capsys.readouterr().out


def test_the_same_of_itself(places, capsys):
    answer = said(capsys, places[0], places[0])
    assert {entry["differing"] for entry in answer["layers"]} == {0}
    assert answer["settings"] == []
    assert answer["nodes"][TILE]["other"] == 0
    assert main(["compare", places[0], places[0]]) == 0
    text = capsys.readouterr().out
    assert "settings: the same" in text
    assert "nodes are the same" in text


@pytest.mark.parametrize("kind", ["production file", "store", "products", "tile's products", "mixed"])
def test_every_kind_of_place_gives_the_same_figures(kind, jobs, places, capsys):
    stores = [job.store.url for job in jobs]
    given = {
        "production file": [f"{place}/production.toml" for place in places],
        "store": stores,
        "products": [f"{store}/products" for store in stores],
        "tile's products": [f"{store}/products/{TILE}" for store in stores],
        "mixed": [places[0], f"{stores[1]}/products"],
    }[kind]
    expected, found = by_layer(said(capsys, *places)), by_layer(said(capsys, *given))
    assert found.keys() == expected.keys()
    for symbol, entry in found.items():
        assert {k: v for k, v in entry.items() if k != "note"} == {k: v for k, v in expected[symbol].items() if k != "note"}


def test_products_tell_their_software_and_no_causes_that_are_none(jobs, capsys):
    """Their records say how they were delivered; beside a store's they would differ in everything."""
    products = [f"{job.store.url}/products" for job in jobs]
    assert list(said(capsys, *products)["nodes"]) == [TILE]
    assert said(capsys, jobs[0].store.url, products[1])["nodes"] == {}


def test_two_files_whatever_they_are_called(jobs, capsys, tmp_path):
    names = []
    for k, job in enumerate(jobs):
        names.append(tmp_path / f"{k}.tif")
        shutil.copy(f"{job.store.url}/{places_of(job, 'IMCC').tif}", names[-1])
    expected = by_layer(said(capsys, *(f"{job.store.url}/products" for job in jobs)))["IMCC"]
    (unknown,) = said(capsys, *names)["layers"]
    assert (unknown["kind"], unknown["differing"], unknown["layer"]) == ("codes", expected["differing"], "0")
    (named,) = said(capsys, *names, "-l", "imcc")["layers"]
    assert named["transitions"] == expected["transitions"]
    assert "of several layers (IMCC, IBU_now)" in refused(
        capsys, *(f"{jobs[0].store.url}/{places_of(jobs[0], s).tif}" for s in ("IMCC", "IBU_now"))
    )


def test_other_windows_are_compared_where_both_are(jobs, places, capsys, tmp_path):
    small = fill(new_job(tmp_path, kilometres=1))
    answer = by_layer(said(capsys, places[0], tmp_path, "-l", "imd", "-l", "IMCC"))
    a, b = (Store(job.store.url).open("IMD_now", TILE).values for job in (jobs[0], small))
    both = (a[:100, :100] != 255) & (b != 255)
    assert answer["IMD_now"]["pixels"] == both.sum()
    assert answer["IMD_now"]["differing"] == (a[:100, :100] != b)[both].sum()
    assert answer["IMD_now"]["bounds"] == list(small.bounds)
    assert "compared is what both cover" in answer["IMD_now"]["note"]
    assert main(["compare", places[0], str(tmp_path), "-l", "imd"]) == 0
    assert f"{TILE} IMD_now: A covers" in capsys.readouterr().out


def test_a_truth_says_which_is_better(jobs, places, capsys, tmp_path):
    array = Store(jobs[1].store.url).open("IBU_now", TILE)
    array.rio.to_raster(tmp_path / "truth_ibu_now.tif")
    answer = by_layer(said(capsys, *places, "--truth", tmp_path))
    scores = answer["IBU_now"]["truth"]
    assert scores["b"]["accuracy"] == scores["b"]["f1"] == 1
    assert scores["a"]["accuracy"] == pytest.approx(1 - answer["IBU_now"]["share"])
    assert answer["IMD_now"]["truth"] is None
    assert main(["compare", *places, "--truth", str(tmp_path), "-l", "ibu"]) == 0
    assert f"{TILE} IBU_now, B against the truth: " in capsys.readouterr().out
    assert "holds no truth" in refused(capsys, *places, "--truth", jobs[0].store.url)


def test_several_tiles_are_summed_up(jobs, places, capsys, tmp_path):
    """The same window under another tile's name stands for a second tile."""
    both = []
    for k, job in enumerate(jobs):
        folder = tmp_path / str(k)
        shutil.copytree(f"{job.store.url}/products/{TILE}", folder / TILE)
        for path in list((folder / TILE).glob("*IMD_S2021_R10m*.tif")):
            (folder / "other").mkdir(exist_ok=True)
            shutil.copy(path, folder / "other" / path.name.replace(TILE, "E43N26"))
        both.append(folder)
    entries = said(capsys, *both, "-l", "imd")["layers"]
    assert [e["tile"] for e in entries] == ["E43N26", TILE, "all"]
    assert entries[2]["pixels"] == entries[0]["pixels"] + entries[1]["pixels"]
    assert entries[2]["rms"] == pytest.approx(entries[0]["rms"])
    assert [e["tile"] for e in said(capsys, *both, "-l", "imd", "--tile", TILE.lower())["layers"]] == [TILE]


def colours_in(path: Path) -> set[tuple[int, int, int]]:
    return set(map(tuple, np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)))


def test_a_picture_in_the_colours_of_the_layer(places, capsys, tmp_path):
    path = tmp_path / "x.png"
    assert main(["compare", *places, "--layer", "imcc", "--picture", str(path)]) == 0
    assert f"{path}: {TILE} IMCC" in capsys.readouterr().out
    shown = colours_in(path)
    assert {CLASSES.colours[c] for c in (0, 1, 2, 10)} <= shown
    assert main(["compare", *places, "--picture", str(path)]) == 0
    assert f"{path}: {TILE} IMD_now; --layer draws others" in capsys.readouterr().out
    assert {DENSITY.colours[0], DENSITY.colours[97]} <= colours_in(path)
    assert Image.open(path).size[0] > 1500


@pytest.mark.parametrize("layer", ["IMDC", "IBU_now", "IMDCL", "CLCP_now", "RMSD", "CHM_raw"])
def test_any_layer_can_be_drawn(layer, places, tmp_path):
    path = tmp_path / "x.svg"
    assert main(["compare", *places, "-l", layer, "--picture", str(path)]) == 0
    text = path.read_text()
    assert text.startswith("<?xml")
    assert text.count("<image") >= 3


@pytest.mark.parametrize(("layer", "names"), [("IBU_now", ["0 Non built-up", "1 Built-up"]), ("CHM", ["0", "1"])])
def test_the_legend_names_what_the_layer_shows(layer, names, places, monkeypatch, tmp_path):
    """A change mask has the form of built-up, and is none."""
    from imperv.flows.cli.imperviousness import comparison_picture

    told, patches = [], comparison_picture._patches

    def noted(figure, where, entries):
        told.append([text for text, _ in entries])
        patches(figure, where, entries)

    monkeypatch.setattr(comparison_picture, "_patches", noted)
    assert main(["compare", *places, "-l", layer, "--picture", str(tmp_path / "x.png")]) == 0
    assert told[0] == names


def test_what_is_wrong_is_one_line(jobs, places, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tif").write_text("no raster")
    a = places[0]
    for arguments, words in (
        ((a, tmp_path / "nothing"), "does not exist"),
        ((a, tmp_path / "empty"), "is not a production file, a store or a folder with .tif files"),
        ((a, tmp_path / "broken.tif"), "cannot be opened"),
        ((a, a, "-l", "PP_now"), "have no map in common"),
        ((a, a, "--tile", "E38N31"), "have no map in common"),
        ((a, a, "--picture", tmp_path / "x.txt"), "name a file that ends in .png, .svg, .pdf"),
        ((a, a, "-l", "imd", "--picture", tmp_path / "no" / "x.png"), "cannot be written"),
        ((a, a, "-l", "imdx"), "did you mean"),
    ):
        assert words in refused(capsys, *arguments)
    few = tmp_path / "few"
    shutil.copytree(jobs[0].store.url, few)
    for record in few.glob("tiles/*/*/*.json"):
        if record.stem not in ("RMSD", "CHM"):
            record.unlink()
    assert refused(capsys, a, few).endswith("--layer can compare RMSD, CHM")


def test_a_map_that_only_one_has_is_told(jobs, places, capsys, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(jobs[0].store.url, copy)
    for name in ("IMDCL", "IBUCL"):
        next(copy.glob(f"tiles/*/*/{name}.json")).unlink()
    shutil.rmtree(next(copy.glob("tiles/*/*/SBU.zarr")))
    assert said(capsys, places[0], copy)["unmatched"] == [f"only in A: {TILE} IBUCL, IMDCL, SBU"]


def test_a_store_of_several_pairs_of_years(jobs, places, capsys, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(jobs[0].store.url, copy)
    shutil.copytree(copy / "tiles" / TILE / "2018-2021", copy / "tiles" / TILE / "2021-2024")
    assert "holds several pairs of years (2018-2021, 2021-2024)" in refused(capsys, copy, copy)
    assert len(said(capsys, copy, places[1])["layers"]) == len(delivered_symbols())


def test_products_of_several_years_are_not_mixed(jobs, capsys, tmp_path):
    path = Path(f"{jobs[0].store.url}/{places_of(jobs[0], 'IMD_now').tif}")
    for name in (path.name, path.name.replace("S2021", "S2018")):
        shutil.copy(path, tmp_path / name)
    assert "holds several files of IMD_now of tile" in refused(capsys, tmp_path, tmp_path)


def test_rasters_that_are_no_maps(capsys, tmp_path):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "dtype": "uint8", "crs": "EPSG:3035"}
    with rasterio.open(tmp_path / "x.tif", "w", count=3, transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile) as out:
        out.write(np.zeros((3, 4, 4), "u1"))
    assert "has 3 bands" in refused(capsys, tmp_path / "x.tif", tmp_path / "x.tif")


def test_a_file_that_was_edited_after_the_run_is_noted(jobs, places, capsys, tmp_path):
    shutil.copytree(jobs[0].production.root, tmp_path / "a")
    with (tmp_path / "a" / "production.toml").open("a") as file:
        file.write(CHANGED)
    answer = said(capsys, places[0], tmp_path / "a")
    (note,) = answer["notes"]
    assert "CHM_raw, CHM, CHM_resampled" in note
    assert note.endswith("made with settings other than those of its production file; run it to the end")
    assert said(capsys, *places)["notes"] == []


def test_a_scratch_run_that_is_not_finished_is_not_taken_for_one_without_effect(jobs, places, capsys, tmp_path):
    """What it has not made yet is read from the production's store: that must not be compared with itself."""
    from imperv.flows.tile.rerunning import scratch_production
    from imperv.tasks.job import Job
    from imperv.tasks.nodes import make_node

    changes = ["parameters.change_mask.lower=80.0", "parameters.built_up.threshold=85"]
    file = scratch_production(jobs[0].production.root / "production.toml", TILE, tmp_path / "scratch", changes)
    job = Job.of(Production.read(file), TILE)
    for symbol in ("CHM_raw", "CHM", "CHM_resampled", "IMDC"):
        make_node(job, symbol)
    answer = said(capsys, places[0], file)
    layers = by_layer(answer)
    whole = by_layer(said(capsys, *places))
    assert {"IMDC", "IMD_now", "IMDCL"} <= layers.keys()
    assert not {"IMCC", "IBU_now", "IMDCS", "IBUC", "SBU"} & layers.keys()
    assert layers["IMDC"]["differing"] == whole["IMDC"]["differing"] > 0
    (note,) = answer["notes"]
    assert "not made yet by this scratch run; not compared" in note
    assert [line for line in answer["unmatched"] if line.startswith("only in A") and "IMCC" in line]
    assert main(["compare", places[0], str(file)]) == 0
    assert f"note: {file}, tile {TILE}: " in capsys.readouterr().out


def test_nothing_is_written_into_what_is_compared(jobs, places):
    before = [sorted((str(p), p.stat().st_mtime_ns) for p in Path(place).rglob("*")) for place in places]
    assert main(["compare", *places]) == 0
    assert [sorted((str(p), p.stat().st_mtime_ns) for p in Path(place).rglob("*")) for place in places] == before


def test_periods_that_are_no_years(jobs, tmp_path):
    """Names of folders such as 2017-08-01_2018-07-31__2017-12-01_2018-11-30 are understood."""
    folder = tmp_path / "store" / "tiles" / TILE
    folder.mkdir(parents=True)
    shutil.copytree(
        Path(jobs[0].store.url) / "tiles" / TILE / "2018-2021", folder / "2017-08-01_2018-07-31__2017-12-01_2018-11-30"
    )
    text = (jobs[0].production.root / "production.toml").read_text()
    for year, period in (("2018", "2017-08-01/2018-07-31"), ("2021", "2017-12-01/2018-11-30")):
        text = text.replace(f'"{year}"', f'"{period}"')
    (tmp_path / "production.toml").write_text(text)
    assert Production.read(tmp_path).periods.pair in [p.name for p in folder.iterdir()]
    sides = open_sides(str(tmp_path / "store"), str(tmp_path))
    assert list(sides[0].records[TILE]) == list(sides[1].records[TILE]) != []
