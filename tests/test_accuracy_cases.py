"""The accuracy benchmark: which cases there are, when a result still counts, and the tables made from results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import accuracy
from layers.scores import threshold_counts
from tasks.evaluation import METHODS, Trial
from tasks.judging import BlockSums, Judged


def trial(number: int, product: str = "IBU") -> Trial:
    """Methods that are the worse the later they stand; 20 blocks."""
    rng, judged = np.random.default_rng(number), {}
    mask, block = rng.random(4000) < 0.3, np.arange(4000) % 20
    for year in ("then", "now"):
        for k, method in enumerate(METHODS):
            said = np.where(rng.random(4000) < 0.05 + 0.05 * k, ~mask, mask)
            sums = BlockSums()
            sums.add(
                np.stack([np.arange(20), np.zeros(20, int)], axis=1), threshold_counts(100 * said.astype("u1"), mask, block, 20)
            )
            judged[year, method] = Judged(mask=sums)
    return Trial("E44N27", product, number, judged, {"U-Net": 1.0}, 4000, ())


def test_cases_are_one_training_each_and_what_needs_models_comes_last():
    names = accuracy.cases(kits=True)
    assert len(names) == len(set(names)) == 6 * 2 * 3 + 9 * 2 + 4
    assert names[-4:] == ["ensemble:IBU", "ensemble:IMD", "transfer:IBU", "transfer:IMD"]
    assert not any(name.startswith("kit") for name in accuracy.cases(kits=False))
    tiles = {site.tile for site in accuracy.AROUND}
    assert len(tiles) == len({site.seed for site in accuracy.AROUND}) == 9 and accuracy.CENTRE in tiles


def test_a_result_counts_as_long_as_code_and_settings_stay(tmp_path, monkeypatch):
    name, path = "simulated-1:IBU:0", tmp_path / "results" / "simulated-1_IBU_0.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"case": name, "made_by": accuracy.made_by(name), "seconds": 1, "trial": trial(0).to_json()}))
    assert accuracy.run_case(name, tmp_path)["seconds"] == 1, "taken from its file: nothing is simulated here"
    assert set(accuracy.results(tmp_path)) == {name}
    monkeypatch.setenv("IMPERV_PARAMETERS__UNET__EPOCHS", "7")
    assert accuracy.results(tmp_path) == {}
    assert accuracy.made_by(name) != accuracy.made_by("simulated-1:IBU:1")


def test_tables_show_medians_over_trials_that_all_sites_have(tmp_path):
    (tmp_path / "results").mkdir()
    for name in ("simulated-1:IBU:0", "simulated-1:IBU:1", "simulated-2:IBU:0"):
        made = {"case": name, "made_by": accuracy.made_by(name), "trial": trial(int(name[-1])).to_json()}
        (tmp_path / "results" / f"{name.replace(':', '_')}.json").write_text(json.dumps(made))
    text = accuracy.tables(tmp_path)
    assert "**IBU, all sites**: median of 1 trials, of 40 to 40 held-out blocks each" in text
    assert "**IBU, simulated-1**: median of 2 trials" in text and "kit" not in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| then | ") and "minus" not in line]
    f1 = [float(cells[4].split()[0]) for cells in rows[: len(METHODS)]]
    assert f1 == sorted(f1, reverse=True) and f1[0] > 0.85
    for line in (line for line in text.splitlines() if line.startswith("|")):
        assert line.count("|") == 8, "seven columns each"


def test_an_unknown_case_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no such case"):
        accuracy.main(["moon", "--folder", str(tmp_path)])
