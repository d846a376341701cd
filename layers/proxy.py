"""A stand-in for CLC+ class 1 (sealed) where CLC+ of `now` does not exist: boosted trees on features and distance (ATBD 4.3.3).

The distance to roads and buildings, the choice of training pixels, training and prediction, all on arrays. XGBoost is imported
inside the functions that need it. Reading vectors and tiles does not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imperv.layers.features import FEATURE_SETS
from imperv.layers.network.sampling import CLCPLUS_OUTSIDE, SEALED_CLASS, VALIDATION, spatial_split
from imperv.layers.palette import OUTSIDE

PIXEL = 10.0
"""Edge of a pixel, metres."""

PREDICTED_AT_ONCE = 2**16
"""Pixels that the trees see at once: their copy stays in the processor's cache."""

GUARD = 4
"""Pixels around a held-out block that are not learnt from: features of neighbouring pixels are alike (20 m bands, blur)."""

FEWEST_BLOCKS = 50
"""Blocks that an area should fill, so that chance does not leave the held-out part empty; smaller areas have smaller blocks."""


class ProxyParameters(BaseModel):
    """How the proxy is trained and applied (ATBD 4.3.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reach: Annotated[int, Field(ge=10, le=5000, multiple_of=10)] = 2000
    """Distance in metres from which on roads and buildings are simply far away."""
    features: Literal["atbd12", "full18"] = "atbd12"
    """Feature set beside the distance."""
    samples: Annotated[int, Field(ge=1000)] = 400_000
    """Most training pixels: half of them sealed, where there are so many."""
    trees: Annotated[int, Field(ge=1)] = 200
    """Trees that are added up."""
    depth: Annotated[int, Field(ge=1, le=12)] = 6
    """Most decisions on the way to a leaf."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of each tree's answer that is added."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a pixel is sealed."""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """Share of the blocks of ground that the scores are measured on, and that is not learnt from."""
    split_block: Annotated[int, Field(ge=8)] = 100
    """Edge of those blocks in pixels."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Another seed draws other pixels and blocks."""

    @property
    def names(self) -> tuple[str, ...]:
        """Features of Sentinel-2 in order; the distance comes after them."""
        return FEATURE_SETS[self.features]


def distance(sources: np.ndarray, reach: float) -> np.ndarray:
    """Distance of pixel centres to the nearest true pixel of a mask, (y, x) float32 metres, `reach` at most (ATBD 4.3.3).

    To be exact in a block, the mask must go on `reach` beyond it. Exact Euclidean distance (Felzenszwalb and Huttenlocher 2012),
    by OpenCV.
    """
    sources = np.asarray(sources, bool)
    if not sources.any():
        return np.full(sources.shape, reach, "f4")
    found = cv2.distanceTransform((~sources).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares are whole numbers: rounded to them, a pixel's distance does not depend on the block that it is computed in.
    return np.minimum(np.sqrt(np.rint(np.square(found))) * np.float32(PIXEL), np.float32(reach))


def sealed_labels(clcplus: np.ndarray) -> np.ndarray:
    """CLC+ codes as (y, x) uint8: 1 sealed, 0 another class, 255 outside (codes 253 to 255)."""
    return np.where(clcplus >= CLCPLUS_OUTSIDE, OUTSIDE, clcplus == SEALED_CLASS).astype("u1")


@dataclass(frozen=True)
class ProxySamples:
    """Training pixels."""

    features: np.ndarray
    """(pixel, feature) float32, the distance last."""
    sealed: np.ndarray
    """(pixel,) bool."""
    weight: np.ndarray
    """(pixel,) float32: pixels of the ground that each stands for."""
    held: np.ndarray
    """(pixel,) bool: for the scores, not learnt from."""

    @classmethod
    def merge(cls, parts: Sequence[ProxySamples]) -> ProxySamples:
        """All of several samples."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "sealed", "weight", "held")))


def rates(sealed: int, others: int, parameters: ProxyParameters) -> tuple[float, float]:
    """Shares of the other and of the sealed pixels to be drawn, so that about half of the samples are sealed."""
    half = parameters.samples / 2
    return min(1.0, half / max(others, 1)), min(1.0, half / max(sealed, 1))


def split_edge(shape: tuple[int, int], parameters: ProxyParameters) -> int:
    """Edge of the blocks that are held out, pixels: as set, or halved until the area holds `FEWEST_BLOCKS`."""
    edge = parameters.split_block
    while edge >= 16 and shape[0] * shape[1] < FEWEST_BLOCKS * edge * edge:
        edge //= 2
    return edge


def draw_samples(
    features: np.ndarray,
    clcplus: np.ndarray,
    origin: tuple[int, int],
    shares: tuple[float, float],
    edge: int,
    parameters: ProxyParameters,
) -> ProxySamples:
    """Training pixels of a block; the same block gives the same pixels.

    `features` are (feature, y, x) float32, the distance last, NaN no data; `clcplus` (y, x) CLC+ of `then`; `origin` the global
    (row, column) of the first pixel; `shares` those of other and of sealed pixels, from `rates`; `edge` is from `split_edge`.
    """
    labels = sealed_labels(clcplus)
    split = spatial_split(labels.shape, origin, edge, parameters.held_out, min(GUARD, max(1, edge // 4)), parameters.seed)
    chance = np.random.default_rng([parameters.seed, *(abs(i) for i in origin)]).random(labels.shape, "f4")
    share = np.where(labels == 1, np.float32(shares[1]), np.float32(shares[0]))
    held = split == VALIDATION
    chosen = (labels != OUTSIDE) & (held | (split == 0)) & (chance < share) & np.isfinite(features).all(axis=0)
    return ProxySamples(features[:, chosen].T.copy(), labels[chosen] == 1, 1 / share[chosen], held[chosen])


@dataclass(frozen=True)
class TrainedProxy:
    """A trained classifier and what is worth knowing about it."""

    model: str
    """XGBoost's JSON."""
    scores: dict[str, Any]
    """On held-out ground: precision, recall and F1 of sealed pixels, and predicted sealed area over the real one."""
    samples: dict[str, int]
    """Numbers of pixels learnt from and held out, and of the sealed ones among them."""
    importance: dict[str, float]
    """Share of each feature in the gain of all decisions."""


def train_proxy(samples: ProxySamples, parameters: ProxyParameters) -> TrainedProxy:
    """Train the classifier; the same samples and parameters give the same model. ValueError without samples. ATBD 4.3.3."""
    import xgboost

    learnt = ~samples.held
    if not learnt.any():
        raise ValueError("no pixel has features, a distance and CLC+")
    names = [*parameters.names, "distance"]
    sealed = samples.sealed[learnt]
    if sealed.all() or not sealed.any():
        # One class only: a constant is the answer, and the base score of trees must not be 0 or 1.
        base = 1 - 1e-6 if sealed.all() else 1e-6
        settings, trees = {"base_score": base}, 0
    else:
        settings, trees = {}, parameters.trees
    data = xgboost.QuantileDMatrix(
        samples.features[learnt], sealed, weight=samples.weight[learnt], feature_names=names, nthread=1
    )
    booster = xgboost.train(
        {
            "objective": "binary:logistic", "tree_method": "hist", "max_depth": parameters.depth, "eta": parameters.learning_rate,
            "seed": parameters.seed, "verbosity": 0,
            # Sums of floats depend on how many threads add them up.
            "nthread": 1, **settings,
        },
        data, trees,
    )  # fmt: skip
    model = booster.save_raw("json").decode()
    held = samples.held
    found = probability(model, samples.features[held]) >= parameters.threshold
    gain: dict[str, Any] = booster.get_score(importance_type="total_gain")
    total = sum(gain.values()) or 1.0
    return TrainedProxy(
        model,
        scores(*confusion(found, samples.sealed[held], samples.weight[held])),
        {
            "learnt": int(learnt.sum()), "learnt_sealed": int(sealed.sum()),
            "held_out": int(held.sum()), "held_out_sealed": int(samples.sealed[held].sum()),
        },
        {name: round(float(gain.get(name, 0)) / total, 4) for name in names},
    )  # fmt: skip


def probability(model: str, features: np.ndarray) -> np.ndarray:
    """Probability of being sealed, (pixel,) float32, of (pixel, feature) float32 without NaN."""
    import xgboost

    if not len(features):
        return np.zeros(0, "f4")
    booster = xgboost.Booster({"nthread": 1})  # blocks are computed side by side already
    booster.load_model(bytearray(model.encode()))
    booster.set_param({"nthread": 1})
    parts = (features[k : k + PREDICTED_AT_ONCE] for k in range(0, len(features), PREDICTED_AT_ONCE))
    return np.concatenate([booster.inplace_predict(part, validate_features=False) for part in parts])


def classify(model: str, features: np.ndarray, clcplus_then: np.ndarray, threshold: float) -> np.ndarray:
    """Proxy of CLC+ class 1 in a block, uint8: 1 sealed, 0 not; 255 where a feature is missing or CLC+ of `then` is outside.

    `features` are those of `now`, (feature, y, x) float32, the distance last, NaN no data; a pixel is sealed from the
    probability `threshold` on.
    """
    inside = (clcplus_then < CLCPLUS_OUTSIDE) & np.isfinite(features).all(axis=0)
    codes = np.full(inside.shape, OUTSIDE, "u1")
    codes[inside] = probability(model, np.ascontiguousarray(features[:, inside].T)) >= threshold
    return codes


def confusion(found: np.ndarray, real: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float, float]:
    """(True positives, false positives, false negatives), weighted if weights are given."""
    true, false, missed = (
        float(np.count_nonzero(mask) if weight is None else weight[mask].sum(dtype="f8"))
        for mask in (found & real, found & ~real, ~found & real)
    )
    return true, false, missed


def scores(true: float, false: float, missed: float) -> dict[str, Any]:
    """Precision, recall and F1 of sealed pixels and the ratio of areas; None where nothing was there to be found."""
    found, real = true + false, true + missed
    return {
        "precision": round(true / found, 4) if found else None,
        "recall": round(true / real, 4) if real else None,
        "f1": round(2 * true / (found + real), 4) if found + real else None,
        "area_ratio": round(found / real, 4) if real else None,
    }
