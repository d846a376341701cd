"""A finished tile without hours of work: inputs made up by rule, every other layer by the real tasks."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.tasks.delivery.delivery import deliver, delivered_symbols
from imperv.tasks.job import Job, attributes, report, summarise, utc_now
from imperv.tasks.nodes import make_node
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, digest_of
from imperv.tasks.store.store import with_measured

TILE = "E44N26"
LEFT, TOP = 4_420_000, 2_690_000

MADE_UP = ("S2_then", "S2_now", "PP_then", "PP_now", "IMD_then", "IBU_then", "CLCP_then", "CLCP_now", "IBUD_ref",
           "IMD_model", "IBUD_model", "RIMD", "RIBUD")  # fmt: skip
"""What is not made by its task here."""


def new_job(folder: Path, kilometres: int = 3, settings: str = "", tile: str = TILE) -> Job:
    """A production of one window, with nothing made."""
    bbox = [LEFT, TOP - 1000 * kilometres, LEFT + 1000 * kilometres, TOP]
    (folder / "production.toml").write_text(
        f'tiles = ["{tile}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'[engine]\nworkers = 2\nmemory = "2 GiB"\n[area]\nbbox = {bbox}\n{settings}'
    )
    return Job.of(Production.read(folder / "production.toml"), tile)


def fill(job: Job, seed: int = 1) -> Job:
    """Make all layers and deliver them."""
    put_inputs(job, seed)
    return finish(job)


def copied(production: Path, folder: Path, settings: str = "") -> Job:
    """A copy of a filled production, with other settings; what hangs on them is still to be made."""
    shutil.copytree(production, folder, dirs_exist_ok=True)
    file = folder / "production.toml"
    file.write_text(file.read_text() + settings)
    return Job.of(Production.read(file), TILE)


def finish(job: Job) -> Job:
    """Make whatever is not up to date of the layers that tasks make here, and deliver all."""
    for symbol in topological_order():
        if symbol not in MADE_UP:
            make_node(job, symbol)
    for symbol in delivered_symbols():
        deliver(job, symbol)
    return job


def put_inputs(job: Job, seed: int = 1) -> None:
    """Store the layers that take scenes, references or a network."""
    rows, columns = job.grid(10).shape
    rng = np.random.default_rng(seed)

    def smooth(size: float) -> np.ndarray:
        coarse = rng.standard_normal((max(int(rows / size), 2) + 2, max(int(columns / size), 2) + 2))
        field = zoom(coarse, (rows / coarse.shape[0], columns / coarse.shape[1]), order=3)[:rows, :columns]
        return (field - field.mean()) / field.std()

    then = np.clip(60 * (smooth(90) + 0.8 * smooth(12) + 0.3 * smooth(2) - 1.3), 0, 100)
    now = then.copy()
    then[rows // 5 : rows // 5 + 12, columns // 4 : columns // 4 + 9] = 95
    now[rows // 5 : rows // 5 + 12, columns // 4 : columns // 4 + 9] = 0
    now[rows // 2 : rows // 2 + 20, columns // 2 : columns // 2 + 26] = 97
    field = smooth(25)
    sea = smooth(120) < -2.2
    sea[-max(rows // 12, 1) :, : columns // 3] = True
    wave = {"then": smooth(30), "now": smooth(30)}
    for period, density, looks in (("then", then, 19), ("now", now, 23)):
        bare = 1 - density / 125
        harmonics = np.stack([0.02 * smooth(20) for _ in range(7)])
        harmonics[0] += np.clip((0.62 + 0.08 * field) * bare, 0.05, 0.9)
        harmonics[1] -= (0.12 + 0.03 * wave["then"]) * bare
        level = gaussian_filter(density, 0.7) / 100
        quantiles = np.stack([np.clip(400 + 120 * k + 1600 * level + 60 * field * (k + 1), 1, 9000) for k in range(10)])
        observations = np.clip(np.rint(looks + 3 * smooth(60)), 1, 60)
        quantiles[:, sea], harmonics[:, sea], observations[sea] = 0, np.nan, 0
        arrays = {
            "quantiles": quantiles.astype("u2"), "ndvi_q90": (harmonics[0] + 0.1).astype("f4"),
            "harmonics": harmonics.astype("f4"), "observations": observations.astype("u2"),
        }  # fmt: skip
        counted = np.bincount(observations[~sea].astype(int), minlength=401).tolist()
        more = {"looks": counted, "overpasses": 40, "scenes": 40, "lost_scenes": {}, "observed_pixels": int((~sea).sum())}
        _put(job, f"PP_{period}", arrays, more, ("scene S2A_X left out: /home/somebody/scenes/B04.tif is damaged",))
        _put_scenes(job, period)
    for period, density in (("then", then), ("now", now)):
        cover = np.where(density > 30, 1, np.where(field > 0.3, 7, 3))
        _put(job, f"CLCP_{period}", {f"CLCP_{period}": np.where(sea, 253, cover).astype("u1")})
    _put(job, "IMD_then", {"IMD_then": np.where(sea, 255, np.rint(then)).astype("u1")})
    _put(job, "IBU_then", {"IBU_then": np.where(sea, 255, then > 80).astype("u1")})
    _put(job, "IBUD_ref", {"IBUD_ref": np.where(sea, np.nan, (then > 80) * 0.9).astype("f4")})
    for symbol, density in (("RIMD", now), ("RIBUD", np.where(now > 70, now, 0))):
        spread = np.clip(0.04 + 0.05 * smooth(8) * (density > 0), 0, 0.5)
        spread[sea] = np.nan
        noisy = np.clip(np.rint(density + 3 * (density > 0) * rng.standard_normal(density.shape)), 0, 100)
        _put(job, symbol, {symbol: np.where(sea, 255, noisy).astype("u1"), MEMBER_SD: spread.astype("f4")}, {"members": 2})
    for symbol in ("IMD_model", "IBUD_model"):
        _put_model(job, symbol)


def _put(job: Job, symbol: str, arrays: dict, more: dict | None = None, warnings: tuple[str, ...] = ()) -> None:
    layer, place, reports = CATALOGUE[symbol], job.place(symbol), []
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for block in job.blocks(10):
            mine = {name: array[(..., *block.slices)] for name, array in arrays.items()}
            for name, array in mine.items():
                out[name][(..., *block.slices)] = array
            reports.append(report(mine, layer))
    digest, statistics = summarise(layer, reports)
    _record(job, symbol, digest, {**statistics, **(more or {})}, warnings, 12.0)


def _record(job: Job, symbol: str, digest: str, statistics: dict, warnings: tuple[str, ...] = (), seconds: float = 1.0) -> None:
    layer, place, periods = CATALOGUE[symbol], job.place(symbol), job.period(CATALOGUE[symbol])
    record = Record(
        layer.stem, str(job.tile), digest_of(symbol), digest, href=place.data, bbox=job.bounds, windowed=job.windowed,
        start=str(periods[0].start), end=str(periods[1].end), statistics=statistics, warnings=warnings, seconds=seconds,
        cpu_seconds=seconds, peak_memory=2**29, software={"imperv": "0.1.0"}, created=utc_now(),
    )  # fmt: skip
    job.store.write_record(place.record, with_measured(record, job.store))


def _put_scenes(job: Job, period: str) -> None:
    year = job.production.periods.then.year if period == "then" else job.production.periods.now.year
    scenes = []
    for k in range(40):
        day = dt.date(year, 1, 3) + dt.timedelta(days=9 * k)
        cloud = float((37 * k) % 101)
        bands = {"B04": "https://example.com/B04.tif", "B08": "https://example.com/B08.tif", "SCL": "https://example.com/SCL.tif"}
        scenes.append(
            Scene(f"S2A_{day}", f"{day}T10:30:00+00:00", f"S2A|{k}|{day}", "32UPU", "05.00", cloud, 1000, "baseline", bands)
        )
    found = SceneList(tuple(scenes), {"S2A_old": "duplicate of S2A_new", "S2A_bad": "has no asset for B08"})
    job.store.write_text(job.place(f"S2_{period}").data, found.to_json())
    _record(job, f"S2_{period}", digest_of(period), {"scenes": 40})


def _put_model(job: Job, symbol: str) -> None:
    epochs = np.arange(12)
    history = [
        {
            "seed": 1000 + k, "training_pixels": 60_000, "validation_pixels": 15_000, "constant_loss": 0.31,
            "loss": (0.12 + 0.3 * np.exp(-epochs / 3)).tolist(), "best_epoch": 9,
            "validation": (0.15 + 0.25 * np.exp(-epochs / 3) + 0.004 * np.maximum(epochs - 9, 0) + 0.01 * k).tolist(),
        }
        for k in range(2)
    ]  # fmt: skip
    job.store.write_text(job.place(symbol).data, json.dumps({"stands for": symbol}))
    _record(
        job, symbol, digest_of(symbol), {"history": history, "members": 2, "tiles": [str(job.tile)], "transfer": False}, (), 90
    )
