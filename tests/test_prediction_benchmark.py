"""The benchmarks of prediction run: one makes its own store, which the graph outgrows when nobody looks."""

import subprocess
import sys
from pathlib import Path

import pytest

from imperv.layers.network.precision import gains_by_bfloat16

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[1]

CODE = (
    "import sys; from pathlib import Path; from importlib import import_module; rows = import_module(sys.argv[2]).rows; "
    "print(*(f'{row.peer}|{row.ratio}' for row in rows(Path(sys.argv[1]), edge=int(sys.argv[3]), runs=1)), sep='\\n')"
)
"""In a process of its own: it needs none of the benchmarks' peers, but tests load nothing of theirs."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "edge", "peers"),
    [
        ("prediction", 500, ["the compiled network alone", "model.predict", "the same in bfloat16"]),
        ("sharpening", 256, ["model.predict", "float32", "model.predict", "float32"]),
    ],
)
def test_ours_and_the_peers_are_measured(section, edge, peers, tmp_path):
    """Both ways of numbers only where the processor gains by those of 16 bits."""
    if not gains_by_bfloat16():
        peers = [peer for peer in peers if peer not in ("the same in bfloat16", "float32")]
    command = [sys.executable, "-c", CODE, str(tmp_path), f"benchmarks.{section}", str(edge)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [peer for peer, _ in rows] == peers
    assert all(float(ratio) > 0 for _, ratio in rows)
