"""`python -m benchmarks [SECTION...]`: measures ours beside peers in one run; writes a table and a plot to benchmarks/results.

Sections: kernels, preprocessing, scaling, tile, delivery, verification, http, prediction; these by default, about twenty minutes on two
cores; accuracy, which trains models for hours, only when named. What is compared is checked for equal results first. Ratios hold on machines
of other speed, seconds do not.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.timing import Row

RESULTS = Path(__file__).parent / "results"

EDGE = 4000
"""Pixels each way of the scenes: 40 km."""
DATES = 30
COUNTS = (15, 30, 60, 120)
"""Numbers of dates, on 1000 x 1000 pixels."""


def main(sections: Sequence[str]) -> None:
    """Run the sections and write what they found."""
    makers: dict[str, Callable[[Path], tuple[str, list[Row]]]] = {
        "kernels": _kernels, "preprocessing": _preprocessing, "scaling": _scaling, "tile": _tile,
        "delivery": _delivery, "http": _http, "verification": _verification,
        "prediction": _prediction, "accuracy": _accuracy,
    }  # fmt: skip
    if unknown := set(sections) - set(makers):
        sys.exit(f"benchmarks: {', '.join(sorted(unknown))}: there are {', '.join(makers)}")
    RESULTS.mkdir(exist_ok=True)
    texts, rows = [], []
    with tempfile.TemporaryDirectory(prefix="imperv-bench-") as folder:
        for name in sections or [name for name in makers if name != "accuracy"]:
            text, found = makers[name](Path(folder))
            print(text, flush=True)
            texts.append(text)
            rows += found
    memory = psutil.virtual_memory().total / 2**30
    texts.append(
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, NumPy {np.__version__}\n"
    )
    (RESULTS / "table.md").write_text("\n".join(texts), encoding="utf-8")
    if rows:
        _plot(rows, RESULTS / "ratios.png")


def _table(rows: Sequence[Row]) -> str:
    lines = ["| what | ours, ns | peer | peer, ns | per | ratio |", "|---|---|---|---|---|---|"]
    lines += [f"| {r.what} | {1e9 * r.ours:.1f} | {r.peer} | {1e9 * r.theirs:.1f} | {r.unit} | {r.ratio:.1f} |" for r in rows]
    return "\n".join(lines) + "\n"


def _kernels(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.kernels import rows

    found = rows()
    return "## Kernels, one thread\n\n" + _table(found), found


def _scenes(folder: Path) -> Path:
    """The scenes of this run, made once."""
    from benchmarks.preprocessing import window
    from tests.support.scenes import make_scenes

    place = folder / "scenes"
    if not place.exists():
        place.mkdir()
        make_scenes(place, window(EDGE, EDGE)[1], DATES)
    return place


def _preprocessing(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.preprocessing import peer_rows, same_on_two_processes

    found = peer_rows(_scenes(folder), DATES, EDGE // 2)
    same = "the same digest" if same_on_two_processes(_scenes(folder)) else "ANOTHER DIGEST"
    return f"## Pre-processing\n\n{_table(found)}\nOn a Dask cluster of two processes: {same} as on threads.\n", found


def _scaling(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.preprocessing import date_scaling, scaling

    return "## Time and memory of the features\n\n" + _runs(
        [*scaling(_scenes(folder), DATES, EDGE), *date_scaling(1000, COUNTS)]
    ), []


def _runs(found: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| pixels | dates | engine.memory | workers | blocks | s | ns a pixel and date | processor s | peak MiB | projected MiB | measured over projected |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in found:
        rate = 1e9 * run["seconds"] / run["rows"] / run["columns"] / run["dates"]
        lines.append(
            f"| {run['rows']} x {run['columns']} | {run['dates']} | {run['memory']} | {run['workers']} | {run['blocks']} | {run['seconds']:.1f} "
            f"| {rate:.0f} | {run['cpu_seconds']:.1f} | {run['peak'] / 2**20:.0f} | {run['projected'] / 2**20:.0f} | {run['peak'] / run['projected']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _tile(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.full_tile import full_tile_lines

    lines = ["| step, 10 000 x 10 000 pixels | s | peak GiB of the process |", "|---|---|---|"]
    lines += [f"| {what} | {seconds:.1f} | {peak:.2f} |" for what, seconds, peak in full_tile_lines()]
    return "## A full tile after pre-processing, two workers\n\n" + "\n".join(lines) + "\n", []


def _delivery(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.processes import told_by

    found = told_by("benchmarks.delivery", folder / "delivery")
    lines = ["| " + " | ".join(found[0]) + " |", "|---" * len(found[0]) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in found]
    return "## One product of a full tile\n\n" + "\n".join(lines) + "\n", []


def _verification(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.verification import verification_lines

    lines = ["| step, 10 000 x 10 000 pixels | s | processor s | peak GiB of the process |", "|---|---|---|---|"]
    lines += [f"| {what} | {s:.1f} | {cpu:.1f} | {peak:.2f} |" for what, s, cpu, peak in verification_lines(folder)]
    return "## Verification\n\n" + "\n".join(lines) + "\n", []


def _http(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.http import http_lines

    return "## Reading over HTTP\n\n" + "\n".join(http_lines()) + "\n", []


def _prediction(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.prediction import memory_line, prediction_lines, search_line

    lines = [*prediction_lines(folder / "prediction"), "", memory_line(folder / "strip"), "", search_line(folder / "models")]
    return "## Prediction, two threads\n\n" + "\n".join(lines) + "\n", []


def _accuracy(folder: Path) -> tuple[str, list[Row]]:
    from benchmarks.accuracy import accuracy_lines

    return "\n".join(accuracy_lines(RESULTS / "accuracy")), []


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Ratios as bars on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 0.5 * len(rows) + 1.2), layout="constrained")
    names = [f"{row.what}\nagainst {row.peer}" for row in rows]
    bars = axes.barh(names, [row.ratio for row in rows], color="#3b6e8f", height=0.65)
    axes.bar_label(bars, [f" {row.ratio:.1f}" for row in rows], fontsize=9)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlim(0.5, 2.2 * max(row.ratio for row in rows))
    axes.set_xlabel("times faster than the peer, medians of runs in turn")
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
