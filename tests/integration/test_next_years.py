"""The yearly update from end to end: 2018-2021 is delivered, the scenes of 2024 are there, 2021-2024 is made and delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

TILE = "E44N27"


def with_scenes_of(catalogues: list[Path], out: Path) -> Path:
    """One catalogue of several, with absolute paths."""
    found = {}
    for path in catalogues:
        for item in json.loads(path.read_text())["features"]:
            for asset in item["assets"].values():
                asset["href"] = str(path.parent / asset["href"])
            found[item["id"]] = item
    out.write_text(json.dumps({"type": "FeatureCollection", "features": list(found.values())}))
    return out


@pytest.mark.slow
def test_the_next_pair_of_years_is_made_from_the_last(copied, tmp_path, capsys):
    from imperv.tasks.simulator import simulate

    simulate(tmp_path / "later", size=200, overpasses=8, years=(2021, 2024))
    both = with_scenes_of([copied.parent / "items.json", tmp_path / "later" / "items.json"], tmp_path / "items.json")
    last = copied.with_name("production-last.toml")
    last.write_text(copied.read_text().replace('"items.json"', f'"{both}"'))
    # Another file of scenes is another catalogue: with it the features of 2021 are made, as they would have been.
    assert main(["run", TILE, "--config", str(last), "--target", "PP_now"]) == 0
    before = Job.of(Production.read(copied), TILE)
    past = before.record("IBUD_model")
    delivered = {path: path.read_bytes() for path in (tmp_path / "store/products").rglob("*.tif")}
    assert len(delivered) == 18

    new = tmp_path / "production-2024.toml"
    clc = tmp_path / "later" / "reference" / "clcplus_now.tif"
    assert main(["update", "2024", "--config", str(last), "--output", str(new), "--clcplus-now", str(clc)]) == 0
    assert main(["config", "check", str(new)]) == 0
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(new), "--json"]) == 0
    plan = {step["node"]: step["state"] for step in json.loads(capsys.readouterr().out)}
    assert plan["PP_then"] == "up to date" and plan["PP_now"] == "run"  # the features of 2021 are there
    assert main(["run", TILE, "--config", str(new)]) == 0
    capsys.readouterr()
    assert main(["verify", "--config", str(new)]) == 0
    new_ones = [path for path in (tmp_path / "store/products").rglob("*.tif") if path not in delivered]
    assert len(new_ones) == 18 and {path.name.split("_")[3] for path in new_ones} == {"S2024", "C2021-2024"}
    assert all(path.read_bytes() == old for path, old in delivered.items())  # those of the last pair stay
    model = Job.of(Production.read(new), TILE).record("IBUD_model")
    assert model is not None and past is not None and model.digest != past.digest
    # The older production would put its own model back: nobody can be asked here.
    for command in ("run", "europe"):
        assert main([command, TILE, "--config", str(last)]) == 2
        said = capsys.readouterr().err
        assert "IMD_model, IBUD_model" in said and "the newer production of 2021-2024 in the same store uses; give --yes" in said
    assert Job.of(Production.read(new), TILE).record("IBUD_model") == model
    assert model.statistics["transfer"] and model.statistics["start"] == TILE  # from the tile's own model of 2018
