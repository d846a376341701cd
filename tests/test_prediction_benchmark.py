"""The benchmark of prediction runs: it makes its own store, which the graph outgrows when nobody looks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[1]

CODE = (
    "import sys; from pathlib import Path; from benchmarks.prediction import memory_line, prediction_lines; "
    "here = Path(sys.argv[1]); "
    "print(*prediction_lines(here / 'prediction', edge=300, runs=1), memory_line(here / 'strip', 100, 300), sep='\\n')"
)
"""In a process of its own: it needs none of the benchmarks' peers, but tests load nothing of theirs."""


@pytest.mark.slow
def test_both_ways_and_memory_are_measured(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    *lines, told = done.stdout.splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ") and "windows a second" not in line]
    assert [row[0].strip() for row in rows] == [
        "the compiled network alone",
        "model.predict",
        "make_prediction, 300 x 300 pixels",
    ]
    assert all(int(row[1]) > 0 for row in rows)

    found = re.search(r"100 x 300 pixels with (\d+) members: (\d+) MiB, projected (\d+), allowed (\d+)", told)
    assert found, told
    members, measured, projected, allowed = map(int, found.groups())
    assert members == 10 and measured > 200 and projected < allowed == 4096
