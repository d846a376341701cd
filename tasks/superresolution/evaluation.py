"""Scores of super-resolution: at the degraded scale on the scene itself, and at full scale where a truth is given.

Parts of the scene (`models.parts_of`) are scored, blocks of ground in them drawn again for intervals. Beside the product stand
cubic and Lanczos interpolation, each also with back-projection, and gradient-boosted trees in place of the regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as Area

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.edges import edge_widths, find_edges
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.measures import BLOCK, comparison_scores, comparison_sums, opensr_scores, opensr_sums
from imperv.layers.sharpening.scene import DARKEST, PACE, ROUNDS
from imperv.layers.sharpening.steps import STEPS, TEN
from imperv.layers.sharpening.wald import CUBIC, LANCZOS, LANCZOS_PROJECTED, PROJECTED, degraded_sums
from imperv.layers.statistics.scores import estimates
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution.models import measured_bands, parts_of, scene_model, spread_alone
from imperv.tasks.superresolution.windows import MEASURED, reflectance, spread_of, window

PRODUCT = "this product"

SHOWN = ("rmse", "sre", "uiq", "sam", "ergas")
"""Scores of a table."""

OPENSR = ("improvement", "omission", "hallucination", "synthesis")

Scored = dict[str, dict[str, dict[str, Any]]]
"""By group of bands and way: score -> value, low, high."""


class Sums(NamedTuple):
    """What one way does in one part of a scene."""

    errors: np.ndarray
    """`measures.comparison_sums`."""
    shares: np.ndarray
    """`measures.opensr_sums`."""
    widths: np.ndarray
    """`edges.edge_widths`."""


def evaluate(
    jobs: Sequence[Job], truths: Mapping[str, str], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Evaluate finished tiles; `truths` maps ``"10"`` or ``"5"`` to a raster on the native grid with band names.

    InputError if a tile is not finished, or a truth does not fit.
    """
    for job in jobs:
        for symbol in ("SR_model", "SR10", *(["SR5"] if "5" in truths else [])):
            record = job.record(symbol)
            if record is None or not record.made:
                raise InputError(f"{symbol} of tile {job.tile} is not made; run the tile before it is evaluated")
    truth = {}
    for key, path in truths.items():  # first: a truth that does not fit is told before the rest takes its minutes
        truth[key] = _against_truth(jobs, int(key), path)
        progress(f"scored against {path}")
    degraded: dict[str, dict[str, list[np.ndarray]]] = {}
    for job in jobs:
        model, read = scene_model(job), measured_bands(job)
        for outlook in parts_of(job.grid_of(CATALOGUE["SR10"]).shape.yx):
            part = window(read, outlook)
            for name in STEPS:
                for way, sums in degraded_sums(name, part, model, peers=True).items():
                    degraded.setdefault(name, {}).setdefault(way, []).append(sums)
        progress(f"{job.tile}: scored at the degraded scale")
    found: dict[str, Any] = {"tiles": [str(job.tile) for job in jobs], "degraded": {}, "truth": truth}
    for name, ways in degraded.items():
        scores = comparison_scores(STEPS[name].bands, STEPS[name].factor)
        found["degraded"][name] = {way: _rounded(estimates([np.concatenate(parts)], scores)) for way, parts in ways.items()}
    return found


def _rounded(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {k: round(v, 6) if np.isfinite(v) else None for k, v in asdict(e).items()} for name, e in scores.items()}


def _against_truth(jobs: Sequence[Job], pixel: int, path: str) -> Scored:
    """The product, and interpolation, against a raster of finer pixels."""
    groups: dict[tuple[int, tuple[str, ...]], dict[str, list[Sums]]] = {}
    for job in jobs:
        layer, model = CATALOGUE[f"SR{pixel}"], spread_alone(job)
        grid, array, read = job.grid_of(layer), job.array(layer.symbol), measured_bands(job)
        for outlook in parts_of(job.grid_of(CATALOGUE["SR10"]).shape.yx):
            part = window(read, outlook)
            here = outlook.at(pixel)
            truth = _truth(path, here.geobox(grid), str(grid.crs))
            sharp = dict(zip(SHARP, reflectance(np.asarray(array[(slice(None), *here.slices)])), strict=True))
            for size in (s for s in MEASURED if s != pixel):
                names = tuple(n for n in SHARP if PIXEL[n] == size and n in truth)
                if not names or np.isnan(truth[names[0]]).all():
                    continue
                coarse, aim, found = (np.stack([source[n] for n in names]) for source in (part, truth, sharp))
                sums = _sums_by_way(names, coarse, aim, found, size // pixel, spread_of(names[0], pixel, model))
                for way, some in sums.items():
                    groups.setdefault((size, names), {}).setdefault(way, []).append(some)
    if not groups:
        raise InputError(f"--truth-raster {pixel}={path}: shows none of the area, or none of its bands; name another file")
    return {
        f"{size} m bands at {pixel} m": {way: _scores(names, size // pixel, parts) for way, parts in ways.items()}
        for (size, names), ways in groups.items()
    }


def _sums_by_way(
    names: Sequence[str], coarse: np.ndarray, aim: np.ndarray, sharp: np.ndarray, factor: int, sigma: float
) -> dict[str, Sums]:
    """Of the product and of interpolation in one part of the scene."""
    rounds = ROUNDS["10to5" if names[0] in TEN else "60to10" if factor > 4 else "20to10"]
    images = {}
    for plain, projected, kernel in ((CUBIC, PROJECTED, "cubic"), (LANCZOS, LANCZOS_PROJECTED, "lanczos")):
        images[plain] = enlarge(coarse, factor, kernel)  # type: ignore[arg-type]
        images[projected] = back_project(images[plain], coarse, factor, sigma, rounds, DARKEST, PACE)
    edges = find_edges(aim)
    return {
        way: Sums(
            comparison_sums(image, aim),
            opensr_sums(coarse, image, aim, factor, sigma, edge=BLOCK // factor * factor),
            edge_widths(image, edges),
        )
        for way, image in (images | {PRODUCT: sharp}).items()
    }


def _scores(names: Sequence[str], factor: int, parts: Sequence[Sums]) -> dict[str, Any]:
    errors, shares, widths = (np.concatenate(found) for found in zip(*parts, strict=True))
    scored = _rounded(estimates([errors], comparison_scores(names, factor))) | _rounded(estimates([shares], opensr_scores))
    if np.isfinite(widths).any():
        scored["edge"] = {"value": round(float(np.nanmedian(widths)), 3), "low": None, "high": None}
    return scored


def _truth(path: str, grid: Any, crs: str) -> dict[str, np.ndarray]:
    """Bands of a truth on a part of the native grid, by name; NaN where it has none."""
    try:
        with rasterio.open(path) as source:
            if str(source.crs) != crs:
                raise InputError(
                    f"--truth-raster {path}: is in {source.crs}, the native grid of the tile in {crs}; name one that is"
                )
            column, row = ~source.transform * (grid.affine.c, grid.affine.f)
            same = (source.transform.a, source.transform.e) == (grid.affine.a, grid.affine.e)
            if not same or abs(column - round(column)) > 1e-6 or abs(row - round(row)) > 1e-6:
                raise InputError(
                    f"--truth-raster {path}: its pixels are not those of {grid.affine.a:g} m of the tile's native grid"
                )
            area = Area(round(column), round(row), grid.shape.x, grid.shape.y)
            pixels = source.read(window=area, boundless=True, fill_value=0)
            names = [(text or "").split(" ")[0] for text in source.descriptions]
    except RasterioError as error:
        raise InputError(f"--truth-raster {path}: cannot be read ({' '.join(str(error).split())})") from None
    found = dict(zip(names, reflectance(pixels), strict=True))
    if not set(found) & set(SHARP):
        raise InputError(f"--truth-raster {path}: its bands are not named by Sentinel-2's bands; name them in their descriptions")
    return found


def tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `evaluate` gives as tables of text: title, columns, rows."""
    made = []
    for name, ways in found["degraded"].items():
        rows = [[way, *(_cell(scores[s], s) for s in SHOWN)] for way, scores in ways.items()]
        made.append(
            {"title": f"{name}, an octave lower on the scene itself", "columns": ["", *map(str.upper, SHOWN)], "rows": rows}
        )
    for key, groups in found["truth"].items():
        for group, ways in groups.items():
            names = (*SHOWN, *OPENSR, "edge")
            rows = [[way, *(_cell(scores.get(s), s) for s in names)] for way, scores in ways.items()]
            columns = ["", *map(str.upper, SHOWN), *OPENSR, "edge, pixels"]
            made.append({"title": f"{group}, against the truth at {key} m", "columns": columns, "rows": rows})
    return made


def _cell(score: Mapping[str, Any] | None, name: str) -> str:
    """A score, that of the error with its interval; all intervals are in the JSON."""
    if not score or score["value"] is None:
        return ""
    text = f"{score['value']:.3g}"
    return text if score["low"] is None or name != "rmse" else f"{text} [{score['low']:.3g}, {score['high']:.3g}]"
