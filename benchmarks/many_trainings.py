"""Hundreds of trainings at once, to choose settings of the networks on more than one trial: `python -m benchmarks.many_trainings WHAT`.

    prepare FOLDER          the sites of benchmarks.accuracy with their features, references and truth, a compact file each
    check                   the network here against the Keras model of layers.unet with the same weights
    train FOLDER PLAN OUT   all trainings of a plan; scores as lines of JSON are added to OUT
    baselines FOLDER OUT    the per-pixel models of layers.baselines on the same ground
    table OUT...            means over the trials of each kind of site

Network, loss, schedule, average and crops are those of `layers.unet`, `layers.fitting` and `layers.sampling`, written once more in JAX with a first
axis of trainings, as a GPU is idle with one small network. `train` needs NumPy and JAX alone, and a GPU to be of use. A plan is JSON:

    {"members": 2, "tasks": [{"settings": {"jitter": 0.1}, "shape": {"steps": 120}}]}

Other settings need no new compilation, other shapes (base, depth, crop, batch, epochs, steps) do. What differs from the real trainings is listed
in docs/accuracy.md, where the figures stand.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from layers.features import unsteadiness
from layers.optimizer import ADAM_RMS, MOMENTUM, RMS_RATE, make_optimizer
from layers.sampling import CANDIDATES, SEALED_FRACTION
from layers.unet import UNetParameters

PRODUCTS = ("IMD", "IBU")
TRIALS, FOLDS = 3, 4
STEP = 1 / 64
"""Of standardised features as they are kept."""
LEVELS = 250
"""Of targets from 0 to 1; 255 is unknown."""
MARGIN = 128
"""Around an image, in which crops may end, pixels: the largest crop."""
LOOKS = 2
"""Epochs between two validations."""

SETTINGS = {
    "lr": 6e-3, "absolute": 0.4, "squared": 0.0, "dropout": 0.1, "decay": 0.5, "jitter": 0.1, "averaging": 0.99, "balance": 0.5, "held_out": 1.0,
    "momentum": 0.8, "whitened": 2.0, "second": 0.999,
}  # fmt: skip
"""As in layers.unet; besides: share of a squared error in the loss, 0 for trainings that hold nothing out, and of the optimizer
the momentum of Muon, how many times Adam's usual step its step is, and the second of Adam's rates."""

SHAPE = {"base": 16, "depth": 3, "crop": 64, "batch": 4, "epochs": 20, "steps": 60, "muon": 1}
"""As in layers.unet; 0 for Adam alone."""

NEWTON_SCHULZ, STEPS = (3.4445, -4.775, 2.0315), 5
"""Of Keras' Muon: coefficients of a step towards equal singular values, and their number."""

THRESHOLDS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 40)

FILL = {"valid": 0, "target": 255, "mask": 255, "density": 255, "low": 0, "high": 0, "known": 0, "part": 2, "split": 2}
"""Beyond a site, by the beginning of a layer's name: all sites get one size."""

Layers = dict[str, np.ndarray]
Parameters = dict[str, Any]


# sites ----------------------------------------------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Write the sites of `benchmarks.accuracy`, features standardised over the pixels with a target of the first year."""
    from benchmarks.accuracy import SITES, _job
    from benchmarks.accuracy import prepare as make
    from grids import Block
    from layers.catalogue import CATALOGUE
    from layers.sampling import choose_split
    from layers.training import normalise
    from tasks.evaluation import MODELS, held_out, true_mask
    from tasks.features import read_features
    from tasks.models import training_regions
    from tasks.production import Production
    from tasks.truth import Truth

    for site in SITES:
        config, _ = make(site, folder)
        job = _job(config, Production.read(config).tile_names[0])
        unet, block, origin = job.production.parameters.unet, Block(0, 0, *job.grid(10).shape), job.global_index()
        truth = Truth.find(config.parent / "truth")
        assert truth is not None
        out: Layers = {}
        for product in PRODUCTS:
            target = np.full(block.shape, np.nan, "f4")
            for region in training_regions(job, CATALOGUE[MODELS[product]], unet):
                row, column = (a - b for a, b in zip(region.origin, origin, strict=True))
                target[row : row + region.target.shape[0], column : column + region.target.shape[1]] = region.target
            out[f"target_{product}"] = np.where(np.isfinite(target), np.round(target * LEVELS), 255).astype("u1")
            density, out[f"mask_{product}"] = true_mask(job, product, "now", truth, block) or (
                None,
                np.full(block.shape, 255, "u1"),
            )
            if density is not None:
                out[f"density_{product}"] = density
        years = {year: read_features(job, year, block, unet.names) for year in ("then", "now")}
        out["valid"] = valid = np.isfinite(years["then"]).all(axis=0) & (out["target_IMD"] != 255) & (out["target_IBU"] != 255)
        region = type("Seen", (), {"features": years["then"]})
        normalisation = normalise([region], [valid], unet.names)
        for year, features in years.items():
            steps = np.round(normalisation.apply(np.moveaxis(features, 0, -1)) / STEP).astype("i2")
            out[f"low_{year}"], out[f"high_{year}"] = (steps & 255).astype("u1"), (steps >> 8).astype("i1")
            out[f"known_{year}"] = np.isfinite(features).all(axis=0)
        for trial in range(TRIALS):
            out[f"part_{trial}"] = part = held_out(block.shape, origin, trial)
            for fold in range(FOLDS):
                splits, _ = choose_split(
                    [valid & (part == 0)], [origin], unet.split_block, unet.validation_share, unet.guard, 1 + trial, fold
                )
                out[f"split_{trial}_{fold}"] = splits[0]
        np.savez_compressed(folder / f"{site.name}.npz", **out)
        print(site.name, block.shape, flush=True)


def read_sites(folder: Path) -> dict[str, Layers]:
    """Sites by name, filled up to one size."""
    sites = {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}
    size = [-(-max(layers["valid"].shape[k] for layers in sites.values()) // 32) * 32 for k in (0, 1)]
    for layers in sites.values():
        more = [(0, n - m) for n, m in zip(size, layers["valid"].shape, strict=True)]
        for name, array in layers.items():
            layers[name] = np.pad(array, (*more, *((0, 0),) * (array.ndim - 2)), constant_values=FILL[name.split("_")[0]])
    return sites


def features_of(layers: Layers, year: str) -> np.ndarray:
    """(y, x, feature) float32, standardised."""
    return (layers[f"high_{year}"].astype("i2") * 256 + layers[f"low_{year}"]).astype("f4") * STEP


# network --------------------------------------------------------------------------------------------------------


def layout(base: int, depth: int, features: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, inputs and outputs of every product of matrices, and the fan-in of its start."""
    before = features
    for level in range(depth):
        for part in ("conv1", "conv2"):
            yield f"down{level}_{part}", 9 * before, base << level, 9 * before
            before = base << level
    for part in ("conv1", "conv2"):
        yield f"bottom_{part}", 9 * before, base << depth, 9 * before
        before = base << depth
    for level in reversed(range(depth)):
        filters = base << level
        yield f"up{level}_up", before, 4 * filters, 4 * filters
        yield f"up{level}_conv1", 9 * 2 * filters, filters, 9 * 2 * filters
        yield f"up{level}_conv2", 9 * filters, filters, 9 * filters
        before = filters
    yield "fraction", before, 1, before


def start(count: int, shape: dict[str, int], features: int, fraction: np.ndarray) -> Parameters:
    """Initial weights of all trainings: He's normal, Glorot's uniform for the last layer, which begins at a fraction."""
    import jax

    found: Parameters = {}
    for number, (name, inputs, outputs, fan) in enumerate(layout(shape["base"], shape["depth"], features)):
        key = jax.random.fold_in(jax.random.key(7), number)
        if name == "fraction":
            limit = np.sqrt(6 / (inputs + 1))
            found[f"{name}.w"] = jax.random.uniform(key, (count, inputs, outputs), minval=-limit, maxval=limit)
            found[f"{name}.b"] = np.log(fraction / (1 - fraction)).astype("f4")[:, None]
        else:
            spread = np.sqrt(2 / fan) / 0.87962566
            found[f"{name}.w"] = jax.random.truncated_normal(key, -2, 2, (count, inputs, outputs)) * spread
            found[f"{name}.b"] = np.zeros((count, outputs // (4 if name.endswith("_up") else 1)), "f4")
    return found


def fractions(p: Parameters, x: Any, depth: int, key: Any = None, dropout: Any = None, numbers: Any = None) -> Any:
    """(training, image, y, x, feature) -> (training, image, y, x): a convolution is one product of matrices for all trainings."""
    import jax
    import jax.numpy as jnp

    keys = iter(range(99))

    def product(x: Any, name: str) -> Any:
        n, images, rows, columns, _ = x.shape
        flat, w = x.reshape(n, images * rows * columns, -1), p[f"{name}.w"]
        exact = numbers is None or name == "fraction"
        flat, w = (flat, w) if exact else (flat.astype(numbers), w.astype(numbers))
        y = jnp.einsum("nkc,ncf->nkf", flat, w, preferred_element_type=jnp.float32)
        return y.reshape(n, images, rows, columns, -1)

    def bias(name: str) -> Any:
        return p[f"{name}.b"][:, None, None, None]

    def conv(x: Any, name: str) -> Any:
        rows, columns = x.shape[2:4]
        wide = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        around = [wide[:, :, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
        return jax.nn.relu(product(jnp.concatenate(around, axis=-1), name) + bias(name))

    def double(x: Any, name: str) -> Any:
        x = conv(x, f"{name}_conv1")
        if key is not None:
            rate = dropout.reshape(-1, 1, 1, 1, 1)
            bits = jax.random.bits(jax.random.fold_in(key, next(keys)), x.shape, jnp.uint8)
            x = jnp.where(bits >= jnp.round(rate * 256).astype(jnp.uint8), x / (1 - rate), 0)
        return conv(x, f"{name}_conv2")

    skips = []
    for level in range(depth):
        x = double(x, f"down{level}")
        skips.append(x)
        n, images, rows, columns, filters = x.shape
        x = x.reshape(n, images, rows // 2, 2, columns // 2, 2, filters).max((3, 5))
    x = double(x, "bottom")
    for level in reversed(range(depth)):
        n, images, rows, columns, _ = x.shape
        y = product(x, f"up{level}_up").reshape(n, images, rows, columns, 2, 2, -1)
        y = y.transpose(0, 1, 2, 4, 3, 5, 6).reshape(n, images, 2 * rows, 2 * columns, -1) + bias(f"up{level}_up")
        x = double(jnp.concatenate([skips[level], y], axis=-1), f"up{level}")
    return jax.nn.sigmoid((product(x, "fraction") + bias("fraction"))[..., 0])


def check() -> None:
    """Print the greatest difference between this network and the Keras model with the same weights; settings have to agree too."""
    from layers.unet import UNetParameters, build_unet

    defaults = UNetParameters()
    names = {"lr": "learning_rate", "base": "base_filters", "decay": "weight_decay"}
    others = {"momentum": MOMENTUM, "whitened": RMS_RATE / ADAM_RMS}
    for name, value in (SETTINGS | SHAPE).items():
        theirs = others.get(name, getattr(defaults, names.get(name, name), None))
        assert name in ("squared", "held_out", "steps", "second", "muon") or theirs == value, (
            f"{name} is {value} here and {theirs} there"
        )
    muon = make_optimizer(defaults.learning_rate, defaults.weight_decay, "fraction")
    assert (muon.muon_a, muon.muon_b, muon.muon_c, muon.ns_steps) == (*NEWTON_SCHULZ, STEPS), "Keras' Muon has other coefficients"
    parameters = UNetParameters(base_filters=4)
    model = build_unet(parameters, 3)
    x = np.random.default_rng(0).standard_normal((2, 64, 64, len(parameters.names)), dtype=np.float32)
    weights: Parameters = {}
    for name, inputs, outputs, _ in layout(4, parameters.depth, len(parameters.names)):
        kernel, bias = model.get_layer(name).get_weights()
        kernel = kernel.transpose(3, 0, 1, 2) if name.endswith("_up") else kernel
        weights[f"{name}.w"], weights[f"{name}.b"] = kernel.reshape(1, inputs, outputs), bias[None]
    difference = np.abs(np.asarray(fractions(weights, x[None], parameters.depth))[0] - np.asarray(model(x))[..., 0]).max()
    print(f"greatest difference: {difference:.2g}")
    assert difference < 1e-5


# training -------------------------------------------------------------------------------------------------------


def loss_sum(p: Any, y: Any, w: Any, settings: dict[str, Any], axes: Any) -> Any:
    """As `layers.fitting.loss_sum`, with a share of the squared error."""
    import jax.numpy as jnp

    p = jnp.clip(p, 1e-7, 1 - 1e-7)
    a, s = (settings[k].reshape(-1, *[1] * (p.ndim - 1)) for k in ("absolute", "squared"))
    entropy = -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))
    return (w * ((1 - a - s) * entropy + a * 4 * jnp.abs(p - y) + s * 8 * (p - y) ** 2)).sum(axes)


def crop(key: Any, data: dict[str, Any], one: dict[str, Any], size: int) -> Any:
    """(y, x, feature and target and weight): a crop of `layers.sampling.CropSampler`, mirrored and turned by chance."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    keys = jax.random.split(key, 4)
    balance = one["balance"]
    pixel = jnp.where(
        jax.random.uniform(keys[0]) < balance,
        *(one[k][jax.random.randint(keys[1], (), 0, CANDIDATES)] for k in ("sealed", "any")),
    )
    columns = data["then"].shape[2] - 2 * MARGIN
    shift = jax.random.randint(keys[2], (2,), 0, size)
    row, column = pixel // columns - shift[0] + MARGIN, pixel % columns - shift[1] + MARGIN
    x = lax.dynamic_slice(data["then"], (one["site"], row, column, 0), (1, size, size, data["then"].shape[-1]))[0].astype(
        jnp.float32
    )
    y = lax.dynamic_slice(data["target"], (one["product"], one["site"], row, column), (1, 1, size, size))[0, 0]
    mask = lax.dynamic_slice(one["mask"], (row, column), (size, size)).astype(jnp.float32)
    ratio = (mask * (y >= SEALED_FRACTION)).sum() / jnp.maximum(mask.sum(), 1) / jnp.maximum(one["share"], 1e-9)
    weight = mask / (1 - balance + balance * ratio)
    z = jnp.concatenate([x, y[..., None], weight[..., None]], axis=-1)
    flips = jax.random.bernoulli(keys[3], 0.5, (3,))
    z = jnp.where(flips[0], z[::-1], z)
    z = jnp.where(flips[1], z[:, ::-1], z)
    return jnp.where(flips[2], z.transpose(1, 0, 2), z)


def orthogonal(m: Any) -> Any:
    """(training, input, output) with singular values near 1, as large as Adam's usual step: Muon's, as Keras has it."""
    import jax.numpy as jnp

    x = m if m.shape[1] <= m.shape[2] else m.swapaxes(1, 2)
    x, (a, b, c) = x / (jnp.sqrt((x**2).sum((1, 2), keepdims=True)) + 1e-7), NEWTON_SCHULZ
    for _ in range(STEPS):
        square = x @ x.swapaxes(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    x = x if m.shape[1] <= m.shape[2] else x.swapaxes(1, 2)
    return x * ADAM_RMS * max(m.shape[1:]) ** 0.5


def programs(shape: dict[str, int]) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Compiled functions of one shape: an epoch of all trainings, their validation losses, their maps of the next year."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    depth, size, batch = shape["depth"], shape["crop"], shape["batch"]
    total = shape["epochs"] * shape["steps"]
    rise = max(1, round(0.1 * total))
    numbers = jnp.bfloat16 if jax.default_backend() == "gpu" else None
    unsteady = jnp.asarray(unsteadiness(UNetParameters().names), jnp.float32)

    def spread(v: Any, like: Any) -> Any:
        return v.reshape(-1, *[1] * (like.ndim - 1))

    @partial(jax.jit, donate_argnums=(0,))
    def epoch(state: Any, number: Any, data: Any, runs: Any) -> Any:
        def step(state: Any, t: Any) -> Any:
            p, first, second, average = state
            keys = jax.vmap(lambda s: jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(3), s), t), batch))(
                runs["seed"]
            )
            z = jax.vmap(lambda ks, one: jax.vmap(lambda k: crop(k, data, one, size))(ks))(keys, runs)
            x, y, w = z[..., :-2], z[..., -2], z[..., -1]
            chance = jax.random.fold_in(jax.random.key(5), t)
            x += spread(runs["jitter"], x) * unsteady * jax.random.normal(chance, (*x.shape[:2], 1, 1, x.shape[-1]))

            def mean_loss(p: Parameters) -> Any:
                found = fractions(p, x, depth, chance, runs["dropout"], numbers)
                return (loss_sum(found, y, w, runs, (1, 2, 3)) / jnp.maximum(w.sum((1, 2, 3)), 1)).sum()

            g = jax.grad(mean_loss)(p)
            norm = jnp.sqrt(sum((v**2).reshape(len(v), -1).sum(1) for v in g.values()))
            clipped = jnp.minimum(1.0, 1 / jnp.maximum(norm, 1e-12))
            cosine = 0.5 * (1 + jnp.cos(jnp.pi * (t - rise) / max(1, total - rise)))
            rate, count = runs["lr"] * jnp.where(t < rise, t / rise, cosine), t + 1
            keep = jnp.minimum(runs["averaging"], count / (10.0 + count))
            new: tuple[Parameters, ...] = ({}, {}, {}, {})
            for k, v in p.items():
                gradient, slow = g[k] * spread(clipped, v), spread(runs["second"], v)
                if shape["muon"] and k.endswith(".w") and not k.startswith("fraction"):
                    mass = spread(runs["momentum"], v)
                    new[1][k], new[2][k] = mass * first[k] + gradient, second[k]
                    move = spread(runs["whitened"], v) * orthogonal(gradient + mass * new[1][k])
                else:
                    new[1][k] = 0.9 * first[k] + 0.1 * gradient
                    new[2][k] = slow * second[k] + (1 - slow) * gradient**2
                    move = new[1][k] / (1 - 0.9**count) / (jnp.sqrt(new[2][k] / (1 - slow**count)) + 1e-7)
                if k.endswith(".w"):
                    move += spread(runs["decay"], v) * v
                new[0][k] = v - spread(rate, v) * move
                new[3][k] = spread(keep, v) * average[k] + spread(1 - keep, v) * new[0][k]
            return new, None

        return lax.scan(step, state, number * shape["steps"] + jnp.arange(shape["steps"]))[0]

    def image(p: Parameters, x: Any) -> Any:
        one = {k: v[None] for k, v in p.items()}
        return fractions(one, x[None, None].astype(jnp.float32), depth, numbers=numbers)[0, 0]

    @jax.jit
    def validate(average: Parameters, data: Any, runs: Any) -> Any:
        def one(given: Any) -> Any:
            p, run = given
            inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
            y, w = data["target"][run["product"], run["site"]][inner], run["checks"].astype(jnp.float32)
            found = image(p, data["then"][run["site"]][inner])
            own = {k: run[k][None] for k in ("absolute", "squared")}
            return loss_sum(found[None], y[None], w[None], own, (0, 1, 2)) / w.sum()

        return lax.map(one, (average, runs))

    @jax.jit
    def forecast(average: Parameters, data: Any, runs: Any) -> Any:
        return lax.map(lambda a: image(a[0], data["now"][a[1]]).astype(jnp.float16), (average, runs["site"]))

    return epoch, validate, forecast


def gather(sites: dict[str, Layers], cases: Sequence[tuple[str, str, int]], settings: dict[str, float], members: int) -> Any:
    """What differs from training to training, with a first axis of cases times members; and where each begins."""
    rng, names, rows, means = np.random.default_rng(1), list(sites), [], []
    for name, product, trial in cases:
        layers = sites[name]
        target = np.where(layers[f"target_{product}"] == 255, 0, layers[f"target_{product}"] / LEVELS)
        for member in range(members):
            usable = (layers["valid"] != 0) & (layers[f"part_{trial}"] == 0)
            split = layers[f"split_{trial}_{member % FOLDS}"]
            learning, checks = (usable & (split == 0), usable & (split == 1)) if settings["held_out"] else (usable, usable)
            every, sealed = np.flatnonzero(learning), np.flatnonzero(learning & (target >= SEALED_FRACTION))
            means.append(np.clip(target[learning].mean(), 1e-3, 0.5))
            rows.append(
                {
                    "site": names.index(name), "product": PRODUCTS.index(product), "seed": 1000 * (1 + trial) + member,
                    "mask": np.pad(learning, MARGIN), "checks": checks, "share": np.float32(len(sealed) / len(every)),
                    "any": rng.choice(every, CANDIDATES).astype("i4"),
                    "sealed": rng.choice(sealed if len(sealed) else every, CANDIDATES).astype("i4"),
                    **{k: np.float32(v) for k, v in settings.items() if k != "held_out"},
                }
            )  # fmt: skip
    return {k: np.stack([row[k] for row in rows]) for k in rows[0]}, np.array(means)


def train(folder: Path, plan: dict[str, Any], out: Path, limit: float) -> None:
    """Run the tasks of a plan; no further one is begun after `limit` seconds."""
    import jax
    import jax.numpy as jnp

    began, sites = time.monotonic(), read_sites(folder)
    cases = [(name, product, trial) for trial in range(TRIALS) for name in sites for product in PRODUCTS]
    cases = [tuple(case) for case in plan.get("cases", cases)]
    around = ((MARGIN, MARGIN), (MARGIN, MARGIN))
    targets = [[np.where((t := s[f"target_{p}"]) == 255, 0, t / LEVELS).astype("f4") for s in sites.values()] for p in PRODUCTS]
    data = {
        "then": jnp.asarray(np.stack([np.pad(features_of(s, "then"), (*around, (0, 0))) for s in sites.values()]), jnp.float16),
        "now": jnp.asarray(np.stack([features_of(s, "now") for s in sites.values()]), jnp.float16),
        "target": jnp.asarray(np.stack([[np.pad(t, around) for t in row] for row in targets])),
    }
    compiled: dict[str, Any] = {}
    for task in plan["tasks"]:
        if time.monotonic() - began > limit:
            return
        shape, settings, members = SHAPE | task.get("shape", {}), SETTINGS | task.get("settings", {}), plan.get("members", 2)
        epoch, validate, forecast = compiled.setdefault(json.dumps(shape), programs(shape))
        runs, means = gather(sites, cases, settings, members)
        runs = {k: jnp.asarray(v) for k, v in runs.items()}
        p = {k: jnp.asarray(v) for k, v in start(len(means), shape, data["now"].shape[-1], means).items()}
        zero = partial(jax.tree.map, jnp.zeros_like)
        state = (p, zero(p), zero(p), jax.tree.map(jnp.copy, p))
        best, least = None, None
        for number in range(shape["epochs"]):
            state = epoch(state, jnp.asarray(number), data, runs)
            if number % LOOKS == LOOKS - 1 or number + 1 == shape["epochs"]:
                value = validate(state[3], data, runs)
                better = jnp.ones(len(means), bool) if least is None else value < least
                old = state[3] if best is None else best
                best = {k: jnp.where(better.reshape(-1, *[1] * (v.ndim - 1)), v, old[k]) for k, v in state[3].items()}
                least = value if least is None else jnp.minimum(value, least)
        maps = np.asarray(forecast(best, data, runs), "f4").reshape(len(cases), members, *data["now"].shape[1:3])
        with out.open("a") as file:
            for case, found in zip(cases, maps, strict=True):
                line = {"task": task, "case": case, "scores": judge(sites[case[0]], *case[1:], 100 * found.mean(axis=0))}
                file.write(json.dumps(line) + "\n")
        print(f"{time.monotonic() - began:.0f} s: {len(means)} trainings of {task}", flush=True)


def baselines(folder: Path, out: Path) -> None:
    """Fit and judge every per-pixel model in every case; needs the project."""
    from layers.baselines import BASELINES, fit_baseline, sample_pixels
    from layers.sampling import Region

    for name, layers in read_sites(folder).items():
        then, now = (np.moveaxis(features_of(layers, year), -1, 0) for year in ("then", "now"))
        for product, trial in ((product, trial) for product in PRODUCTS for trial in range(TRIALS)):
            known = (layers["valid"] != 0) & (layers[f"part_{trial}"] == 0)
            target = np.where(known, layers[f"target_{product}"] / LEVELS, np.nan).astype("f4")
            x, y = sample_pixels([Region(then, target, (0, 0))], seed=trial)
            here = (layers[f"part_{trial}"] == 1) & (layers["known_now"] != 0)
            for model in BASELINES:
                percent = np.zeros(here.shape, "f4")
                percent[here] = 100 * fit_baseline(model, x, y, trial)(np.ascontiguousarray(now[:, here].T))
                line = {"task": model, "case": (name, product, trial), "scores": judge(layers, product, trial, percent)}
                with out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def judge(layers: Layers, product: str, trial: int, percent: np.ndarray) -> dict[str, float]:
    """Scores of a map of the next year on the held-out blocks."""
    mask, density = layers[f"mask_{product}"], layers.get(f"density_{product}")
    chosen = (layers[f"part_{trial}"] == 1) & (mask != 255) & (layers["known_now"] != 0)
    if density is not None:
        chosen &= density != 255
    value, real = percent[chosen], mask[chosen] == 1

    def f1(cut: float) -> float:
        return 2 * float(((value >= cut) & real).sum()) / max(1, int((value >= cut).sum()) + int(real.sum()))

    scores = {"f1": f1(10), "best_f1": max(map(f1, THRESHOLDS))}
    if density is not None:
        error = value - density[chosen].astype("f4")
        scores |= {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
    return scores


def table(files: Sequence[Path]) -> Iterator[str]:
    """Means over the trials of kits and of simulated sites."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in (line for file in files for line in file.read_text().splitlines()):
        one = json.loads(line)
        kind = "kits" if one["case"][0].startswith("kit") else "simulated"
        for score in ("mae", "rmse") if one["case"][1] == "IMD" else ("f1",):
            if score in one["scores"]:
                rows = found.setdefault(json.dumps(one["task"]), {})
                rows.setdefault(f"{kind}, {one['case'][1]} {score}", []).append(one["scores"][score])
    columns = sorted({column for rows in found.values() for column in rows})
    yield f"| what | {' | '.join(columns)} |"
    yield f"|{'---|' * (1 + len(columns))}"
    for task, rows in found.items():
        yield f"| {task} | {' | '.join(f'{statistics.mean(rows[c]):.3f}' if c in rows else '' for c in columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_trainings", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("prepare").add_argument("folder", type=Path)
    commands.add_parser("check")
    training = commands.add_parser("train")
    for name in ("folder", "plan", "out"):
        training.add_argument(name, type=Path)
    training.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no further task is begun")
    fitting = commands.add_parser("baselines")
    for name in ("folder", "out"):
        fitting.add_argument(name, type=Path)
    commands.add_parser("table").add_argument("out", type=Path, nargs="+")
    given = parser.parse_args()
    if given.what == "prepare":
        prepare(given.folder.absolute())
    elif given.what == "check":
        check()
    elif given.what == "train":
        train(given.folder, json.loads(given.plan.read_text()), given.out, given.limit)
    elif given.what == "baselines":
        baselines(given.folder, given.out)
    else:
        print("\n".join(table(given.out)))


if __name__ == "__main__":
    main()
