"""A small production of super-resolution: fields and roofs on a granule that covers most of the area, one cloud."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from imperv.layers.sharpening.degradation import MTF, degrade, spread_of
from imperv.layers.sharpening.steps import STEPS
from imperv.tasks.scenes.bands import PIXEL
from tests.support.native_granules import Granule, write_granules

BBOX = (4_422_000, 2_598_000, 4_424_000, 2_599_000)
"""Of 18 x 34 pixels of 60 m the granule lacks the first column."""

SIZE = (18, 33)
"""Pixels of 60 m of the granule."""

TILE = "E44N25"

DAY = "2021-06-12"


def scene(name: str, edge: int = 24, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Guides and coarse bands of smooth noise, bands a mixture of the guides and some noise of their own."""
    step, random = STEPS[name], np.random.default_rng(seed)
    fine = degrade(random.normal(2000, 800, (max(4, len(step.guides)), edge * step.factor, edge * step.factor)), 1, 0.7)
    bands = np.tensordot(random.normal(0, 1, (len(step.bands), len(fine))), fine, 1).astype("f4") + 3000
    return fine[: len(step.guides)], degrade(bands, step.factor, 0.5 * step.factor)


def ground(seed: int = 3, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    """Digital numbers of all bands (offset 1000 added), and the scene classification with a cloud in a corner."""
    rng = np.random.default_rng(seed)
    shape = size[0] * 12, size[1] * 12  # pixels of 5 m
    covers = cv2.resize(rng.integers(0, 4, (size[0] * 2, size[1] * 2)).astype("u1"), shape[::-1], interpolation=cv2.INTER_NEAREST)
    for _ in range(20):
        y, x = (int(rng.integers(0, n - 16)) for n in shape)
        covers[y : y + int(rng.integers(4, 16)), x : x + int(rng.integers(4, 16))] = 4
    found = {}
    for k, (band, pixel) in enumerate(PIXEL.items()):
        if band in ("SCL", "B10"):
            continue
        colours = np.random.default_rng([seed, k]).uniform(700, 2500, 5)
        fine = colours[covers] + cv2.GaussianBlur(rng.normal(0, 200, shape), (0, 0), 2)
        found[band] = (1000 + degrade(fine, pixel // 5, spread_of(MTF[band]) * pixel / 5)).round().astype("uint16")
    found["SCL"] = np.full((size[0] * 3, size[1] * 3), 4, "uint8")
    found["SCL"][:4, -4:] = 9
    return found


def small_production(folder: Path, more: str = "", **changes) -> Path:
    """Write the scene and a production file to 5 m by regression; nothing is run."""
    name = f"S2A_32TPS_{DAY.replace('-', '')}_0_L2A"
    granule = Granule(name, f"{DAY}T10:10:30Z", left=677640, top=5151840, size=SIZE, bands=ground(), **changes)
    (folder / "scenes").mkdir(parents=True)
    items = write_granules(folder / "scenes", granule)
    file = folder / "production.toml"
    file.write_text(
        f'product = "superresolution"\ntiles = ["{TILE}"]\nstore = "store"\n[periods]\nspan = "2021-06"\n'
        f"[area]\nbbox = {list(BBOX)}\n"
        f'[scenes]\ncatalogue = "{items}"\n[engine]\nworkers = 2\n'
        f'[parameters.sharpening]\nto = 5\nmethod = "regression"\n{more}'
    )
    return file
