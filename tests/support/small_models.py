"""Stores with small networks for the tests of the registry and of prediction: random weights, real files, real records."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import FEATURE_SETS, FULL18
from imperv.layers.network.unet import Normalisation, UNetParameters, build_unet, join_members, save_model
from imperv.tasks.job import Job, attributes
from imperv.tasks.networks.registry import weights_digest
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import Store, with_measured

TILE = "E44N27"
ALGORITHM = f"IMD_model {CATALOGUE['IMD_model'].version}"
UNET = "base_filters = 2\ndepth = 1\ncrop = 8\nmembers = 2\n"


def production(folder: Path, more: str = "", unet: str = UNET, area: str = "", head: str = "") -> Production:
    """A production of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n{head}\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'[engine]\nmemory = "2 GiB"\nworkers = 2\n[parameters.unet]\n{unet}{more}\n'
        + (f"[area]\nbbox = {area}\n" if area else "")
    )
    return Production.read(folder)


@functools.cache
def _network(features: str, members: int, seed: int) -> tuple[Path, str, Normalisation]:
    """File, digest and normalisation of a network, made once."""
    parameters = UNetParameters(base_filters=2, depth=1, crop=8, features=features, members=members)
    model = join_members([build_unet(parameters, 100 * seed + k, name=f"member_{k}") for k in range(members)])
    names = FEATURE_SETS[features]
    rng = np.random.default_rng(seed)
    normalisation = Normalisation(
        names, tuple(rng.uniform(0.1, 0.4, len(names)).tolist()), tuple(rng.uniform(0.05, 0.2, len(names)).tolist())
    )
    path = Path(tempfile.mkdtemp(prefix="imperv-net-")) / "model.keras"
    save_model(model, path)
    return path, weights_digest(model, normalisation.to_json()), normalisation


def record_of(found: Production, tile: str, symbol: str = "IMD_model", seed: int = 1, **changes) -> Record:
    """The record that training would leave, without data; `changes` of its parameters by dotted name or of its fields."""
    layer = CATALOGUE[symbol]
    parameters = found.parameters.pick(layer.parameters)
    parameters |= {k: v for k, v in changes.items() if "." in k}
    fields = {k: v for k, v in changes.items() if "." not in k}
    features, members = parameters["unet.features"], parameters["unet.members"]
    _, digest, normalisation = _network(features, members, seed)
    ingredients = {"algorithm": f"{symbol} {layer.version}", "parameters": parameters, "inputs": {"PP": "a:b"}}
    history = [
        {"seed": k, "training_pixels": 1000, "loss": [0.5, 0.4, 0.3], "validation": [0.6, 0.35, 0.4], "best_epoch": 1}
        for k in range(members)
    ]
    values = {
        "symbol": symbol, "tile": tile, "key": digest_of(ingredients), "digest": digest, "ingredients": ingredients,
        "bbox": tuple(map(float, Tile(tile).bounds)), "start": "2018-01-01", "end": "2018-12-31",
        "created": "2026-01-01T00:00:00Z",
        "statistics": {"normalisation": normalisation.to_json(), "members": members, "history": history},
    }  # fmt: skip
    return Record(**(values | fields))


def put_model(store: Store, record: Record, seed: int = 1) -> Record:
    """Write a model and its record as `make_model` and `make_node` do."""
    product = record.symbol.removesuffix("_model")
    folder = f"models/{product}/{record.tile}"
    if record.made:
        parameters = record.ingredients["parameters"]
        path, _, _ = _network(parameters["unet.features"], parameters["unet.members"], seed)
        store.put_file(path, f"{folder}/model.keras")
        record = with_measured(Record(**{**record.__dict__, "href": f"{folder}/model.keras"}), store)
    store.write_record(f"{folder}/model.json", record)
    return record


def put_features(job: Job, seed: int = 0, period: str = "now") -> None:
    """Random features of a tile or of its window, with a hole; and how those of now are shifted, alike in all tiles."""
    layer, place = CATALOGUE[f"PP_{period}"], job.place(f"PP_{period}")
    rows, columns = job.grid(10).shape
    rng = np.random.default_rng(seed)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        quantiles = rng.integers(500, 4000, (10, rows, columns)).astype("u2")
        harmonics = rng.uniform(-0.2, 0.6, (7, rows, columns)).astype("f4")
        harmonics[:, rows // 3 : rows // 3 + 20, columns // 2 : columns // 2 + 30] = np.nan
        out["quantiles"][:], out["harmonics"][:] = quantiles, harmonics
        out["ndvi_q90"][:] = rng.uniform(0, 0.9, (rows, columns)).astype("f4")
    record = Record(
        layer.stem, str(job.tile), f"key{seed}", f"digest{seed}", href=place.data, bbox=job.bounds, windowed=job.windowed,
        start="2021-01-01", end="2021-12-31",
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))
    if period == "now":
        shift = {name: 0.01 * k for k, name in enumerate(FULL18)}
        job.store.write_text(job.place("PP_shift").data, json.dumps(shift))
