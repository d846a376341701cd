"""Ground that the networks of super-resolution learn from and are judged on: real scenes beside the checkout, and simulated ones.

Bands are at their native pixels, reflectance x 10 000 as stored; a constant offset changes nothing, as networks see standardised bands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio

from imperv.layers.sharpening.degradation import PLAIN, degrade
from imperv.layers.sharpening.statistics import Statistics, Sums, statistics_of
from imperv.layers.sharpening.steps import SIXTY, TEN, TWENTY, Step
from imperv.layers.sharpening.training import Field, lower

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

COMMON_NAMES = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B08": "nir",
    "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip

EUROSAT = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")

CLEAR = 0.98
"""Least share of a date's pixels that show ground or water."""

SEEN = (4, 5, 6, 7)
"""SCL classes that show the ground."""

Ground = dict[int, np.ndarray]
"""(band, y, x) float32 by pixel size, 10, 20 and where there are any 60 m, in the order of `steps`."""

Pair = tuple[np.ndarray, np.ndarray]
"""Guides and bands at their native pixels."""


@dataclass(frozen=True)
class Source:
    """Scenes of one kind."""

    name: str
    share: float
    """Weight in the draw of crops."""
    scenes: list[Ground]
    """One place and date each; of a series in time order."""
    series: bool = False
    """Whether all are the same place: too small to fit a regression on one date alone."""


def read(path: Path) -> np.ndarray:
    """All bands, float32."""
    with rasterio.open(path) as source:
        return source.read().astype("f4")


def sweden() -> Ground:
    """6 x 6 km of tile 33UUB, L1C."""
    folder = DATA / "superres"
    ten, twenty, sixty = (read(folder / f"t33uub_{pixel}m.tif") for pixel in (10, 20, 60))
    return {10: ten[[2, 1, 0, 3]], 20: twenty, 60: sixty}


def patches() -> Source:
    """Three L2A patches of 1.2 km, UTM zones 29, 33 and 35."""
    found = []
    for folder in sorted(path for path in (DATA / "superres" / "bigearthnet").iterdir() if path.is_dir()):
        bands = [np.concatenate([read(folder / f"{folder.name}_{b}.tif") for b in names]) for names in (TEN, TWENTY, SIXTY)]
        found.append(dict(zip((10, 20, 60), bands, strict=True)))
    return Source("bigearthnet", 2.0, found)


def series(name: str, share: float) -> Source:
    """Clear dates of a small L2A site."""
    folder, found = DATA / name, []
    for item in json.loads((folder / "items.json").read_text())["features"]:
        date = folder / "scenes" / item["id"]
        if np.isin(read(date / "scl.tif"), SEEN).mean() < CLEAR:
            continue
        bands = [np.concatenate([read(date / f"{COMMON_NAMES[b]}.tif") for b in names]) for names in (TEN, TWENTY)]
        if all((b > 0).all() for b in bands):
            found.append(dict(zip((10, 20), bands, strict=True)))
    return Source(name, share, found, series=True)


def eurosat() -> Source:
    """Fifty L1C tiles of 640 m; only the bands of 10 m are as the instrument gave them."""
    paths = sorted((DATA / "eurosat").glob("*/*.tif"))
    order = [EUROSAT.index(b) for b in TEN]
    return Source("eurosat", 3.0, [{10: read(path)[order]} for path in paths])


def halved(scene: Ground) -> Ground:
    """Bands as an instrument of pixels twice as large would have seen them."""
    return {
        pixel: degrade(image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2], 2, 2 * PLAIN)
        for pixel, image in scene.items()
    }


def sources(step: Step, with_sweden: bool) -> list[Source]:
    """All ground that a step may learn from."""
    found = [patches()]
    if with_sweden:
        scene = sweden()
        found += [Source("sweden", 6.0, [scene]), Source("sweden, an octave lower", 1.5, [halved(scene)])]
    if step.name != "60to10":
        found += [series("flanders", 2.0), series("austria/site_2004", 1.0)]
    if step.name == "10to5":
        found.append(eurosat())
    return found


def native(step: Step, scene: Ground) -> tuple[np.ndarray, np.ndarray]:
    """Guides and bands of a step, each guide at a pixel `Step.factor` times as small as the bands'."""
    if step.name == "20to10":
        return scene[10], scene[20]
    if step.name == "10to5":
        rows, columns = scene[10].shape[1:]
        return np.empty((0, 2 * rows, 2 * columns), "f4"), scene[10]
    rows, columns = (60 // 10 * n for n in scene[60].shape[1:])
    ten = scene[10][:, :rows, :columns]
    # At 10 m only where the protocol degrades them again: what enlarging adds is lost there.
    return np.concatenate([ten, scene[20].repeat(2, 1).repeat(2, 2)[:, :rows, :columns]]), scene[60]


@dataclass(frozen=True)
class Blur:
    """Point spreads of one octave down: standard deviations, those of bands and guides in coarse pixels, of the truth in its own."""

    band: float = PLAIN
    guide: float = PLAIN
    truth: float = 0.0
    """Blur of the bands before anything else: what is sought is as sharp as a guide, and bands of 20 m are sharper at their pixels."""


COMPARISON = Blur()
"""Guides come out softer than the truth: what is learnt here sharpens them too."""


def blurs(random: np.random.Generator, count: int, guided: bool) -> Iterator[Blur]:
    """Every other one that of comparisons, the rest as instruments are.

    With guides, most lie about those with which an octave down is like the real step: guides and truth equally sharp at their pixels,
    and the coarse bands as sharp at theirs as the instrument's.
    """
    for k in range(count):
        if k % 2 == 0:
            yield COMPARISON
        elif not guided or k % 8 == 7:
            band = round(float(random.uniform(0.26, 0.5)) * 25) / 25
            yield Blur(band, band + random.uniform(0, 0.08))
        else:
            yield Blur(float(random.choice([0.24, 0.28, 0.32])), random.uniform(0.32, 0.4), random.uniform(0.15, 0.3))


def fields(step: Step, source: Source, count: int, seed: int, usable: np.ndarray | None = None) -> list[Field]:
    """Ground an octave lower of all scenes of a source, `count` point spreads and positions of the pixel grid of each."""
    random, found, f = np.random.default_rng([seed, 3]), [], step.factor
    pairs = [native(step, scene) for scene in source.scenes]
    for index, (guides, bands) in enumerate(pairs):
        for k, blur in enumerate(blurs(random, count, len(guides) > 0)):
            y, x = (0, 0) if k == 0 or source.series else (int(n) for n in random.integers(0, f, 2))
            part = guides[:, y * f :, x * f :], degrade(bands[:, y:, x:], 1, blur.truth)
            mask = None if usable is None else usable[y:, x:]
            scene = None
            if source.series and f == 2 and len(guides):
                near = [(g, degrade(b, 1, blur.truth)) for g, b in pairs[max(0, index - 2) : index + 3]]
                scene = _pooled(step, near, part, f * blur.band, f * blur.guide)
            field = lower(step, *part, f * blur.band, f * blur.guide, scene, mask)
            found.append(replace(field, share=source.share / len(pairs) / count))
    return found


def _pooled(step: Step, pairs: Sequence[Pair], own: Pair, sigma: float, guide: float) -> Statistics:
    """Statistics of one date of a small site, its regression fitted on the dates beside it as well."""
    sums, f = Sums(step, sigma), step.factor

    def degraded(pair: Pair) -> Pair:
        rows, columns = (n // f * f for n in pair[1].shape[1:])
        return degrade(pair[0][:, : rows * f, : columns * f], f, guide), degrade(pair[1][:, :rows, :columns], f, sigma)

    for pair in [*pairs, own, own]:
        sums.add(*degraded(pair))
    return replace(statistics_of(step, *degraded(own), sigma), coefficients=sums.solve().coefficients)
