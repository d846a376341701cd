"""Check of a production's deliveries: files that exist, and names of missing ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imperv.tasks.family.findings import Finding, passed
from imperv.tasks.imperviousness.checks.verifying import Request, missing_products, require_local, verify
from imperv.tasks.imperviousness.products.editions import other_editions
from imperv.tasks.job import Job
from imperv.tasks.store.debris import is_debris


def verify_delivered(
    jobs: Sequence[Job], products: Sequence[str], request: Request | None = None
) -> tuple[dict[str, list[Finding]], dict[str, dict[str, Finding]]]:
    """Check what tiles should have delivered: findings by file, and missing files by tile; fills in `request`."""
    folders = [Path(require_local(job)) for job in jobs]
    files = {folder: [*folder.glob("*.tif"), *folder.glob("*.zip")] for folder in folders}
    places = [folder for folder, names in files.items() if not all(map(is_debris, names))]
    asked = replace(request or Request(), jobs=jobs, passed_over=_other_editions(jobs))
    found = verify(places, asked) if places else {}
    return found, {str(job.tile): missing_products(job, products) for job in jobs}


def _other_editions(jobs: Sequence[Job]) -> dict[Path, Finding]:
    """Products of other editions, and their zips: listed, not checked."""
    found = {}
    for job in jobs:
        for place, own in other_editions(job).items():
            text = f"of another edition, replaced by {Path(own).name}; remove it, or move it elsewhere"
            for path in (Path(job.store.full(place)), Path(job.store.full(place)).with_suffix(".zip")):
                if path.is_file():
                    found[path] = passed("edition", text, note=True)
    return found
