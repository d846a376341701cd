"""The commands ``imperv landcover``: tuning by polygons, rounds, places to draw next, auxiliary maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.cli.parts.names import TileName, job_of
from imperv.flows.runtime.console import Config, Json, err, out, say
from imperv.tasks.errors import InputError, writing

if TYPE_CHECKING:
    from imperv.tasks.job import Job

landcover_app = typer.Typer(
    help="Tune land cover with polygons, keep and compare rounds, find where to draw next.", cls=Grouped, no_args_is_help=True
)

Output = Annotated[Path | None, typer.Option("--output", "-o", help="GeoJSON; default: standard output.")]
Round = Annotated[int, typer.Argument(metavar="ROUND", min=0, help="Number of a round; 0 is the base map.")]


def _job(config: Path, tile: str) -> Job:
    job = job_of(config, tile)
    if job.family != "landcover":
        raise InputError(f"{config}: makes {job.family}; this command is of product landcover only")
    return job


@landcover_app.command()
def tune(
    tile: TileName,
    polygons: Annotated[Path, typer.Option("--polygons", "-p", help="GeoJSON or GeoPackage with a column class.")],
    config: Config = Path("production.toml"),
    networks: Annotated[
        bool, typer.Option("--network", help="Train the networks on with the polygons: slow, minutes instead of seconds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tune the map of a tile with polygons: a new round, which is kept, made the present one, and delivered."""
    from imperv.tasks.landcover.session import read_polygons, tune_tile

    job = _job(config, tile)
    _show_round(tune_tile(job, read_polygons(job, polygons), networks), as_json)


@landcover_app.command()
def restore(tile: TileName, number: Round, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """Go back to a round, 0 for the base map alone."""
    from imperv.tasks.landcover import session

    found = session.restore(_job(config, tile), number)
    if number:
        _show_round(found, as_json)
    else:
        say(f"{tile}: the base map alone; rounds are kept")


@landcover_app.command()
def rounds(tile: TileName, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """List the rounds of a tile with their scores on left-out polygons."""
    from imperv.layers.statistics.scores import percent_text
    from imperv.tasks.landcover import session

    found = session.rounds(_job(config, tile))
    if as_json:
        out.print_json(json.dumps(found))
        return
    for one in found:
        mark = "*" if one["present"] else " "
        if not one["finished"]:
            out.print(f"{mark} round {one['round']:<3} {one['created']}  {one['polygons']} polygons, not finished")
            continue
        accuracy = percent_text(one["scores"]["scores"].get("oa"))
        out.print(
            f"{mark} round {one['round']:<3} {one['created']}  {one['polygons']:>4} polygons, {one['way']}  "
            f"accuracy on left-out polygons {accuracy}  {one['changed_share']:.1%} of the base map changed"
        )
    out.print(f"{len(found)} rounds; * is the present one")


@landcover_app.command()
def compare(tile: TileName, first: Round, second: Round, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """Compare two rounds: pixels by class in both maps."""
    from imperv.tasks.landcover import session

    found = session.compare(_job(config, tile), first, second)
    if as_json:
        out.print_json(json.dumps(found))
        return
    names = found["classes"]
    width = max(map(len, names))
    out.print(f"pixels: rows round {first}, columns round {second}")
    out.print(" " * width + "".join(f"{name[:11]:>12}" for name in names))
    for name, row in zip(names, found["pixels"], strict=True):
        out.print(f"{name:<{width}}" + "".join(f"{count:>12}" for count in row))
    out.print(f"{found['changed_share']:.1%} differ")


@landcover_app.command()
def suggest(
    tile: TileName,
    config: Config = Path("production.toml"),
    count: Annotated[int, typer.Option(min=1, max=1000, help="Places.")] = 10,
    output: Output = None,
) -> None:
    """Name the places where a polygon would tell most, as GeoJSON."""
    from imperv.tasks.landcover import session

    job = _job(config, tile)
    found = session.suggest(job, count)
    _write(session.suggestions_geojson(job, found), output, f"{len(found)} places")


@landcover_app.command()
def polygons(tile: TileName, number: Round, config: Config = Path("production.toml"), output: Output = None) -> None:
    """Write the polygons of a round as GeoJSON in degrees."""
    from imperv.tasks.landcover.rounds import read_round
    from imperv.tasks.samples import as_geojson, of_store

    job = _job(config, tile)
    samples = of_store(read_round(job, number)["polygons"], job.production.parameters.classes.classes)
    _write(as_geojson(samples), output, f"{len(samples)} polygons")


@landcover_app.command()
def auxiliary(tile: TileName, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """List the maps to compare with, their legends, and what of the tile each class takes."""
    from imperv.tasks.landcover.auxiliary import auxiliary_maps

    found = [one.to_json() for one in auxiliary_maps(_job(config, tile))]
    if as_json:
        out.print_json(json.dumps(found))
        return
    for one in found:
        out.print(f"{one['name']}: {one['title']} ({one['path']})", markup=False)
        for entry in one["legend"]:
            out.print(f"  {entry['code']:>6}  {entry['colour']}  {entry['name']:<60} {entry['share']:.1%}", markup=False)


def _write(text: str, output: Path | None, what: str) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    with writing(output, "--output"):
        output.write_text(text, encoding="utf-8")
    err.print(f"{output}: {what}", markup=False)


def _show_round(found: dict[str, Any], as_json: bool) -> None:
    from imperv.layers.statistics.scores import percent_text
    from imperv.tasks.landcover.rounds import BULKY

    if as_json:
        short = {key: value for key, value in found.items() if key not in BULKY}
        out.print_json(json.dumps(short))
        return
    for line in found["warnings"]:
        say(f"warning: {line}")
    scores = found["scores"]
    out.print(f"round {found['round']}  {scores['polygons']} polygons, {found['seconds']:.1f} s")
    out.print(f"accuracy on left-out polygons  {percent_text(scores['scores'].get('oa'))}")
    for k, name in enumerate(scores["classes"]):
        drawn = found["classes"].get(name)
        if drawn:
            text = percent_text(scores["scores"].get(f"f1_{k}"))
            out.print(f"  {name:<20} F1 {text}  {drawn['polygons']} polygons, {drawn['pixels']} pixels")
    out.print(f"changed  {found['changed_share']:.1%} of the base map")
