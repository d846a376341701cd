"""The demo: scores against hand-made truths, what beats the run and why, and folders of older demos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from imperv.flows.cli.imperviousness import demo
from imperv.flows.cli.imperviousness.demo import TRAINING, advantages, simulated_site
from imperv.flows.cli.imperviousness.demo_scores import Candidate, Score, compare, f1
from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import Production
from imperv.tasks.simulator import VERSION

QUIET = Console(quiet=True)


def truth_of_a_town() -> dict[str, np.ndarray]:
    """8 x 8 pixels: a street that stays, a new house, a lost one, and a column outside."""
    then, now, built = (np.zeros((8, 8), "u1") for _ in range(3))
    then[:, 2], now[:, 2] = 40, 40
    now[0:2, 4:6], then[4:6, 4:6] = 100, 100
    built[0:2, 4:6] = 1
    change = (then != now).astype("u1")
    change[6:8, 0:2] = 2
    now[:, 7] = built[:, 7] = change[:, 7] = 255
    return {"imd_then": then, "imd_now": now, "ibu_now": built, "change": change}


def test_maps_are_compared_where_all_know_something():
    truth = truth_of_a_town()
    then, now = (truth[key].astype("f4") for key in ("imd_then", "imd_now"))
    now[:, 7] = np.nan
    none = np.zeros((4, 4), "i1")
    moved = none.copy()
    moved[0, 2], moved[2, 2], moved[3, 1] = 1, -1, 1
    known = then.copy()
    known[7, 6] = np.nan  # unknown in one map, so it counts in none
    rows = compare(
        {
            "right": Candidate(now, truth["ibu_now"] == 1, moved),
            "old": Candidate(then, np.zeros((8, 8), bool), None),
            "mask": Candidate(np.where(known > 0, 50, known), None, none),
        },
        truth,
    )
    table = {row.name: row.values for row in rows}
    pixels = 8 * 7 - 1
    assert table["density error, percent (RMSE)"] == {
        "right": 0,
        "old": pytest.approx(np.sqrt(8 * 100**2 / pixels)),
        "mask": pytest.approx(np.sqrt((4 * 100**2 + 4 * 50**2 + 8 * 10**2) / pixels)),
    }
    assert table["density error where sealing changed"]["old"] == 100
    assert table["density error elsewhere"] == {"right": 0, "old": 0, "mask": pytest.approx(np.sqrt(8 * 10**2 / (pixels - 8)))}
    sealed = 100 * (8 * 0.4 + 4) / pixels
    assert table[f"sealed share, truth {sealed:.1f} %"]["right"] == pytest.approx(sealed)
    assert table["built-up: F1"] == {"right": 1, "old": 0, "mask": None}
    assert table["gain found, of 1 pixels of 20 m"] == {"right": 100, "old": 0, "mask": 0}
    assert table["loss found, of 1 pixels of 20 m"] == {"right": 100, "old": 0, "mask": 0}
    assert table["real, of all that is called change"] == {"right": pytest.approx(200 / 3), "old": None, "mask": None}
    # 12 cells are inside; two are planted, and one belongs to the other change.
    assert table["change where there is none"] == {"right": pytest.approx(100 / 9), "old": None, "mask": 0}


def test_f1_is_that_of_the_counts():
    rng = np.random.default_rng(1)
    a, b = rng.random(1000) < 0.3, rng.random(1000) < 0.4
    precision, recall = (a & b).sum() / a.sum(), (a & b).sum() / b.sum()
    assert f1(a, b) == pytest.approx(2 * precision * recall / (precision + recall))


def test_what_another_map_does_better_is_said_with_the_reason():
    rows = [
        Score("RMSE", {"run": 9.04, "old": 9.01, "clc": 10}),  # alike once they are rounded
        Score("RMSE elsewhere", {"run": 8.0, "old": 7.5, "clc": 9}, why="errors are small"),
        Score("sealed share, truth 6.7 %", {"run": 6.9, "old": 6.6, "clc": 6.8}, truth=6.7, why="outline"),
        Score("F1", {"run": 0.8, "old": 0.7, "clc": None}, 2, higher=True),
        Score("gain found, of 9", {"run": 80, "old": 0, "clc": 90}, 0, " %", higher=True, why="mask"),
        Score("loss found, of 7", {"run": 80, "old": 0, "clc": 90}, 0, " %", higher=True, why="mask"),
        Score("change where there is none", {"run": 0.02, "old": None, "clc": 4.0}, 2, " %"),
    ]
    old, clc = advantages(rows, ["run", "old", "clc"])
    assert old == "old is better at RMSE elsewhere (errors are small); sealed share (outline)"
    assert clc == "clc is better at sealed share (outline); gain found, loss found (mask)"
    assert advantages(rows[3:4], ["run", "old", "clc"]) == []
    assert rows[3].text("clc") == "–" and rows[4].text("run") == "80 %" and rows[3].text("run") == "0.80"


@pytest.fixture
def quick(monkeypatch):
    """The real simulator with fewer overpasses; how often it ran."""
    import imperv.tasks.simulator

    real, calls = imperv.tasks.simulator.simulate, []
    monkeypatch.setattr(
        imperv.tasks.simulator, "simulate", lambda out, size: (calls.append(size), real(out, size=size, overpasses=2))
    )
    return calls


@pytest.mark.slow
def test_a_folder_of_an_older_demo_is_simulated_anew_and_one_of_today_is_kept(tmp_path, quick):
    folder = tmp_path / "demo"
    config = simulated_site(folder, 200, QUIET)
    assert config.read_text().endswith(TRAINING) and Production.read(config).parameters.unet.epochs < 20
    config.write_text(config.read_text() + "# mine\n")
    assert "# mine" in simulated_site(folder, 200, QUIET).read_text() and quick == [200]
    marker = folder / "simulation.json"
    assert json.loads(marker.read_text()) == {"size": 200, "simulator": VERSION}
    stale = folder / "scenes" / "S2A_of_before"
    for old in (json.dumps({"size": 200, "simulator": 2}), '{"size": 2'):
        stale.mkdir()
        marker.write_text(old)
        assert "# mine" not in simulated_site(folder, 200, QUIET).read_text()
        assert not stale.exists() and json.loads(marker.read_text())["simulator"] == VERSION
    assert quick == [200] * 3


@pytest.mark.parametrize("size", [128, 512, 10_100, 0, -400])
def test_a_site_that_is_not_of_whole_kilometres_is_refused(tmp_path, size):
    with pytest.raises(InputError, match="whole kilometres, 200 to 10000"):
        demo.run_demo(tmp_path / "demo", size, QUIET, QUIET)
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and is no demo"):
        simulated_site(tmp_path, 200, QUIET)
    assert Path(tmp_path / "scenes" / "mine.txt").read_text() == "mine"
