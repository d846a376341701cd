"""The command ``imperv``: reads the request, calls the flow, and says in plain lines what happened.

Exit codes: 0 done; 1 work failed; 2 the request or the input is wrong.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError

from imperv.flows.cli.automations import automations
from imperv.flows.cli.compare import compare
from imperv.flows.cli.config import config_app
from imperv.flows.cli.europe import europe
from imperv.flows.cli.evaluate import evaluate
from imperv.flows.cli.groups import HELP, MODELS, PRODUCTIONS, QUALITY, TILE, Grouped
from imperv.flows.cli.init import init
from imperv.flows.cli.logs import logs
from imperv.flows.cli.models import model_app
from imperv.flows.cli.names import Targets, TileName, tiles_argument
from imperv.flows.cli.simulate import simulate
from imperv.flows.cli.status import status
from imperv.flows.cli.validate import validate
from imperv.flows.cli.verify import verify
from imperv.flows.runtime.console import Config, Json, Yes, end, err, named, out, take_any_character
from imperv.flows.runtime.logs import configure
from imperv.flows.runtime.stopping import stoppable
from imperv.layers.catalogue.families import DEFAULT
from imperv.tasks.addresses import shown
from imperv.tasks.errors import ImpervError, InputError, writing

app = typer.Typer(
    help="Production chain of the Copernicus HRL Imperviousness: from a year of Sentinel-2 to maps of sealed surface.",
    epilog="imperv COMMAND --help says more of a command. Exit codes: 0 done; 1 work failed; 2 the request or an input is wrong.",
    cls=Grouped, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(config_app, name="config", rich_help_panel=PRODUCTIONS)
app.add_typer(model_app, name="model", rich_help_panel=MODELS)
app.command(rich_help_panel=TILE)(init)
app.command(rich_help_panel=PRODUCTIONS)(simulate)
app.command(rich_help_panel=QUALITY)(compare)
app.command(rich_help_panel=QUALITY)(verify)
app.command(rich_help_panel=QUALITY)(validate)
app.command(rich_help_panel=QUALITY)(evaluate)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"imperv {version('imperv')}", markup=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Options of imperv itself; none changes what a command does."""


class Form(StrEnum):
    """Forms of the drawn graph."""

    MERMAID = "mermaid"
    SVG = "svg"


@app.command(rich_help_panel=TILE)
def scenes(
    tile: TileName,
    config: Config = Path("production.toml"),
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the calendar of clear looks into this PNG.")] = None,
) -> None:
    """List the scenes that a tile is or would be made from, with every decision about them; freezes nothing."""
    from imperv.flows.tile.scenes import as_table, calendar_lines, list_scenes, objections, plot_calendar, table_lines
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    job = Job.of(Production.read(config), tile)
    found = list_scenes(job)
    if as_json:
        out.print_json(json.dumps(as_table(found)))
    else:
        for entry in found:
            for line in (*table_lines(entry), *calendar_lines(entry)):
                out.print(line, markup=False)
    if plot is not None:
        with writing(plot, "--plot"):
            plot_calendar(tile, found, plot)
    if lines := objections(job, found):
        raise InputError("\n".join(lines))


@app.command(rich_help_panel=TILE)
def plan(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles, or eea38-2024; those of the production by default.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            readable=False,
            help="Production file, complete or not; not needed where tiles are named.",
        ),
    ] = None,
    target: Targets = None,
    nodes: Annotated[bool | None, typer.Option("--nodes/--summary", help="Every node, or a line a tile.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Only tiles of this country, such as AT; repeatable.")] = None,
    aoi: Annotated[Path | None, typer.Option(help="Only tiles that this vector file touches.")] = None,
    workers: Annotated[int, typer.Option(help="Tiles in work at the same time, for the wall time.", min=1)] = 1,
    picture: Annotated[Path | None, typer.Option(help="Draw the tiles into this PNG or SVG.")] = None,
    as_json: Json = False,
) -> None:
    """Say what would run and why, and what it takes; runs nothing."""
    from imperv.flows.cli.plan import chosen, planned, print_nodes, print_summary
    from imperv.flows.cli.plan_map import draw_plans
    from imperv.flows.plan.production_plan import as_json as plans_as_json
    from imperv.flows.plan.production_plan import plan_production, totals

    production, assumed = planned(config, tiles or [], bool(tiles or country or aoi))
    if assumed:
        err.print(f"imperv: {assumed}", markup=False)
    names = chosen(named(tiles, production.tile_names), country or [], aoi)
    if nodes if nodes is not None else len(names) <= 3 and picture is None:
        print_nodes(production, names, target, as_json)
        return
    plans = plan_production(production, names, target)
    total = totals(production, plans, workers)
    if picture is not None:
        draw_plans(plans, picture)
    if as_json:
        out.print_json(json.dumps(plans_as_json(plans, total)))
    else:
        print_summary(plans, total)


@app.command(rich_help_panel=TILE)
def run(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles, such as E43N32; by default those of the file.")] = None,
    config: Config = Path("production.toml"),
    target: Targets = None,
    refresh_scenes: Annotated[bool, typer.Option("--refresh-scenes", help="Ask the catalogue again for its scenes.")] = False,
    yes: Yes = False,
) -> None:
    """Make and deliver the layers of one or more tiles, here and now."""
    from imperv.flows.cli.guarding import ask_taken
    from imperv.flows.cli.showing import run_view
    from imperv.flows.production.running import run_tiles
    from imperv.flows.tile.progress import listening
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    if not tiles and isinstance(production.tiles, str):
        raise InputError(f"tiles is the whole list {production.tiles}: name the tiles to run, such as imperv run E43N32")
    names = named(tiles, production.tile_names)
    ask_taken(production, names, target, yes)
    with run_view(err) as view, listening(view):
        failed = run_tiles(names, str(config), target, refresh_scenes)
    view.summary()
    end(failed)


@app.command(rich_help_panel=TILE)
def rerun(
    tile: TileName,
    scratch: Annotated[Path, typer.Option(help="Folder for what is made; the production's own store is only read.")],
    config: Config = Path("production.toml"),
    change: Annotated[list[str] | None, typer.Option("--set", help="Such as parameters.unet.epochs=40; repeatable.")] = None,
    target: Targets = None,
) -> None:
    """Run one tile with other parameters into a scratch store beside the production, without touching it."""
    from imperv.flows.tile.rerunning import scratch_production

    run([tile], scratch_production(config, tile, scratch, change or []), target)


app.command(rich_help_panel=TILE)(logs)
app.command(rich_help_panel=PRODUCTIONS)(europe)
app.command(rich_help_panel=PRODUCTIONS)(status)
app.command(rich_help_panel=PRODUCTIONS)(automations)


@app.command(rich_help_panel=PRODUCTIONS)
def update(
    now: Annotated[str, typer.Argument(help="New year, such as 2024, or twelve months.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Production file to write.")],
    config: Config = Path("production.toml"),
    clcplus_now: Annotated[str, typer.Option(help="CLCplus Backbone of the new year; a proxy stands in without it.")] = "",
    footprints: Annotated[list[str] | None, typer.Option(help="Footprints of the new `then`; repeatable.")] = None,
    catalogue: Annotated[str, typer.Option(help="Scenes; those of the last production by default.")] = "",
    only_finished: Annotated[bool, typer.Option("--only-finished", help="Leave out tiles that are not finished.")] = False,
) -> None:
    """Write the production of the next pair of years: what was now becomes then, with the maps made here as references."""
    from imperv.flows.production.updating import next_production

    made, left_out = next_production(
        config, now, output,
        clcplus_now=clcplus_now, footprints=tuple(footprints or ()), catalogue=catalogue, only_finished=only_finished,
    )  # fmt: skip
    if left_out:
        err.print(f"imperv: {len(left_out)} tiles are left out, as they are not finished: {', '.join(left_out)}", markup=False)
    out.print(f"{made}: run it with imperv europe --config {made}", markup=False)


@app.command(rich_help_panel=PRODUCTIONS)
def worker(
    pool: Annotated[str, typer.Option(help="Work pool of the type process.")] = "tiles",
    name: Annotated[str | None, typer.Option(help="Of this worker; Prefect makes one up.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 1,
) -> None:
    """Serve a work pool of the Prefect server, as `prefect worker start` does."""
    from imperv.flows.runtime.server import check_server, prepare_worker

    prepare_worker()
    check_server(pool=pool)
    from imperv.flows.runtime.worker import work

    work(pool, name, limit)


@app.command(rich_help_panel=QUALITY)
def report(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles; without any, the report of the whole production.")] = None,
    config: Config = Path("production.toml"),
    everything: Annotated[bool, typer.Option("--all", help="The reports of all tiles, then that of the production.")] = False,
) -> None:
    """Make the HTML report of tiles, or of the whole production, of whatever there is of them."""
    from imperv.flows.production.reporting import report_all, report_production, report_tile
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    if everything and tiles:
        raise InputError("--all makes the reports of all tiles: name tiles or give --all, not both")
    if everything:
        for path in report_all(production):
            out.print(path, markup=False)
    elif tiles:
        for tile in dict.fromkeys(tiles):
            out.print(report_tile(production, tile), markup=False)
    else:
        out.print(report_production(production), markup=False)


@app.command(rich_help_panel=HELP)
def demo(
    directory: Annotated[Path, typer.Argument(help="Folder to work in.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Edge of the simulated site in pixels of 10 m, whole kilometres.")] = 400,
) -> None:
    """Run the whole chain on a simulated corner of a tile and compare with the truth."""
    from imperv.flows.cli.demo import run_demo

    end(run_demo(directory, size, out, err))


@app.command(rich_help_panel=HELP)
def graph(
    form: Annotated[
        Form | None,
        typer.Option("--format", help="Form; by default that of the file's ending, or else mermaid.", show_default=False),
    ] = None,
    target: Targets = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; standard output by default.")] = None,
    product: Annotated[str | None, typer.Option(help="Product; that of the targets by default.", show_default=DEFAULT)] = None,
) -> None:
    """Draw the graph of layers."""
    from imperv.flows.cli.drawing import mermaid, svg
    from imperv.flows.plan.targets import resolve_targets
    from imperv.layers.catalogue import family_of
    from imperv.tasks.settings.production import production_class

    product = product or (family_of(target[0]) if target else DEFAULT)
    production_class(product, "--product")  # refuses a product that does not exist, and has its layers in the catalogue

    ending = Form.SVG if output is not None and output.suffix.lower() == ".svg" else Form.MERMAID
    text = (svg if (form or ending) is Form.SVG else mermaid)(resolve_targets(target, product), product)
    if output:
        with writing(output, "--output"):
            output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


INTERRUPTED = 128 + signal.SIGINT
"""What Typer makes of KeyboardInterrupt, without a word."""


def main(arguments: Sequence[str] | None = None) -> Any:
    """Entry point of the console command."""
    with stoppable() as signals:
        return _main(arguments, signals)


def _main(arguments: Sequence[str] | None, signals: Sequence[int]) -> int:
    """Run a command: its exit code, once what went wrong is said."""
    take_any_character()
    try:
        configure()
        code = app(args=arguments, prog_name="imperv", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except ImpervError as error:
        for line in str(error).splitlines():
            err.print(f"imperv: {line}", markup=False)
        code = 2 if isinstance(error, InputError) else 1
    except (typer.Abort, KeyboardInterrupt):
        err.print("imperv: stopped; what is finished is kept, run again to go on")
        code = 128 + signals[0] if signals else INTERRUPTED
    except (OSError, BotoCoreError) as error:  # a store or catalogue that does not answer
        err.print(f"imperv: {shown(' '.join(str(error).split()))}", markup=False)
        code = 1
    except Warning as warning:
        said = f"{type(warning).__name__}: {' '.join(str(warning).split())}"
        err.print(f"imperv: PYTHONWARNINGS makes an error of a warning of a library ({said}); unset it", markup=False)
        code = 2
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            out.print(str(getattr(error, "message", error)), markup=False)
            return 2
        # Typer carries its own copy of Click, whose usage errors are told by what they can do.
        if not hasattr(error, "format_message"):
            raise
        err.print(f"imperv: {error.format_message().replace('Value error, ', '')}", markup=False)
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)
