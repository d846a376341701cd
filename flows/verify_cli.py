"""The command ``imperv verify``: the delivery check of files, folders, zips, or all that a production has delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tasks.errors import InputError

out = Console(soft_wrap=True, highlight=False)


def verify(
    paths: Annotated[list[Path] | None, typer.Argument(help="GeoTIFFs, delivery zips, or folders of them.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Production file: verify what it delivered, against its store.")
    ] = None,
    window: Annotated[bool, typer.Option("--window", help="They cover windows, whatever their records say.")] = False,
    imd_then: Annotated[Path | None, typer.Option(help="Density of the first year at 10 m, for the sums of change.")] = None,
    ibu_then: Annotated[Path | None, typer.Option(help="Built-up of the first year at 10 m.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of the EEA's boundary masks, for the gap check.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check delivered files as the EEA does and more: each alone, together, and at the edges of tiles."""
    from tasks.verifying import Request, verify

    places, jobs = _places(paths, config)
    then = {symbol: path for symbol, path in (("IMD_then", imd_then), ("IBU_then", ibu_then)) if path is not None}
    found = verify(places, Request(window, then, masks, jobs))
    bad = sum(any(not f.ok for f in findings) for findings in found.values())
    if as_json:
        rows = {name: [{"check": f.check, "ok": f.ok, "text": f.text, "note": f.note} for f in fs] for name, fs in found.items()}
        out.print_json(json.dumps(rows))
    else:
        for name, findings in found.items():
            out.print(f"{'ok  ' if all(f.ok for f in findings) else 'FAIL'} {name}", markup=False)
            for finding in findings:
                if not finding.ok or finding.note:
                    out.print(f"     {finding.check}: {finding.text}", markup=False)
        out.print(f"{len(found) - bad} of {len(found)} files pass")
    if bad:
        raise typer.Exit(1)


def _places(paths: list[Path] | None, config: Path | None) -> tuple[list[Path], list]:
    """What to check, and the tiles whose store explains it."""
    if config is None:
        if not paths:
            raise InputError("name GeoTIFFs, zips or folders, or a production with --config")
        return paths, []
    from tasks.job import Job
    from tasks.production import Production
    from tasks.verifying import require_local

    production = Production.read(config)
    jobs = [Job.of(production, tile) for tile in production.tile_names]
    if paths:
        return paths, jobs
    folders = [Path(require_local(job)) for job in jobs]
    places = [folder for folder in folders if folder.is_dir()]
    if not places:
        raise InputError(f"{config}: nothing is delivered yet; run it first")
    return places, jobs
