"""Production files of the next pair of years and of scratch runs, and a scratch store over a production's."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from imperv.flows.cli.commands import main
from imperv.flows.plan.planning import remembering
from imperv.flows.production.updating import next_production
from imperv.flows.tile.rerunning import scratch_production
from imperv.tasks.delivery.delivery import deliver, product_paths
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.file_systems import discard
from imperv.tasks.store.overlay import Overlay, store_of
from imperv.tasks.store.records import Record
from imperv.tasks.store.store import Store
from tests.support.delivered import CORNER, production, put

TILE = "E43N32"
AROUND = "[4300000, 3298000, 4500000, 3400000]"
"""An area that reaches the tiles around."""
PART = "each = [0, 98000, 2000, 100000]"
"""The corner as a part of every tile."""


@pytest.fixture
def last(tmp_path):
    """A production file with delivered IMD and IBU of one tile."""
    found = production(tmp_path / "store")
    job = Job.of(found, TILE)
    for symbol, code in (("IMD_now", 40), ("IBU_now", 1)):
        put(job, symbol, np.full((200, 200), code, np.uint8))
        deliver(job, symbol)
    (tmp_path / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f"[area]\nbbox = {list(CORNER)}\n"
        '[references]\nimd_then = "old/imd.tif"\nclcplus_then = "old/clc18.tif"\nclcplus_now = "clc21.tif"\n'
        'footprints = ["fp/*.gpkg"]\n[parameters.unet]\nepochs = 7\n'
    )
    return tmp_path / "production.toml"


def test_the_next_pair_of_years(last, tmp_path):
    out, left_out = next_production(last, "2024", tmp_path / "next" / "production.toml", clcplus_now="/data/clc24.tif")
    table = tomllib.loads(out.read_text())
    assert left_out == []
    assert table["periods"] == {"then": "2021", "now": "2024"}
    assert table["references"]["clcplus_then"] == str(tmp_path / "clc21.tif")
    assert table["references"]["clcplus_now"] == "/data/clc24.tif"
    assert table["references"]["footprints"] == [str(tmp_path / "fp/*.gpkg")]
    assert table["parameters"] == {"unet": {"epochs": 7}}  # frozen settings
    assert table["scenes"]["catalogue"] == str(tmp_path / "items.json")
    found = Production.read(out)
    assert found.store_url == Production.read(last).store_url
    job = Job.of(found, TILE)
    from imperv.tasks.references.references import open_reference

    for symbol in ("IMD_then", "IBU_then"):  # the delivered maps are its references
        path, source = open_reference(job, symbol)
        with source:
            assert TILE in path and "S2021" in path and source.crs.to_epsg() == 3035


def test_an_update_is_refused_where_it_cannot_be(last, tmp_path):
    job = Job.of(Production.read(last), TILE)
    with pytest.raises(InputError, match=r"production.toml is there already"):
        next_production(last, "2024", last)
    with pytest.raises(InputError, match="periods"):
        next_production(last, "2020", tmp_path / "b.toml")
    assert not list(tmp_path.glob("*.draft")) + list(tmp_path.glob("b.toml"))
    discard(job.store.fs, job.store.full(f"products/{TILE}"))
    with pytest.raises(InputError, match=r"1 of 1 tile of .* without delivered IMD and IBU \(E43N32\)"):
        next_production(last, "2024", tmp_path / "c.toml")


def test_only_finished_tiles_go_on(last, tmp_path, capsys):
    last.write_text(last.read_text().replace(f'["{TILE}"]', f'["E44N32", "{TILE}", "E44N33"]').replace(str([*CORNER]), AROUND))
    out = tmp_path / "next.toml"
    asked = ["update", "2024", "--config", str(last), "-o", str(out)]
    assert main(asked) == 2 and not out.exists()
    assert "2 of 3 tiles" in (said := capsys.readouterr().err) and "or leave them out with --only-finished" in said
    assert main([*asked, "--only-finished"]) == 0
    assert "imperv: 2 unfinished tiles left out: E44N32, E44N33\n" in capsys.readouterr().err
    assert Production.read(out).tile_names == (TILE,)
    assert "finished them: E44N32, E44N33\n" in out.read_text()
    out.unlink()
    # A file that is gone is no reference.
    job = Job.of(Production.read(last), TILE)
    job.store.fs.rm_file(job.store.full(product_paths(job, "IBU_now")[0]))
    assert main([*asked, "--only-finished"]) == 2 and not out.exists()
    assert "3 of 3 tiles" in (said := capsys.readouterr().err) and "--only-finished" not in said


def test_a_list_or_countries_become_the_finished_tiles(last, tmp_path):
    last.write_text(last.read_text().replace(f'tiles = ["{TILE}"]', 'countries = ["DE"]').replace(f"bbox = {[*CORNER]}", PART))
    out, left_out = next_production(last, "2024", tmp_path / "next.toml", only_finished=True)
    assert Production.read(out).tile_names == (TILE,) and len(left_out) == len(Production.read(last).tile_names) - 1


def test_a_scratch_run_has_its_own_store_and_its_own_parameters(last, tmp_path):
    out = scratch_production(last, TILE, tmp_path / "try", ["parameters.unet.epochs=40", 'parameters.unet.features = "full18"'])
    found, before = Production.read(out), Production.read(last)
    assert (found.parameters.unet.epochs, found.parameters.unet.features) == (40, "full18")
    assert before.parameters.unet.epochs == 7
    store = store_of(found)
    assert isinstance(store, Overlay) and store.base.url == before.store_url and store.url == str(tmp_path / "try" / "store")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("epochs", "is no change such as"),
        ("parameters.unet.epoch=4", "did you mean epochs"),
        ("store=/elsewhere", "store is not a matter of a scratch run"),
        ("parameters.unet.epochs=many", "parameters.unet.epochs"),
        ("parameters.unet.epochs.first=1", "epochs is no group of settings"),
    ],
)
def test_changes_that_are_none(last, tmp_path, change, said, capsys):
    assert main(["rerun", TILE, "--config", str(last), "--scratch", str(tmp_path / "try"), "--set", change]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "try").exists()


def test_the_production_s_store_is_no_scratch_store(last):
    store = Production.read(last).store_url
    with pytest.raises(InputError, match="is the production's own store"):
        scratch_production(last, TILE, Path(store), [])


def test_layers_of_the_production_are_read_and_never_written(last, tmp_path):
    base = Store(Production.read(last).store_url)
    before = {path: base.fs.cat_file(base.full(path)) for path in base.find("")}
    job = Job.of(Production.read(scratch_production(last, TILE, tmp_path / "try", [])), TILE)
    place = job.place("IMD_now")
    record = job.record("IMD_now")
    assert record is not None and job.store.data_in_place(record)
    assert (job.array("IMD_now")[:] == Job.of(Production.read(last), TILE).array("IMD_now")[:]).all()
    assert remembering(job).record("IMD_now") == record  # a plan sees it too
    assert set(job.store.records(TILE)) == set(base.records(TILE))
    # A new one shadows it, and its removal brings the old one back.
    put(job, "IMD_now", np.full((200, 200), 55, np.uint8))
    assert job.store.home(place.data) is job.store
    assert Store(job.store.url).read_record(place.record) is not None
    job.store.remove(place)
    assert job.store.home(place.data) is job.store.base and job.record("IMD_now") == record
    # Models of other tiles are found too.
    base_model = Record(
        "IMD_model",
        "E44N32",
        "key",
        "d",
        href="models/IMD/E44N32/model.keras",
        bbox=job.bounds,
        start="2018-01-01",
        end="2018-12-31",
    )
    base.write_record("models/IMD/E44N32/model.json", base_model)
    before["models/IMD/E44N32/model.json"] = base.fs.cat_file(base.full("models/IMD/E44N32/model.json"))
    assert "models/IMD/E44N32/model.json" in job.store.find("models/IMD")
    with job.store.tile_lock(job.tile):
        deliver(job, "IMD_now")
    assert {path: base.fs.cat_file(base.full(path)) for path in base.find("")} == before
