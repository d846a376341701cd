"""The benchmark of a whole granule does on 3.6 km what it does on a granule: one kill, a file, and its input beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_small_granule_is_sharpened_after_a_kill(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "whole-granule", str(tmp_path), "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = {line["what"]: line for line in map(json.loads, (tmp_path / "measured.jsonl").read_text().splitlines())}
    assert lines["killed"]["code"] == -9 and lines["killed"]["left"] == [".sharp_10.tif.draft"]
    assert lines["whole"]["code"] == 0 and "planned: 2 blocks" in lines["whole"]["told"]
    assert lines["left beside"]["hidden"] == [] and lines["file"]["cog"]
    strips = [line for what, line in lines.items() if what.startswith("strip")]
    assert strips and all(found["lack"] <= 2 and found["equal"] and found["data"] for found in strips)
