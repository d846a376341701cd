"""Per-pixel models that the U-Nets are held against: random forest, gradient boosting, logistic regression (cf. ATBD 4.2.3).

They see the same features and references as the networks, one pixel at a time. Only evaluation uses them; scikit-learn is
imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from imperv.layers.network.sampling import Region
from imperv.layers.statistics.shares import shares_of_area, weights_of

RANDOM_FOREST, BOOSTING, LOGISTIC = "random forest", "gradient boosting", "logistic regression"
BASELINES = (RANDOM_FOREST, BOOSTING, LOGISTIC)
"""Names of the models."""

PIXELS = 60_000
"""Most training pixels."""

FOREST = {"n_estimators": 200, "min_samples_leaf": 20, "max_features": 1 / 3}
BOOSTED = {"max_iter": 300, "learning_rate": 0.05, "max_leaf_nodes": 31, "min_samples_leaf": 100, "l2_regularization": 1.0}
LOGIT = {"C": 1.0, "max_iter": 300}
"""Settings of scikit-learn, chosen on blocks held out of the references of a city kit and of a simulated tile."""

CHUNK = 200_000
"""Pixels predicted at once."""

Predictor = Callable[[np.ndarray], np.ndarray]
"""(pixel, feature) float32, finite -> (pixel,) float32 fraction 0..1, or number of a class."""


def sample_pixels(regions: Sequence[Region], count: int = PIXELS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` random pixels with all features, (pixel, feature), and a target 0..1, (pixel,); ValueError without any."""
    masks = [region.valid() for region in regions]
    total = sum(int(np.count_nonzero(m)) for m in masks)
    if not total:
        raise ValueError("no pixel with features and reference to train on")
    chosen = np.random.default_rng([seed, 23]).choice(total, min(count, total), replace=False)
    chosen.sort()
    features, target, first = [], [], 0
    for region, mask in zip(regions, masks, strict=True):
        index = np.flatnonzero(mask)
        mine = index[chosen[(chosen >= first) & (chosen < first + len(index))] - first]
        features.append(region.features.reshape(len(region.features), -1)[:, mine].T)
        target.append(region.target.ravel()[mine])
        first += len(index)
    return np.ascontiguousarray(np.concatenate(features), "f4"), np.concatenate(target).astype("f4")


def fit_baseline(name: str, features: np.ndarray, target: np.ndarray, seed: int = 1, workers: int = 1) -> Predictor:
    """Fit one of `BASELINES` to finite features, (pixel, feature) float32, and fractions 0..1, (pixel,) float32.

    The forest and the boosted trees regress the fraction. The logistic regression, over the features, their squares and products,
    is fitted to each pixel twice: as sealed with the weight of its fraction, and as not sealed with that of the rest. Its loss is
    the cross-entropy that the networks have. ValueError for an unknown name.
    """
    fitters = {RANDOM_FOREST: _forest, BOOSTING: _boosted, LOGISTIC: _logistic}
    if name not in fitters:
        raise ValueError(f"{name!r} is no baseline: choose from {', '.join(BASELINES)}")
    predict = fitters[name](features, target, seed, workers)

    def fractions(x: np.ndarray) -> np.ndarray:
        parts = [predict(x[k : k + CHUNK]) for k in range(0, len(x), CHUNK)]
        return np.clip(np.concatenate(parts) if parts else np.empty(0), 0, 1).astype("f4")

    return fractions


CLASS_FOREST = {"n_estimators": 200, "min_samples_leaf": 5}
CLASS_BOOSTED = {"max_iter": 200, "learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20, "l2_regularization": 1.0}
"""Settings of scikit-learn for classes: usual ones; the forest's are those of the orientation in docs/landcover.md."""


def fit_class_baseline(
    name: str, features: np.ndarray, target: np.ndarray, seed: int = 1, workers: int = 1, shares: float = 0.0
) -> Predictor:
    """Fit a forest or boosted trees to finite features, (pixel, feature) float32, and numbers of classes, (pixel,) int.

    The predictor gives numbers of classes; `shares` is how far they weigh as in the pixels asked of (`weights_of`).
    ValueError for another name.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    model: Any
    if name == RANDOM_FOREST:
        model = RandomForestClassifier(**CLASS_FOREST, random_state=seed, n_jobs=workers)
    elif name == BOOSTING:
        model = HistGradientBoostingClassifier(**CLASS_BOOSTED, early_stopping=False, random_state=seed)
    else:
        raise ValueError(f"{name!r} is no baseline of classes: choose {RANDOM_FOREST} or {BOOSTING}")
    model.fit(features, target)

    def numbers(x: np.ndarray) -> np.ndarray:
        if not len(x):
            return np.empty(0, target.dtype)
        answers = np.concatenate([model.predict_proba(x[k : k + CHUNK]) for k in range(0, len(x), CHUNK)])
        if shares:
            learnt = np.bincount(target)[model.classes_] / len(target)
            answers = answers * weights_of(shares_of_area(answers.T, learnt), learnt, shares)
        found: np.ndarray = model.classes_[answers.argmax(axis=1)]
        return found

    return numbers


def _forest(x: np.ndarray, y: np.ndarray, seed: int, workers: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(**FOREST, random_state=seed, n_jobs=workers).fit(x, y).predict


def _boosted(x: np.ndarray, y: np.ndarray, seed: int, workers: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(**BOOSTED, early_stopping=False, random_state=seed).fit(x, y).predict


def _logistic(x: np.ndarray, y: np.ndarray, seed: int, workers: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    scale = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    terms = scale.fit_transform(x).astype("f4")
    labels, weights = np.repeat([1, 0], len(y)), np.concatenate([y, 1 - y])
    used = weights > 0
    if len(np.unique(labels[used])) < 2:
        return lambda part: np.full(len(part), float(y.mean()))
    model = LogisticRegression(**LOGIT).fit(np.concatenate([terms, terms])[used], labels[used], weights[used])
    return lambda part: model.predict_proba(scale.transform(part).astype("f4"))[:, 1]
