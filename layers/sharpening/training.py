"""Training of the networks of super-resolution by Wald's protocol: everything an octave lower, where the truth is known.

Guides and bands are degraded by the step's factor, and the bands as they were measured are the answer. Back-projection is part of
the loss: what it gives anyway, the network need not learn. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from imperv.layers.network.optimizer import make_optimizer
from imperv.layers.network.weights import flat_weights
from imperv.layers.sharpening.degradation import MTF, degrade, spread_of
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.features import start_and_features
from imperv.layers.sharpening.network import Model, Shape, build, deviation_of, pack, rebuild
from imperv.layers.sharpening.statistics import Statistics, Sums, statistics_of
from imperv.layers.sharpening.steps import STEPS, Step

CROP = 48
"""Edge of a training crop, fine pixels."""

MARGIN = 6
"""Pixels at the edge of a crop that no loss counts: context is missing there."""

ROUNDS = 3
"""Rounds of back-projection in the loss."""

SOFT = 0.1
"""Errors below this, in units of a band's detail, count by their square, larger ones by themselves (Charbonnier)."""

TUNING_RATE = 2e-3
"""Highest learning rate of a tuning."""

HONEST = 0.1
"""Weight of the deviation's likelihood beside the error."""


@dataclass
class Field:
    """Ground to learn from, an octave below the one to be sharpened."""

    features: np.ndarray
    """(y, x, feature) as of `start_and_features`."""
    missing: np.ndarray
    """(y, x, band): truth less start, in units of the band's detail."""
    weight: np.ndarray
    """(y, x) 0 or 1: where truth is known and may be used."""
    sigma: float
    """Point spread of the bands, fine pixels."""
    share: float = 1.0
    """Weight of the ground in the draw of crops."""
    unit: np.ndarray | None = None
    """(band,) of `missing`, reflectance x 10 000."""


def lower(
    step: Step, guides: np.ndarray, bands: np.ndarray, sigma: float, guide_sigma: float | None = None,
    scene: Statistics | None = None, usable: np.ndarray | None = None,
) -> Field:  # fmt: skip
    """Ground an octave lower: guides (guide, factor y, factor x) and bands (band, y, x) at their native pixels, NaN without data.

    `sigma` and `guide_sigma` are the point spreads by which bands and guides are degraded, in their own pixels; `usable`
    (y, x) bool restricts where is learnt. Sides of the bands that are no multiples of the factor are cut.
    """
    unit = step.factor * (step.octave if step.factor == step.octave else 1)
    rows, columns = (n - n % unit for n in bands.shape[1:])
    bands = bands[:, :rows, :columns]
    guides = guides[:, : rows * step.factor, : columns * step.factor]
    fine = degrade(guides, step.factor, sigma if guide_sigma is None else guide_sigma)
    coarse = degrade(bands, step.factor, sigma)
    scene = scene or statistics_of(step, fine, coarse, sigma)
    start, seen = start_and_features(step, scene, fine, coarse, sigma)
    missing = np.moveaxis((bands - start) / scene.band_detail[:, None, None], 0, -1)
    known = np.isfinite(missing).all(-1) & np.isfinite(fine).all(0)
    if usable is not None:
        known &= usable[:rows, :columns]
    features, missing = seen.whole(), np.where(known[..., None], missing, 0).astype("f4")
    return Field(features, missing, known.astype("f4"), sigma, 1.0, scene.band_detail)


@lru_cache(maxsize=64)
def projection(size: int, factor: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Degrading and enlarging along one axis as matrices, (size / factor, size) and (size, size / factor)."""
    eye = np.eye(size, dtype="f4")
    down = degrade(np.repeat(eye[:, :, None], size, 2), factor, sigma)[:, :, 0].T
    few = np.eye(size // factor, dtype="f4")
    up = enlarge(np.repeat(few[:, :, None], size // factor, 2), factor)[:, :, 0].T
    return np.ascontiguousarray(down), np.ascontiguousarray(up)


class Crops:
    """Draws crops of fields, flipped and turned."""

    def __init__(self, step: Step, shape: Shape, fields: Sequence[Field], size: int = CROP) -> None:
        self.step, self.shape, self.size = step, shape, size
        self.fields = [_framed(f, size) for f in fields if f.weight.any()]
        if not self.fields:
            raise ValueError("no ground to learn from")
        share = np.array([f.share for f in self.fields])
        self.share = share / share.sum()
        self.groups = sorted({f.sigma for f in self.fields})

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Packed features, missing, weight of crops of one point spread, and that."""
        first = self.fields[random.choice(len(self.fields), p=self.share)]
        of = [k for k, f in enumerate(self.fields) if f.sigma == first.sigma]
        share = self.share[of] / self.share[of].sum()
        found = [self._crop(self.fields[of[random.choice(len(of), p=share)]], random) for _ in range(count)]
        x, y, w = (np.stack(part) for part in zip(*found, strict=True))
        return pack(x, self.shape.shuffle), y, w, first.sigma

    def _crop(self, ground: Field, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        n, unit = self.size, self.step.factor
        rows, columns = ground.weight.shape
        for _ in range(20):
            y, x = (unit * int(random.integers(0, (m - n) // unit + 1)) for m in (rows, columns))
            weight = ground.weight[y : y + n, x : x + n].copy()
            if weight.mean() > 0.2:
                break
        if min(rows, columns) > n:
            weight[:MARGIN] = weight[-MARGIN:] = weight[:, :MARGIN] = weight[:, -MARGIN:] = 0
        cut = ground.features[y : y + n, x : x + n], ground.missing[y : y + n, x : x + n], weight
        turns, flip = int(random.integers(4)), bool(random.integers(2))
        parts = tuple(np.rot90(p, turns, (0, 1)) for p in cut)
        return tuple(p[:, ::-1] for p in parts) if flip else parts


def _framed(ground: Field, size: int) -> Field:
    """A field of at least one crop; what is added counts nowhere."""
    lack = [(0, max(0, size - n)) for n in ground.weight.shape]
    if not any(after for _, after in lack):
        return ground
    x = np.pad(ground.features, [*lack, (0, 0)], mode="symmetric")
    return replace(ground, features=x, missing=np.pad(ground.missing, [*lack, (0, 0)]), weight=np.pad(ground.weight, lack))


def fit(
    network: Any, crops: Crops, steps: int, seed: int, rate: float = 4e-3, batch: int = 8,
    check: Callable[[Any], float] | None = None, every: int = 0, report: Callable[[int, float, float], None] | None = None,
    deadline: float = float("inf"),
) -> dict[str, Any]:  # fmt: skip
    """Train a network in place; it is left with its averaged weights, the best of those that `check` judged.

    `check` gets the network and gives its error on ground apart, every `every` steps, before the first one too. Training
    ends at `deadline` (`time.monotonic`) though the rate is still falling.
    """
    import keras
    import tensorflow as tf

    random = np.random.default_rng([seed, 5])
    rise = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - rise), warmup_target=rate, warmup_steps=rise)
    optimizer: Any = make_optimizer(schedule, 0.1, "last")
    variables = network.trainable_variables
    optimizer.build(variables)
    average = [tf.Variable(v) for v in variables]
    unit, bands = crops.shape.shuffle, len(crops.step.bands)

    def answer(x: Any) -> tuple[Any, Any]:
        return tuple(tf.nn.depth_to_space(p, unit) if unit > 1 else p for p in tf.split(network(x, training=True), 2, -1))  # type: ignore[return-value]

    @tf.function(reduce_retracing=True)
    def learn(x: Any, y: Any, w: Any, down: Any, up: Any, k: Any) -> Any:
        with tf.GradientTape() as tape:
            c, spread = answer(x)
            for _ in range(ROUNDS):
                seen = tf.einsum("ay,byxc,dx->badc", down, c, down)
                c -= tf.einsum("ya,badc,xd->byxc", up, seen, up)
            error = y - c
            w = w[..., None] / (tf.reduce_sum(w) * bands + 1e-6)
            loss = tf.reduce_sum(w * (tf.sqrt(error**2 + SOFT**2) - SOFT))
            deviation = deviation_of(spread)
            gap = tf.stop_gradient(error)
            likelihood = tf.reduce_sum(w * (tf.math.log(deviation) + 0.5 * tf.minimum((gap / deviation) ** 2, 25.0)))
            total = loss + HONEST * likelihood
        optimizer.apply(tape.gradient(total, variables), variables)
        keep = tf.minimum(0.995, (k + 1) / (k + 10))
        for mean, v in zip(average, variables, strict=True):
            mean.assign(keep * mean + (1 - keep) * v)
        return loss

    best, kept = float("inf"), network.get_weights()
    history: list[tuple[int, float, float]] = []
    losses: list[float] = []

    def judge(k: int) -> None:
        nonlocal best, kept
        own = network.get_weights()
        for v, mean in zip(variables, average, strict=True):
            v.assign(mean)
        value = check(network) if check else float("nan")
        history.append((k, float(np.mean(losses[-every:])) if losses else float("nan"), value))
        if report:
            report(*history[-1])
        if not check or value < best:
            best, kept = value, network.get_weights()
        network.set_weights(own)

    if check:
        judge(0)
    for k in range(steps):
        x, y, w, sigma = crops.draw(random, batch)
        down, up = projection(crops.size, crops.step.factor, sigma)
        losses.append(float(learn(*(tf.constant(np.ascontiguousarray(p)) for p in (x, y, w, down, up)), tf.constant(float(k)))))
        late = time.monotonic() > deadline
        if every and (k + 1) % every == 0 or k + 1 == steps or late:
            judge(k + 1)
        if late:
            break
    network.set_weights(kept)
    return {"history": history, "best": best, "steps": k + 1}


GUARD = 8
"""Fine pixels between ground to learn from and ground to judge by."""

BLOCK = 60
"""Edge of the blocks of ground that judge a tuning, fine pixels; our choice."""

JUDGED = 0.2
"""Share of the ground that judges."""

STEPS_TO_TUNE = 300
"""Steps of each member; our choice: more bring less than a hundredth."""


def split(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (y, x) of ground to learn from and ground to judge by: blocks apart, with `GUARD` pixels in neither."""
    edge = BLOCK
    while edge > 2 * GUARD and (shape[0] // edge) * (shape[1] // edge) < 8:
        edge //= 2
    rows, columns = (-(-n // edge) for n in shape)
    judged = np.zeros(rows * columns, bool)
    order = np.random.default_rng([seed, 7]).permutation(rows * columns)
    judged[order[: max(1, round(JUDGED * rows * columns))]] = True
    judge = np.kron(judged.reshape(rows, columns), np.ones((edge, edge), bool))[: shape[0], : shape[1]]
    near = cv2.dilate(judge.astype("u1"), np.ones((2 * GUARD + 1,) * 2, "u1")) > 0
    return ~near, judge


def left(step: Step, ground: Field, correction: np.ndarray) -> np.ndarray:
    """(band, y, x) error that is left after a correction (band, y, x) and back-projection, in units of the bands' detail."""
    for _ in range(ROUNDS):
        correction = correction - enlarge(degrade(correction, step.factor, ground.sigma), step.factor)
    return np.moveaxis(ground.missing, -1, 0) - correction


def error_of(step: Step, shape: Shape, grounds: Sequence[Field]) -> Callable[[Any], float]:
    """What judges a network while it learns: the mean over the bands of the root mean square error on the grounds' weights."""
    count = sum(float(g.weight.sum()) for g in grounds)

    def judge(network: Any) -> float:
        model, total = Model(step.name, shape, (flat_weights(network),)), np.zeros(len(step.bands))
        for ground in grounds:
            total += (left(step, ground, model.correct(ground.features)[0]) ** 2 * ground.weight).sum((1, 2))
        return float(np.sqrt(total / count).mean())

    return judge


def tune(
    model: Model, pairs: Iterable[tuple[np.ndarray, np.ndarray]], sigma: float, seed: int = 0, steps: int = STEPS_TO_TUNE,
    minutes: float = 3.5, report: Callable[[int, int, float, float], None] | None = None,
) -> Model:  # fmt: skip
    """A model that has learnt on from a scene itself, an octave lower; never worse there than the one it began as.

    Parameters
    ----------
    model : Model
        What to begin with; `fresh` where none comes with the package.
    pairs : iterable of (guides, bands)
        Parts of the scene at their native pixels, (guide, factor y, factor x) and (band, y, x), NaN without data.
    sigma : float
        Point spread between coarse and fine pixels, standard deviation in fine pixels.
    seed : int
        Start of all random numbers; chooses the ground that judges, too.
    steps : int
        Steps of each member.
    minutes : float
        Time after which what is best so far is kept.
    report : callable, optional
        Gets member, step, error of the training and of the judging ground, in units of the bands' detail.

    Returns
    -------
    Model
        Its record has ``tuned``: error before and after, steps.

    Raises
    ------
    ValueError
        If the parts hold too little ground.
    """
    step, parts = STEPS[model.step], list(pairs)
    sums = Sums(step, sigma)
    cut = [_whole(step, *part) for part in parts]
    for guides, bands in cut:
        sums.add(degrade(guides, step.factor, sigma), degrade(bands, step.factor, sigma))
    scene, learnt, judged = sums.solve(), [], []
    for k, (guides, bands) in enumerate(cut):
        masks = split(bands.shape[1:], seed + k)
        for y, x in np.ndindex(2, 2):
            part = guides[:, y * step.factor :, x * step.factor :], bands[:, y:, x:]
            learnt.append(lower(step, *part, sigma, scene=scene, usable=masks[0][y:, x:]))
        judged.append(lower(step, guides, bands, sigma, scene=scene, usable=masks[1]))
    if not any(g.weight.any() for g in judged) or not any(g.weight.any() for g in learnt):
        raise ValueError(f"step {step.name}: too little ground to tune a model on")
    crops, judge, start = Crops(step, model.shape, learnt), error_of(step, model.shape, judged), time.monotonic()
    weights, told = [], []
    for k, network in enumerate(model.networks):
        member = rebuild(step, model.shape, flat_weights(network))
        found = fit(
            member, crops, steps, 1000 * seed + k, rate=TUNING_RATE, check=judge, every=max(1, steps // 4),
            report=(lambda *a, k=k: report(k, *a)) if report else None, deadline=start + 60 * minutes * (k + 1) / model.members,
        )  # fmt: skip
        weights.append(flat_weights(member))
        told.append({"steps": found["steps"], "before": found["history"][0][2], "after": found["best"]})
    return Model(model.step, model.shape, tuple(weights), {**model.record, "tuned": told})


def trusted(model: Model, pairs: Iterable[tuple[np.ndarray, np.ndarray]], sigma: float) -> Model:
    """The same model, held back where its corrections do not hold on the scene itself, an octave lower.

    For scenes as the instrument gave them: there an octave down is like the step itself if guides and truth are made equally
    sharp at their pixels. It is not where bands were degraded in another way, as for comparisons. `pairs` and `sigma` as of
    `tune`. The share of each band is that which leaves the least error, between nothing, which is the regression, and all.
    """
    step, parts = STEPS[model.step], [_whole(STEPS[model.step], *pair) for pair in pairs]
    own = float(np.mean([spread_of(MTF[b]) for b in step.bands]))
    finest = float(np.mean([spread_of(MTF[g]) for g in step.guides])) if step.guides else own
    blur, guide_sigma = max(finest**2 - own**2, 0) ** 0.5, finest * (step.factor**2 - 1) ** 0.5
    sums, pairs = Sums(step, sigma), [(guides, degrade(bands, 1, blur)) for guides, bands in parts]
    for guides, bands in pairs:
        sums.add(degrade(guides, step.factor, guide_sigma), degrade(bands, step.factor, sigma))
    scene, product, power = sums.solve(), np.zeros(len(step.bands)), np.full(len(step.bands), 1e-9)
    for guides, bands in pairs:
        ground = lower(step, guides, bands, sigma, guide_sigma, scene)
        missing = np.moveaxis(ground.missing, -1, 0)
        told = missing - left(step, ground, model.correct(ground.features)[0])
        product += (missing * told * ground.weight).sum((1, 2), dtype="f8")
        power += (told**2 * ground.weight).sum((1, 2), dtype="f8")
    return replace(model, trust=tuple(float(share) for share in np.clip(product / power, 0, 1)))


def fresh(step: str, shape: Shape | None = None) -> Model:
    """An untrained model, which answers what the regression does."""
    shape = shape or Shape()
    return Model(step, shape, tuple(flat_weights(build(STEPS[step], shape, k)) for k in range(shape.members)))


def _whole(step: Step, guides: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (n - n % step.factor for n in bands.shape[1:])
    return guides[:, : rows * step.factor, : columns * step.factor], bands[:, :rows, :columns]
