"""`python -m benchmarks`: measures ours against a peer in turn (A B A B ...), prints a table and writes it to benchmarks/results.

Every row is a ratio of medians on one thread, so that it holds on machines of other speed. Results of both are compared first.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from scipy import ndimage

from layers.aggregation import aggregate_mean
from layers.change_mask import change_mask
from layers.harmonics import fit_harmonics
from layers.quantiles import weighted_quantile

cv2.setNumThreads(1)
DATES = 100
RUNS = 5
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """Medians of one comparison, seconds a pixel."""

    what: str
    peer: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def compare(what: str, peer: str, ours: Callable[[], object], pixels: int, theirs: Callable[[], object], fewer: int) -> Row:
    """Median time of both a pixel, run in turn after one warm-up; the peer may do `fewer` pixels."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for k, function in enumerate((ours, theirs)):
            start = time.perf_counter()
            function()
            times[k].append(time.perf_counter() - start)
    return Row(what, peer, statistics.median(times[0]) / pixels, statistics.median(times[1]) / fewer)


def quantile_row(rng: np.random.Generator) -> Row:
    """20 % quantile of a reflectance band with SCL weights."""
    values = rng.integers(1, 10_000, (DATES, 300, 300)).astype("uint16")
    weights = rng.choice(np.array([0, 1, 5, 10, 50], "uint8"), values.shape)
    small = np.s_[:, :20, :20]
    few, few_weights = values[small], weights[small].astype("int64")

    def peer() -> np.ndarray:
        return np.quantile(few, 0.2, axis=0, weights=few_weights, method="inverted_cdf")

    assert np.array_equal(weighted_quantile(few, weights[small], 0.2), peer())
    ours = compare(
        "weighted quantile, uint16, 100 dates",
        "numpy.quantile",
        lambda: weighted_quantile(values, weights, 0.2),
        90_000,
        peer,
        400,
    )
    return ours


def harmonics_row(rng: np.random.Generator) -> Row:
    """Cubic harmonics of NDVI against NumPy's normal equations, batched."""
    dates = np.sort(rng.random(DATES))
    values = rng.normal(0.5, 0.2, (DATES, 300, 300)).astype("float32")
    weights = rng.choice(np.array([1, 5, 10, 50], "uint8"), values.shape)
    angle = 2 * np.pi * dates[:, None] * np.arange(1, 4)
    design = np.column_stack([np.ones(DATES), *(f(angle[:, k]) for k in range(3) for f in (np.cos, np.sin))])
    few, few_weights = values[:, :60, :60].reshape(DATES, -1), weights[:, :60, :60].reshape(DATES, -1).astype("float64")

    def peer() -> np.ndarray:
        matrix = np.einsum("tp,ti,tj->pij", few_weights, design, design, optimize=True)
        right = np.einsum("tp,ti->pi", few_weights * few, design, optimize=True)
        return np.linalg.solve(matrix, right[..., None])[..., 0]

    mine = fit_harmonics(values[:, :60, :60], weights[:, :60, :60], dates).reshape(7, -1).T
    assert np.allclose(mine, peer(), atol=1e-4)
    return compare(
        "harmonics of degree 3, 100 dates", "NumPy batched normal equations",
        lambda: fit_harmonics(values, weights, dates), 90_000, peer, 3_600,
    )  # fmt: skip


def change_mask_row(rng: np.random.Generator) -> Row:
    """Thresholds, components and sieving against SciPy's labels."""
    rmsd = ndimage.gaussian_filter(rng.random((2000, 2000)).astype("float32"), 2)

    def peer() -> np.ndarray:
        low, high = np.percentile(rmsd, [97.5, 99.0])
        label, count = ndimage.label(rmsd >= low, np.ones((3, 3)))
        keep = (np.bincount(label.ravel(), minlength=count + 1) >= 8) & (
            ndimage.maximum(rmsd, label, np.arange(count + 1)) >= high
        )
        keep[0] = False
        return keep[label].astype("uint8")

    assert (change_mask(rmsd) != peer()).mean() < 1e-6
    return compare("change mask, 2000 x 2000", "SciPy ndimage", lambda: change_mask(rmsd), rmsd.size, peer, rmsd.size)


def aggregation_row(rng: np.random.Generator) -> Row:
    """Mean of valid pixels at 100 m against NumPy."""
    layer = rng.choice(np.r_[np.arange(101), 255].astype("uint8"), (5000, 5000))

    def peer() -> np.ndarray:
        valid = layer != 255
        total = np.where(valid, layer, 0).reshape(500, 10, 500, 10).sum(axis=(1, 3), dtype="int64")
        count = valid.reshape(500, 10, 500, 10).sum(axis=(1, 3))
        return np.where(count > 0, np.floor(total / np.maximum(count, 1) + 0.5), 255).astype("uint8")

    assert np.array_equal(aggregate_mean(layer, 10), peer())
    return compare(
        "mean aggregation to 100 m, 5000 x 5000", "NumPy", lambda: aggregate_mean(layer, 10), layer.size, peer, layer.size
    )


def preprocessing_lines() -> list[str]:
    """Yearly features of a simulated site: seconds, and memory beside the plan's projection."""
    from grids import Tile, block_grid, window_geobox
    from layers.catalogue import CATALOGUE
    from tasks.engine import measured
    from tasks.freezing import search_scenes
    from tasks.job import Job
    from tasks.preprocessing import BYTES_PER_LOOK, Looks, yearly_features
    from tasks.production import Production
    from tasks.simulator import simulate

    with tempfile.TemporaryDirectory() as folder:
        simulation = simulate(Path(folder), size=500, overpasses=24)
        job = Job.of(Production.read(Path(folder) / "production.toml"), simulation.tile)
        scenes = search_scenes(job, CATALOGUE["S2_now"])
        grid = window_geobox(Tile(simulation.tile), 10, simulation.bounds)
        block = next(block_grid(grid, 500)).geobox(grid)
        with ThreadPoolExecutor(1) as pool:
            yearly_features(Looks.of(scenes, 1), next(block_grid(grid, 100)).geobox(grid), pool)
            before = psutil.Process().memory_info().rss
            with measured() as usage:
                yearly_features(Looks.of(scenes, 1), block, pool)
        pixels, looks = int(np.prod(block.shape)), len(scenes.overpasses)
        planned = pixels * looks * BYTES_PER_LOOK
        return [
            f"preprocessing of {block.shape[0]} x {block.shape[1]} pixels, {looks} overpasses ({len(scenes.scenes)} scenes), one thread: "
            f"{usage.seconds:.1f} s, {1e9 * usage.seconds / pixels / looks:.0f} ns a pixel and overpass, reading included",
            f"its memory: {max(usage.peak_memory - before, 0) / 2**20:.0f} MiB more than before, {planned / 2**20:.0f} MiB planned",
        ]


def main() -> None:
    """Run everything."""
    rng = np.random.default_rng(1)
    rows = [make(rng) for make in (quantile_row, harmonics_row, change_mask_row, aggregation_row)]
    lines = ["| what | ours, ns a pixel | peer | peer, ns a pixel | ratio |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {1e9 * r.ours:.1f} | {r.peer} | {1e9 * r.theirs:.1f} | {r.ratio:.1f} |" for r in rows]
    lines += ["", *preprocessing_lines(), "", f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"]
    text = "\n".join(lines) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
