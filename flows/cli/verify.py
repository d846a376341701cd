"""The command ``imperv verify``: the delivery check of files, folders, zips, or all that a production should have delivered."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.flows.cli.parts.names import Targets
from imperv.flows.runtime.console import Json, out
from imperv.layers.families import DEFAULT, packages
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.family.findings import Finding
    from imperv.tasks.job import Job

RASTERS = (".tif", ".tiff", ".zip")
"""Endings of files that are checked."""

NOT_JUDGED = ("debris", "edition")
"""Checks of files that are listed and not counted."""


def verify(
    paths: Annotated[list[Path] | None, typer.Argument(help="GeoTIFFs, delivery zips, or folders of them.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", readable=False, help="Production file: verify all that it should have delivered."),
    ] = None,
    target: Targets = None,
    window: Annotated[bool, typer.Option("--window", help="Files cover windows, whatever their records say.")] = False,
    imd_then: Annotated[Path | None, typer.Option(help="Density of the first year at 10 m, for the sums of change.")] = None,
    ibu_then: Annotated[Path | None, typer.Option(help="Built-up of the first year at 10 m.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of the EEA's boundary masks, for the gap check.")] = None,
    as_json: Json = False,
) -> None:
    """Check delivered files of any product as the EEA does and more: each alone, together, at tile edges; name missing ones."""
    from imperv.flows.plan.targets import resolve_targets, steps
    from imperv.tasks.families import family

    if target and (paths or config is None):
        raise InputError("--target selects products of a production: give --config and no paths")
    jobs = _jobs(config) if config is not None else []
    product = jobs[0].family if jobs else DEFAULT
    maps = {key: path for key, path in (("imd_then", imd_then), ("ibu_then", ibu_then)) if path is not None}
    then = {symbol: maps[about.key] for symbol, about in family(DEFAULT).references.items() if about.key in maps}
    more = {"window": window, "then": then, "masks": masks}
    if strange := [name for name, value in more.items() if value and name not in family(product).form.options]:
        raise InputError(f"--{strange[0]}: product {product} does not have this option; leave it out")
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
        listed = {n: [{"check": f.check, "ok": f.ok, "text": f.text, "note": f.note} for f in fs] for n, fs in rows.items()}
        out.print_json(json.dumps(listed))
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
    """Findings of files by the forms of all products, which own them by name; files of none are checked by the default form.

    Other products are loaded one by one as long as there are files that nobody owns.
    """
    from imperv.layers.catalogue import GraphError
    from imperv.tasks.families import family

    default = family(DEFAULT).form
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    others = [file for file in files if file.suffix.lower() in RASTERS and file.is_file() and not default.owns(str(file))]
    found: dict[str, list[Finding]] = {}
    taken: dict[Path, Finding] = {}
    for name in packages():
        if name == DEFAULT or len(taken) == len(others):
            continue
        try:
            form = family(name).form
        except (GraphError, ImportError):  # what cannot be loaded has made no files
            continue
        mine = [file for file in others if file not in taken and form.owns(str(file))]
        checked = form.verify_files(mine, jobs, {k: v for k, v in more.items() if k in form.options}) if mine else {}
        found |= checked
        taken |= {file: findings[0] for file in mine if (findings := checked.get(str(file)))}
    left = [path for path in paths if path not in taken and not (path.is_dir() and _only(path, taken))]
    return (default.verify_files(left, jobs, more | {"passed_over": taken}) if left else {}) | found


def _only(folder: Path, taken: Container[Path]) -> bool:
    """True for a folder with files of other products and no more GeoTIFFs or packages."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in RASTERS]
    return bool(files) and all(path in taken for path in files)


def _jobs(config: Path) -> list[Job]:
    """Jobs of the production's tiles."""
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    return [Job.of(production, tile) for tile in production.tile_names]
