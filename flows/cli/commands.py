"""The command ``imperv``: reads the request, calls the flow, and says in plain lines what happened.

Exit codes: 0 done; 1 work failed; 2 the request or the input is wrong.
"""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from botocore.exceptions import BotoCoreError

from imperv.flows.cli.config import config_app
from imperv.flows.cli.crops.commands import crops_app
from imperv.flows.cli.europe import europe
from imperv.flows.cli.imperviousness.compare import compare
from imperv.flows.cli.imperviousness.evaluate import evaluate
from imperv.flows.cli.imperviousness.validate import validate
from imperv.flows.cli.init import init
from imperv.flows.cli.landcover.tuning import landcover_app
from imperv.flows.cli.logs import logs
from imperv.flows.cli.models import model_app
from imperv.flows.cli.package import package
from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.cli.parts.names import Targets, TileName, job_of, tiles_argument
from imperv.flows.cli.patches.commands import patches_app
from imperv.flows.cli.portal import portal
from imperv.flows.cli.sentinel2 import s2_app
from imperv.flows.cli.simulate import simulate
from imperv.flows.cli.status import status
from imperv.flows.cli.superresolution.sharpen import sharpen
from imperv.flows.cli.verify import verify
from imperv.flows.runtime.console import (
    Config,
    Json,
    Yes,
    counted,
    end,
    err,
    named,
    out,
    say,
    show,
    silence,
    take_any_character,
)  # fmt: skip
from imperv.flows.runtime.logs import configure
from imperv.flows.runtime.stopping import stoppable
from imperv.layers.families import DEFAULT
from imperv.tasks.addresses import shown
from imperv.tasks.errors import ImpervError, InputError, writing

app = typer.Typer(
    help="Production chain of the Copernicus HRL Imperviousness: from a year of Sentinel-2 to maps of sealed surface.",
    epilog="imperv COMMAND --help explains a command. Exit codes: 0 done; 1 work failed; 2 the request or an input is wrong.",
    cls=Grouped, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
APPS = {"config": config_app, "model": model_app, "landcover": landcover_app, "crops": crops_app, "s2": s2_app}
for title, commands in {**APPS, "patches": patches_app}.items():
    app.add_typer(commands, name=title)
for command in (compare, europe, evaluate, init, logs, package, portal, sharpen, simulate, status, validate, verify):
    app.command()(command)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(f"imperv {version('imperv')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Options of imperv itself."""


PICTURES = (".png", ".svg", ".pdf")
"""Endings of drawn calendars."""


class Form(StrEnum):
    """Forms of the drawn graph."""

    MERMAID = "mermaid"
    SVG = "svg"


@app.command()
def scenes(
    tile: TileName,
    config: Config = Path("production.toml"),
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the calendar of clear looks: .png, .svg or .pdf.")] = None,
) -> None:
    """List the scenes of a tile with the decision on each of them; freezes nothing."""
    from imperv.flows.tile.scenes import as_table, calendar_lines, list_scenes, objections, plot_calendar, table_lines

    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise InputError(f"--plot: {plot}: name a file that ends in {', '.join(PICTURES)}")
    job = job_of(config, tile)
    found = list_scenes(job)
    show(as_table(found), (line for entry in found for line in (*table_lines(entry), *calendar_lines(entry))), as_json)
    if plot is not None:
        with writing(plot, "--plot"):
            plot_calendar(tile, found, plot)
    if lines := objections(job, found):
        raise InputError("\n".join(lines))


@app.command()
def plan(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles, or eea38-2024; default: those of the production.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", readable=False, help="Production file, maybe incomplete; optional with TILE."),
    ] = None,
    target: Targets = None,
    nodes: Annotated[bool | None, typer.Option("--nodes/--summary", help="A line for every node, or for every tile.")] = None,
    country: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Only tiles of this country, such as AT; repeatable.")
    ] = None,
    aoi: Annotated[Path | None, typer.Option(help="Only tiles that the features of this vector file touch.")] = None,
    workers: Annotated[int, typer.Option(help="Tiles at once, for the wall time.", min=1)] = 1,
    picture: Annotated[Path | None, typer.Option(help="Draw the tiles: .png or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Show what would run, why, and its cost; runs nothing."""
    from imperv.flows.cli.plan import chosen, planned, print_nodes, summary_lines
    from imperv.flows.cli.plan_map import draw_plans
    from imperv.flows.plan.production_plan import as_json as plans_as_json
    from imperv.flows.plan.production_plan import plan_production, totals

    production, assumed = planned(config, tiles or [], bool(tiles or country or aoi))
    if assumed:
        say(assumed)
    names = chosen(named(tiles, production.tile_names), country or [], aoi)
    if nodes if nodes is not None else len(names) <= 3 and picture is None:
        print_nodes(production, names, target, as_json)
        return
    plans = plan_production(production, names, target)
    total = totals(production, plans, workers)
    if picture is not None:
        draw_plans(plans, picture)
    show(plans_as_json(plans, total), summary_lines(plans, total), as_json)


@app.command()
def run(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles, such as E43N32; default: those of the production.")] = None,
    config: Config = Path("production.toml"),
    target: Targets = None,
    refresh_scenes: Annotated[
        bool, typer.Option("--refresh-scenes", help="Search the catalogue again, in place of the frozen lists.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Make and deliver the layers of tiles, in this process."""
    from imperv.flows.cli.guarding import ask_taken
    from imperv.flows.cli.parts.showing import run_view
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


@app.command()
def rerun(
    tile: TileName,
    scratch: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the new store; the production's own is only read.")],
    config: Config = Path("production.toml"),
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting to change, such as parameters.unet.epochs=40; repeatable."),
    ] = None,
    target: Targets = None,
) -> None:
    """Run a tile with other parameters into a scratch store; the production stays as it is."""
    from imperv.flows.tile.rerunning import scratch_production

    run([tile], scratch_production(config, tile, scratch, change or []), target)


@app.command()
def update(
    now: Annotated[str, typer.Argument(metavar="PERIOD", help="New year, such as 2024, or twelve months.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Production file to write.")],
    config: Config = Path("production.toml"),
    clcplus_now: Annotated[
        str, typer.Option(metavar="FILE", help="CLCplus Backbone of the new year; without it a proxy is used.")
    ] = "",
    footprints: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Building footprints of the new `then`; repeatable.")
    ] = None,
    catalogue: Annotated[
        str, typer.Option(metavar="URL", help="Catalogue of scenes; default: that of the last production.")
    ] = "",
    only_finished: Annotated[bool, typer.Option("--only-finished", help="Leave out unfinished tiles.")] = False,
) -> None:
    """Write the production file of the next pair of years; its references are the maps of this production."""
    from imperv.flows.production.updating import next_production

    made, left_out = next_production(
        config, now, output,
        clcplus_now=clcplus_now, footprints=tuple(footprints or ()), catalogue=catalogue, only_finished=only_finished,
    )  # fmt: skip
    if left_out:
        say(f"{counted(len(left_out), 'unfinished tile')} left out: {', '.join(left_out)}")
    out.print(f"{made}: run it with imperv europe --config {made}")


@app.command()
def worker(
    pool: Annotated[str, typer.Option(metavar="POOL", help="Work pool of type process.")] = "tiles",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this worker; default: made up by Prefect.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 1,
) -> None:
    """Serve a work pool of the Prefect server, as `prefect worker start` does."""
    from imperv.flows.runtime.server import check_server, prepare_worker

    prepare_worker()
    check_server(pool=pool)
    from imperv.flows.runtime.worker import work

    work(pool, name, limit)


@app.command()
def automations(
    notify: Annotated[str, typer.Option("--notify", metavar="URL", help="Web address that takes Slack's JSON.")],
) -> None:
    """Create the alerts of the Prefect server: silent and failed productions, failing tiles, pools without workers."""
    import asyncio

    from imperv.flows.runtime.server import ADDRESS, check_server, prepare_command
    from imperv.flows.runtime.server import named as named_server

    if not named_server():
        raise InputError(f"environment: {ADDRESS} names no Prefect server; set it, such as http://127.0.0.1:4200/api")
    prepare_command()
    check_server()
    from imperv.flows.runtime.automations import create_automations

    for name in asyncio.run(create_automations(notify)):
        out.print(name)


@app.command()
def report(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles; default: one report of the whole production.")] = None,
    config: Config = Path("production.toml"),
    everything: Annotated[bool, typer.Option("--all", help="Reports of all tiles, then that of the production.")] = False,
) -> None:
    """Make the HTML report of tiles, or of the whole production, finished or not."""
    from imperv.flows.production.reporting import report_all, report_production, report_tile
    from imperv.tasks.settings.production import Production

    production = Production.read(config)
    if everything and tiles:
        raise InputError("--all reports all tiles: name tiles or give --all, not both")
    every = report_all(production) if everything else (report_tile(production, tile) for tile in tiles or ())
    for path in every if everything or tiles else [report_production(production)]:
        out.print(path)


@app.command()
def demo(
    what: Annotated[
        str, typer.Argument(metavar="[PRODUCT]", help="landcover, or nothing for imperviousness; or the folder alone.")
    ] = "demo",
    directory: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="Folder to work in.")] = None,
    size: Annotated[int | None, typer.Option(help="Edge of the site in pixels of 10 m, a multiple of 100.")] = None,
) -> None:
    """Simulate a corner of a tile, run the whole chain on it, and compare the maps with the truth."""
    if what == "landcover":
        from imperv.flows.cli.landcover.demo import run_demo as run_landcover

        end(run_landcover(directory or Path("demo-landcover"), size or 200, out, err))
        return
    from imperv.flows.cli.imperviousness.demo import run_demo

    if directory is not None:
        raise InputError(f"{what}: there is no demo of it; write imperv demo [FOLDER] or imperv demo landcover [FOLDER]")
    end(run_demo(Path(what), size or 400, out, err))


@app.command()
def graph(
    form: Annotated[
        Form | None,
        typer.Option("--format", help="Form; default: that of the file's ending, else mermaid.", show_default=False),
    ] = None,
    target: Targets = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: standard output.")] = None,
    product: Annotated[str | None, typer.Option(help="Product; default: that of the targets.", show_default=DEFAULT)] = None,
) -> None:
    """Draw the graph of layers."""
    from imperv.flows.cli.drawing import mermaid, svg
    from imperv.flows.plan.targets import resolve_targets
    from imperv.layers.catalogue import family_of
    from imperv.tasks.settings.production import production_class

    product = product.lower() if product else family_of(target[0]) if target else DEFAULT
    production_class(product, "--product")  # refuses a product that does not exist, and has its layers in the catalogue

    ending = Form.SVG if output is not None and output.suffix.lower() == ".svg" else Form.MERMAID
    text = (svg if (form or ending) is Form.SVG else mermaid)(resolve_targets(target, product), product)
    if output:
        with writing(output, "--output"):
            output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


INTERRUPTED = 128 + signal.SIGINT
"""Exit code of Typer for KeyboardInterrupt."""


def main(arguments: Sequence[str] | None = None) -> Any:
    """Entry point of the console command."""
    with stoppable() as signals:
        code = _main(arguments, signals)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                silence(stream)
        return code


def _main(arguments: Sequence[str] | None, signals: Sequence[int]) -> int:
    """Run a command; its exit code, once what went wrong is said."""
    take_any_character()
    streams = sys.stdout, sys.stderr
    try:
        configure()
        code = app(args=arguments, prog_name="imperv", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except ImpervError as error:
        for line in str(error).splitlines():
            say(line)
        return 2 if isinstance(error, InputError) else 1
    except (typer.Abort, KeyboardInterrupt):
        say("stopped; what is finished is kept, run again to go on")
        return 128 + signals[0] if signals else INTERRUPTED
    except SystemExit as end:  # what Typer makes of every closed pipe, a server's included
        sys.stdout, sys.stderr = streams
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        if _is_closed(sys.stdout):  # as by head
            silence(sys.stdout)
            return 0
        say(str(end.__context__))
        return 1
    except (OSError, BotoCoreError) as error:  # a store or catalogue that does not answer
        say(shown(" ".join(str(error).split())))
        return 1
    except Warning as warning:
        text = f"{type(warning).__name__}: {' '.join(str(warning).split())}"
        say(f"PYTHONWARNINGS makes an error of a warning of a library ({text}); unset it")
        return 2
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            out.print(str(getattr(error, "message", error)))
            return 2
        # Typer carries its own copy of Click: its usage errors are known by what they can do.
        if not hasattr(error, "format_message"):
            raise
        say(error.format_message().replace("Value error, ", ""))
        return 2


def _is_closed(stream: IO[str]) -> bool:
    """True for a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
