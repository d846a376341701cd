"""A second product on the machinery, as another distribution brings it: nothing of the house knows its name.

It has a mosaic of a month at 5 m in uint16 with no data 0, a model that learns from neighbouring tiles, and a coded map.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from imperv.flows.cli.commands import main
from imperv.layers.catalogue import CATALOGUE, GraphError, Layer, family_of, layers_of, load, resolve, topological_order
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.support.families import BOX, TILES, TOY, installed, toy_file
from tests.support.scenes import make_scenes

COMMAND = "from imperv.flows.cli.commands import main; raise SystemExit(main())"


@pytest.fixture(scope="module", autouse=True)
def toy():
    with installed():
        yield


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes"), GeoBox.from_bbox(BOX, crs="EPSG:3035", resolution=10), 24, margin=64)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, items) -> Path:
    file = toy_file(tmp_path_factory.mktemp("toy"), items)
    assert main(["run", *TILES, "--config", str(file)]) == 0
    return file


@pytest.fixture
def copied(finished, tmp_path, items) -> Path:
    shutil.copytree(finished.parent / "store", tmp_path / "store")
    return toy_file(tmp_path, items)


def states(file: Path, tile: str, capsys) -> dict[str, str]:
    capsys.readouterr()
    assert main(["plan", tile, "--config", str(file), "--json"]) == 0
    return {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}


def test_a_plan_has_its_costs(tmp_path, items, capsys):
    file = toy_file(tmp_path, items)
    assert main(["plan", TILES[0], "--config", str(file), "--json"]) == 0
    steps = {step["node"]: step for step in json.loads(capsys.readouterr().out)}
    assert list(steps) == ["TOY_S2", "TOY_mosaic", "TOY_model", "TOY_map", "deliver TOY_mosaic", "deliver TOY_map"]
    assert all(step["state"] == "run" for step in steps.values())
    assert steps["TOY_mosaic"]["bytes"] == 2 * 2 * 200 * 200 and steps["TOY_mosaic"]["core_seconds"] > 0
    assert steps["TOY_mosaic"]["memory"] > 2**20
    assert steps["deliver TOY_mosaic"]["memory"] > 640 * 2**20
    capsys.readouterr()
    assert main(["plan", "--config", str(file)]) == 0
    assert "12 of 12 to run, 0 up to date" in capsys.readouterr().out


def test_the_map_is_what_it_should_be(finished):
    """From the delivered files alone: NDVI of the mosaic against the model's limit, no data where there is none."""
    store = finished.parent / "store"
    limits = [json.loads((store / f"models/TOY/{tile}/model.data.json").read_text()) for tile in TILES]
    assert limits[0] == limits[1] and limits[0]["tiles"] == 2  # each learnt from both: the pass before made the mosaics
    for tile in TILES:
        with rasterio.open(store / f"products/{tile}/TOY_mosaic_2021-06_{tile}_R5m.tif") as source:
            assert (source.dtypes, source.nodata, source.res) == (("uint16", "uint16"), 0, (5, 5))
            assert source.descriptions == ("B04", "B08") and source.scales == (1e-4, 1e-4)
            red, near = source.read().astype("f4")
        with rasterio.open(store / f"products/{tile}/TOY_map_2021-06_{tile}_R5m.tif") as source:
            codes = source.read(1)
            assert source.nodata == 0 and source.colormap(1)[2][:3] == (40, 140, 60)
        with np.errstate(all="ignore"):
            expected = np.where((red > 0) & (near > 0), 1 + ((near - red) / (near + red) > limits[0]["ndvi"]), 0)
        assert np.array_equal(codes, expected) and {0, 1, 2} == set(np.unique(codes))
        record = Job.of(Production.read(finished), tile).record("TOY_map")
        assert record.statistics["TOY_map"]["outside"] == int((codes == 0).sum())


def test_status_report_verify_and_graph(finished, capsys):
    assert main(["status", "--config", str(finished)]) == 0
    out = capsys.readouterr().out
    assert out.count("done") == 3 and "scenes 1/1  features 1/1  models 1/1  layers 1/1  delivery 2/2" in out
    text = (finished.parent / "store/runs/toy/E44N26.report.html").read_text()
    assert "Green ground of a month" in text and text.count("data:image/png") == 2 and "NDVI that parts green" in text
    assert main(["verify", "--config", str(finished)]) == 0
    assert "4 of 4 files pass" in capsys.readouterr().out
    assert main(["verify", str(finished.parent / "store/products")]) == 0
    assert main(["graph", "--product", "toy"]) == 0
    assert "TOY_model --> TOY_map" in capsys.readouterr().out
    assert main(["graph", "-t", "TOY_map"]) == 0 and "IMD" not in capsys.readouterr().out


def test_what_is_delivered_is_known_to_others(finished):
    import pystac

    item = pystac.Item.from_file(str(finished.parent / "store/products/E44N26/TOY_map_2021-06_E44N26_R5m.stac.json"))
    assert (
        item.properties["proj:code"] == "EPSG:3035" and "Example of a product, section 4" in item.properties["processing:lineage"]
    )
    classes = item.assets["data"].extra_fields["classification:classes"]
    assert [(c["value"], c["title"]) for c in classes] == [(1, "other ground"), (2, "green"), (0, "no data")]
    collection = pystac.Collection.from_file(str(finished.parent / "store/products/toy_2021-06.stac.json"))
    assert sorted(i.id for i in collection.get_items(recursive=True)) == sorted(
        f"TOY_{what}_2021-06_{tile}_R5m" for what in ("map", "mosaic") for tile in TILES
    )


def test_a_wrong_file_is_found(copied, capsys):
    products = copied.parent / "store/products/E44N26"
    path = products / "TOY_map_2021-06_E44N26_R5m.tif"
    with rasterio.open(path) as source:
        pixels, profile = source.read(), source.profile
    pixels[0, :5] = 7
    with rasterio.open(path, "w", **profile | {"driver": "GTiff"}) as target:
        target.write(pixels)
    (products / "TOY_mosaic_2021-06_E44N26_R5m.qml").unlink()
    assert main(["verify", str(products)]) == 1
    out = capsys.readouterr().out
    for line in ("codes that it must not hold: [7]", "layout of another kind", "no colour table", "checksum differs"):
        assert line in out, line
    assert "TOY_mosaic_2021-06_E44N26_R5m.qml is missing" in out and "0 of 2 files pass" in out


def test_a_changed_parameter_runs_what_depends_on_it(copied, capsys):
    copied.write_text(copied.read_text() + "[parameters.green]\nmore = 0.05\n")
    found = states(copied, TILES[0], capsys)
    assert {node for node, state in found.items() if state == "run"} == {"TOY_map", "deliver TOY_map"}
    assert main(["run", TILES[0], "--config", str(copied)]) == 0
    assert "2 ran" in capsys.readouterr().err
    assert set(states(copied, TILES[0], capsys).values()) == {"up to date"}
    # A mosaic of other pixels changes all that is made from it.
    copied.write_text(copied.read_text() + "[parameters.mosaic]\nclear = 1\n")
    assert states(copied, TILES[0], capsys)["TOY_map"] == "run"


def test_a_killed_run_goes_on(tmp_path, items, capsys):
    """SIGKILL as soon as the first layer is there: nothing looks done that is not, and the run goes on from there."""
    file = toy_file(tmp_path, items)
    run = [sys.executable, "-P", "-c", COMMAND, "run", *TILES, "--config", str(file)]
    process = subprocess.Popen(
        run, env=os.environ | {"PYTHONPATH": str(TOY)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first = tmp_path / "store/tiles/E44N26/2021-06/TOY_mosaic.json"
    deadline = time.monotonic() + 120
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert first.exists()
    found = states(file, TILES[1], capsys)
    assert found["deliver TOY_map"] == "run"
    assert main(["run", *TILES, "--config", str(file)]) == 0
    assert states(file, TILES[0], capsys).keys() == found.keys()
    assert all(set(states(file, tile, capsys).values()) == {"up to date"} for tile in TILES)
    assert not [path for path in (tmp_path / "store").rglob("*") if ".part-" in path.name]


def test_a_production_runs_by_processes(tmp_path, items, capsys):
    file = toy_file(tmp_path, items)
    assert main(["europe", "--config", str(file)]) == 0
    assert (tmp_path / "store/runs/toy/europe.data.json").exists()
    assert all(set(states(file, tile, capsys).values()) == {"up to date"} for tile in TILES)


def test_two_products_in_one_store_do_not_meet(copied, tmp_path, capsys):
    """The other product holds the same tile and cleans up; neither lease, states nor unfinished files are touched."""
    other = tmp_path / "other.toml"
    other.write_text(
        f'tiles = {list(TILES)}\nstore = "store"\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(BOX)}\n'
        '[scenes]\ncatalogue = "items.json"\n'
    )
    mine, theirs = Job.of(Production.read(copied), TILES[0]), Job.of(Production.read(other), TILES[0])
    unfinished = tmp_path / "store/tiles/E44N26/2021-06/TOY_mosaic.zarr.part-1234abcd"
    unfinished.mkdir()
    with mine.store.tile_lock(mine.tile), theirs.store.tile_lock(theirs.tile):
        assert mine.store.is_locked(mine.tile)
        from imperv.flows.tile.run import makes

        theirs.store.sweep(theirs.tile, makes(theirs))
        assert unfinished.exists()
        mine.store.sweep(mine.tile, makes(mine))
        assert not unfinished.exists()
    assert main(["status", "--config", str(other)]) == 0
    assert "missing" in capsys.readouterr().out
    assert set(states(copied, TILES[0], capsys).values()) == {"up to date"}
    assert states(other, TILES[0], capsys)["IMD_now"] == "run"


def test_layers_are_opened_by_people(finished):
    import imperv

    production = imperv.open(finished)
    layer = production.open("toy_map", "E44N26")
    assert layer.shape == (200, 200) and layer.rio.nodata == 0 and layer.attrs["flag_meanings"] == "other_ground green"
    both = production.mosaic("TOY_mosaic")
    assert both.shape == (2, 200, 400) and both.attrs["units"] == "1"


def test_the_flow_is_its_own(finished):
    from imperv.flows.tile.flow import flow_of

    assert flow_of("toy").name == "toy" and flow_of("imperviousness").name == "imperviousness"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('product = "toy"', 'product = "tyo"', "product: there is no product 'tyo'; did you mean toy?"),
        ('product = "toy"', "", "periods.month: unknown key of product imperviousness"),
        ('month = "2021-06"', 'then = "2018"\nnow = "2021"', "periods.then: unknown key of product toy"),
        ('month = "2021-06"', 'month = "2021"', "periods.month: '2021' is not a month like 2021-06"),
        ("[periods]", '[references]\nimd_then = "a.tif"\n[periods]', "references.imd_then: unknown key of product toy"),
        ("[periods]", "[parameters.unet]\nepochs = 1\n[periods]", "parameters.unet: unknown key of product toy"),
        ("[periods]", "[parameters.green]\nmoer = 1\n[periods]", "unknown key of product toy (did you mean more?)"),
    ],
)
def test_keys_of_another_product_are_refused(tmp_path, items, capsys, old, new, words):
    file = toy_file(tmp_path, items)
    file.write_text(file.read_text().replace(old, new))
    assert main(["run", TILES[0], "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert words in said and str(file) in said and "Traceback" not in said


def test_what_else_is_asked_of_a_production(finished, tmp_path, items, capsys, monkeypatch):
    assert main(["config", "check", str(finished)]) == 0
    assert "E44N26: TOY_S2: 2 overpasses" in capsys.readouterr().out
    assert main(["scenes", TILES[0], "--config", str(finished)]) == 0
    assert "TOY_S2  2021-06  2 overpasses" in capsys.readouterr().out
    assert main(["config", "settings", "--product", "toy"]) == 0
    assert "[parameters.green]" in capsys.readouterr().out
    monkeypatch.setenv("IMPERV_PRODUCT", "toy")
    file = toy_file(tmp_path, items)
    file.write_text(file.read_text().replace('product = "toy"', ""))
    assert main(["plan", TILES[0], "--config", str(file)]) == 0
    assert "TOY_mosaic" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [["compare"], ["evaluate", "--truth", "."], ["validate", "-r", "a.csv"], ["model", "show", "IMD", TILES[0]],
     ["model", "remove", "IMD", TILES[0]], ["model", "remove", "IMD_model", TILES[0]],
     ["model", "export", "TOY", TILES[0], "-o", "a.zip"],
     ["update", "2024"], ["init", TILES[0], "--product", "toy", "-o", "new.toml"], ["verify", "--window"]],
)  # fmt: skip
def test_commands_of_the_other_product_are_refused(finished, tmp_path, capsys, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if command[0] == "compare":
        given = [*command, str(finished), str(finished)]
    elif command[0] == "update":
        given = [*command, "-o", "next.toml", "--config", str(finished)]
    else:
        given = command if command[0] == "init" else [*command, "--config", str(finished)]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and "toy" in said, said


def test_its_models_are_listed_shown_and_removed(copied, capsys, tmp_path):
    assert main(["model", "list", "--config", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["TOY", tile, "2021-06-01/2021-06-30"] for tile in TILES]
    assert lines[3] == "2 models, 2 of use to this production"
    for name in ("toy", "TOY_model"):
        assert main(["model", "show", name, TILES[0], "--config", str(copied)]) == 0
        text = capsys.readouterr().out
        assert "TOY_model of tile E44N26" in text and "of use to this production" in text and "ndvi 0." in text
    assert main(["model", "show", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Of imperviousness: IMD, IBUD, CLCP_proxy." in text and "Of toy: TOY." in text
    assert main(["model", "remove", "toy", TILES[0], "--config", str(copied)]) == 0
    assert "TOY_model of tile E44N26: removed" in capsys.readouterr().out
    assert not (copied.parent / "store/models/TOY/E44N26/model.data.json").exists()
    assert states(copied, TILES[0], capsys)["TOY_model"] == "run"
    # A production of another product in the same store: it reads the model by its symbol, and leaves it where it is.
    other = tmp_path / "imperviousness.toml"
    other.write_text(
        f'tiles = {list(TILES)}\nstore = "store"\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
    )
    assert main(["model", "show", "toy_model", TILES[1], "--config", str(other)]) == 0
    assert "of no use to this production: of product toy" in capsys.readouterr().out
    assert main(["model", "remove", "toy_model", TILES[1], "--config", str(other)]) == 2
    assert "TOY_model is of product toy, not imperviousness" in capsys.readouterr().err
    assert main(["model", "show", "toy", TILES[1], "--config", str(other)]) == 2
    assert "toy is no model of product imperviousness, which has IMD, IBUD, CLCP_proxy" in capsys.readouterr().err


def test_prefect_keeps_its_products_apart_from_those_of_others(finished):
    from prefect.client.schemas.actions import ArtifactCreate

    from imperv.flows.runtime.artifacts import artifact_key, products_markdown

    job = Job.of(Production.read(finished), TILES[0])
    assert ArtifactCreate(key=artifact_key(job), type="markdown").key == "products-toy-e44n26"
    other = job.production.model_copy(update={"product": "land_COVER"})
    assert ArtifactCreate(key=artifact_key(Job.of(other, TILES[0])), type="markdown").key == "products-land-cover-e44n26"
    text = products_markdown(job)
    assert "TOY_map_2021-06_E44N26_R5m" in text and "| 5 m |" in text and text.count("%") == 2


def test_a_scratch_run_reads_the_production_and_writes_beside_it(finished, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in (finished.parent / "store").rglob("*") if path.is_file()}
    scratch = tmp_path / "scratch"
    assert (
        main(["rerun", TILES[0], "--config", str(finished), "--set", "parameters.mosaic.clear=1", "--scratch", str(scratch)]) == 0
    )
    assert before == {path: path.stat().st_mtime_ns for path in (finished.parent / "store").rglob("*") if path.is_file()}
    made = sorted(path.name for path in scratch.rglob("TOY_*.json"))
    assert "TOY_mosaic.json" in made and "TOY_S2.json" not in made
    model = finished.parent / "store/models/TOY/E44N26/model.data.json"
    assert next(scratch.rglob("model.data.json")).read_text() != model.read_text()


def test_layers_of_another_product_are_read_for_the_same_area_only(copied, monkeypatch):
    """A layer that is made from the finished map of the toy, by a family that makes nothing of it."""
    from imperv.layers.catalogue import register
    from imperv.tasks.nodes import _not_done, input_versions

    with installed():
        register("other", [Layer("X_map", "", "From another product's map", "", ("TOY_map",), "final", "month", 5, nodata=0)])
        assert topological_order(["X_map"]) == ["X_map"]
        assert topological_order(["X_map"], across=True) == ["TOY_S2", "TOY_mosaic", "TOY_model", "TOY_map", "X_map"]
        job = Job.of(Production.read(copied), TILES[0])
        assert input_versions(job, CATALOGUE["X_map"])["TOY_map"] == job.record("TOY_map").version
        copied.write_text(copied.read_text().replace(str(BOX[3]), str(BOX[3] + 1000)))
        smaller = Job.of(Production.read(copied), TILES[0])
        assert input_versions(smaller, CATALOGUE["X_map"]) == {"TOY_map": None}
        assert "TOY_map of product toy (2021-06) is not there for this area" in _not_done(smaller, CATALOGUE["X_map"])


OTHER = """from typing import ClassVar, Literal
from imperv.tasks.settings import periods
from imperv.tasks.settings.production import Production

class Days(periods.OneSpan):
    roles: ClassVar[dict[str, tuple[str, str]]] = {roles}

class OtherProduction(Production):
    product: Literal["other"] = "other"
    periods: {model}

PRODUCTION = OtherProduction
"""


@pytest.fixture
def other(copied, tmp_path):
    """A distribution whose product reads the toy's map by a period of its own, and a production file of it in the same store."""
    lib = distribution(
        tmp_path, other="Layer('X_map', '', 'Of another product', '', ('TOY_map',), 'final', 'span', 5, nodata=0),"
    )
    file = tmp_path / "other.toml"
    file.write_text(copied.read_text().replace('"toy"', '"other"').replace("month =", "span ="))

    def write(model: str, roles: str) -> Path:
        (lib / "more_other/settings.py").write_text(OTHER.replace("{roles}", roles).replace("{model}", model))
        return file

    with installed(), installed(lib):
        yield write


def test_a_role_of_another_product_is_read_by_a_period_named_for_it(other, copied):
    from imperv.tasks.nodes import _not_done, input_versions

    production = Production.read(other("Days", "{'month': ('span', 'span')}"))
    job = Job.of(production, TILES[0])
    made = Job.of(Production.read(copied), TILES[0]).record("TOY_map")
    assert input_versions(job, CATALOGUE["X_map"])["TOY_map"] == made.version
    later = production.model_copy(update={"periods": type(production.periods)(span="2021-07")})
    assert "TOY_map of product toy (2021-07) is not there" in _not_done(Job.of(later, TILES[0]), CATALOGUE["X_map"])


@pytest.mark.parametrize(
    ("model", "roles", "words"),
    [
        ("Days", "{}", "X_map reads TOY_map of toy, whose role is 'month'; its [periods] has span; name one of them for it: "
         "roles = {'month': ('span', 'span')}"),
        ("periods.OneMonth", "{}", "X_map has the role 'span'; its [periods] has month"),
    ],
)  # fmt: skip
def test_a_role_that_a_product_lacks_is_refused_at_start(other, capsys, model, roles, words):
    assert main(["run", TILES[0], "--config", str(other(model, roles))]) == 2
    said = capsys.readouterr().err
    assert f"product: family other: {words}" in said and "Traceback" not in said


FORM = """from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family
from imperv.tasks.family.findings import Finding
from dataclasses import replace

def check(path):
    return [Finding("own", path.read_bytes() == b"good", path.name)]

FORM = replace(
    cog_form("other"), owns=lambda path: path.rpartition("/")[2].startswith("OTHER_"), options=("masks",),
    verify_files=lambda paths, jobs, more: {str(p): check(p) for p in paths if p.suffix == ".tif" and set(more) == {"masks"}},
)
FAMILY = Family("other", "", "", "", {}, FORM)
"""


def test_files_are_verified_by_the_product_that_owns_them(finished, tmp_path, capsys):
    """A form of another distribution is asked, and its package loaded, only for files that nobody else owns."""
    lib = distribution(tmp_path, broken="node('B_one', 'nothing'),", other="")
    (lib / "more_other/family.py").write_text(FORM)
    (tmp_path / "files").mkdir()
    for name, content in (("OTHER_a.tif", b"good"), ("OTHER_b.tif", b"bad"), ("OTHER_c.zip", b"")):
        (tmp_path / "files" / name).write_bytes(content)
    with installed(), installed(lib):
        toys = finished.parent / "store/products"
        clms = tmp_path / "CLMS_a.tif"
        clms.write_bytes(b"")
        assert main(["verify", str(clms)]) == 1 and "more_other" not in sys.modules
        capsys.readouterr()
        assert main(["verify", str(toys), str(tmp_path / "files")]) == 1
        out = capsys.readouterr().out
        assert "ok   " + str(tmp_path / "files/OTHER_a.tif") in out and out.count("TOY_map_2021-06") == 2
        assert f"FAIL {tmp_path / 'files/OTHER_b.tif'}\n     own: OTHER_b.tif" in out
        assert f"FAIL {tmp_path / 'files/OTHER_c.zip'}" in out and "5 of 7 files pass" in out


def test_a_native_grid_is_delivered_where_it_lies(finished, tmp_path):
    """A layer in UTM: file, STAC Item and check speak of the same ground."""
    import pystac
    from shapely import box
    from shapely.geometry import shape

    from imperv.layers.catalogue import register
    from imperv.layers.catalogue.node import Delivery
    from imperv.tasks import families
    from imperv.tasks.delivery.cog import cog_form
    from imperv.tasks.delivery.delivery import deliver
    from imperv.tasks.family import Family
    from imperv.tasks.family.task import Task
    from imperv.tasks.job import Made, attributes, report, summarise
    from imperv.tasks.nodes import make_node

    layer = Layer(
        "X_native", "", "A quantity in UTM", "", (), "final", "month", 20, "float32", float("nan"), grid="utm",
        delivery=Delivery(limits=(0, 1)),
    )  # fmt: skip

    def make(job, layer):
        grid, reports = job.grid_of(layer), []
        with job.store.writing_arrays(job.place(layer.symbol), grid, 20, layer.variables, attributes(job, layer)) as out:
            for block in job.blocks_of(layer):
                values = np.random.default_rng(1).random(block.shape, "f4")
                values[:5] = np.nan
                out["X_native"][block.slices] = values
                reports.append(report({"X_native": values}, layer))
        return Made(*summarise(layer, reports))

    with installed():
        register("other", [layer])
        found = Family("other", "", "", "", {"X_native": Task(make)}, cog_form("other"))
        real = families.family
        with pytest.MonkeyPatch.context() as patch:
            for module in ("imperv.tasks.delivery.delivery", "imperv.tasks.delivery.lineage", "imperv.tasks.families"):
                patch.setattr(f"{module}.family", lambda name: found if name == "other" else real(name))
            production = Production.read(finished).model_copy(update={"store": str(tmp_path / "store"), "product": "other"})
            job = Job.of(production, TILES[0])
            make_node(job, "X_native")
            record, _ = deliver(job, "X_native")
    item = pystac.Item.from_file(job.store.full(next(p for p in record.beside if p.endswith(".stac.json"))))
    from imperv.tasks.projections import in_degrees

    around = box(*in_degrees(job.bounds))
    assert shape(item.geometry).intersection(around).area > 0.8 * around.area and item.properties["proj:code"] == "EPSG:32633"
    assert item.assets["data"].extra_fields["raster:bands"][0]["nodata"] == "nan"
    assert record.statistics["X_native"]["outside"] > 0 and record.warnings == ()


@pytest.mark.parametrize("pixel", ["5", "2.5"])
def test_what_lies_beside_a_product_is_of_it(pixel):
    from imperv.tasks.delivery.cog import cog_form

    owns = cog_form("toy").owns
    stem = f"products/E44N26/TOY_map_2021-06_E44N26_R{pixel}m"
    assert all(owns(f"{stem}{ending}") for ending in (".tif", ".qml", ".png", ".stac.json", ".json", ".draft", ".tif.aux.xml"))
    assert owns("products/toy_2021-06.stac.json") and not owns(f"{stem}_more.tif")
    assert not owns(stem.replace("TOY_map", "IMD_now") + ".tif") and not owns("products/E44N26/TOY_map.json")


def test_a_target_of_another_product_is_refused(finished, capsys):
    assert main(["run", TILES[0], "--config", str(finished), "-t", "IMD_now"]) == 2
    assert "IMD_now is of product imperviousness; this production makes toy" in capsys.readouterr().err


def distribution(tmp_path: Path, **products: str) -> Path:
    """A distribution whose products have these layers."""
    about = tmp_path / "lib" / "more_families-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: more-families\nVersion: 1.0\n")
    points = "".join(f"{name} = more_{name}\n" for name in products)
    (about / "entry_points.txt").write_text(f"[imperv.families]\n{points}")
    for name, layers in products.items():
        package = tmp_path / "lib" / f"more_{name}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "catalogue.py").write_text(
            "from imperv.layers.catalogue.node import Layer\n"
            "def node(name, *inputs): return Layer(name, '', name, '', inputs, 'interim', 'month')\n"
            f"LAYERS = ({layers})\n"
        )
    return tmp_path / "lib"


def test_only_the_products_that_one_reads_are_loaded_for_it(tmp_path):
    """A chain of three, asked for in its middle: the last waits until somebody wants it."""
    layers = {"after": "node('A_one', 'M_one'),", "middle": "node('M_one', 'Z_one'),", "zero": "node('Z_one'),"}
    with installed(distribution(tmp_path, **layers)):
        load("middle")
        assert {"M_one", "Z_one"} <= CATALOGUE.keys() and "A_one" not in CATALOGUE
        assert resolve("a_one") == "A_one" and topological_order(["A_one"], across=True) == ["Z_one", "M_one", "A_one"]


def test_products_that_read_each_other_are_refused(tmp_path):
    with installed(distribution(tmp_path, one="node('O_one', 'T_one'),", two="node('T_one', 'O_one'),")):
        with pytest.raises(GraphError, match="family two: T_one is made from O_one, which is no layer"):
            load("one")
        assert not {"O_one", "T_one"} & CATALOGUE.keys()


def test_a_product_without_layers_changes_nothing(tmp_path):
    with installed(distribution(tmp_path, empty="")), pytest.raises(ValueError, match="no layer is called 'nothing'"):
        resolve("nothing")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("node('B_one', 'B_two'), node('B_two', 'B_one')", "its graph has a loop, B_"),
        ("node('B_one', 'IMD_noww')", "B_one is made from IMD_noww, which is no layer; did you mean IMD_now?"),
        ("node('B_one'), node('B_one')", "two nodes are called B_one; rename one"),
        ("node('IMD_now')", "two nodes are called IMD_now, which imperviousness has; rename one"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_at_start(tmp_path, items, capsys, layers, words):
    file = toy_file(tmp_path, items)
    file.write_text(file.read_text().replace('"toy"', '"broken"'))
    with installed(distribution(tmp_path, broken=f"{layers},")):
        assert main(["run", TILES[0], "--config", str(file)]) == 2
        said = capsys.readouterr().err
        assert words in said and "family broken: " in said and "Traceback" not in said
        assert "B_one" not in CATALOGUE and isinstance(CATALOGUE["IMD_now"], Layer)


def test_the_house_does_not_know_it():
    assert family_of("TOY_map") == "toy" and set(layers_of("toy")) == {"TOY_S2", "TOY_mosaic", "TOY_model", "TOY_map"}
    root = Path(__file__).parents[2]
    rooms = [
        path for room in ("grids", "layers", "calibration", "tasks", "flows", "imperv") for path in (root / room).rglob("*.py")
    ]
    assert not [path for path in rooms if "toy" in path.read_text().lower()]


def test_real_scenes_of_flanders(shared_data, tmp_path, capsys):
    """A month over a village: what is green is where the yearly features of the chain see plants."""
    file = tmp_path / "production.toml"
    file.write_text(
        'product = "toy"\ntiles = ["E38N31"]\n[periods]\nmonth = "2018-07"\n[area]\nbbox = [3829000, 3101000, 3831000, 3103000]\n'
        f'[scenes]\ncatalogue = "{shared_data}/flanders/items.json"\n'
    )
    assert main(["run", "E38N31", "--config", str(file)]) == 0
    assert main(["verify", "--config", str(file)]) == 0
    with rasterio.open(tmp_path / "store/products/E38N31/TOY_map_2018-07_E38N31_R5m.tif") as source:
        codes = source.read(1)
    with rasterio.open(shared_data / "flanders/reference/imd_then.tif") as source:
        from rasterio.enums import Resampling

        from imperv.tasks.scenes.reading import warp

        density = warp(
            source, GeoBox.from_bbox((3829000, 3101000, 3831000, 3103000), crs="EPSG:3035", resolution=5), Resampling.nearest, 255
        )
    sealed, open_ground = codes[(density > 80) & (density <= 100)], codes[density == 0]
    assert (sealed == 2).mean() < 0.35 < (open_ground == 2).mean()
