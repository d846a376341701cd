"""The benchmark of a whole tile does on a window what it does on a tile: two kills, the same maps, every node beside its plan."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imperv.flows.plan.targets import steps

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_window_is_run_through_two_kills(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "whole-tile", str(tmp_path), "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2700)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [json.loads(line) for line in (tmp_path / "measured.jsonl").read_text().splitlines()]
    runs = [line for line in lines if line["what"] == "run"]
    assert [(line["killed_in"], line["code"]) for line in runs] == [("PP_now", -9), ("RIMD", -9), ("", 0)]
    assert len(runs[0]["records"]) < len(runs[1]["records"]) < len(runs[2]["records"])
    text = (tmp_path / "table.md").read_text()
    proxies = {"OSM_distance", "CLCP_proxy_model", "CLCP_proxy"}  # not made, as CLC+ is given
    assert [symbol for symbol in steps(None)[0] if f"| {symbol} |" not in text and symbol not in proxies] == []
    said = [line for line in text.splitlines() if line.startswith("* ") and line.endswith((": yes", ": NO"))]
    assert len(said) == 5 and all(line.endswith(": yes") for line in said), said
    before = len(lines)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert len((tmp_path / "measured.jsonl").read_text().splitlines()) == before
