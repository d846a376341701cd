"""The command ``imperv validate``: accuracy of maps by reference points or a reference raster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from imperv.flows.cli.parts.names import complete_layer, complete_tile, layer_name, tile_names
from imperv.tasks.errors import InputError, writing

if TYPE_CHECKING:
    from imperv.tasks.imperviousness.assessment.maps import Map

out = Console(soft_wrap=True, highlight=False)


def validate(
    reference: Annotated[Path, typer.Option("--reference", "-r", help="Points (CSV, GeoJSON, GeoPackage ...) or a raster.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Delivered GeoTIFFs or folders; default: those of the production.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", readable=False, help="Production file.")] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option(callback=tile_names, autocompletion=complete_tile, help="Only this tile of the production; repeatable."),
    ] = None,
    layer: Annotated[
        str,
        typer.Option("--layer", "-l", callback=layer_name, autocompletion=complete_layer, help="Layer to validate."),
    ] = "IMD_now",
    column: Annotated[str, typer.Option(help="Column of densities, percent; default: density.")] = "",
    class_column: Annotated[str, typer.Option(help="Column of class codes; default: class.")] = "",
    strata: Annotated[str, typer.Option(help="Column of the sample's strata.")] = "",
    weight: Annotated[str, typer.Option(help="Column of weights: 1 / inclusion probability.")] = "",
    stratum_area: Annotated[list[str] | None, typer.Option(help="NAME=KM2, area of a stratum; repeatable.")] = None,
    simple_random: Annotated[
        bool, typer.Option("--simple-random", help="Equal weights: no post-stratification by the map's areas.")
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="Percent from which a density is sealed, and a change of density a change.")
    ] = 1,
    crs: Annotated[str, typer.Option(help="Reference system of points in files without one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw densities against the reference into this PNG.")] = None,
) -> None:
    """Validate maps: accuracy with 95 % intervals, areas, and errors of density."""
    from imperv.flows.cli.imperviousness.validation_page import lines, plot_scatter
    from imperv.tasks.imperviousness.assessment.maps import Design
    from imperv.tasks.imperviousness.assessment.maps import validate as compare
    from imperv.tasks.imperviousness.assessment.reference_points import Columns

    design = Design(simple_random, _areas(stratum_area))
    columns = Columns(column, class_column, strata, weight)
    found = compare(
        _maps(paths, config, tile, layer), layer, reference, columns=columns, threshold=threshold, crs=crs, design=design
    )
    if as_json:
        out.print_json(json.dumps(found.as_dict()))
    else:
        for line in lines(found):
            out.print(line, markup=False)
    if plot is not None:
        with writing(plot, "--plot"):
            plot.write_bytes(plot_scatter(found))


def _maps(paths: list[Path] | None, config: Path | None, tiles: list[str] | None, layer: str) -> list[Map]:
    from imperv.tasks.imperviousness.assessment.maps import maps_of_files, maps_of_jobs
    from imperv.tasks.imperviousness.settings import only_imperviousness
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    if paths:
        return maps_of_files(paths, layer)
    if config is None:
        raise InputError("name delivered files or folders, or a production with --config")
    production = only_imperviousness(Production.read(config), config)
    return maps_of_jobs([Job.of(production, name) for name in tiles or production.tile_names], layer)


def _areas(texts: list[str] | None) -> dict[str, float] | None:
    found = {}
    for text in texts or ():
        name, _, area = text.rpartition("=")
        try:
            found[name] = float(area)
        except ValueError:
            found[name] = -1
        if not name or not found[name] > 0:
            raise InputError(f"--stratum-area {text}: write it like forest=1234.5")
    return found or None
