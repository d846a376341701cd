"""How good models of crops are on samples that they did not learn from: the same left-out groups for all, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.layers.crops.models import Learner
from imperv.layers.crops.networks import Trainings
from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.crops.series import Series
from imperv.layers.statistics.classes import class_counts, class_scores
from imperv.layers.statistics.scores import differences, estimates


@dataclass(frozen=True)
class Judged:
    """Answers for samples that were not learnt from, a trial each."""

    numbers: np.ndarray
    """(trial, sample) int64: the class that was said; -1 where nothing could be said."""
    labels: np.ndarray
    """(sample,)"""
    groups: np.ndarray
    """(sample,) 0 to n - 1."""
    classes: tuple[str, ...]

    @property
    def counts(self) -> np.ndarray:
        """Confusion matrix of each group, flattened, the mean of all trials: a group drawn again is drawn in all."""
        size, blocks = len(self.classes), int(self.groups.max()) + 1
        trials = [class_counts(row[row >= 0], self.labels[row >= 0], self.groups[row >= 0], blocks, size) for row in self.numbers]
        return np.mean(trials, axis=0)

    def to_json(self) -> dict[str, Any]:
        """Scores with intervals (`statistics.scores.estimates`) and the confusion matrix, of all trials together."""
        counts, size = self.counts, len(self.classes)
        found = estimates([counts], class_scores(size))
        matrix = counts.sum(axis=0).reshape(size, size)
        return {
            "oa": found["oa"].to_json(), "f1": found["f1"].to_json(), "kappa": found["kappa"].to_json(),
            "classes": {name: found[f"f1_{k}"].to_json() for k, name in enumerate(self.classes)},
            "confusion": np.round(matrix, 2).tolist(), "samples": len(self.labels), "trials": len(self.numbers),
        }  # fmt: skip


def folds_of(series: Series, folds: int, seed: int) -> list[np.ndarray]:
    """Numbers of the samples that are left out in turn: whole groups, classes spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    alone = len(np.unique(series.groups)) == len(series.labels)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    split = kind(folds, shuffle=True, random_state=seed).split(series.labels, series.labels, None if alone else series.groups)
    return [np.sort(left_out) for _, left_out in split]


def cross_validate(
    kinds: Mapping[str, TrainingParameters], series: Series, folds: int, repeats: int,
    told: Callable[[str, int, int], None] = lambda *_: None, workers: int = 1, trainings: Trainings | None = None,
) -> dict[str, Judged]:  # fmt: skip
    """Answers of models by name, each sample left out once a repeat; all models see the same folds."""
    splits = [folds_of(series, folds, repeat) for repeat in range(repeats)]
    groups = np.unique(series.groups, return_inverse=True)[1]
    found = {}
    for name, parameters in kinds.items():
        learner = Learner(parameters, series)
        numbers = np.full((repeats, len(series.labels)), -1, "i8")
        for repeat, split in enumerate(splits):
            for k, left_out in enumerate(split):
                kept = np.setdiff1d(np.arange(len(series.labels)), left_out)
                model = learner.learn(
                    series.part(kept), parameters.seed + repeat * folds + k, workers=workers, trainings=trainings
                )
                numbers[repeat, left_out] = model.probabilities(series.values[left_out]).argmax(axis=1)
                told(name, repeat * folds + k + 1, repeats * folds)
        found[name] = Judged(numbers, series.labels, groups, series.classes)
    return found


def compared(ours: Judged, theirs: Judged) -> dict[str, Any]:
    """Ours minus theirs, the same samples drawn again for both."""
    found = differences([ours.counts], [theirs.counts], class_scores(len(ours.classes)))
    return {name: found[name].to_json() for name in ("oa", "f1")}


def judge(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: Sequence[str]) -> Judged:
    """Of one model on samples that it has not learnt from."""
    known = np.isfinite(probabilities).all(axis=1)
    numbers = np.where(known, np.nan_to_num(probabilities).argmax(axis=1), -1)
    return Judged(numbers[None], labels, np.unique(groups, return_inverse=True)[1], tuple(classes))
