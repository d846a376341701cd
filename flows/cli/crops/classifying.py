"""The command ``imperv crops classify``: twelve GeoTIFFs to a map of crops, without a production file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import duration, err, out, say


def classify(
    composites: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Twelve GeoTIFFs of months, named in order or with the letters A to L.")
    ],
    model: Annotated[Path, typer.Option("--model", "-m", help="Model of twelve months, with its record beside it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="GeoTIFF to write.")],
    mask: Annotated[Path | None, typer.Option(help="GeoTIFF on the same grid: 0 is classified, all else is not.")] = None,
    majority: Annotated[int, typer.Option(help="Edge of the majority filter, pixels, odd; 0: none.", min=0, max=51)] = 0,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Write the probability of the crop, too (OUTPUT_confidence.tif).")
    ] = False,
) -> None:
    """Classify a season of monthly composites to a map of crops; imperv run does so for tiles of a production."""
    from imperv.flows.cli.parts.showing import run_view
    from imperv.tasks.crops.direct import Request, classify_folder

    began = time.perf_counter()
    request = Request(composites, model, output, mask, majority, confidence, os.cpu_count() or 1)
    with run_view(err) as view:
        view.started(output.name, "classify")
        made = classify_folder(request, view.advanced)
    for warning in made.warnings:
        say(f"warning: {warning}")
    total = max(sum(made.pixels.values()), 1)
    for name, count in sorted(made.pixels.items(), key=lambda pair: -pair[1]):
        if count:
            out.print(f"{name:<28}{count / total:7.1%}  {count} pixels", markup=False)
    rows, columns = made.shape
    out.print(f"not classified {made.unclassified} of {rows} x {columns} pixels")
    for path in made.paths:
        out.print(f"file         {path}")
    out.print(f"time         {duration(time.perf_counter() - began)}")
