"""`imperv simulate`: a production of small simulated tiles that goes on after a kill and spares what is not its own."""

from __future__ import annotations

import json

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.cli.simulate import around

QUICK = ["--overpasses", "8"]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulate") / "rehearsal"
    assert main(["simulate", str(folder), "e43n27", "E44N27", *QUICK]) == 0
    return folder


@pytest.mark.slow
def test_the_production_can_be_run_as_it_is(rehearsal, capsys):
    assert main(["config", "check", str(rehearsal / "production.toml")]) == 0
    said = capsys.readouterr().out
    assert "E43N27: S2_now: 8 overpasses" in said and "E44N27: S2_then: 8 overpasses" in said


@pytest.mark.slow
def test_tiles_have_landscapes_of_their_own(rehearsal):
    first, second = ((rehearsal / tile / "reference" / "imd_then.tif").read_bytes() for tile in ("E43N27", "E44N27"))
    assert first != second


@pytest.mark.slow
def test_the_same_again_changes_nothing_not_even_what_was_edited(rehearsal, capsys):
    file, items = rehearsal / "production.toml", rehearsal / "E43N27" / "items.json"
    file.write_text(file.read_text() + "\n[watch]\nheartbeat = 5\n")
    before = file.read_text(), items.stat().st_mtime_ns
    assert main(["simulate", str(rehearsal), "E43N27", "E44N27", *QUICK]) == 0
    assert (file.read_text(), items.stat().st_mtime_ns) == before
    assert capsys.readouterr().out == f"{file}: 2 tiles; next: imperv europe --config {file}\n"


@pytest.mark.slow
def test_one_that_was_killed_goes_on_with_the_tile_it_was_at(tmp_path, monkeypatch):
    from imperv.tasks.simulator import many

    folder, real = tmp_path / "killed", many.simulate
    made: list[str] = []

    def simulate(out, tile, *arguments, **more):
        made.append(tile)
        if made == ["E43N27", "E44N27"]:
            raise KeyboardInterrupt
        return real(out, tile, *arguments, **more)

    monkeypatch.setattr(many, "simulate", simulate)
    asked = ["simulate", str(folder), "E43N27", "E44N27", *QUICK]
    assert main(asked) not in (0, 2) and not (folder / "production.toml").exists()
    assert main(asked) == 0 and made == ["E43N27", "E44N27", "E44N27"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["E44N27", "--years", "2021", "2018"], "--years 2021 2018: the first must be before the second"),
        (["E99N99"], "E99N99 is not an official tile"),
    ],
)
def test_a_wrong_request_leaves_a_rehearsal_whole(rehearsal, capsys, words, said):
    before = (rehearsal / "production.toml").read_text()
    assert main(["simulate", str(rehearsal), *words]) == 2
    assert said in capsys.readouterr().err and (rehearsal / "production.toml").read_text() == before


def test_a_folder_of_something_else_is_not_touched(tmp_path, capsys):
    (tmp_path / "production.toml").write_text("mine")
    assert main(["simulate", str(tmp_path), "--count", "1"]) == 2
    assert capsys.readouterr().err == f"imperv: {tmp_path} is not empty and no rehearsal; name another folder\n"
    assert (tmp_path / "production.toml").read_text() == "mine"


def test_tiles_that_nobody_names_lie_together():
    assert around(1) == ["E44N27"] and around(5) == ["E43N27", "E44N26", "E44N27", "E44N28", "E45N27"]
    assert len(set(around(400))) == 400


@pytest.mark.slow
def test_the_arguments_are_kept(rehearsal):
    names, kilometres, years, overpasses, *_ = json.loads((rehearsal / "rehearsal").read_text())
    assert (names, kilometres, years, overpasses) == (["E43N27", "E44N27"], 1, [2018, 2021], 8)
