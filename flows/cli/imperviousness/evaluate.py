"""The command ``imperv evaluate``: its options; the work is in `evaluating` and `evaluation_plots`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from imperv.flows.cli.parts.names import tiles_argument
from imperv.flows.runtime.console import Config, Json, err, named, out

if TYPE_CHECKING:
    from imperv.tasks.family import Family


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
    """Score models and maps: by a truth, by ground that is held out, and beside the methods that others use."""
    from imperv.flows.cli.imperviousness.evaluating import evaluate_tiles, notes, tables
    from imperv.flows.cli.imperviousness.evaluation_plots import check_name, save
    from imperv.tasks.errors import InputError
    from imperv.tasks.families import family
    from imperv.tasks.imperviousness.assessment.truth import Truth
    from imperv.tasks.imperviousness.settings import only_imperviousness
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    jobs = [Job.of(production, tile) for tile in named(tiles, production.tile_names)]
    if (about := family(production.product)).evaluate is not None:
        if truth or only or plot:
            raise InputError(f"--truth, --only and --plot are not of product {about.name}; leave them out")
        _print_tables(about, about.evaluate(jobs, _by_key(rasters or ()), lambda line: err.print(line, markup=False)), as_json)
        return
    if plot is not None:
        check_name(plot)
    only_imperviousness(production, config)
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


def _by_key(rasters: Sequence[str]) -> dict[str, str]:
    """``key=FILE`` as a table; InputError for anything else."""
    from imperv.tasks.errors import InputError

    found = dict(text.split("=", 1) for text in rasters if "=" in text)
    if len(found) < len(rasters):
        raise InputError("--truth-raster: write KEY=FILE, each key once")
    return found


def _print_tables(about: Family, found: dict[str, Any], as_json: bool) -> None:
    """Scores of a product that has an evaluation of its own."""
    if as_json:
        out.print_json(json.dumps(found))
        return
    wide = out if out.is_terminal else Console(width=200, highlight=False, file=sys.stdout)
    for one in about.tables(found) if about.tables is not None else ():
        table = Table(title=one["title"], title_justify="left", box=box.SIMPLE)
        for k, column in enumerate(one["columns"]):
            table.add_column(column, justify="right" if k else "left")
        for row in one["rows"]:
            table.add_row(*row)
        wide.print(table)
