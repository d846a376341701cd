"""Evidence beside the maps of a report: samples of the calibration, frozen scene lists, findings of the delivery check."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from imperv.calibration import collect_samples
from imperv.grids import Block
from imperv.tasks.family.findings import Finding
from imperv.tasks.imperviousness.checks.delivery_check import check_file
from imperv.tasks.imperviousness.nodes.calibration import INPUTS
from imperv.tasks.imperviousness.report.facts import LayerFact
from imperv.tasks.imperviousness.report.pixels import on_threads
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList, frozen_list
from imperv.tasks.scenes.scenes import SceneList

NDVI_CELLS = np.linspace(-0.2, 1.0, 97)
"""Edges of the cells in which samples are counted: NDVI."""

DENSITY_CELLS = np.arange(-0.5, 102.5, 2.0)
"""The same in percent: two percent a cell."""


def calibration_samples(job: Job) -> np.ndarray:
    """Samples of the regression by NDVI and density: (ndvi, density) counts in the cells of this module."""
    row, column = job.global_index()
    step = job.production.parameters.calibration.step
    arrays = [job.array(symbol) for symbol in INPUTS]

    def count(block: Block) -> np.ndarray:
        imd, ndvi, mask, ibu = (array[block.slices] for array in arrays)
        found = collect_samples(imd, ndvi, mask, ibu, offset=(row + block.y0, column + block.x0), step=step)
        return np.histogram2d(found.ndvi, found.imd, (NDVI_CELLS, DENSITY_CELLS))[0]

    return np.sum(on_threads(job, count, job.blocks(10)), axis=0)


def scene_lists(job: Job) -> dict[str, SceneList | LandsatList]:
    """Frozen scene lists by period, where they exist."""
    known = [period for period in ("then", "now") if job.record(f"S2_{period}") is not None]
    texts = {period: job.store.read_text(job.place(f"S2_{period}").data) for period in known}
    return {period: frozen_list(text) for period, text in texts.items() if text is not None}


def summarise_scenes(job: Job, lists: dict[str, SceneList | LandsatList]) -> list[dict[str, Any]]:
    """The frozen list of each period in a few numbers, for the table of scenes."""
    found = []
    for name, listed in lists.items():
        scenes, period = listed.scenes, getattr(job.production.periods, name)
        first, last = listed.longest_gap(period)
        # "duplicate of X" is one reason, whatever X is.
        reasons = Counter("duplicate" if why.startswith("duplicate of") else why for why in listed.dropped.values())
        found.append({
            "name": name, "period": str(period), "overpasses": len(listed.overpasses), "scenes": len(scenes),
            "dropped": reasons.most_common(6), "baselines": sorted(Counter(s.baseline or "not known" for s in scenes).items()),
            "subtracted": sum(s.subtract > 0 for s in scenes), "mgrs": sorted({s.mgrs for s in scenes if s.mgrs}),
            "gap_days": (last - first).days,
        })  # fmt: skip
    return found


def check_products(job: Job, layers: tuple[LayerFact, ...]) -> dict[str, list[Finding]]:
    """Findings of the delivery check by layer; none for object stores, whose files would have to be downloaded."""
    if not job.store.is_local:
        return {}
    paths = {fact.symbol: Path(job.store.full(fact.href)) for fact in layers if fact.product is not None}
    gone = [Finding("there", False, "the file is gone")]
    return {symbol: check_file(path, window=job.windowed) if path.is_file() else gone for symbol, path in paths.items()}
