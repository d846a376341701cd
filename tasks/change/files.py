"""Files of `imperv s2 change`: vectors, classes, style, quicklook, report, STAC Item and record, named when all are finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window
from shapely.geometry import mapping

from imperv.layers.catalogue.change import AMPLITUDE, ANGLE, palette_of
from imperv.tasks.change.direct import Outcome
from imperv.tasks.change.pictures import (
    POINTS,
    class_map,
    class_rows,
    date_maps,
    noise_rows,
    polar_chart,
    rates,
    shown_bands,
    thinned_classes,
)
from imperv.tasks.change.request import FORMS, Request, Tell
from imperv.tasks.delivery.cog import BLOCK, Summary, copy_as_cog, draft_form
from imperv.tasks.delivery.quicklooks import write_quicklook
from imperv.tasks.delivery.stac import checksum
from imperv.tasks.delivery.styles import grey_qml, style_qml
from imperv.tasks.errors import WorkError
from imperv.tasks.report.page import number, render

ROWS = 2 * BLOCK
"""Rows that are written at once."""

RECORD = "change.json"
"""Written last: with it all files are there."""


def draft_bytes(grid: GeoBox) -> int:
    """Room that the files take while they are made."""
    return int(grid.shape.x * grid.shape.y) * 30


def write_files(request: Request, found: Outcome, reference: Sequence[float], tell: Tell) -> None:
    """Write all files of a request. WorkError if GDAL cannot write one."""
    folder = request.out / ".draft"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    ending = FORMS[request.form]
    vectors, classes = folder / f"CVA{ending}", folder / f"S2-CD{ending}"
    tags = _tags(request, found, reference)
    try:
        tell("write", 0, 4)
        amplitude = _write(request, found, vectors, tags, coded=False)[0]
        (folder / "CVA.qml").write_text(grey_qml(*amplitude.shown), encoding="utf-8")
        tell("write", 1, 4)
        histogram = _write(request, found, classes, tags, coded=True)[0].histogram
        tell("write", 2, 4)
        palette = palette_of(request.classes)
        (folder / "S2-CD.qml").write_text(style_qml(palette, 255), encoding="utf-8")
        write_quicklook(folder / "S2-CD.png", classes, palette)
        counts = {str(code): count for code, count in histogram.items()}
        record = _record(request, found, reference, counts)
        (folder / "report.html").write_text(render("change.html.j2", page=_page(request, found, counts)), encoding="utf-8")
        tell("write", 3, 4)
        (folder / "change.stac.json").write_text(_item(found, record, folder, vectors, classes), encoding="utf-8")
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (request.out / RECORD).unlink(missing_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == RECORD):
            path.replace(request.out / path.name)
        tell("write", 4, 4)
    except RasterioError as error:
        raise WorkError(f"{request.out}: GDAL cannot write it ({' '.join(str(error).split())})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(request: Request, found: Outcome, path: Path, tags: dict[str, str], coded: bool) -> list[Summary]:
    """Vectors or classes by way of a draft; what the bands hold."""
    dtype, nodata, names = ("uint8", 255, ("change",)) if coded else ("float32", float("nan"), (AMPLITUDE, ANGLE))
    grid, draft = found.grid, path.with_suffix(".draft")
    bands = [Summary(nodata, coded) for _ in names]
    with rasterio.open(draft, "w", **draft_form(grid, len(names), dtype, nodata)) as out:
        for first in range(0, grid.shape.y, ROWS):
            rows = slice(first, min(first + ROWS, grid.shape.y))
            pixels = found.codes(rows)[None] if coded else np.asarray(found.vectors[:, rows])
            out.write(pixels, window=Window(0, first, grid.shape.x, rows.stop - first))
            for band, values in zip(bands, pixels, strict=True):
                band.add(values)
        out.update_tags(title="Classes of change" if coded else "Change vectors", **tags)
        out.descriptions = names
        if coded:
            out.write_colormap(1, dict(enumerate(palette_of(request.classes).colours)))
        else:
            out.units = ("standard deviations of the noise", "degrees")
        for k, band in enumerate(bands, 1):
            out.update_tags(k, **band.tags)
    if request.form == "COG":
        copy_as_cog(draft, path, Resampling.nearest if coded else Resampling.average, NUM_THREADS=request.workers)
    else:
        rasterio.shutil.copy(
            draft, path, driver=request.form, **({"COMPRESS": "DEFLATE", "TILED": "YES"} if request.form == "GTiff" else {})
        )
    draft.unlink()
    return bands


def _tags(request: Request, found: Outcome, reference: Sequence[float]) -> dict[str, str]:
    """How a file was made, as it says itself."""
    from importlib.metadata import version

    rate = found.calibration.measured.get(found.calibration.method)
    measured = f"{rate.value:.3g} ({rate.low:.3g} to {rate.high:.3g})" if rate else "not measured"
    return {
        "first": ", ".join(scene.id for scene in found.looks[0].scenes),
        "second": ", ".join(scene.id for scene in found.looks[1].scenes),
        "bands": ", ".join(found.bands), "reference": ", ".join(f"{value:g}" for value in reference),
        "threshold": f"{found.calibration.threshold:.4g}, {found.calibration.method}",
        "false_alarms": f"nominal {found.calibration.nominal:.3g}, measured {measured}",
        "software": f"imperv {version('imperv')}",
    }  # fmt: skip


def _record(request: Request, found: Outcome, reference: Sequence[float], histogram: dict[str, int]) -> dict[str, Any]:
    """All that is known of the maps."""
    return {
        "first": [asdict(scene) for scene in found.looks[0].scenes],
        "second": [asdict(scene) for scene in found.looks[1].scenes],
        "bands": list(found.bands), "reference": list(reference), "confidence": request.confidence,
        "cloud_edge": request.cloud_edge, "crs": str(found.grid.crs), "pixel": request.resolution,
        "noise": found.noise.to_json(), "threshold": found.calibration.to_json(),
        "classes": [asdict(centre) for centre in found.centres], "histogram": histogram, "warnings": list(found.warnings),
        "software": _tags(request, found, reference)["software"],
    }  # fmt: skip


def _item(found: Outcome, record: dict[str, Any], folder: Path, vectors: Path, classes: Path) -> str:
    """STAC Item of the pair, with relative links."""
    outline = found.grid.extent.to_crs("EPSG:4326").geom
    days = [look.day for look in found.looks]
    item = pystac.Item(
        f"change_{days[0]}_{days[1]}", mapping(outline), list(outline.bounds), None,
        {"start_datetime": f"{days[0]}T00:00:00Z", "end_datetime": f"{days[1]}T23:59:59Z", "constellation": "sentinel-2",
         "instruments": ["msi"], "change:bands": record["bands"], "change:threshold": record["threshold"]["threshold"],
         "change:threshold_method": record["threshold"]["method"], "change:false_alarms_nominal": record["threshold"]["nominal"],
         "change:false_alarms_measured": record["threshold"]["measured"].get(
             record["threshold"]["method"], "not measured: no quiet pair of dates")},
    )  # fmt: skip
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        epsg=found.grid.crs.epsg if found.grid.crs else None,
        shape=list(found.grid.shape.yx),
        transform=list(found.grid.affine)[:6],
    )
    cog = pystac.MediaType.COG if vectors.suffix == ".tif" else None
    assets = {
        "cva": (vectors, "Change vectors: amplitude and angle", cog, "data"),
        "s2-cd": (classes, "Classes of change", cog, "data"),
        "style": (folder / "S2-CD.qml", "QGIS style", "application/xml", "style"),
        "quicklook": (folder / "S2-CD.png", "Quicklook", pystac.MediaType.PNG, "overview"),
        "report": (folder / "report.html", "Report", pystac.MediaType.HTML, "metadata"),
    }
    for key, (path, title, media, role) in assets.items():
        item.add_asset(key, pystac.Asset(f"./{path.name}", title, media_type=media, roles=[role]))
        FileExtension.ext(item.assets[key], add_if_missing=True).apply(checksum=checksum(path), size=path.stat().st_size)
    return json.dumps(item.to_dict(include_self_link=False), indent=1) + "\n"


def _page(request: Request, found: Outcome, histogram: dict[str, int]) -> dict[str, Any]:
    """What the report shows."""
    grid, step, places = found.grid, found.step, shown_bands(found.bands)
    bounds = (0.0, 0.0, request.resolution * grid.shape.x, request.resolution * grid.shape.y)
    note = f"every {step}th pixel" if step > 1 else ""
    days = [str(look.day) for look in found.looks]
    rows = step * max(1, ROWS // step)
    codes = [thinned_classes(found.codes(slice(y, min(y + rows, grid.shape.y))), step) for y in range(0, grid.shape.y, rows)]
    amplitude, angle, kinds = _points(found)
    thinned = f"the most frequent change of {step} × {step} pixels" if step > 1 else ""
    return {
        "name": " and ".join(days), "kind": "two dates", "crs": str(grid.crs).upper(), "bands": found.bands, "locator": "",
        "period": " to ".join(look.name for look in found.looks), "pixel": f"{request.resolution:g} m",
        "extent": f"{number(bounds[2] / 1000, 1)} × {number(bounds[3] / 1000, 1)} km",
        "run": {}, "warnings": [("", text) for text in found.warnings], "troubles": [],
        "dates": date_maps([date[list(places[0])] for date in found.dates], days, places[1], bounds, note), "colours": places[1],
        "map": class_map(np.concatenate(codes), len(found.centres), bounds, thinned),
        "polar": polar_chart(amplitude, angle, kinds, found.centres, found.calibration.threshold),
        "rates": rates(found.calibration), "held_out": found.calibration.held_out, "pairs": found.calibration.pairs,
        "classes": class_rows(histogram, [asdict(centre) for centre in found.centres], request.resolution**2 / 1e6),
        "noise": noise_rows(found.noise, found.bands), "registration": found.noise.registration**0.5,
        "freedom": found.noise.freedom, "rows": [], "parameters": [],
    }  # fmt: skip


def _points(found: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Changed pixels for the polar plane."""
    parts = []
    for first in range(0, found.grid.shape.y, ROWS):
        rows = slice(first, first + ROWS)
        codes = found.codes(rows)
        changed = (codes > 0) & (codes < 255)
        step = max(1, int(changed.sum()) // POINTS)
        parts.append(np.vstack([found.vectors[:, rows][:, changed], codes[changed]])[:, ::step])
    amplitude, angle, kinds = np.concatenate(parts, 1)
    return amplitude, angle, kinds.astype(int)
