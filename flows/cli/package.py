"""The command ``imperv package``: a delivered map of classes as one zip to hand over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.names import TileName, complete_layer, job_of, layer_name
from imperv.flows.runtime.console import Config, out
from imperv.tasks.errors import InputError


def package(
    tile: TileName,
    config: Config = Path("production.toml"),
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            callback=layer_name,
            autocompletion=complete_layer,
            help="Coded layer; default: the product's map.",
        ),  # fmt: skip
    ] = None,
    number: Annotated[
        int | None, typer.Option("--round", min=0, help="Round of tuning; 0 for the base map; default: the present one.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Zip to write; default: named by map and tile.")] = None,
) -> None:
    """Pack a delivered map of classes: GeoTIFF, QGIS style, summary, metadata as PDF, STAC Item, training polygons."""
    from imperv.layers.catalogue import CATALOGUE, layers_of
    from imperv.tasks.delivery.package import write_package
    from imperv.tasks.families import family

    job = job_of(config, tile)
    own = family(job.family).package
    symbol = layer or ""
    name = symbol or (f"round_{number}" if number is not None else "map")
    target = output or Path(f"{job.family}_{name}_{tile}_{job.production.periods.whole.replace('/', '_')}.zip")
    if own is not None:
        files = own(job, symbol, number, target)
    else:
        if number is not None:
            raise InputError(f"--round {number}: product {job.family} has no rounds; leave it out")
        if not symbol:
            maps = {s: one.delivery.palette for s in layers_of(job.family) if (one := CATALOGUE[s]).delivery}
            coded = [s for s, palette in maps.items() if palette and not palette.anchors]
            raise InputError(f"--layer: name the map of product {job.family} to pack, such as {', '.join(coded[:5])}")
        files = write_package(job, symbol, target)
    out.print(f"{target}: {', '.join(files)}", markup=False)
