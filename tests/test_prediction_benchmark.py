"""The benchmark of prediction runs: it makes its own store, which the graph outgrows when nobody looks."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[1]

CODE = (
    "import sys; from pathlib import Path; from benchmarks.prediction import rows; "
    "print(*(f'{row.peer}|{row.ratio}' for row in rows(Path(sys.argv[1]), edge=300, runs=1)), sep='\\n')"
)
"""In a process of its own: it needs none of the benchmarks' peers, but tests load nothing of theirs."""


@pytest.mark.slow
def test_both_ways_are_measured(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [peer for peer, _ in rows] == ["the compiled network alone", "model.predict"]
    assert all(float(ratio) > 0 for _, ratio in rows)
