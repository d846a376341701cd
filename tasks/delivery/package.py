"""A delivered coded map as one zip to hand over: map, style, summary, metadata as PDF, STAC Item, and what a product adds.

The same map gives the same bytes: entries have fixed times, and nothing says when it was packed.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.layers.palette import Palette
from imperv.tasks.delivery.delivery import delivered_layer, places_of
from imperv.tasks.delivery.metadata_pdf import Section, metadata_pdf, require_writer
from imperv.tasks.errors import InputError, writing
from imperv.tasks.job import Job

NAME = "classification"
"""Stem of the files of a map in a package."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all entries: the earliest that a zip can tell."""

VOLATILE = ("created", "updated", "processing:datetime")
"""Properties of a STAC Item that tell of the run and not of the map."""

RUN_DAYS = re.compile(r", from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d(?=, with)")
"""Days of the run in the statement of lineage."""


@dataclass(frozen=True)
class Contents:
    """What a product adds to a package of one of its maps."""

    sections: Sequence[Section] = field(default_factory=tuple)
    """Of the PDF, after those that all have."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by name."""
    layer: Layer | None = None
    """The layer with the classes of the production, where these are its own."""


@dataclass(frozen=True)
class ClassShare:
    """A class of a map."""

    code: int
    name: str
    colour: tuple[int, int, int]
    pixels: int
    share: float
    """Of what is mapped."""
    km2: float


def write_package(job: Job, symbol: str, out: Path, contents: Contents | None = None) -> list[str]:
    """Write the package of a delivered coded map at once or not at all; names of its files.

    InputError if the layer is not coded, not delivered, or no PDF can be written here.
    """
    require_writer()
    contents = contents or Contents()
    layer = contents.layer or delivered_layer(symbol)
    if layer.delivery is None or layer.delivery.palette is None or layer.delivery.palette.anchors:
        raise InputError(f"{symbol} is no map of classes, and only these are packed; name another with --layer")
    places = places_of(job, symbol)
    record = job.store.read_record(places.record)
    if record is None or not record.made or not job.store.data_in_place(record):
        raise InputError(f"{symbol} of tile {job.tile} is not delivered; first `imperv run {job.tile}`")

    def read(place: str) -> bytes:
        found: bytes = job.store.fs.cat_file(job.store.full(place))
        return found

    item = json.loads(read(places.stac))
    about = item["properties"]
    about["processing:lineage"] = RUN_DAYS.sub("", about.get("processing:lineage", ""))
    classes = classes_of(record.statistics[symbol]["histogram"], layer, layer.delivery.palette)
    files: dict[str, bytes] = {
        f"{NAME}.tif": read(places.tif),
        f"{NAME}.qml": read(places.style),
        f"{NAME}.png": read(places.quicklook),
        f"{NAME}.stac.json": _item(item, places.tif),
        "summary.txt": summary(job, layer, classes).encode("utf-8"),
        "metadata.pdf": metadata_pdf(job, layer, item, classes, contents.sections),
        **contents.files,
    }
    with writing(out, "--output"):
        draft = out.with_name(f".{out.name}.draft")
        try:
            with zipfile.ZipFile(draft, "w") as archive:
                for name in sorted(files):
                    entry = zipfile.ZipInfo(name, EPOCH)
                    entry.external_attr = 0o644 << 16
                    packed = zipfile.ZIP_STORED if name.endswith((".tif", ".png", ".pdf")) else zipfile.ZIP_DEFLATED
                    archive.writestr(entry, files[name], packed)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
    return sorted(files)


def classes_of(histogram: Mapping[str, int], layer: Layer, palette: Palette) -> list[ClassShare]:
    """Classes of a map with their pixels, in the order of the palette; no data left out."""
    nodata = int(layer.variables[0].nodata)
    codes = [code for code in palette.codes if code != nodata]
    counts = {code: int(histogram.get(str(code), 0)) for code in codes}
    total = max(sum(counts.values()), 1)
    pixel = layer.resolution**2 / 1e6
    return [ClassShare(code, palette.meaning(code), palette.colours[code], n, n / total, n * pixel) for code, n in counts.items()]


def summary(job: Job, layer: Layer, classes: Sequence[ClassShare]) -> str:
    """Area mapped, share of each class, resolution: plain text."""
    first, last = job.period(layer)
    width = max(len(one.name) for one in classes)
    lines = [
        layer.title,
        f"Tile         {job.tile}{' (a window of it)' if job.windowed else ''}",
        f"Period       {first.start} to {last.end}",
        f"Resolution   {layer.resolution:g} m, {job.grid_of(layer).crs}",
        f"Area mapped  {sum(one.km2 for one in classes):.4f} km2",
        "",
        *(f"{one.code:>3}  {one.name:<{width}}  {100 * one.share:6.2f} %  {one.km2:.4f} km2" for one in classes),
    ]
    return "\n".join(lines) + "\n"


def _item(item: dict[str, Any], tif: str) -> bytes:
    """The STAC Item with the names of the package, and without what tells of the run."""
    stem = PurePosixPath(tif).stem
    for name in VOLATILE:
        item["properties"].pop(name, None)
    item["links"] = []
    item.pop("collection", None)
    kept = {}
    for key, asset in item["assets"].items():
        name = PurePosixPath(asset["href"]).name
        ending = name.removeprefix(stem)
        if ending in (".tif", ".qml", ".png"):
            for volatile in VOLATILE:
                asset.pop(volatile, None)
            kept[key] = asset | {"href": f"./{NAME}{ending}"}
    item["assets"] = kept
    text = json.dumps(item, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return text.encode("utf-8")
