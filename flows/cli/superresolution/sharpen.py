"""The command ``imperv sharpen``: one scene, or the clearest of a span, to one file; no production file is needed."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import counted, duration, err, out, say
from imperv.layers.network.precision import Precision
from imperv.tasks.errors import InputError


class To(StrEnum):
    """Pixel sizes that can be reached."""

    TEN = "10"
    FIVE = "5"


class Method(StrEnum):
    """Ways to sharpen."""

    NETWORK = "network"
    REGRESSION = "regression"


class LevelName(StrEnum):
    """Levels of processing."""

    AUTO = "auto"
    L1C = "L1C"
    L2A = "L2A"


def sharpen(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SCENE_OR_CATALOGUE",
            help="SAFE folder or zip, STAC item, file or folder of items or products, or the URL of a STAC API.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="GeoTIFF to write.")],
    aoi: Annotated[
        Path | None, typer.Option(help="Vector file of the area, in any reference system; default: the whole scene.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Day, month, year or span, such as 2021-06 or 2021-06-01/2021-06-20; default: any."),
    ] = None,
    to: Annotated[To, typer.Option(help="Pixel size to reach, metres.")] = To.TEN,
    method: Annotated[Method, typer.Option(help="Networks, or the regression alone, which is faster.")] = Method.NETWORK,
    tune: Annotated[bool, typer.Option("--tune", help="Train the networks on with the scene itself, for some minutes.")] = False,
    precision: Annotated[
        Precision, typer.Option(help="Numbers of the networks: bfloat16 takes half the time on processors with AMX.")
    ] = "float32",
    dates: Annotated[int, typer.Option(help="Dates that the bands at 5 m are made of.", min=1, max=16)] = 1,
    level: Annotated[LevelName, typer.Option(help="Level of processing.")] = LevelName.AUTO,
    mosaic: Annotated[
        bool, typer.Option("--mosaic", help="Take the median of all clear looks, in place of the clearest look.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the measured bands on the same pixels, too (OUTPUT_raw.tif).")
    ] = False,
    deviation: Annotated[
        bool, typer.Option("--deviation", help="Write the deviation of the bands, too (OUTPUT_deviation.tif).")
    ] = False,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory to stay within.")] = "8 GiB",
) -> None:
    """Sharpen one scene to a file with all bands at 10 m or 5 m; needs no production file."""
    from imperv.flows.cli.parts.showing import run_view
    from imperv.tasks.settings.periods import Period
    from imperv.tasks.settings.production import memory_of
    from imperv.tasks.superresolution.direct import Outcome, sharpen_scene
    from imperv.tasks.superresolution.request import Request

    began = time.perf_counter()
    try:
        period = Period.parse(date) if date is not None else None
    except ValueError as error:
        raise InputError(f"--date: {error}") from None
    request = Request(
        source=source, out=output, area=aoi, period=period, to=int(to), network=method is Method.NETWORK, tune=tune, dates=dates,
        precision=precision, level=level.value, mosaic=mosaic, raw=raw, deviation=deviation, memory=memory_of(memory),
    )  # fmt: skip
    with run_view(err) as view:
        made: Outcome = sharpen_scene(request, view.steps_of(output.name), _tell_plan)
    for warning in made.warnings:
        say(f"warning: {warning}")
    _show(made, time.perf_counter() - began)


def _tell_plan(plan: object) -> None:
    from imperv.tasks.settings.production import describe_bytes
    from imperv.tasks.superresolution.direct import Plan

    assert isinstance(plan, Plan)
    blocks = counted(plan.blocks, "block")
    say(f"planned: {blocks}, {duration(plan.core_seconds)} of one core, {describe_bytes(plan.memory)} of memory")


def _show(made: object, seconds: float) -> None:
    from imperv.tasks.superresolution.direct import Outcome

    assert isinstance(made, Outcome)
    chosen, (bands, rows, columns) = made.chosen, made.shape
    for look in made.looks:
        out.print(f"scene        {look.name}  {look.level}  {', '.join(scene.id for scene in look.scenes)}")
    out.print(f"clear        {chosen.clear:.1%} of the area, data {chosen.data:.1%}")
    if made.consistency:
        worst = max(made.consistency, key=lambda name: made.consistency[name])
        out.print(f"consistency  {made.consistency[worst]:.2f} at most ({worst}), reflectance x 10 000, degraded again")
    size = abs(chosen.grid.resolution.x) * chosen.grid.shape.x / columns
    crs = chosen.grid.crs
    out.print(f"method       {made.method}, {duration(seconds)}")
    out.print(f"file         {made.paths[0]}  {bands} bands, {rows} x {columns} pixels of {size:g} m, {crs}")
    for path in made.paths[1:]:
        out.print(f"file         {path}")
