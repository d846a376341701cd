"""What a report shows as evidence beside maps: samples of the calibration, frozen scene lists, findings of the delivery check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imperv.calibration import collect_samples
from imperv.grids import Block
from imperv.tasks.family.findings import Finding
from imperv.tasks.imperviousness.checks.delivery_check import check_file
from imperv.tasks.imperviousness.nodes.calibration import INPUTS
from imperv.tasks.imperviousness.report.facts import LayerFact
from imperv.tasks.job import Job
from imperv.tasks.report.pixels import on_threads
from imperv.tasks.scenes.scenes import SceneList

NDVI_CELLS = np.linspace(-0.2, 1.0, 97)
"""Edges of the cells in which samples are counted: NDVI."""

DENSITY_CELLS = np.arange(-0.5, 102.5, 2.0)
"""The same in percent: two percent a cell."""


@dataclass(frozen=True)
class SceneSummary:
    """The frozen list of a period in a few numbers."""

    name: str
    period: str
    overpasses: int
    scenes: int
    dropped: tuple[tuple[str, int], ...]
    """(reason, items left out), most frequent first."""
    baselines: tuple[tuple[str, int], ...]
    """(processing baseline, scenes)."""
    subtracted: int
    """Scenes of which the offset is subtracted."""
    mgrs: tuple[str, ...]
    gap_days: int
    """Longest time without a scene."""


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


def scene_lists(job: Job) -> dict[str, SceneList]:
    """Frozen scene lists by period: then, now; those that there are."""
    found = {}
    for period in ("then", "now"):
        symbol = f"S2_{period}"
        text = job.store.read_text(job.place(symbol).data) if job.record(symbol) is not None else None
        if text is not None:
            found[period] = SceneList.from_json(text)
    return found


def summarise_scenes(job: Job, lists: dict[str, SceneList]) -> list[SceneSummary]:
    """Numbers of every scene list."""
    found = []
    for name, scenes in lists.items():
        period = getattr(job.production.periods, name)
        first, last = scenes.longest_gap(period)
        # "duplicate of X" is one reason, whatever X is.
        reasons = Counter("duplicate" if why.startswith("duplicate of") else why for why in scenes.dropped.values())
        found.append(
            SceneSummary(
                name,
                str(period),
                len(scenes.overpasses),
                len(scenes.scenes),
                tuple(reasons.most_common(6)),
                tuple(sorted(Counter(s.baseline or "not known" for s in scenes.scenes).items())),
                sum(s.subtract > 0 for s in scenes.scenes),
                tuple(sorted({s.mgrs for s in scenes.scenes if s.mgrs})),
                (last - first).days,
            )
        )
    return found


def check_products(job: Job, layers: tuple[LayerFact, ...]) -> dict[str, list[Finding]]:
    """Findings of the delivery check for every delivered file, by layer; files in object stores are not fetched for it."""
    if not job.store.is_local:
        return {}
    found = {}
    for fact in layers:
        if fact.product is not None:
            path = Path(job.store.full(fact.href))
            found[fact.symbol] = (
                check_file(path, window=job.windowed) if path.is_file() else [Finding("there", False, "the file is gone")]
            )
    return found
