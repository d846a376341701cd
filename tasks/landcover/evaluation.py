"""Scores of land cover against a truth: of the stored maps, and of models on ground that none of them saw, beside baselines.

Held-out ground is a chessboard of blocks: models learn from the labels of one colour and are asked on the other. Intervals are of
a bootstrap over blocks of space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.landcover.classes import LandClass, class_numbers
from imperv.layers.landcover.features import BANDS, local_deviation, local_mean, stack_features
from imperv.layers.landcover.patches import TYPES
from imperv.layers.network.baselines import BOOSTING, RANDOM_FOREST, fit_class_baseline
from imperv.layers.network.heads import ClassHead
from imperv.layers.network.prediction import predict
from imperv.layers.network.sampling import Region
from imperv.layers.network.training import train
from imperv.layers.network.unet import configure_threads
from imperv.layers.statistics.classes import blocks_of, class_counts, class_scores
from imperv.layers.statistics.scores import estimates
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.landcover.model import origin_of, read_features
from imperv.tasks.landcover.reference import labels_of, with_gaps
from imperv.tasks.landcover.season import read_season, seasonal_names
from imperv.tasks.landcover.tuning import training_samples
from imperv.tasks.landcover.types import type_points
from imperv.tasks.samples import rasterise
from imperv.tasks.scenes.reading import open_full_resolution, warp

SQUARE = 128
"""Edge of the squares of the chessboard, pixels."""

EDGE = 64
"""Edge of the blocks of space that intervals draw again, pixels."""

LARGEST = 4000
"""Edge of the largest tile that models are trained anew on, pixels."""

PIXELS = 40_000
"""Pixels that a baseline learns from."""

AROUND = 2
"""Pixels each way of the local mean and deviation that baselines see beside the features."""

TRUTHS = ("classes", "types")

POLYGONS_ALONE = "random forest on the polygons alone"
"""What people do in a GIS today."""

NO_DATA = 255


@dataclass(frozen=True)
class Truth:
    """A truth on a grid."""

    numbers: np.ndarray
    """(y, x) int64 number of the class, -1 unknown."""
    classes: tuple[LandClass, ...]


def evaluate(
    jobs: Sequence[Job], truths: Mapping[str, str], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Evaluate finished tiles; `truths` maps ``classes`` or ``types`` to a raster of codes. InputError where that cannot be."""
    if strange := sorted(truths.keys() - set(TRUTHS)):
        raise InputError(f"--truth-raster {strange[0]}: write classes=FILE or types=FILE")
    if not truths:
        raise InputError("--truth-raster is missing: classes=FILE with the codes of the map, or types=FILE")
    found: dict[str, Any] = {"tiles": [str(job.tile) for job in jobs]}
    if "classes" in truths:
        learnt = [job for job in jobs if job.usable("LC_reference") is not None]
        for job in learnt:
            check_size(job)
        found["classes"] = [one.name for one in jobs[0].production.parameters.classes.classes]
        found["stored"] = _pooled([stored_maps(job, truths["classes"]) for job in jobs], len(found["classes"]))
        progress("scored the stored maps")
        if parts := [held_out(job, truths["classes"], progress) for job in learnt]:
            found["held_out"] = _pooled(parts, len(found["classes"]))
    if "types" in truths:
        found["types"] = [one.name for one in TYPES]
        found["built_up"] = _pooled([types_maps(job, truths["types"]) for job in jobs], len(TYPES))
        progress("scored built-up types")
    return found


Counts = dict[str, np.ndarray]
"""By way: confusion matrices by block of space."""


def _pooled(parts: Sequence[Counts], classes: int) -> dict[str, dict[str, Any]]:
    """Scores of all tiles together, by way."""
    ways = dict.fromkeys(way for part in parts for way in part)
    return {
        way: {
            name: estimate.to_json()
            for name, estimate in estimates(
                [np.concatenate([part[way] for part in parts if way in part])], class_scores(classes)
            ).items()
        }
        for way in ways
    }


def read_truth(path: str, key: str, grid: GeoBox, classes: Sequence[LandClass]) -> Truth:
    """A raster of codes on a grid, by the nearest pixel; InputError if it cannot be read or shows nothing."""
    try:
        with open_full_resolution(path) as source:
            nodata = NO_DATA if source.nodata is None else int(source.nodata)
            codes = warp(source, grid, Resampling.nearest, nodata)
    except RasterioError as error:
        raise InputError(f"--truth-raster {key}={path}: cannot be read ({' '.join(str(error).split())})") from None
    numbers = np.where(codes == nodata, -1, class_numbers(codes, classes))
    if not (numbers >= 0).any():
        raise InputError(f"--truth-raster {key}={path}: holds none of the classes in the area; name another file")
    return Truth(numbers, tuple(classes))


def count(predicted: np.ndarray, truth: Truth, where: np.ndarray) -> np.ndarray:
    """Confusion matrices by block of space of numbers of classes (y, x), -1 without an answer, in a mask."""
    blocks, many = blocks_of(where.shape, EDGE)
    used = where & (predicted >= 0) & (truth.numbers >= 0)
    found = class_counts(predicted[used], truth.numbers[used].astype("i8"), blocks[used], many, len(truth.classes))
    return found[found.sum(axis=1) > 0]


def stored_maps(job: Job, path: str) -> Counts:
    """Base and tuned map, and the labels, on ground without polygons."""
    classes, layer = job.production.parameters.classes.classes, CATALOGUE["LC_base"]
    if job.usable("LC_base") is None:
        raise InputError(f"LC_base of tile {job.tile} is not made; run the tile before it is evaluated")
    grid = job.grid_of(layer)
    truth = read_truth(path, "classes", grid, classes)
    tuned = job.usable("LC_tuned")
    drawn, polygon = rasterise(training_samples(job) if tuned is not None else (), grid)
    free = polygon < 0

    def stored(symbol: str) -> np.ndarray:
        return count(class_numbers(np.asarray(job.array(symbol)[:]), classes), truth, free)

    found = {"base map": stored("LC_base")}
    if tuned is not None:
        found["tuned map"] = stored("LC_tuned")
        if max(grid.shape) <= LARGEST and not free.all():
            target = with_gaps(np.where(free, -1, class_numbers(drawn, classes)))
            features = read_features(job, Block(0, 0, *grid.shape))
            found[POLYGONS_ALONE] = count(by_pixel(RANDOM_FOREST, job, features, target, free), truth, free)
    labels = job.usable("LC_reference")
    if labels is not None:
        found["labels"] = stored("LC_reference")
    return found


def scored_maps(job: Job, path: str) -> list[tuple[str, str, str, str]]:
    """Rows of the stored maps against a truth: map, overall accuracy, mean F1, F1 of each class."""
    classes = job.production.parameters.classes.classes
    rows = [("against truth", "overall accuracy", "mean F1", "F1 by class")]
    for way, scores in _pooled([stored_maps(job, path)], len(classes)).items():
        each = ", ".join(f"{one.name} {_cell(scores[f'f1_{k}'], False) or '–'}" for k, one in enumerate(classes))
        rows.append((way, _cell(scores["oa"], True), _cell(scores["f1"], True), each))
    return rows


def check_size(job: Job) -> None:
    """InputError for a tile that is too large to train models on anew."""
    if max(job.grid_of(CATALOGUE["LC_base"]).shape) > LARGEST:
        raise InputError(f"tile {job.tile} is too large to train models anew; evaluate a window of at most {LARGEST} pixels")


def held_out(job: Job, path: str, progress: Callable[[str], None] = lambda line: None) -> Counts:
    """Models trained anew on the labels of one colour of a chessboard, asked on the other: the network and baselines on the same
    features, and both with bands of 10 m that are only enlarged."""
    grid = job.grid_of(CATALOGUE["LC_base"])
    configure_threads(job.engine.settings.workers)
    whole, classes = Block(0, 0, *grid.shape), job.production.parameters.classes.classes
    truth = read_truth(path, "classes", grid, classes)
    origin = origin_of(job, whole)
    rows, columns = (np.arange(n) + o for n, o in zip(whole.shape, origin, strict=True))
    white = (rows[:, None] // SQUARE + columns[None, :] // SQUARE) % 2 == 0
    labels = labels_of(job, whole)
    target = np.where(white, labels, np.float32(np.nan))
    found = {"labels": count(np.nan_to_num(labels, nan=-1).astype("i8"), truth, ~white)}
    for name, features in {"": read_features(job, whole), ", 10 m enlarged": enlarged_features(job, whole)}.items():
        unet = job.production.parameters.unet
        regions = [Region(features, target, origin)]
        head = ClassHead.of(regions, len(classes), unet.class_power, unet.focal)
        trained = train(regions, unet, head=head)
        answers = predict(trained.model, trained.normalisation, features, origin)
        shares = answers.reshape(unet.members, len(classes), *whole.shape).mean(axis=0)
        known = np.isfinite(shares[0])
        numbers = np.where(known, np.nan_to_num(shares).argmax(axis=0), -1)
        found[f"network{name}"] = count(numbers, truth, ~white)
        progress(f"{job.tile}: network{name} trained anew and asked on the other half")
        for way in (RANDOM_FOREST, BOOSTING):
            found[f"{way}{name}"] = count(by_pixel(way, job, features, target, ~white), truth, ~white)
    return found


def enlarged_features(job: Job, block: Block) -> np.ndarray:
    """Features of the mosaic averaged to 10 m and enlarged by cubic convolution: what there is without super-resolution."""
    bands = np.asarray(job.array("LC_mosaic")[(slice(None), *block.slices)])
    known = (bands > 0).all(axis=0)
    rows, columns = block.shape
    out = np.zeros_like(bands)
    for k in range(len(BANDS)):
        coarse = cv2.resize(bands[k].astype("f4"), (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        fine = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
        out[k] = np.where(known, np.clip(np.rint(fine), 1, 65535), 0)
    found, seasonal = stack_features(out), seasonal_names(job)
    return np.concatenate([found, read_season(job, block, seasonal)]) if seasonal else found


def by_pixel(
    way: str, job: Job, features: np.ndarray, target: np.ndarray, asked: np.ndarray, around: int = AROUND, shares: float = 0.0
) -> np.ndarray:
    """Numbers of classes (y, x) by a model on the features of a pixel and their mean and deviation `around` it; -1 elsewhere.

    `shares` is how far classes weigh as in the area, not as in what was learnt from.
    """
    known = np.isfinite(features).all(axis=0)
    filled = np.where(known, features, 0)
    near = [f(plane, known, around) for f in (local_mean, local_deviation) for plane in filled] if around else []
    stack = np.stack([*filled, *map(np.nan_to_num, near)]).reshape(-1, known.size).T
    learning = np.flatnonzero((known & np.isfinite(target)).ravel())
    rng = np.random.default_rng([job.production.parameters.unet.seed, 59])
    chosen = rng.choice(learning, min(PIXELS, len(learning)), replace=False)
    model = fit_class_baseline(way, stack[chosen], target.ravel()[chosen].astype("i8"), 1, job.engine.settings.workers, shares)
    wanted = np.flatnonzero((known & asked).ravel())
    out = np.full(known.size, -1, "i8")
    out[wanted] = model(stack[wanted])
    return out.reshape(known.shape)


def types_maps(job: Job, path: str) -> Counts:
    """Built-up types by centre patches, and by a forest on the same points; pixels of points left out."""
    if job.usable("LC_types") is None:
        raise InputError(f"LC_types of tile {job.tile} is not made; name references.points and run the tile")
    grid = job.grid_of(CATALOGUE["LC_types"])
    truth = read_truth(path, "types", grid, TYPES)
    place = type_points(job)
    free = np.ones(grid.shape.yx, bool)
    free[place.rows, place.columns] = False
    found = {"centre patches": count(class_numbers(np.asarray(job.array("LC_types")[:]), TYPES), truth, free)}
    target = np.full(grid.shape.yx, np.float32(np.nan))
    target[place.rows, place.columns] = place.target
    features = stack_features(np.asarray(job.array("LC_mosaic")[:]))
    for name, around in (("pixel by pixel", 0), ("local mean and deviation", AROUND)):
        for how, shares in (("", 0.0), (", weighed by shares", job.production.parameters.types.shares)):
            numbers = by_pixel(RANDOM_FOREST, job, features, target, free, around, shares)
            found[f"{RANDOM_FOREST}, {name}{how}"] = count(numbers, truth, free)
    return found


def tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `evaluate` gives as tables of text: title, columns, rows."""
    made = []
    titles = {
        "held_out": ("classes", "Held-out ground: models that learnt from the other squares of a chessboard"),
        "stored": ("classes", "Stored maps, on ground without polygons"),
        "built_up": ("types", "Built-up types, on ground without points"),
    }
    for key, (names, title) in titles.items():
        if key not in found:
            continue
        columns = ["", "overall accuracy", "mean F1", *(f"F1 {name}" for name in found[names])]
        rows = [
            [way, _cell(scores["oa"], True), _cell(scores["f1"], True)]
            + [_cell(scores[f"f1_{k}"], False) for k in range(len(found[names]))]
            for way, scores in found[key].items()
        ]
        made.append({"title": title, "columns": columns, "rows": rows})
    return made


def _cell(score: Mapping[str, Any], interval: bool) -> str:
    if score["value"] is None:
        return ""
    text = f"{score['value']:.3f}"
    return f"{text} [{score['low']:.3f}, {score['high']:.3f}]" if interval and score["low"] is not None else text
