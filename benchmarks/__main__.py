"""`python -m benchmarks [SECTION...]`: measures ours beside peers in one run; writes a table and a plot to benchmarks/results.

Sections: kernels, preprocessing, prediction, sharpening, composites; these by default, about fifteen minutes on two cores; accuracy,
change, crops, distilling and patches, which train models or read real scenes for long, only when named; `whole-tile [FOLDER] [--small]`
and `whole-granule [FOLDER] [--small]` are other commands (benchmarks/whole_tile.py, whole_granule.py). What is compared is checked for
equal results first. Ratios hold on machines of other speed, seconds do not.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil

from benchmarks.timing import Row

RESULTS = Path(__file__).parent / "results"

SECTIONS = {
    "kernels": "Kernels, one thread",
    "preprocessing": "Pre-processing",
    "prediction": "Prediction, two threads",
    "sharpening": "Networks of super-resolution, two threads",
    "composites": "Composites, two threads",
}
"""Title of each module whose ``rows(folder)`` are measured."""

NAMED = ("accuracy", "change", "crops", "distilling", "patches")
"""Modules whose ``<name>_lines(folder)`` are tables of their own: only when named."""


def main(sections: Sequence[str]) -> None:
    """Run the sections and write what they found."""
    if unknown := set(sections) - {*SECTIONS, *NAMED}:
        sys.exit(f"benchmarks: {', '.join(sorted(unknown))}: there are {', '.join((*SECTIONS, *NAMED))}")
    RESULTS.mkdir(exist_ok=True)
    texts, rows = [], []
    with tempfile.TemporaryDirectory(prefix="imperv-bench-") as folder:
        for name in sections or SECTIONS:
            module = import_module(f"benchmarks.{name}")
            if name in NAMED:
                texts.append("\n".join(getattr(module, f"{name}_lines")(RESULTS / name)))
            else:
                found = module.rows(Path(folder))
                texts.append(f"## {SECTIONS[name]}\n\n{_table(found)}")
                rows += found
            print(texts[-1], flush=True)
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
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    if sys.argv[1:2] in (["whole-tile"], ["whole-granule"]):
        import_module(f"benchmarks.{sys.argv[1].replace('-', '_')}").main(sys.argv[2:])
    else:
        main(sys.argv[1:])
