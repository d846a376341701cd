"""`python -m benchmarks.sharpening_dates OUT [--kits FOLDER]`: trains the network of several dates that comes with the package.

On simulated sites whose truth at 5 m is known (the fine kit beside the checkout), in the west of its image; the east is for judging.
About an hour on a quiet core. Both errors count: that of the network's image, and that of what is left of it where the reference date
has its say (`back_project`): only detail that one date cannot see.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.sharpening_data import DATA
from imperv.layers.network.unet import configure_threads
from imperv.layers.network.weights import flat_weights
from imperv.layers.sharpening.date_network import STEP, DateModel, build, features_out, save, start_and_features
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.network import deviation_of, pack
from imperv.layers.sharpening.registration import shift_between
from imperv.layers.sharpening.training import HONEST, SOFT, projection

KITS = [
    (480, 0, 0, "2021-06", "2021-07", 14, 11, 0.0),
    (480, 0, 220, "2021-07", "2021-08", 14, 12, 0.0),
    (480, 0, 110, "2021-05", "2021-06", 14, 13, 0.0),
    (480, 0, 0, "2021-08", "2021-09", 14, 14, 0.0),
    (480, 0, 220, "2021-06", "2021-07", 14, 15, 0.0),
    (480, 0, 110, "2021-07", "2021-08", 14, 16, 0.35),
    (480, 0, 220, "2021-05", "2021-07", 14, 17, 0.5),
    (480, 0, 0, "2021-06", "2021-08", 14, 18, 0.35),
    (400, 0, 0, "2021-07", "2021-08", 12, 3, 0.0),
    (400, 0, 300, "2021-06", "2021-07", 12, 4, 0.0),
]
"""Edge in pixels of 5 m, column, row, months, overpasses and seed of each site, and the blur of its truth, pixels of 5 m: so much sharper
is the instrument taken to be."""

DATES = (4, 9)
"""Fewest and most other dates of a sample."""

SIGMA = 0.8835
"""Point spread of the kit, pixels of 5 m."""

TURNS = 3
"""Samples of a reference date, each turned or flipped and with other dates."""

CROP, BATCH, MARGIN = 32, 8, 4
"""Edge of crops, number, and edge that does not count; coarse pixels."""

WIDTH, BLOCKS, RATE = 48, 3, 2e-3


@dataclass
class Sample:
    """A reference date with some others."""

    features: np.ndarray
    """(y, x, feature)"""
    missing: np.ndarray
    """(y, x, channel) packed: truth less what is corrected, in units of the correction."""
    weight: np.ndarray
    """(y, x) 0 or 1."""
    sigma: float


def samples(folder: Path, sharper: float, random: np.random.Generator) -> Iterator[Sample]:
    """All reference dates of a kit that have a truth."""
    from tests.support.fine import dates_of

    sigma = float(np.sqrt(SIGMA**2 - sharper**2))
    dates = dates_of(folder)
    for reference in dates:
        if reference.truth is None or reference.clear.mean() < 0.4:
            continue
        truth = degrade(moved(reference.truth, *(2 * s for s in reference.shift)), 1, sharper)
        others = []
        for other in sorted((d for d in dates if d is not reference), key=lambda d: -d.clear.mean())[:10]:
            found = shift_between(reference.bands, other.bands, reference.clear & other.clear)
            if np.isfinite(found.error):
                others.append((other, found.shift))
        for _ in range(TURNS):
            few = random.permutation(len(others))[: random.integers(DATES[0], DATES[1] + 1)]
            turns, flip = int(random.integers(4)), bool(random.integers(2))

            def turned(image: np.ndarray, turns: int = turns, flip: bool = flip) -> np.ndarray:
                image = np.rot90(image, turns, (-2, -1))
                return np.ascontiguousarray(image[..., ::-1] if flip else image)

            shifts = [_turned_shift(others[k][1], turns, flip) for k in few]
            clear = turned(reference.clear)
            masks = [clear, *(turned(others[k][0].clear) for k in few)]
            images = [turned(others[k][0].bands) for k in few]
            start, features, unit = start_and_features(turned(reference.bands), images, shifts, sigma, masks)
            missing = pack(np.moveaxis((turned(truth) - start) / unit, 0, -1), STEP.factor)
            weight = cv2.erode(clear.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
            yield Sample(features.astype("f2"), missing.astype("f2"), weight.astype("f2"), sigma)


def moved(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """By fine pixels, by Fourier transform of the mirrored image."""
    frame = 32
    wide = np.pad(image, [(0, 0), (frame, frame), (frame, frame)], mode="symmetric")
    y, x = np.fft.fftfreq(wide.shape[1])[:, None], np.fft.rfftfreq(wide.shape[2])
    moved = np.fft.irfft2(np.fft.rfft2(wide) * np.exp(-2j * np.pi * (y * rows + x * columns)), s=wide.shape[1:])
    return moved[:, frame:-frame, frame:-frame].astype("f4")


def _turned_shift(shift: tuple[float, float], turns: int, flip: bool) -> tuple[float, float]:
    down, right = shift
    for _ in range(turns):
        down, right = -right, down
    return (down, -right) if flip else (down, right)


def trained(grounds: list[Sample], minutes: float, seed: int = 0) -> tuple[np.ndarray, int]:
    """Weights, and steps that were made in the time: the rate falls with it to nothing, as a cosine."""
    import keras
    import tensorflow as tf

    random = np.random.default_rng(seed)
    network, out = build(WIDTH, BLOCKS, seed), features_out()
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(network.trainable_variables)
    groups = {s: [g for g in grounds if g.sigma == s] for s in sorted({g.sigma for g in grounds})}
    sizes = np.array([len(g) for g in groups.values()])
    ways = {}
    for sigma in groups:
        down, up = (m.astype("f8") for m in projection(STEP.factor * CROP, STEP.factor, sigma))
        # Back-projection to the end.
        ways[sigma] = tf.constant(down, tf.float32), tf.constant(up @ np.linalg.inv(down @ up), tf.float32)

    @tf.function
    def learn(x: tf.Tensor, y: tf.Tensor, w: tf.Tensor, down: tf.Tensor, up: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            answer = network(x, training=True)
            free, raw, truth = (tf.nn.depth_to_space(a, STEP.factor) for a in (answer[..., :out], answer[..., out:], y))
            seen = tf.einsum("ay,byxc,dx->badc", down, free, down)
            bound = free - tf.einsum("ya,badc,xd->byxc", up, seen, up)
            weight = tf.repeat(tf.repeat(w, STEP.factor, 1), STEP.factor, 2)[..., None]
            weight /= len(STEP.bands) * tf.reduce_sum(weight) + 1e-6
            errors = [tf.reduce_sum(weight * (tf.sqrt((truth - c) ** 2 + SOFT**2) - SOFT)) for c in (free, bound)]
            deviation = deviation_of(raw)
            gap = tf.stop_gradient(truth - bound) / deviation
            likelihood = tf.reduce_sum(weight * (tf.math.log(deviation) + 0.5 * tf.minimum(gap**2, 25.0)))
            loss = 0.5 * errors[0] + 0.5 * errors[1] + HONEST * likelihood
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return errors[1]

    start, steps, losses = time.monotonic(), 0, []
    while (part := (time.monotonic() - start) / (60 * minutes)) < 1:
        sigma = list(groups)[random.choice(len(groups), p=sizes / sizes.sum())]
        crops = [_crop(groups[sigma][random.integers(len(groups[sigma]))], random) for _ in range(BATCH)]
        optimizer.learning_rate = RATE * min(1, (steps + 1) / 50) * 0.5 * (1 + np.cos(np.pi * part))
        x, y, w = (tf.constant(np.stack(a), tf.float32) for a in zip(*crops, strict=True))
        losses.append(float(learn(x, y, w, *ways[sigma])))
        steps += 1
        if steps % 100 == 0:
            print(f"step {steps}, error {np.mean(losses[-100:]):.4f}, {time.monotonic() - start:.0f} s", flush=True)
    return flat_weights(network), steps


def _crop(ground: Sample, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = (int(random.integers(0, n - CROP + 1)) for n in ground.weight.shape)
    cut = np.s_[y : y + CROP, x : x + CROP]
    weight = ground.weight[cut].copy()
    weight[:MARGIN] = weight[-MARGIN:] = weight[:, :MARGIN] = weight[:, -MARGIN:] = 0
    return ground.features[cut], ground.missing[cut], weight


def made(kits: Path, size: int, column: int, row: int, months: Sequence[str], scenes: int, seed: int) -> Path:
    """Folder of a site, made where it is missing."""
    folder = kits / f"{size}-{column}-{row}-{seed}"
    if not (folder / "truth" / "shifts.json").exists():
        what = [
            "--size",
            size,
            "--origin",
            column,
            row,
            "--months",
            *months,
            "--scenes",
            scenes,
            "--seed",
            seed,
            "--landsat-year",
        ]
        subprocess.run([sys.executable, DATA.parent / "tools" / "make_fine_kit.py", folder, *map(str, what)], check=True)
    return folder


def main() -> None:
    """Make the sites, train and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpening_dates", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--kits", type=Path, help="folder of the sites, made where they are missing (default: OUT/kits)")
    parser.add_argument("--minutes", type=float, default=60, help="time of training")
    options = parser.parse_args()
    configure_threads(1)
    kits = options.kits or options.out / "kits"
    random, grounds = np.random.default_rng(1), list[Sample]()
    for size, column, row, *months, scenes, seed, sharper in KITS:
        folder = made(kits, size, column, row, months, scenes, seed)
        grounds += samples(folder, sharper, random)
        print(f"{folder.name}: {len(grounds)} samples", flush=True)
    weights, steps = trained(grounds, options.minutes)
    record = {
        "command": " ".join(["python -m", "benchmarks.sharpening_dates", *sys.argv[1:]]),
        "data": f"{len(KITS)} simulated sites in the west of Bolzano, {len(grounds)} reference dates with {DATES[0]} to {DATES[1]} others",
        "steps": steps,
    }
    save(DateModel(WIDTH, BLOCKS, weights, record), options.out / "dates.npz")


if __name__ == "__main__":
    main()
