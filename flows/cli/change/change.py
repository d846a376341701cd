"""The command ``imperv s2 change``: two dates to change vectors and classes of change; no production file is needed."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import duration, err, out, say
from imperv.tasks.errors import InputError


class Threshold(StrEnum):
    """How the threshold is set."""

    AUTO = "auto"
    QUIET = "quiet"
    STUDENT = "student"
    CHI_SQUARED = "chi-squared"


DATE = "SAFE folder or zip, STAC item, or a catalogue with its date, such as items.json@2021-06-15."


def change(
    first: Annotated[str, typer.Argument(metavar="FIRST", help=f"The earlier date: {DATE}")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The later date, named alike.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the files.")],
    bands: Annotated[str, typer.Option(metavar="BANDS", help="Bands that changes are computed from.")] = "B2,B3,B4,B8",
    aoi: Annotated[
        str, typer.Option(metavar="WKT_OR_FILE", help="Polygon in degrees, or vector file; default: all that both dates show.")
    ] = "",
    resolution: Annotated[float, typer.Option(help="Pixel size, metres.")] = 10,
    projection: Annotated[
        str, typer.Option(metavar="CRS", help="Reference system, such as EPSG:4326; default: the UTM zone of the scenes.")
    ] = "",
    classes: Annotated[int, typer.Option(help="Classes of change.")] = 4,
    reference: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Reference vector of the angle, a number a band; default: 1,0,0,...")
    ] = "",
    confidence: Annotated[float, typer.Option(help="Level of confidence, percent.")] = 99.99,
    quiet: Annotated[
        str, typer.Option(metavar="CATALOGUE", help="Catalogue with dates around both, which set the threshold.")
    ] = "",
    threshold: Annotated[
        Threshold, typer.Option(help="How the threshold is set; auto: by quiet pairs, else Student's.")
    ] = Threshold.AUTO,
    days: Annotated[int, typer.Option(help="Days around either date in which quiet pairs are looked for.")] = 20,
    cloud_edge: Annotated[float, typer.Option(help="Metres around clouds, shadows and snow that are left out.")] = 40,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="COG, GTiff, HFA, ENVI or netCDF.")] = "COG",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory to stay within.")] = "4 GiB",
) -> None:
    """Find and classify the changes between two dates by change vector analysis; needs no production file."""
    from imperv.flows.cli.parts.showing import run_view
    from imperv.tasks.change.direct import change_of
    from imperv.tasks.change.request import Request
    from imperv.tasks.settings.production import memory_of

    began = time.perf_counter()
    try:
        vector = tuple(float(part) for part in reference.split(",")) if reference else ()
    except ValueError:
        raise InputError(f"--reference: {reference} is no list of numbers such as 1,0,0,0") from None
    request = Request(
        first=first, second=second, out=output, bands=tuple(part for part in bands.split(",") if part), area=aoi,
        resolution=resolution, projection=projection, classes=classes, reference=vector, confidence=confidence,
        threshold=threshold.value, quiet=quiet, days=days, cloud_edge=cloud_edge, form=form, memory=memory_of(memory),
    )  # fmt: skip
    with run_view(err) as view:
        found = change_of(request, view.steps_of(output.name))
    for warning in found.warnings:
        say(f"warning: {warning}")
    used = found.calibration
    rate = used.measured.get(used.method)
    for name, look in zip(("first", "second"), found.looks, strict=True):
        out.print(f"{name:<12} {look.name}")
    out.print(f"threshold    {used.threshold:.2f} ({used.method})")
    measured = (
        f"{rate.value:.4%} ({rate.low:.4%} to {rate.high:.4%})" if rate else "not measured, as there is no quiet pair of dates"
    )
    out.print(f"false alarms nominal {used.nominal:.4%}, measured {measured}")
    rows, columns = found.grid.shape
    out.print(f"classes      {len(found.centres)}, {duration(time.perf_counter() - began)}")
    out.print(f"files        {output}  {rows} x {columns} pixels of {found.pixel:g} m, {found.grid.crs}")
