"""A full tile of 10 000 x 10 000 pixels after pre-processing, through the real tasks and the real store.

The inputs are made up block by block and written as the nodes before would leave them. Every step runs in a process of its own,
which is this module with the step's nodes: `python -m benchmarks.full_tile FOLDER NODE...`. Without them all steps run in turn and
a table is printed: `python -m benchmarks.full_tile [FOLDER]`, ten minutes and 8 GB of disk; inputs in a named folder are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

import imperv.flows  # noqa: F401 - what every process of a production assumes of its environment
from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.delivery.delivery import deliver, delivered_symbols, places_of
from imperv.tasks.engine import Usage, measured
from imperv.tasks.imperviousness.assessment.maps import maps_of_files, validate
from imperv.tasks.imperviousness.checks.verifying import require_local, verify
from imperv.tasks.imperviousness.report.tile import write_tile_report
from imperv.tasks.job import Job, attributes, report, summarise, utc_now
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import with_measured

TILE = "E44N26"
SMALL = (4_400_000, 2_698_000, 4_402_000, 2_700_000)
"""A window on which a process compiles, or loads what was compiled, before it measures."""
MEMORY, WORKERS = "4 GiB", 2
DELIVERED = "deliver:"
REPORT, VERIFY, VALIDATE = "report", "verify", "validate"

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shift of the features between two years", ("PP_shift",)),
    ("RMSD of two years", ("RMSD",)),
    ("change mask: thresholds, components, sieve", ("CHM_raw", "CHM")),
    ("change mask to 20 m", ("CHM_resampled",)),
    ("mean NDVI, two years", ("NDVI_p0_then", "NDVI_p0_now")),
    ("sealing mask, two years", ("IMD_MSK_then", "OSM_distance", "CLCP_proxy_model", "CLCP_proxy", "IMD_MSK_now")),
    ("calibration, fit", ("IMD_calibration",)),
    ("calibration, apply", ("IMD_now",)),
    ("mean to 20 m", ("IMD_now_mean",)),
    ("mean to 100 m", ("IMD_now_resampled",)),
    ("change layer at 20 m", ("IMDC",)),
    ("mean change to 100 m", ("IMDC_resampled",)),
    ("status at 20 m and classified change", ("IMD_then_mean", "IMCC")),
    ("deviation and confidence", ("RIMD_sd", "IMDCL")),
    ("built-up: status, share, change, classified, confidence", (
        "IBUD_now", "IBU_now", "IBU_then_mean", "IBU_now_mean", "SBU_then", "SBU", "IBUDC", "IBUDCS", "IBUC", "IBUCS", "SBUC", "SBUCS",
        "SBCC", "SBCCS", "RIBUD_sd", "IBUCL",
    )),
    ("technical change of imperviousness", ("IMDCS", "IMDCS_resampled", "IMCCS")),
    ("delivery of a 10 m layer, check included", (f"{DELIVERED}IMD_now",)),
    ("delivery of the other 17", tuple(DELIVERED + symbol for symbol in delivered_symbols() if symbol != "IMD_now")),
    ("report of everything", (REPORT,)),
    ("verification of the 18 files", (VERIFY,)),
    ("validation of IMD_now against a raster of 10 m", (VALIDATE,)),
)  # fmt: skip
"""What is told, and the nodes that it is made of, in order."""


def table(folder: Path) -> None:
    """Print seconds, processor seconds and highest resident memory, libraries included, of the process of every step."""
    for job in (_job(folder, small=True), _job(folder)):
        for symbol, make in INPUTS.items():
            if job.record(symbol) is None:
                _put(job, symbol, make)
    print("| step, 10 000 x 10 000 pixels | s | processor s | peak GiB of the process |\n|---|---|---|---|")
    for what, nodes in STEPS:
        command = [sys.executable, "-m", "benchmarks.full_tile", str(folder), *nodes]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[1])
        found = Usage(**json.loads(done.stdout.splitlines()[-1]))
        print(f"| {what} | {found.seconds:.1f} | {found.cpu_seconds:.1f} | {found.peak_memory / 2**30:.2f} |", flush=True)


def _job(folder: Path, small: bool = False) -> Job:
    place = folder / ("small" if small else "full")
    place.mkdir(parents=True, exist_ok=True)
    (place / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "none"\n'
        f'[engine]\nworkers = {WORKERS}\nmemory = "{MEMORY}"\n' + (f"[area]\nbbox = {list(SMALL)}\n" if small else "")
    )
    return Job.of(Production.read(place), TILE)


def _run(job: Job, nodes: Sequence[str]) -> None:
    for node in nodes:
        if node.startswith(DELIVERED):
            deliver(job, node.removeprefix(DELIVERED))
        elif node == REPORT:
            write_tile_report(job)
        elif node == VERIFY:
            files = verify([require_local(job)])
            assert files and all(finding.ok for findings in files.values() for finding in findings), files
        elif node == VALIDATE:
            path = job.store.full(places_of(job, "IMD_now").tif)
            validate(maps_of_files([path], "IMD_now"), "IMD_now", path)
        else:
            make_node(job, node)


# inputs -----------------------------------------------------------------------------------------------------------


def _noise(block: Block, seed: int, size: int = 1) -> np.ndarray:
    """Normal noise of a block, smooth over `size` pixels."""
    rng = np.random.default_rng([seed, block.y0, block.x0])
    values = rng.standard_normal([edge // size + 2 * (size > 1) for edge in block.shape], dtype=np.float32)
    return cv2.resize(values, block.shape[::-1], interpolation=cv2.INTER_CUBIC) if size > 1 else values


def _coarse(values: np.ndarray) -> np.ndarray:
    """Rounded to three digits, so that the store of a tile stays small."""
    return values.astype(np.float16).astype(np.float32)


def _sealing(block: Block, now: bool = False) -> np.ndarray:
    """Density of sealing in percent, not rounded: towns, and new ones."""
    density = np.clip(60 * (_noise(block, 1, 100) + 0.8 * _noise(block, 2, 10) + 0.4 * _noise(block, 3) - 1.6), 0, 100)
    return np.where(_noise(block, 4, 20) > 2.8, 95, density) if now else density


def _sea(block: Block) -> np.ndarray:
    return _noise(block, 5, 200) < -1.5


def _features(now: bool) -> Callable[[Block], dict[str, np.ndarray]]:
    def make(block: Block) -> dict[str, np.ndarray]:
        bare = 1 - _sealing(block, now) / 120
        field = _noise(block, 6, 40)
        harmonics = np.stack([0.02 * _noise(block, 10 + k + 10 * now) for k in range(7)])
        harmonics[0] += (0.6 + 0.08 * field) * bare
        harmonics[1] -= (0.1 + 0.04 * (_noise(block, 7, 40) if now else field)) * bare
        harmonics[:, _sea(block)] = np.nan
        red = np.clip(600 + 14 * _sealing(block, now) + 70 * field, 1, 9000)
        red[_sea(block)] = 0
        quantiles = np.broadcast_to(red.astype("uint16"), (len(QUANTILE_BANDS), *block.shape))
        return {"harmonics": _coarse(harmonics), "quantiles": quantiles, "ndvi_q90": _coarse(harmonics[0] + 0.1)}

    return make


def _codes(symbol: str, outside: int, codes: Callable[[Block], np.ndarray]) -> Callable[[Block], dict[str, np.ndarray]]:
    return lambda block: {symbol: np.where(_sea(block), outside, codes(block)).astype("uint8")}


def _classes(now: bool) -> Callable[[Block], np.ndarray]:
    return lambda block: np.where(_sealing(block, now) > 30, 1, np.clip(6 + 2 * _noise(block, 8, 25), 2, 11))


def _built_up(block: Block) -> dict[str, np.ndarray]:
    return {("RIBUD" if name == "RIMD" else name): array for name, array in _prediction(block, 70).items()}


def _prediction(block: Block, less: int = 0) -> dict[str, np.ndarray]:
    density = np.clip(np.rint(_sealing(block, True) - less + 4 * _noise(block, 9)), 0, 100)
    deviation = np.clip(0.1 + 0.05 * _noise(block, 30), 0, 0.5)
    sea = _sea(block)
    deviation[sea] = np.nan
    return {"RIMD": np.where(sea, 255, density).astype("uint8"), MEMBER_SD: _coarse(deviation)}


INPUTS: dict[str, Callable[[Block], dict[str, np.ndarray]]] = {
    "PP_then": _features(False),
    "PP_now": _features(True),
    "IMD_then": _codes("IMD_then", 255, lambda block: np.rint(_sealing(block))),
    "IBU_then": _codes("IBU_then", 255, lambda block: _sealing(block) > 90),
    "CLCP_then": _codes("CLCP_then", 253, _classes(False)),
    "CLCP_now": _codes("CLCP_now", 253, _classes(True)),
    "RIMD": _prediction,
    "RIBUD": _built_up,
}
"""How a block of every input is made up; of the features only what the layers after them and the report read."""


def _put(job: Job, symbol: str, make: Callable[[Block], dict[str, np.ndarray]]) -> None:
    """Store a layer with its record."""
    layer, place, periods = CATALOGUE[symbol], job.place(symbol), job.period(CATALOGUE[symbol])
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:

        def write(block: Block):
            arrays = make(block)
            for name, array in arrays.items():
                out[name][(..., *block.slices)] = array
            return report(arrays, layer)

        digest, statistics = summarise(layer, job.engine.map(write, job.blocks(10), 200 * 2**20, symbol))
    record = Record(
        layer.stem, TILE, digest_of(symbol), digest, href=place.data, bbox=job.bounds, windowed=job.windowed,
        start=str(periods[0].start), end=str(periods[1].end), statistics=statistics | {"members": 2}, created=utc_now(),
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))


def main(arguments: Sequence[str]) -> None:
    """All steps with a table, or the nodes of one with its `Usage` as JSON."""
    if len(arguments) < 2:
        with tempfile.TemporaryDirectory(prefix="imperv-tile-") as name:
            table(Path(arguments[0] if arguments else name))
        return
    folder, nodes = Path(arguments[0]), arguments[1:]
    _run(_job(folder, small=True), nodes)
    whole = _job(folder)
    with measured(0.01) as usage:
        _run(whole, nodes)
    print(json.dumps(asdict(usage)))


if __name__ == "__main__":
    main(sys.argv[1:])
