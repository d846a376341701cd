"""The command ``imperv verify``: the delivery check of files, folders, zips, or all that a production should have delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.console import Json, out
from flows.names import Targets
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.job import Job
    from tasks.product_rules import Finding

NOT_JUDGED = ("debris", "edition")
"""Findings of files that are only named."""


def verify(
    paths: Annotated[list[Path] | None, typer.Argument(help="GeoTIFFs, delivery zips, or folders of them.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Production file: verify all that it should have delivered.")
    ] = None,
    target: Targets = None,
    window: Annotated[bool, typer.Option("--window", help="They cover windows, whatever their records say.")] = False,
    imd_then: Annotated[Path | None, typer.Option(help="Density of the first year at 10 m, for the sums of change.")] = None,
    ibu_then: Annotated[Path | None, typer.Option(help="Built-up of the first year at 10 m.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of the EEA's boundary masks, for the gap check.")] = None,
    as_json: Json = False,
) -> None:
    """Check delivered files as the EEA does and more: each alone, together, at the edges of tiles, and what is missing."""
    from flows.targets import resolve_targets, steps
    from tasks.verifying import Request, missing_products, verify

    if target and (paths or config is None):
        raise InputError("--target says which products a production must have: give --config and no paths")
    then = {symbol: path for symbol, path in (("IMD_then", imd_then), ("IBU_then", ibu_then)) if path is not None}
    places, jobs = _places(paths, config)
    over = {} if paths else _other_editions(jobs)
    found = verify(places, Request(window, then, masks, jobs, over)) if places else {}
    wanted = steps(resolve_targets(target))[1]
    missing = {} if paths else {str(job.tile): missing_products(job, wanted) for job in jobs}
    absent = [(name, finding) for tile in missing.values() for name, finding in tile.items()]
    judged = {name: findings for name, findings in found.items() if not all(f.check in NOT_JUDGED for f in findings)}
    passing = sum(all(f.ok for f in findings) and name not in dict(absent) for name, findings in judged.items())
    if as_json:
        rows = {name: list(findings) for name, findings in found.items()}
        for name, finding in absent:
            rows.setdefault(name, []).append(finding)
        told = {n: [{"check": f.check, "ok": f.ok, "text": f.text, "note": f.note} for f in fs] for n, fs in rows.items()}
        out.print_json(json.dumps(told))
    else:
        for name, findings in found.items():
            state = "FAIL" if any(not f.ok for f in findings) else "ok  " if name in judged else "--  "
            out.print(f"{state} {name}", markup=False)
            for finding in findings:
                if not finding.ok or finding.note:
                    out.print(f"     {finding.check}: {finding.text}", markup=False)
        for tile, names in missing.items():
            for name, finding in names.items():
                out.print(f"MISSING {tile} {Path(name).name}: {finding.text}", markup=False)
        more = {"missing": len(absent), "not judged": len(found) - len(judged)}
        words = [f"{passing} of {len(judged)} files pass", *(f"{count} {what}" for what, count in more.items() if count)]
        out.print(", ".join(words))
    if absent or passing < len(judged):
        raise typer.Exit(1)


def _other_editions(jobs: list[Job]) -> dict[Path, Finding]:
    """Products of other editions, and their zips: named, and not judged as what a production has delivered."""
    from tasks.editions import other_editions
    from tasks.product_rules import passed

    found = {}
    for job in jobs:
        for place, own in other_editions(job).items():
            text = f"of another edition, whose place {Path(own).name} has taken; remove it, or move it elsewhere"
            for path in (Path(job.store.full(place)), Path(job.store.full(place)).with_suffix(".zip")):
                if path.is_file():
                    found[path] = passed("edition", text, note=True)
    return found


def _places(paths: list[Path] | None, config: Path | None) -> tuple[list[Path], list[Job]]:
    """What to check, and the tiles whose store explains it."""
    if config is None:
        if not paths:
            raise InputError("name GeoTIFFs, zips or folders, or a production with --config")
        return paths, []
    from tasks.debris import is_debris
    from tasks.job import Job
    from tasks.production import Production
    from tasks.verifying import require_local

    production = Production.read(config)
    jobs = [Job.of(production, tile) for tile in production.tile_names]
    if paths:
        return paths, jobs
    folders = [Path(require_local(job)) for job in jobs]
    found = {folder: [*folder.glob("*.tif"), *folder.glob("*.zip")] for folder in folders}
    return [folder for folder, files in found.items() if not all(map(is_debris, files))], jobs
