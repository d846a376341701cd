"""Training of the U-Nets on regions in memory: normalisation, masked loss, schedule, early stop (ATBD 4.2.3, 4.3.1).

What is drawn from the regions is in `sampling`, the network in `unet`. Same regions, parameters, number of threads and
``TF_ENABLE_ONEDNN_OPTS`` (see `unet.configure_threads`): same weights, bit for bit, on a CPU. TensorFlow is imported inside
the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.layers.network.fitting import Batch, Choice, DivergenceError, fit, least, training_policy
from imperv.layers.network.heads import FractionHead, Head
from imperv.layers.network.sampling import (
    TRAINING,
    VALIDATION,
    CropSampler,
    Region,
    choose_split,
    crop_size,
    cut,
)
from imperv.layers.network.unet import (
    FRACTION,
    NetworkParameters,
    Normalisation,
    UNetParameters,
    build_unet,
    join_members,
    split_members,
)

Progress = Callable[[int, int, float, float], None]
"""Called after each epoch: member, epoch (both from 0), training loss, validation loss."""

RUINED = 5.0
"""Times the validation loss of a constant above which a training has diverged though its loss is finite; our choice."""

_SMALLEST_STD = 1e-6


@dataclass(frozen=True)
class Trained:
    """A trained model and what is worth knowing about it."""

    model: Any
    """Keras model, (batch, y, x, feature) -> (batch, y, x, member)."""
    normalisation: Normalisation
    """To be applied to features before the model sees them."""
    parameters: NetworkParameters
    """As trained with."""
    history: tuple[dict[str, Any], ...]
    """For each member: seed, pixels of each part, block of the split, steps of an epoch, validation loss of the best
    constant of the training part, validation scores, best epoch, and training and validation loss of each epoch."""
    crop: int
    """Edge of the training crops, pixels."""
    transfer: bool
    """Whether training started from another model."""

    def metadata(self) -> dict[str, Any]:
        """All but the model as a JSON object; `Normalisation.from_json` reads its part back."""
        return {
            "parameters": self.parameters.model_dump(mode="json"),
            "normalisation": self.normalisation.to_json(),
            "history": list(self.history),
            "crop": self.crop,
            "transfer": self.transfer,
        }


def train(
    regions: Sequence[Region],
    parameters: NetworkParameters | None = None,
    progress: Progress | None = None,
    initial: tuple[Any, Normalisation] | None = None,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    head: Head | None = None,
    choice: Choice = least,
) -> Trained:
    """Train the members of a tile's model; each is left with the weights of the epoch of its `choice`.

    Each member has its own seed and holds out other blocks for validation (as in cross-validation), so that together they see
    all the ground. The normalisation, which knows no target, is that of all pixels with a target. Pixels without a feature or a
    target never enter. Source: ATBD 4.3.1: 80/20 split, 10 % dropout, binary cross-entropy, transfer learning from neighbouring
    tiles.

    `regions` may overlap. `initial` is another model and its normalisation: the weights are the start, rewritten for the
    normalisation of the regions, and training takes `UNetParameters.transfer_epochs`. `keep` gets everything that is needed to
    go on after each epoch; with that as `state`, a training of the same regions, parameters and start that was cut off goes on.
    `head` is what the network answers, by default the fractions of `UNetParameters`.

    ValueError if regions do not fit the parameters, are too small to split, or the initial model is of another architecture;
    DivergenceError if a loss is not finite, or that of the best epoch is far above that of a constant.
    """
    import tensorflow as tf

    parameters = parameters or UNetParameters()
    if head is None:
        head = FractionHead(parameters.absolute if isinstance(parameters, UNetParameters) else 0.0)
    _check(regions, parameters)
    tf.config.experimental.enable_op_determinism()

    valid = [region.valid() for region in regions]
    normalisation = normalise(regions, valid, parameters.names)
    size = crop_size(valid, parameters.crop, 2**parameters.depth)
    if initial:
        parameters = parameters.model_copy(update={"epochs": parameters.transfer_epochs})

    done, members, history = list(state["finished"]) if state else [], [], []
    for k in range(parameters.members):
        seed = parameters.seed * 1000 + k
        member = build_unet(parameters, seed, f"member_{k}", training_policy(parameters), head.outputs, head.activation)
        if k < len(done):
            weights, record = done[k]
            member.set_weights(weights)
            members.append(member)
            history.append(record)
            continue
        if initial:
            _copy_weights(*initial, member, normalisation, k)
        learning, held, block = _parts(regions, valid, parameters, k)
        if (known := _outputs(initial[0]) if initial else 0) < head.outputs:
            _start_at(member, head.start(regions, learning), known)
        pixels, held_pixels = (sum(int(np.count_nonzero(m)) for m in masks) for masks in (learning, held))
        steps = parameters.steps(pixels, size)
        checks = _validation_crops(regions, held, size, parameters.validation_pixels, seed)
        sampler = CropSampler(regions, learning, size, parameters.balance, seed, head.special)
        inner = state["member"] if state and k == len(done) else None
        try:
            record = fit(
                member, sampler, checks, normalisation, parameters, steps, seed, _report(progress, k), inner,
                _keeper(keep, members, history), head, choice,
            )  # fmt: skip
        finally:
            sampler.let_go()
        constant = head.constant(regions, learning, *checks[1:])
        if min(record["validation"]) > constant * RUINED:
            reached = min(record["validation"])
            raise DivergenceError(f"member {k + 1} ends with a validation loss of {reached:.4g}, a constant has {constant:.4g}")
        members.append(member)
        history.append(
            {
                "seed": seed,
                "training_pixels": pixels,
                "validation_pixels": held_pixels,
                "split_block": block,
                "steps_per_epoch": steps,
                "constant_loss": constant,
                "scores": validation_scores(member, checks, normalisation, parameters.batch, head),
                **record,
            }
        )
    joined = join_members(_plain(members, parameters, head))
    return Trained(joined, normalisation, parameters, tuple(history), size, initial is not None)


State = Mapping[str, Any]
"""``finished``: (weights, record) of every finished member; ``member``: state of the one at work (`fitting.fit`)."""


def _keeper(
    keep: Callable[[State], None] | None, members: Sequence[Any], history: Sequence[Any]
) -> Callable[[State], None] | None:
    """The receiver of a member's state, with the finished members beside it."""
    if keep is None:
        return None
    finished = [(member.get_weights(), record) for member, record in zip(members, history, strict=True)]
    return lambda state: keep({"finished": finished, "member": state})


def _plain(members: Sequence[Any], parameters: NetworkParameters, head: Head) -> list[Any]:
    """Members that compute in 32 bits, whatever they were trained with: they predict on any machine."""
    if training_policy(parameters) == "float32":
        return list(members)
    plain = [build_unet(parameters, 0, member.name, outputs=head.outputs, activation=head.activation) for member in members]
    for new, member in zip(plain, members, strict=True):
        new.set_weights(member.get_weights())
    return plain


def renormalised(kernel: np.ndarray, bias: np.ndarray, old: Normalisation, new: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """First layer of a network that gives for features standardised anew what it gave before; ValueError for other features.

    The kernel of the first convolution is (y, x, feature, filter). Exact but for pixels at the edge of what is seen, where the
    layer sees padding, and for values that `CLIP` cuts.
    """
    if old.names != new.names:
        raise ValueError(f"the initial model was trained on {old.names}, not on {new.names}")
    scale = np.asarray(new.std) / np.asarray(old.std)
    shift = (np.asarray(new.mean) - np.asarray(old.mean)) / np.asarray(old.std)
    return kernel * scale[:, None], bias + np.einsum("yxfo,f->o", kernel, shift)


def _parts(
    regions: Sequence[Region], valid: Sequence[np.ndarray], parameters: NetworkParameters, fold: int
) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Masks of the training and of the validation pixels of a member, and the block of its split."""
    splits, block = choose_split(
        valid,
        [region.origin for region in regions],
        parameters.split_block,
        parameters.validation_share,
        parameters.guard,
        parameters.seed,
        fold,
    )
    learning = [v & (s == TRAINING) for v, s in zip(valid, splits, strict=True)]
    held = [v & (s == VALIDATION) for v, s in zip(valid, splits, strict=True)]
    return learning, held, block


def normalise(regions: Sequence[Region], masks: Sequence[np.ndarray], names: Sequence[str]) -> Normalisation:
    """Mean and standard deviation of the features over the pixels of the masks; ValueError if there is no pixel."""
    count = sum(int(np.count_nonzero(m)) for m in masks)
    if not count:
        raise ValueError("no pixel to take the normalisation from")
    pairs = [(r.features, m) for r, m in zip(regions, masks, strict=True) if m.any()]
    mean, std = np.zeros(len(names)), np.zeros(len(names))
    for k in range(len(names)):  # one feature at a time: the copy of all of them would be larger than the regions
        mean[k] = sum(f[k][m].sum(dtype="f8") for f, m in pairs) / count
        std[k] = np.sqrt(sum(np.square(f[k][m] - mean[k]).sum(dtype="f8") for f, m in pairs) / count)
    std = np.maximum(std, _SMALLEST_STD)
    return Normalisation(tuple(names), tuple(map(float, mean)), tuple(map(float, std)))


def _check(regions: Sequence[Region], parameters: NetworkParameters) -> None:
    if not regions:
        raise ValueError("no region to train on")
    for region in regions:
        if region.features.ndim != 3 or region.features.shape[0] != len(parameters.names):
            raise ValueError(
                f"features of a region have shape {region.features.shape}: "
                f"feature set {parameters.features} has {len(parameters.names)} features"
            )
        if region.target.shape[-2:] != region.features.shape[1:]:
            raise ValueError(f"target has shape {region.target.shape}, features {region.features.shape}")


def _report(progress: Progress | None, member: int) -> Callable[[int, float, float], None]:
    return lambda epoch, loss, check: progress(member, epoch, loss, check) if progress else None


def _copy_weights(source: Any, old: Normalisation, member: Any, new: Normalisation, k: int) -> None:
    """Start a member from one of the members of another model, in turn."""
    donors = split_members(source)
    weights, own = donors[k % len(donors)].get_weights(), member.get_weights()
    if member.layers[-1].name == FRACTION and [w.shape for w in weights[:-2]] == [w.shape for w in own[:-2]]:
        # Fractions do not hang on each other: those that the other model lacks keep their own kernel.
        weights[-2:] = [np.concatenate([w, o[..., w.shape[-1] :]], axis=-1) for w, o in zip(weights[-2:], own[-2:], strict=True)]
    if [w.shape for w in weights] != [w.shape for w in own]:
        raise ValueError("the initial model has another architecture (features, base_filters or depth)")
    member.set_weights(weights)
    first = member.get_layer("down0_conv1")
    kernel, bias = first.get_weights()
    first.set_weights(renormalised(kernel, bias, old, new))


def _outputs(model: Any) -> int:
    return int(split_members(model)[0].output_shape[-1])


def _start_at(member: Any, bias: np.ndarray, known: int) -> None:
    """Have what a network has not learnt yet, all but the `known` first channels, answer about the same everywhere."""
    kernel, old = member.layers[-1].get_weights()
    member.layers[-1].set_weights([kernel, np.concatenate([old[:known], bias[known:].astype("f4")])])


def _validation_crops(regions: Sequence[Region], masks: Sequence[np.ndarray], size: int, pixels: int, seed: int) -> Batch:
    """Fixed crops that hold the validation pixels, fullest first, up to about `pixels` of them."""
    found = []
    for k, mask in enumerate(masks):
        # On the global lattice, where they mostly coincide with the blocks of the split: fewer crops, all of them full.
        first = [-(index % size) for index in regions[k].origin]
        for row in range(first[0], mask.shape[0], size):
            for col in range(first[1], mask.shape[1], size):
                count = int(np.count_nonzero(mask[max(row, 0) : row + size, max(col, 0) : col + size]))
                if count:
                    found.append((count, k, row, col))
    # Among equals chance decides, so that a large tile is not judged by its first region alone.
    order = np.random.default_rng([seed, 13]).permutation(len(found))
    ranked = sorted((found[i] for i in order), key=lambda f: -f[0])
    before = np.cumsum([0] + [f[0] for f in ranked[:-1]])
    chosen = [f for f, seen in zip(ranked, before, strict=True) if seen < pixels]
    features, target, weight = [], [], []
    for _, k, row, col in chosen:
        mask = cut(masks[k], row, col, size, False)
        features.append(np.moveaxis(cut(regions[k].features, row, col, size, np.nan), 0, -1))
        target.append(np.where(mask, cut(regions[k].target, row, col, size, 0), 0))
        weight.append(mask.astype("f4"))
    return np.stack(features), np.stack(target), np.stack(weight)


def validation_scores(
    member: Any, checks: Batch, normalisation: Normalisation, batch: int, head: Head | None = None
) -> dict[str, Any]:
    """Scores of a network on its validation pixels, as its head gives them; by default those of fractions."""
    x, y, w = checks
    parts = [np.asarray(member(normalisation.apply(x[k : k + batch]), training=False)) for k in range(0, len(x), batch)]
    return (head or FractionHead()).scores(np.concatenate(parts), y, w)
