"""An older production asks before it makes again what a newer one in the same store was made from."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.tile.guarding import Taken, describe, refuse_taken, taken_from_newer
from imperv.flows.tile.rerunning import scratch_production
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

ROOT = Path(__file__).resolve().parents[3]
TILE = "E44N26"
OLDER, NEWER = ("2018", "2021"), ("2021", "2024")


def job_of(folder: Path, years: tuple[str, str]) -> Job:
    """The tile in the production of two years; all of a folder share its store."""
    file = folder / f"{'-'.join(years)}.toml"
    file.write_text(
        f'tiles = ["{TILE}", "E45N26"]\n[periods]\nthen = "{years[0]}"\nnow = "{years[1]}"\n[scenes]\ncatalogue = "none.json"\n'
        "[area]\neach = [0, 0, 1000, 1000]\n[engine]\nworkers = 1\n"
    )
    return Job.of(Production.read(file), TILE)


def put(job: Job, symbol: str, *, of: dict[str, Any] | None = None, product: bool = False) -> Record:
    """The record of a layer or of its product, made from what no key of today is made from, so that it is to run again."""
    first, last = job.period(CATALOGUE[symbol])
    record = Record(
        symbol, TILE, f"{symbol} of {job.production.periods.pair}", "digest", ingredients=of or {}, bbox=job.bounds,
        start=str(first.start), end=str(last.end),
    )  # fmt: skip
    job.store.write_record((places_of(job, symbol) if product else job.place(symbol)).record, record)
    return record


def taken(job: Job, targets: list[str] | None = None) -> list[Taken]:
    return taken_from_newer(job.production, job.production.tile_names, targets)


@pytest.fixture
def older(tmp_path) -> Job:
    """A finished older production, as far as records go."""
    job = job_of(tmp_path, OLDER)
    for symbol in ("PP_then", "PP_now", "IMD_model", "RIMD", "IMD_now"):
        put(job, symbol)
    put(job, "IMD_now", product=True)
    return job


@pytest.fixture
def newer(tmp_path, older) -> Job:
    """A newer one, which uses features and a map of it, and whose model took the place of its own."""
    job = job_of(tmp_path, NEWER)
    put(job, "IMD_then", of={"files": {Path(places_of(older, "IMD_now").tif).name: {"size": 1}}})
    put(job, "PP_now")
    model = put(job, "IMD_model", of={"inputs": {"PP_then": older.record("PP_now").version}})
    put(job, "RIMD", of={"inputs": {"IMD_model": model.version}})
    return job


def test_alone_a_production_may_make_everything_again(older):
    assert taken(older) == []


def test_what_a_newer_one_uses_is_told_by_name(older, newer):
    assert taken(older) == [Taken(TILE, ("PP_now", "IMD_model", "deliver IMD_now"), "2021-2024")]
    assert taken(newer) == []  # the newest makes again what it likes
    assert [t.nodes for t in taken(older, ["PP_now"])] == [("PP_now",)]
    assert taken(older, ["PP_then"]) == []


def test_a_model_is_the_newer_one_s_before_anything_was_made_with_it(older, tmp_path):
    job = job_of(tmp_path, NEWER)
    put(job, "PP_now")
    assert taken(older) == []
    put(job, "IMD_model")
    assert taken(older, ["RIMD"]) == [Taken(TILE, ("IMD_model",), "2024")]


def test_a_newer_one_of_the_same_first_year_shares_the_model(older, tmp_path):
    longer = job_of(tmp_path, ("2018", "2024"))
    put(longer, "RIMD", of={"models": {"E45N26": "other"}, "inputs": {"IMD_model": older.record("IMD_model").version}})
    assert taken(older) == [Taken(TILE, ("IMD_model",), "2018-2024")]
    assert taken(longer) == []


def test_what_was_never_made_is_nobody_s(tmp_path, newer):
    older = job_of(tmp_path, ("2015", "2018"))
    assert all("PP_then" not in t.nodes and "RIMD" not in t.nodes for t in taken(older, ["PP_then"]))


def test_a_scratch_store_replaces_nothing(older, newer, tmp_path):
    file = scratch_production(tmp_path / "2018-2021.toml", TILE, tmp_path / "try", ["parameters.unet.epochs=40"])
    assert taken(Job.of(Production.read(file), TILE)) == []


def test_one_line_names_nodes_tiles_and_years():
    found = [Taken(f"E4{k}N26", ("IMD_model",), "2021-2024") for k in range(7)]
    assert describe(found) == (
        "IMD_model of E40N26, E41N26, E42N26, E43N26, E44N26 and 2 more tiles would be made again, which the newer production of "
        "2021-2024 in the same store uses"
    )
    refuse_taken([])
    with pytest.raises(InputError, match="give --yes to do it"):
        refuse_taken(found)


@pytest.mark.parametrize("command", ["run", "europe"])
def test_commands_refuse_where_nobody_can_be_asked(older, newer, tmp_path, command, capsys):
    asked = [command, "--config", str(tmp_path / "2018-2021.toml"), "-t", "IMD_model"]
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert main([*asked, TILE]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"imperv: IMD_model of {TILE} would be made again, which the newer production of 2021-2024 in the same store uses; give "
        "--yes to do it (`yes` of the flow), or run it in a store of its own"
    ]
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before
    assert main([*asked, TILE, "--yes"]) != 0  # for want of scenes
    assert "would be made again" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "said"), [("n", "nothing was run or changed"), ("y", "references.imd_then")])
def test_on_a_terminal_a_person_is_asked(older, newer, tmp_path, answer, said):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from imperv.flows.cli.commands import main; sys.exit(main(sys.argv[1:]))",
         "run", TILE, "--config", str(tmp_path / "2018-2021.toml"), "-t", "IMD_model"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect"), "TERM": "dumb"},
        stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    os.write(controller, f"{answer}\n".encode())
    text = b""
    while True:
        try:
            text += os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait() != 0
    shown = " ".join(text.decode().split())
    assert "Make it again? [y/N]" in shown and said in shown
    assert ("nothing was run" in shown) == (answer == "n")
