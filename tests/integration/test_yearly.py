"""The yearly update from end to end: 2018-2021 is delivered, the scenes of 2024 are there, 2021-2024 is made and delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import main
from tasks.job import Job
from tasks.production import Production

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
    from tasks.simulator import simulate

    simulate(tmp_path / "later", size=200, overpasses=8, years=(2021, 2024))
    both = with_scenes_of([copied.parent / "items.json", tmp_path / "later" / "items.json"], tmp_path / "items.json")
    last = copied.with_name("production-last.toml")
    last.write_text(copied.read_text().replace('"items.json"', f'"{both}"'))
    before = Job.of(Production.read(copied), TILE)
    old = before.record("IBUD_model")
    delivered = sorted(p for p in (tmp_path / "store/products").rglob("*.tif"))

    new = tmp_path / "production-2024.toml"
    clc = tmp_path / "later" / "reference" / "clcplus_now.tif"
    assert main(["update", "2024", "--config", str(last), "--output", str(new), "--clcplus-now", str(clc)]) == 0
    assert main(["config", "check", str(new)]) == 0
    capsys.readouterr()
    assert main(["plan", TILE, "--config", str(new), "--json"]) == 0
    assert main(["run", TILE, "--config", str(new)]) == 0
    capsys.readouterr()
    assert main(["verify", "--config", str(new)]) == 0
    names = {p.name for p in (tmp_path / "store/products").rglob("*.tif")}
    assert {"S2021", "S2024", "C2018-2021", "C2021-2024"} <= {part for name in names for part in name.split("_")}
    assert all(path.exists() for path in delivered)  # those of the last pair stay
    model = Job.of(Production.read(new), TILE).record("IBUD_model")
    assert model is not None and old is not None and model.key != old.key
    assert model.statistics["transfer"] and model.statistics["start"] == TILE  # from the tile's own model of 2018
