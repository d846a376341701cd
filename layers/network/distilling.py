"""An ensemble distilled into one network: what it learns, how long, and when that pays (docs/models.md).

The student answers with mean and deviation of the ensemble, which it learns from the ensemble's answers on a part of the ground
(Hinton et al. 2015, arXiv:1503.02531; the spread beside the mean: Malinin et al. 2020, arXiv:1905.00076). Files and models in the
store do not belong here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imperv.layers.network.ensemble import as_percent
from imperv.layers.network.heads import FractionHead, Masks
from imperv.layers.network.prediction import EDGES
from imperv.layers.network.rows import Model, Read, predict_channels
from imperv.layers.network.sampling import Region, is_sealed
from imperv.layers.network.unet import UNetParameters
from imperv.layers.network.windows import Windows
from imperv.layers.palette import OUTSIDE as NODATA

WINDOW = 250
"""Edge of the windows that the ensemble answers for the student, pixels; our choice."""

SHARE = 0.05
"""Share of the windows of a tile that the ensemble answers; our choice (docs/accuracy.md)."""

LEAST_WINDOWS = 10
"""Fewest windows: a fifth of them is left out to judge the student."""

EPOCHS, STEPS = 10, 100
"""Of the student's training, which starts from a member; our choice (docs/accuracy.md)."""

WIDEST_SPREAD = 0.5
"""Largest standard deviation of fractions: half of them 0, half 1."""

WORTH = 0.75
"""Share of the ensemble's time that a student may take at most; our choice, as its error has to be worth something."""

STEP_COST = 5.5
"""A pixel of a training step over a pixel of a prediction in processor time (docs/performance.md: 6.1 and 1.1 µs)."""


def student_parameters(unet: UNetParameters, filters: int, depth: int) -> UNetParameters:
    """Of a student with the shape of a member: dropout and shifted features would blur what it is to learn."""
    return unet.model_copy(
        update={
            "base_filters": filters, "depth": depth, "members": 1, "dropout": 0.0, "jitter": 0.0, "epochs": EPOCHS,
            "steps_per_epoch": STEPS, "patience": EPOCHS, "transfer_share": 1.0, "split_block": WINDOW,
        }
    )  # fmt: skip


def taught_windows(windows: int, room: int) -> int:
    """How many of so many windows the ensemble answers, where memory has room for `room` of them."""
    return min(windows, max(LEAST_WINDOWS, round(SHARE * windows)), room)


def lesson_work(parameters: UNetParameters, members: int, taught: int, share: float = 1.0) -> float:
    """Work before a student predicts, in pixels that one network predicts in that time (`Windows.work`).

    That is `taught` windows answered by so many members, and the steps of the training. A prediction takes `share` of the time
    that it takes in float32, in which the student is trained.
    """
    answers = members * taught * Windows((WINDOW, WINDOW), (0, 0), parameters.depth, EDGES[1]).work
    crops = parameters.epochs * parameters.steps(taught * WINDOW**2, parameters.crop) * parameters.batch
    return answers + crops * parameters.crop**2 * STEP_COST / share


@dataclass(frozen=True)
class EnsembleHead:
    """Mean and deviation of an ensemble: targets (mean, deviation / `WIDEST_SPREAD`), both fractions 0..1."""

    fraction: FractionHead = FractionHead()
    """Of each."""

    @property
    def outputs(self) -> int:
        """Two."""
        return 2

    @property
    def activation(self) -> str:
        """Of fractions."""
        return self.fraction.activation

    def loss(self, answer: Any, y: Any, w: Any) -> Any:
        """The sum of both."""
        return sum(self.fraction.loss(answer[..., k : k + 1], y[:, k], w) for k in range(self.outputs))

    def start(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        """Those of the means of both."""
        return np.concatenate([self.fraction.start(_channel(regions, k), masks) for k in range(self.outputs)])

    def constant(self, regions: Sequence[Region], masks: Masks, y: np.ndarray, w: np.ndarray) -> float:
        """Of the means of both."""
        return sum(self.fraction.constant(_channel(regions, k), masks, y[:, k], w) for k in range(self.outputs))

    def special(self, target: np.ndarray) -> np.ndarray:
        """Where the ensemble sees sealed ground."""
        return is_sealed(target[0])

    def scores(self, answer: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, Any]:
        """Against the ensemble, not the truth: scores of the mean as of `FractionHead`, and of the deviation in percent."""
        mean, spread = (self.fraction.scores(answer[..., k : k + 1] * s, y[:, k] * s, w) for k, s in ((0, 1), (1, WIDEST_SPREAD)))
        return {"mean": mean, "deviation": {name: spread[name] for name in ("mae", "rmse", "bias", "r2")}}


def _channel(regions: Sequence[Region], k: int) -> list[Region]:
    return [replace(region, target=region.target[k]) for region in regions]


def ensemble_target(members: np.ndarray) -> np.ndarray:
    """What a student learns, (2, y, x) float32, from members (member, y, x) fractions, NaN where one has no data."""
    return np.stack([members.mean(axis=0, dtype="f8"), members.std(axis=0, dtype="f8") / WIDEST_SPREAD]).astype("f4")


def student_rows(read: Read, student: Model, windows: Windows, at_once: int = 2) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Mean and spread as `rows.predict_rows` gives them, by a student in place of an ensemble."""
    for first, channels, valid in predict_channels(read, [student], windows, at_once):
        mean, deviation = np.full(valid.shape, NODATA, "u1"), np.full(valid.shape, np.nan, "f4")
        if len(channels):
            mean[valid] = as_percent(channels[0][valid])
            deviation[valid] = channels[1][valid] * np.float32(WIDEST_SPREAD)
        yield first, mean, deviation
