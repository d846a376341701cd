"""Forests and boosted trees on whole series, as arrays that can be kept without running anything of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

FOREST = {"n_estimators": 300, "min_samples_leaf": 1, "max_features": "sqrt"}
"""Settings of scikit-learn."""

BOOSTED = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.3}
"""Settings of XGBoost."""


@dataclass(frozen=True)
class Forest:
    """Trees one after the other in arrays of nodes."""

    first: np.ndarray
    """(tree,) int64: root of each."""
    feature: np.ndarray
    """(node,) int32: feature that is asked; -1 for leaves."""
    limit: np.ndarray
    """(node,) float32: the left branch takes what is not above it."""
    left: np.ndarray
    """(node,) int32."""
    right: np.ndarray
    """(node,) int32."""
    share: np.ndarray
    """(node, class) float32: of the samples of a leaf."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(sample, feature) float32 -> (sample, class) float32, the mean of the trees."""
        out = np.zeros((len(x), self.share.shape[1]), "f4")
        _walk(np.ascontiguousarray(x, "f4"), self.first, self.feature, self.limit, self.left, self.right, self.share, out)
        return out / np.float32(len(self.first))

    def sound(self, features: int, classes: int) -> bool:
        """Whether every walk ends in a leaf: branches lead on, and ask for features that there are."""
        nodes, inner = len(self.feature), self.feature >= 0
        if not all(len(a) == nodes for a in (self.limit, self.left, self.right, self.share)) or self.share.shape[1:] != (
            classes,
        ):
            return False
        branches = np.stack([self.left[inner], self.right[inner]])
        onward = (branches > np.flatnonzero(inner)).all() and (branches < nodes).all()
        return bool(onward and (self.feature < features).all() and (self.first >= 0).all() and (self.first < nodes).all())

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name."""
        return dict(vars(self))


@numba.njit(cache=True, nogil=True)
def _walk(x, first, feature, limit, left, right, share, out):  # type: ignore[no-untyped-def]
    for tree in range(len(first)):
        for row in range(x.shape[0]):
            node = first[tree]
            while feature[node] >= 0:
                node = left[node] if x[row, feature[node]] <= limit[node] else right[node]
            for k in range(out.shape[1]):
                out[row, k] += share[node, k]


def grow_forest(x: np.ndarray, labels: np.ndarray, classes: int, balanced: bool, seed: int, workers: int = 1) -> Forest:
    """A random forest (scikit-learn); every class needs a sample."""
    from sklearn.ensemble import RandomForestClassifier

    weight = "balanced" if balanced else None
    model = RandomForestClassifier(**FOREST, class_weight=weight, random_state=seed, n_jobs=workers).fit(x, labels)
    parts, offset = [], 0
    for estimator in model.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        counts = tree.value[:, 0]
        share = np.zeros((tree.node_count, classes), "f4")
        share[:, model.classes_] = counts / counts.sum(axis=1, keepdims=True)
        # scikit-learn compares float32 with a float64 limit: rounded down, the same samples go left.
        limit = tree.threshold.astype("f4")
        limit = np.where(limit > tree.threshold, np.nextafter(limit, np.float32(-np.inf)), limit)
        parts.append((
            offset, np.where(leaf, -1, tree.feature), limit, tree.children_left + offset, tree.children_right + offset, share,
        ))  # fmt: skip
        offset += tree.node_count
    first, feature, limits, left, right, shares = zip(*parts, strict=True)
    return Forest(
        np.array(first, "i8"), np.concatenate(feature).astype("i4"), np.concatenate(limits),
        np.concatenate(left).astype("i4"), np.concatenate(right).astype("i4"), np.concatenate(shares),
    )  # fmt: skip


def boost(x: np.ndarray, labels: np.ndarray, classes: int, balanced: bool, seed: int, workers: int = 1) -> Any:
    """A booster of XGBoost."""
    import xgboost

    settings = {k: v for k, v in BOOSTED.items() if k != "n_estimators"}
    weight = (len(labels) / classes / np.bincount(labels, minlength=classes).clip(1))[labels] if balanced else None
    data = xgboost.DMatrix(x, labels, weight=weight)
    table = settings | {"objective": "multi:softprob", "num_class": classes, "seed": seed, "nthread": workers}
    return xgboost.train(table, data, int(BOOSTED["n_estimators"]))
