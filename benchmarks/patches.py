"""What pretraining on dates gains `imperv patches` where labels are few: `python -m benchmarks patches`.

A city kit (shared/tools beside the checkout) shows real texture with made-up seasons: 64 pixel patches of one clear date, labels of
CLC+ Backbone with its errors. A third of the ground is held out of everything, pretraining too. Of the rest 1, 5, 20 or 100 % of the
cells of 16 x 16 pixels keep their labels. U-Nets from a random start and from the pretrained one take the same steps; beside them
forests on pixels, without and with statistics of the neighbourhood. Figures stand in docs/patches.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject
from scipy import ndimage as ndi

from benchmarks.patches_density import density_lines
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.network.baselines import RANDOM_FOREST, fit_class_baseline
from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.patches.ground import split
from imperv.layers.patches.labels import Classes
from imperv.layers.patches.network import build_features, load, save, start_from, with_head
from imperv.layers.patches.pretraining import MARGIN, PretrainingParameters, pretrain
from imperv.layers.patches.sampling import normalise, pixels_of
from imperv.layers.patches.training import TrainingParameters, train
from imperv.layers.statistics.classes import class_counts, class_scores
from imperv.layers.statistics.scores import Estimate, differences, estimates
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import bands_of, looks_of, mask_of, shows_ground
from imperv.tasks.patches.extraction import PatchSet, extract
from imperv.tasks.patches.images import Image, find_images
from imperv.tasks.scenes.bands import PIXEL

KITS = Path(__file__).resolve().parents[2] / "shared" / "tools" / "make_city_kit.py"
SIZE, ORIGIN = 640, (150, 30)
"""Edge of the kit, pixels; its corner in the image."""
DATE, OTHER = "20210620", "20210728"
"""Clear dates: of the labels, and another one that the models are also tried on."""
CLEAR = 0.6
"""Share of the ground that a date shows which the pretraining takes."""
CODES = (1, 2, 3, 6, 7, 9, 10)
"""CLC+ Backbone: sealed, needle-leaved, broadleaved, permanent herbaceous, periodically herbaceous, sparse, water."""
PATCH, CELL, HELD = 64, 16, 0.33
"""Edges of a patch and of a labelled cell, pixels; share of the ground held out."""
FRACTIONS, SEEDS = (0.01, 0.05, 0.2, 1.0), (1,)
STAGES, BATCH, STEPS, RATE = 3, 8, 60, 1e-3
"""Of every network: the whole ResNet-50 would take about three times as long."""
PRETRAINING = 300
"""Steps of eight pairs."""
NEIGHBOURS = (3, 7, 15)
"""Edges of the windows whose mean and deviation the second forest sees, pixels."""
PIXELS = 20_000
"""Most pixels of a forest."""
NETWORKS = ("U-Net, random start", "U-Net, pretrained")
FORESTS = ("forest, pixels", "forest, neighbourhood")


def patches_lines(folder: Path) -> list[str]:
    """Markdown: scores of each method at each share of the labels; what is finished is kept in the folder."""
    if not KITS.exists():
        return ["## Patches", "", "no city kit: shared/tools is absent", ""]
    folder.mkdir(parents=True, exist_ok=True)
    configure_threads(2)
    dates = _dates(folder)
    dated, _ = extract(dates, folder / "dates", PATCH + MARGIN)
    plain, _ = extract(dates, folder / "plain", PATCH)
    return [*_table(_results(folder, plain, dated)), *density_lines(folder)]


def _dates(folder: Path) -> list[Image]:
    """A GeoTIFF of ten bands at 10 m of every date that is clear enough, without clouds; labels beside that of `DATE`."""
    place, kit = folder / "images", folder / "kit"
    if not (place / f"{DATE}_labels.tif").exists():
        subprocess.run(
            [sys.executable, KITS, kit, "--size", str(SIZE), "--origin", *map(str, ORIGIN)], check=True, stdout=sys.stderr
        )
        place.mkdir(exist_ok=True)
        with rasterio.open(next((kit / "scenes").glob("*TPS*/red.tif"))) as source:
            crs, corner = f"EPSG:{source.crs.to_epsg()}", source.transform * (0, 0)
        scenes = find_scenes(kit / "items.json", bands=QUANTILE_BANDS)
        bottom = min(rasterio.open(path).bounds.bottom for path in (kit / "scenes").glob("*/red.tif"))
        top = max(rasterio.open(path).bounds.top for path in (kit / "scenes").glob("*/red.tif"))
        assert round(top - bottom) == 10 * SIZE
        grids = {
            step: GeoBox((10 * SIZE // step,) * 2, rasterio.Affine(step, 0, corner[0], 0, -step, top), crs) for step in (10, 20)
        }
        for look in looks_of(scenes):
            clear = np.kron(shows_ground(mask_of(look, grids[20])), np.ones((2, 2), bool))
            day = str(look.day).replace("-", "")
            if clear.mean() < CLEAR or (place / f"{day}.tif").exists():
                continue
            bands = np.zeros((len(QUANTILE_BANDS), SIZE, SIZE), "u2")
            for step in (10, 20):
                names = [name for name in QUANTILE_BANDS if PIXEL[name] == step]
                pixels = bands_of(look, names, grids[step])
                for name, band in zip(names, pixels, strict=True):
                    bands[QUANTILE_BANDS.index(name)] = np.kron(band, np.ones((step // 10,) * 2, "u2"))
            bands[:, ~clear] = 0
            _write(place / f"{day}.tif", grids[10], bands, QUANTILE_BANDS)
        labels = np.zeros((SIZE, SIZE), "u1")
        with rasterio.open(kit / "reference" / "clcplus_now.tif") as source:
            reproject(
                source.read(1), labels, src_transform=source.transform, src_crs=source.crs, dst_transform=grids[10].affine,
                dst_crs=crs, resampling=Resampling.nearest, dst_nodata=255, src_nodata=255,
            )  # fmt: skip
        _write(
            place / f"{DATE}_labels.tif", grids[10], np.where(np.isin(labels, CODES), labels, 0)[None].astype("u1"), ("class",)
        )
    return find_images(place, QUANTILE_BANDS, labelled=False)


def _write(path: Path, grid: GeoBox, pixels: np.ndarray, names: Sequence[str]) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=grid.shape.y, width=grid.shape.x, count=len(pixels), dtype=pixels.dtype,
        crs=str(grid.crs), transform=grid.affine, nodata=0,
    ) as out:  # fmt: skip
        out.write(pixels)
        out.descriptions = names


def _of_date(patches: PatchSet, day: str) -> tuple[np.ndarray, list[Any]]:
    """Patches of a date and where they lie, in the order of the ground: images are cut one after the other."""
    found, seen, previous = [], -1, None
    for number, ground in enumerate(patches.grounds):
        corner = (-ground.bounds[3], ground.bounds[0])
        if previous is None or corner <= previous:
            seen += 1
        previous = corner
        if patches.record["images"][seen] == f"{day}.tif":
            found.append(number)
    images = np.stack([np.asarray(patches.images[k]) for k in found])
    return images, [patches.grounds[k] for k in found]


def _results(folder: Path, plain: PatchSet, dated: PatchSet) -> dict[str, Any]:
    """Confusion matrices of the held-out patches by method, share, seed and date."""
    file = folder / "results.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"counts": {}, "seconds": {}}
    images, grounds = _of_date(plain, DATE)
    others, other_grounds = _of_date(plain, OTHER)
    labels = _labels(folder, len(images))
    classes = Classes.of(CODES)
    sums = np.stack([np.bincount(part.ravel(), minlength=256)[list(CODES)] for part in labels])
    learning, held = split(grounds, sums, HELD, 1)
    _say(f"{len(images)} patches, {len(learning)} to learn from, {len(held)} held out; pixels {sums.sum(0).tolist()}")
    donor, normalisation = _pretrained(folder, dated, [grounds[k] for k in held], found)
    tests = {DATE: (images[held], labels[held]), OTHER: _matched(others, other_grounds, labels[held], [grounds[k] for k in held])}

    def add(key: str, seconds: float, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        for day, (pixels, truth) in tests.items():
            numbers = classes.numbers(truth)
            known = (numbers < 255) & (pixels != 0).all(1)
            counts = class_counts(
                predict(pixels)[known].astype("i8"), numbers[known].astype("i8"), np.nonzero(known)[0], len(truth), len(CODES)
            )
            found["counts"][f"{key}|{day}"] = counts.astype(int).tolist()
        found["seconds"][key] = seconds
        file.write_text(json.dumps(found))
        scores = class_scores(len(CODES))(np.asarray(found["counts"][f"{key}|{DATE}"]).sum(0))
        _say(f"{key}: F1 {scores['f1']:.3f}, OA {scores['oa']:.3f}, {seconds:.0f} s of processors")

    for seed in SEEDS:
        for fraction in FRACTIONS:
            kept = _kept(labels[learning], fraction, seed)
            for name in (*FORESTS, *NETWORKS):
                key = f"{name}|{fraction}|{seed}"
                if f"{key}|{DATE}" in found["counts"]:
                    continue
                start = time.process_time()
                if name in FORESTS:
                    predict = _forest(images[learning], kept, name == FORESTS[1], seed, classes)
                else:
                    predict = _network(
                        images[learning], kept, donor if name == NETWORKS[1] else None, normalisation, seed, classes
                    )
                add(key, time.process_time() - start, predict)
    return found


def _labels(folder: Path, count: int) -> np.ndarray:
    with rasterio.open(folder / "images" / f"{DATE}_labels.tif") as source:
        labels = source.read(1)
    n = SIZE // PATCH
    cut: np.ndarray = labels.reshape(n, PATCH, n, PATCH).swapaxes(1, 2).reshape(-1, PATCH, PATCH)
    assert len(cut) == count, "a patch of the date has no data"
    return cut


def _matched(images: np.ndarray, grounds: list[Any], labels: np.ndarray, wanted: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(grounds.index(g), k) for k, g in enumerate(wanted) if g in grounds]
    return images[[a for a, _ in pairs]], labels[[b for _, b in pairs]]


def _hidden(dated: PatchSet, held: list[Any]) -> np.ndarray:
    """Patches of the pretraining with no data on held-out ground."""
    images = np.asarray(dated.images[:])
    for image, ground in zip(images, dated.grounds, strict=True):
        left, _, _, top = ground.bounds
        for other in held:
            columns = [round((x - left) / 10) for x in (other.bounds[0], other.bounds[2])]
            rows = [round((top - y) / 10) for y in (other.bounds[3], other.bounds[1])]
            if columns[1] > 0 and rows[1] > 0:
                image[:, max(rows[0], 0) : rows[1], max(columns[0], 0) : columns[1]] = 0
    return images


def _pretrained(folder: Path, dated: PatchSet, held: list[Any], found: dict[str, Any]) -> tuple[Any, Normalisation]:
    images = _hidden(dated, held)
    normalisation = normalise(images, range(len(images)), 0, QUANTILE_BANDS)
    path = folder / "pretrained.keras"
    if path.exists():
        return load(str(path)), normalisation
    start = time.process_time()
    parameters = PretrainingParameters(steps=PRETRAINING, stages=STAGES)
    network, history = pretrain(
        images, dated.grounds, 0, normalisation, parameters,
        lambda step, loss: _say(f"pretraining, step {step + 1}: {loss:.1f}") if step % 50 == 49 else None,
    )  # fmt: skip
    found["seconds"]["pretraining"] = time.process_time() - start
    found["pretraining"] = history
    save(network, str(path))
    return network, normalisation


def _kept(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Labels of a share of the cells; of the others they are taken away."""
    n = PATCH // CELL
    total = len(labels) * n * n
    chosen = np.zeros(total, bool)
    chosen[np.random.default_rng([seed, 3]).permutation(total)[: max(1, round(fraction * total))]] = True
    mask = np.kron(chosen.reshape(len(labels), n, n), np.ones((1, CELL, CELL), bool))
    return np.where(mask, labels, 0)


def _network(
    images: np.ndarray, labels: np.ndarray, donor: Any, normalisation: Normalisation, seed: int, classes: Classes
) -> Callable[[np.ndarray], np.ndarray]:
    usable = np.flatnonzero((labels > 0).any((1, 2)))
    usable = np.random.default_rng([seed, 5]).permutation(usable)
    judging, learning = np.split(usable, [max(1, round(0.2 * len(usable)))])
    steps = -(-len(learning) // BATCH)
    parameters = TrainingParameters(
        data_aug=True, batch=BATCH, epochs=min(99, max(1, round(STEPS / steps))), learning_rate=RATE, patience=99, stages=STAGES,
        seed=seed,
    )  # fmt: skip
    features = build_features(len(normalisation.names), STAGES, seed)
    if donor is not None:
        start_from(features, donor)
    network = with_head(features, classes.outputs, seed)
    train(network, images, labels, 0, classes, learning, judging, normalisation, parameters)

    def predict(pixels: np.ndarray) -> np.ndarray:
        x = np.stack([normalisation.apply(pixels_of(part, 0)) for part in pixels])
        return np.concatenate([np.asarray(network(x[k : k + BATCH], training=False)).argmax(-1) for k in range(0, len(x), BATCH)])

    return predict


def _features(images: np.ndarray, neighbours: bool) -> np.ndarray:
    """(patch, y, x, feature) of the forests."""
    parts = [images.astype("f4")]
    for edge in NEIGHBOURS if neighbours else ():
        size = (1, 1, edge, edge)
        mean = ndi.uniform_filter(parts[0], size, mode="reflect")
        spread = np.sqrt(np.maximum(ndi.uniform_filter(parts[0] ** 2, size, mode="reflect") - mean**2, 0))
        parts += [mean, spread]
    return np.moveaxis(np.concatenate(parts, 1), 1, -1)


def _forest(
    images: np.ndarray, labels: np.ndarray, neighbours: bool, seed: int, classes: Classes
) -> Callable[[np.ndarray], np.ndarray]:
    numbers = classes.numbers(labels)
    known = np.flatnonzero((numbers < 255).ravel() & (images != 0).all(1).ravel())
    if len(known) > PIXELS:
        known = np.random.default_rng([seed, 7]).choice(known, PIXELS, replace=False)
    features = _features(images, neighbours)
    model = fit_class_baseline(
        RANDOM_FOREST, features.reshape(-1, features.shape[-1])[known], numbers.ravel()[known].astype("i8"), seed, 2
    )

    def predict(pixels: np.ndarray) -> np.ndarray:
        x = _features(pixels, neighbours)
        return model(x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])

    return predict


def _table(found: dict[str, Any]) -> list[str]:
    """Medians over the seeds, with 95 % intervals: held-out patches are drawn again."""
    lines, methods = [], (*FORESTS, *NETWORKS)
    for day, title in ((DATE, "held-out ground, the date of the labels"), (OTHER, "held-out ground, another date")):
        lines += [f"## Patches: mean F1, {title}", "", "| labels | " + " | ".join(methods) + " | gain of pretraining |"]
        lines += ["|---" * (len(methods) + 2) + "|"]
        for fraction in FRACTIONS:
            counts = {
                name: [np.array(found["counts"][f"{name}|{fraction}|{seed}|{day}"], "f8") for seed in SEEDS] for name in methods
            }
            scores = class_scores(len(CODES))
            cells = [_cell(estimates(counts[name], scores)["f1"]) for name in methods]
            cells.append(_cell(differences(counts[NETWORKS[1]], counts[NETWORKS[0]], scores)["f1"], "+"))
            lines.append(f"| {fraction:.0%} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def _cell(found: Estimate, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
