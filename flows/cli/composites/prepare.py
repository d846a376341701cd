"""The command ``imperv s2 prepare``: products of Sentinel-2 to files with one pixel size; no production file is needed."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import err, out, say
from imperv.tasks.errors import InputError, WorkError


class CloudMask(StrEnum):
    """Masks of clouds."""

    NONE = "none"
    L1C = "L1C"
    L2A = "L2A"


class LandSea(StrEnum):
    """What is removed."""

    NONE = "none"
    LAND = "land"
    SEA = "sea"


class Up(StrEnum):
    """Ways to smaller pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    CUBIC = "cubic"


class Down(StrEnum):
    """Ways to larger pixels."""

    FIRST = "first"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    MEDIAN = "median"


class Flags(StrEnum):
    """Ways to larger pixels, of masks."""

    FIRST = "first"
    AND = "and"
    OR = "or"
    MEDIAN_AND = "median-and"
    MEDIAN_OR = "median-or"


def prepare(
    products: Annotated[
        list[str],
        typer.Argument(metavar="PRODUCT...", help="SAFE folders or zips, STAC items, files or folders of either."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; or a file, of one overpass.")],
    resolution: Annotated[float, typer.Option(help="Pixel size, metres.", min=1)] = 10,
    bands: Annotated[str, typer.Option(metavar="LIST", help="Bands of Level-2A, in their order in the file.")] = "B2,B3,B4,B8",
    aoi: Annotated[
        str | None, typer.Option(metavar="AREA", help="Vector file, or WKT in degrees; default: the whole scene.")
    ] = None,
    cloud_mask: Annotated[
        CloudMask, typer.Option(help="Take out clouds: by classes of Level-2A's SCL, or by the mask of Level-1C.")
    ] = CloudMask.NONE,
    cloud_classes: Annotated[str, typer.Option(metavar="LIST", help="Classes of SCL that L2A takes out.")] = "3,8,9,10",
    land_sea_mask: Annotated[LandSea, typer.Option(help="Take out land, or the sea.")] = LandSea.NONE,
    dem: Annotated[Path | None, typer.Option(help="Elevation that tells them apart: 0 and no data are sea.")] = None,
    land: Annotated[Path | None, typer.Option(help="Polygons of land, in its place.")] = None,
    upsampling: Annotated[
        Up, typer.Option(metavar="WAY", help=f"How bands come to smaller pixels: {', '.join(Up)}.")
    ] = Up.NEAREST,
    downsampling: Annotated[
        Down, typer.Option(metavar="WAY", help=f"How bands come to larger pixels: {', '.join(Down)}.")
    ] = Down.FIRST,
    flag_downsampling: Annotated[
        Flags, typer.Option(metavar="WAY", help=f"How masks come to larger pixels: {', '.join(Flags)}.")
    ] = Flags.FIRST,
    projection: Annotated[
        str,
        typer.Option(metavar="CRS", help="Reference system, such as EPSG:4326; default: UTM of the scene.", show_default=False),
    ] = "",
    output_format: Annotated[str, typer.Option("--format", metavar="DRIVER", help="Format, by its name in GDAL.")] = "COG",
) -> None:
    """Prepare scenes for analysis: all bands at one pixel size, masks applied, any area and reference system."""
    from imperv.flows.cli.parts.showing import run_view
    from imperv.tasks.composites.prepare import Preparation
    from imperv.tasks.composites.prepare import prepare as prepare_files
    from imperv.tasks.native.area import area_of

    wanted = Preparation(
        bands=band_names(bands), resolution=resolution, area=area_of(aoi) if aoi else None, clouds=cloud_mask.value,
        classes=_classes(cloud_classes), removed=land_sea_mask.value, elevation=dem, land=land, upsampling=upsampling.value,
        downsampling=downsampling.value, flags=flag_downsampling.value, crs=projection, format=output_format,
    )  # fmt: skip
    with run_view(err) as view:
        view.started(output.name, "prepare")
        made, wrong = prepare_files(products, output, wanted, lambda step, done, total: view.advanced(done, total))
    for one in made:
        rows, columns = one.shape
        shape = f"{len(wanted.bands)} bands, {rows} x {columns} pixels, {projection or f'{resolution:g} m'}"
        out.print(f"{one.path}  {one.look.name}  {shape}, data {one.data:.1%}{', was there' if one.kept else ''}")
        if one.data == 0:
            say(f"warning: {one.path}: no pixel has data: clouds, masks or the area leave none")
    if wrong:
        raise WorkError("\n".join([*wrong, f"{len(wrong)} of {len(wrong) + len(made)} overpasses could not be prepared"]))


def band_names(text: str) -> tuple[str, ...]:
    """Bands as people write them, ``B2,b8a``, by their names; InputError for what is none or stands there twice."""
    from imperv.layers.reflectance import band_name

    words = [word for word in re.split(r"[,\s]+", text) if word]
    found = tuple(map(band_name, words))
    if "" in found:
        raise InputError(f"--bands: {words[found.index('')]} is no band; write a list such as B2,B3,B4,B8")
    if not found or len(set(found)) < len(found):
        raise InputError(f"--bands: {text!r}: name each band once, such as B2,B3,B4,B8")
    return found


def _classes(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(word) for word in filter(None, re.split(r"[,\s]+", text)))
    except ValueError:
        found = (-1,)
    if not found or not all(0 <= code <= 11 for code in found):
        raise InputError(f"--cloud-classes: {text!r} is no list of classes 0 to 11 of SCL, such as 3,8,9,10")
    return found
