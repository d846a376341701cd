"""The benchmark of prediction runs: it makes its own store, which the graph outgrows when nobody looks."""

import re

import pytest

pytest.importorskip("tensorflow")


@pytest.mark.slow
def test_both_ways_and_memory_are_measured(tmp_path):
    from benchmarks.prediction import memory_line, prediction_lines

    lines = prediction_lines(tmp_path / "prediction", edge=300, runs=1)
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ") and "windows a second" not in line]
    assert [row[0].strip() for row in rows] == [
        "the compiled network alone",
        "model.predict",
        "make_prediction, 300 x 300 pixels",
    ]
    assert all(int(row[1]) > 0 for row in rows)

    told = memory_line(tmp_path / "strip", 100, 300)
    found = re.search(r"100 x 300 pixels with (\d+) members: (\d+) MiB, projected (\d+), allowed (\d+)", told)
    assert found, told
    members, measured, projected, allowed = map(int, found.groups())
    assert members == 10 and measured > 200 and projected < allowed == 4096
