"""Maps of images by a model of patches: strip by strip, as cloud-optimised GeoTIFFs that are whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.palette import Palette, Rgb
from imperv.layers.patches.mapping import map_strips, strip_bytes
from imperv.tasks.delivery.cog import copy_as_cog, draft_form
from imperv.tasks.delivery.styles import style_qml
from imperv.tasks.errors import InputError, WorkError, writing
from imperv.tasks.files import file_digest, write_whole
from imperv.tasks.patches.extraction import Tell
from imperv.tasks.patches.images import Image, open_image, read_pixels
from imperv.tasks.patches.models import PatchModel, record_path
from imperv.tasks.store.records import digest_of

COLOURS: tuple[Rgb, ...] = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194), (188, 189, 34),
    (23, 190, 207), (174, 199, 232), (255, 187, 120), (152, 223, 138), (255, 152, 150), (197, 176, 213), (196, 156, 148),
    (247, 182, 210), (219, 219, 141), (158, 218, 229),
)  # fmt: skip
"""Of the classes, in the order of their codes, from the start again after eighteen."""

REST: Rgb = (235, 235, 235)
"""Of the background."""

PERCENT, NO_PROBABILITY = 100, 255
"""Probabilities are kept in percent; where there are no data."""

KEY = "IMPERV_KEY"
"""Tag of a map that says what it was made of."""


@dataclass(frozen=True)
class Mapped:
    """One map."""

    path: Path
    made: bool
    """False where it was there already."""
    shares: dict[int, float]
    """Share of the pixels with data of each code."""
    memory: int
    """About the bytes that a strip takes."""


def palette_of(model: PatchModel, names: Mapping[str, str]) -> Palette:
    """Codes, names and colours of the maps of a model."""
    table: list[Rgb] = [(0, 0, 0)] * 256
    for number, code in enumerate(model.classes.codes):
        table[code] = COLOURS[number % len(COLOURS)]
    named = [(code, names.get(str(code), f"class {code}")) for code in model.classes.codes]
    if model.classes.background:
        table[0], named = REST, [(0, "background"), *named]
    codes = (*model.classes.map_codes, model.classes.nodata)
    return Palette(codes, tuple(table), tuple(named))


def image_for(model: PatchModel, path: Path) -> Image:
    """An image with the bands of a model; InputError where it lacks one."""
    named = all(name.startswith("B") for name in model.bands)
    image = open_image(path, model.bands if named else None)
    if image.bands != model.bands:
        raise InputError(
            f"{path}: has bands {', '.join(image.bands)}, the model {model.path.name} was trained on {', '.join(model.bands)}"
        )
    return image


def predict_image(
    model: PatchModel, image: Image, path: Path, probabilities: bool = False, tell: Tell = lambda *_: None
) -> Mapped:
    """Map an image; with `probabilities` a second file ``x_probability.tif`` has those of all classes in percent.

    A map of the same image and model is not made again.
    """
    names: dict[str, str] = json.loads(record_path(model.path).read_text(encoding="utf-8"))["classes"]["names"]
    classes, key = model.classes, digest_of(["map 1", model.digest, file_digest(image.path), probabilities])
    memory = strip_bytes(image.shape[1], model.window, len(model.bands), classes.outputs)
    second = path.with_name(f"{path.stem}_probability.tif")
    if (shares := _finished(path, key)) is not None and (second.exists() or not probabilities):
        return Mapped(path, False, shares, memory)
    palette = palette_of(model, names)
    files = {path: (1, classes.nodata), **({second: (classes.outputs, NO_PROBABILITY)} if probabilities else {})}
    drafts = {place: place.with_name(f".{place.name}.draft") for place in files}
    cogs = {place: place.with_name(f".{place.name}.cog") for place in files}
    counts = np.zeros(256, "i8")
    outs: dict[Path, Any] = {}
    try:
        with writing(path, "--output"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path.with_suffix(".qml"), style_qml(palette, classes.nodata))
        for place, (bands, nodata) in files.items():
            outs[place] = rasterio.open(drafts[place], "w", **_form(image, bands, nodata))
        codes = np.array(classes.map_codes, "u1")
        with rasterio.open(image.path) as source:
            strips = map_strips(
                image.shape,
                lambda top, bottom, left, right: np.moveaxis(
                    read_pixels(source, image, (top, left, bottom - top, right - left)), 0, -1
                ),
                model.predict, model.window, classes.outputs, np.asarray(model.normalisation.mean, "f4"),
                advance=lambda done, total: tell("strips", done, total),
            )  # fmt: skip
            for top, found, known in strips:
                chosen = np.where(known, codes[found.argmax(0)], classes.nodata).astype("u1")
                counts += np.bincount(chosen.ravel(), minlength=256)
                window = Window(0, top, known.shape[1], known.shape[0])
                outs[path].write(chosen, 1, window=window)
                if probabilities:
                    percent = np.where(known, np.rint(PERCENT * found), NO_PROBABILITY).astype("u1")
                    outs[second].write(percent, window=window)
        counts[classes.nodata] = 0
        shares = {int(code): float(counts[code] / max(counts.sum(), 1)) for code in np.flatnonzero(counts)}
        outs[path].write_colormap(1, dict(enumerate(palette.colours)))
        outs[path].descriptions = ("class",)
        if probabilities:
            outs[second].descriptions = [palette.meaning(code) for code in classes.map_codes]
            outs[second].units = ("percent",) * classes.outputs
            outs[second].colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (classes.outputs - 1)
        for place, out in outs.items():
            out.update_tags(**{KEY: key, "IMPERV_SHARES": json.dumps(shares), "model": model.path.name})
            out.close()
            copy_as_cog(drafts[place], cogs[place], Resampling.nearest if place == path else Resampling.average)
        for place in reversed(files):  # the map last: it says that all is there
            cogs[place].replace(place)
    except RasterioError as error:
        raise WorkError(f"{path}: GDAL cannot write it ({' '.join(str(error).split())})") from None
    finally:
        for out in outs.values():
            out.close()
        for place in files:
            drafts[place].unlink(missing_ok=True)
            cogs[place].unlink(missing_ok=True)
    return Mapped(path, True, shares, memory)


def _form(image: Image, bands: int, nodata: int) -> dict[str, Any]:
    form = draft_form(image.grid, bands, "uint8", nodata)
    return form if image.grid.crs is not None else form | {"crs": None}


def _finished(path: Path, key: str) -> dict[int, float] | None:
    """Shares of the classes of a map that was made of the same; None where there is none."""
    if not path.exists():
        return None
    try:
        with rasterio.open(path) as source:
            tags = source.tags()
    except RasterioError:
        return None
    if tags.get(KEY) != key:
        return None
    return {int(code): share for code, share in json.loads(tags["IMPERV_SHARES"]).items()}
