"""The command ``imperv compare``: differences of two stores, productions or folders of maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.names import complete_layer, complete_tile, layer_names, tile_names
from imperv.flows.runtime.console import Json, out


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Store, production file, GeoTIFF, or folder of GeoTIFFs.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, such as the folder of `imperv rerun --scratch`.")],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", "-l", metavar="LAYER", callback=layer_names, autocompletion=complete_layer,
            help="Only this layer; default: all final ones; repeatable.",
        ),
    ] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option(metavar="TILE", callback=tile_names, autocompletion=complete_tile, help="Only this tile; repeatable."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw A, B and their difference side by side into this PNG, SVG or PDF.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder with truth_imd_now.tif ...: score both.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Compare two productions, stores or folders of maps: pixels, areas, classes, parameters, software."""
    from imperv.flows.cli.imperviousness.comparison_page import as_dict, lines
    from imperv.flows.cli.imperviousness.comparison_picture import check_name, draw
    from imperv.tasks.imperviousness.assessment.comparing import compare as tally_of
    from imperv.tasks.imperviousness.assessment.comparison_sides import matched, open_sides
    from imperv.tasks.imperviousness.assessment.truth import Truth

    if picture is not None:
        check_name(picture)
    judge = None if truth is None else Truth.find(truth)
    sides = open_sides(a, b, layer, tile)
    found = [(pair, tally_of(pair, judge)) for pair in matched(*sides)]
    if as_json:
        out.print_json(json.dumps(as_dict(*sides, found)))
    else:
        for line in lines(*sides, found):
            out.print(line, markup=False)
    if picture is not None:
        note = draw(picture, *sides, found, every=bool(layer))
        if not as_json:
            out.print(note, markup=False)
