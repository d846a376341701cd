"""The command ``imperv verify``: the delivery check of files, folders, zips, or all that a production should have delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.flows.cli.parts.names import Targets
from imperv.flows.runtime.console import Json, out
from imperv.layers.families import DEFAULT
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.family.findings import Finding
    from imperv.tasks.job import Job

NOT_JUDGED = ("debris", "edition")
"""Findings of files that are only named."""


def verify(
    paths: Annotated[list[Path] | None, typer.Argument(help="GeoTIFFs, delivery zips, or folders of them.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", readable=False, help="Production file: verify all that it should have delivered."),
    ] = None,
    target: Targets = None,
    window: Annotated[bool, typer.Option("--window", help="They cover windows, whatever their records say.")] = False,
    imd_then: Annotated[Path | None, typer.Option(help="Density of the first year at 10 m, for the sums of change.")] = None,
    ibu_then: Annotated[Path | None, typer.Option(help="Built-up of the first year at 10 m.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of the EEA's boundary masks, for the gap check.")] = None,
    as_json: Json = False,
) -> None:
    """Check delivered files as the EEA does and more: each alone, together, at the edges of tiles, and what is missing."""
    from imperv.flows.plan.targets import resolve_targets, steps
    from imperv.tasks.families import family

    if target and (paths or config is None):
        raise InputError("--target says which products a production must have: give --config and no paths")
    jobs = _jobs(config) if config is not None else []
    product = jobs[0].family if jobs else DEFAULT
    maps = {key: path for key, path in (("imd_then", imd_then), ("ibu_then", ibu_then)) if path is not None}
    then = {symbol: maps[about.key] for symbol, about in family(DEFAULT).references.items() if about.key in maps}
    more = {"window": window, "then": then, "masks": masks}
    if strange := [name for name, value in more.items() if value and name not in family(product).form.options]:
        raise InputError(f"--{strange[0]}: files of product {product} are verified without it; leave it out")
    missing: dict[str, dict[str, Finding]] = {}
    if paths:
        found = _verify_files(paths, jobs, more)
    elif config is None:
        raise InputError("name GeoTIFFs, zips or folders, or a production with --config")
    else:
        products = steps(resolve_targets(target, product), product=product)[1]
        found, missing = family(product).form.verify(jobs, products, more)
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


def _verify_files(paths: list[Path], jobs: list[Job], more: dict[str, Any]) -> dict[str, list[Finding]]:
    """Findings of files by their forms, which the names tell; what has no other form's name is checked as the EEA does."""
    from imperv.tasks.delivery.cog_check import check_cog, cog_files
    from imperv.tasks.families import family

    cogs = cog_files(paths)
    left = [path for path in paths if path not in cogs and not (path.is_dir() and _only(path, cogs))]
    checked = {path: check_cog(path) for path in cogs}
    over = {path: findings[0] for path, findings in checked.items()}
    found = family(DEFAULT).form.verify_files(left, jobs, more | {"passed_over": over}) if left else {}
    return found | {str(path): findings for path, findings in checked.items()}


def _only(folder: Path, cogs: list[Path]) -> bool:
    """True for a folder with products of the plain form and no other GeoTIFFs or packages."""
    others = [path for path in folder.rglob("*") if path.suffix.lower() in (".tif", ".tiff", ".zip") and path not in cogs]
    return not others and any(folder in path.parents for path in cogs)


def _jobs(config: Path) -> list[Job]:
    """The tiles whose store explains files."""
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    return [Job.of(production, tile) for tile in production.tile_names]
