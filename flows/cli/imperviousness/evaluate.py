"""The command ``imperv evaluate``: its options; the work is in `evaluating` and `evaluation_plots`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imperv.flows.cli.parts.names import tiles_argument
from imperv.flows.runtime.console import Config, Json, err, named, out


class Product(StrEnum):
    """Products whose models can be evaluated."""

    IMD = "IMD"
    IBU = "IBU"


def evaluate(
    tiles: Annotated[list[str] | None, tiles_argument("Finished tiles; default: those of the production.")] = None,
    config: Config = Path("production.toml"),
    truth: Annotated[Path | None, typer.Option("--truth", help="Folder with truth_imd_now.tif, truth_ibu_now.tif ...")] = None,
    rasters: Annotated[
        list[str] | None, typer.Option("--truth-raster", help="One truth raster, such as imd_now=FILE; repeatable.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Trainings of each model; 0: score the stored layers only.")] = 3,
    only: Annotated[Product | None, typer.Option("--only", case_sensitive=False, help="One product.")] = None,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw into this PNG or HTML file.")] = None,
) -> None:
    """Score models and maps by a truth: U-Nets and per-pixel models on held-out blocks, and the stored layers."""
    from imperv.flows.cli.imperviousness.evaluating import evaluate_tiles, notes, tables
    from imperv.flows.cli.imperviousness.evaluation_plots import check_name, save
    from imperv.tasks.imperviousness.assessment.truth import Truth
    from imperv.tasks.imperviousness.settings import only_imperviousness
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    if plot is not None:
        check_name(plot)
    production = only_imperviousness(Production.read(config), config)
    jobs = [Job.of(production, tile) for tile in named(tiles, production.tile_names)]
    found = evaluate_tiles(
        jobs, Truth.find(truth, rasters or ()), seeds, only.value if only else None, lambda line: err.print(line, markup=False)
    )
    if as_json:
        out.print_json(json.dumps(found))
    else:
        # On a pipe a table keeps its full width, so that no figure is cut.
        wide = out if out.is_terminal else Console(width=160, highlight=False, file=sys.stdout)
        for table in tables(found):
            wide.print(table)
        for note in notes(found):
            out.print(note, markup=False)
    if plot is not None:
        save(found, plot)
