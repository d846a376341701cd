"""`imperv demo`: simulates a corner of a tile, runs the whole chain on it, and holds the maps against the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rich.console import Console

from layers.catalogue import CATALOGUE
from layers.change import classify_change
from tasks.delivery import delivered_symbols
from tasks.errors import ImpervError, InputError
from tasks.job import Job
from tasks.production import Production
from tasks.reading import open_full_resolution, warp

SMALLEST = 128
"""Edge in pixels below which a town, fields and a forest find no room."""


def run_demo(directory: Path, size: int, out: Console, err: Console) -> dict[str, ImpervError]:
    """Simulate, run, compare.

    Parameters
    ----------
    directory : Path
        Folder to work in; what is already there and fits is used again.
    size : int
        Edge of the site in pixels of 10 m.
    out, err : Console
        Where results and progress go.

    Returns
    -------
    dict
        Tiles that failed and why.

    Raises
    ------
    InputError
        If the size is out of range.
    """
    from flows.progress import listening
    from flows.refusing import refuse_without_gdal
    from flows.running import run_tiles
    from flows.showing import run_view

    if not SMALLEST <= size <= 10_000:
        raise InputError(f"--size {size}: choose {SMALLEST} to 10000 pixels")
    refuse_without_gdal(None)
    started = time.perf_counter()
    config = simulated(directory, size, err)
    production = Production.read(config)
    tile = production.tile_names[0]
    with run_view(err) as view, listening(view):
        failed = run_tiles([tile], str(config))
    view.summary()
    if failed:
        return failed
    job = Job.of(production, tile)
    _show_layers(job, out)
    _show_truth(job, config.parent / "truth", out)
    out.print(f"\nproduction file  {config}\nstore            {production.store_url}", markup=False)
    out.print(
        f'in a notebook    from tasks.store import Store; Store("{production.store_url}").open("IMD_now", "{tile}")',
        markup=False,
    )
    out.print(f"{time.perf_counter() - started:.0f} s in all", markup=False)
    return {}


TRAINING = """
# A demo's training: a small part of the usual one, so that nobody waits. Without these lines it is the usual one.
[parameters.unet]
epochs = 8
steps_per_epoch = 40
"""


def simulated(directory: Path, size: int, err: Console) -> Path:
    """Production file of the simulated input, made if it is not there yet for this size."""
    from tasks.simulator import simulate

    marker, begun = directory / "simulation.json", directory / "simulation.begun"
    config = directory / "production.toml"
    wanted = {"size": size, "simulator": 2}
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == wanted and config.is_file():
        return config
    if directory.exists() and any(directory.iterdir()) and not begun.exists():
        raise InputError(f"{directory} is not empty and is no demo; name another folder")
    err.print(f"simulating {size} x {size} pixels, two years of Sentinel-2, in {directory}", markup=False)
    marker.unlink(missing_ok=True)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        begun.touch()
    except OSError as error:
        raise InputError(f"{directory} cannot be written ({error.strerror}); name another folder") from None
    simulate(directory, size=size)
    with config.open("a", encoding="utf-8") as file:
        file.write(TRAINING)
    marker.write_text(json.dumps(wanted), encoding="utf-8")
    return config


def _show_layers(job: Job, out: Console) -> None:
    """Final layers and where they are."""
    rows = [("layer", "pixel", "valid", "file", "what it is")]
    for symbol in delivered_symbols():
        layer, record = CATALOGUE[symbol], job.record(symbol)
        if record is None or not record.made:
            rows.append((symbol, f"{layer.resolution} m", "", "not made", record.reason if record else "missing"))
            continue
        pixels = record.statistics[symbol]
        valid = f"{100 * (1 - pixels['outside'] / pixels['pixels']):.0f} %"
        rows.append((symbol, f"{layer.resolution} m", valid, _product(job, symbol).name, layer.description))
    _print_columns(rows, out)
    out.print(f"\nfiles in         {_product(job, 'IMD_now').parent}", markup=False)


def _print_columns(rows: Sequence[tuple[str, ...]], out: Console) -> None:
    """Rows as aligned plain text, so that a pipe gets whole file names."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    out.print("")
    for row in rows:
        out.print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), markup=False)


def _product(job: Job, symbol: str) -> Path:
    from tasks.delivery import file_name

    name = file_name(CATALOGUE[symbol], job.production, job.tile)
    return Path(job.store.full(f"products/{job.tile}/{name}"))


def _show_truth(job: Job, folder: Path, out: Console) -> None:
    """How well the truth was met."""
    _print_columns([("against the truth", "this run"), *truth_scores(job, folder).items()], out)


def truth_scores(job: Job, folder: Path) -> dict[str, str]:
    """Density, built-up and change against truth layers of a simulation or of the city kit.

    Parameters
    ----------
    job : Job
        A finished tile.
    folder : Path
        Holds ``truth_imd_then.tif``, ``truth_imd_now.tif``, ``truth_ibu_now.tif`` and ``truth_change.tif`` (1 sealing change).

    Returns
    -------
    dict
        Names and values for people.
    """
    grid = job.grid(10)
    imd, ibu = job.array("IMD_now")[:], job.array("IBU_now")[:]
    truth = {key: read_truth(folder / f"truth_{key}.tif", grid) for key in ("imd_then", "imd_now", "ibu_now", "change")}
    scores: dict[str, str] = {}
    valid = (imd != 255) & (truth["imd_now"] != 255)
    error = imd[valid].astype("f4") - truth["imd_now"][valid]
    old = job.array("IMD_then")[:]
    known = valid & (old != 255)
    before = old[known].astype("f4") - truth["imd_now"][known]
    scores["IMD: RMSE, percent"] = f"{_rms(error):.1f}   (the old map: {_rms(before):.1f})"
    scores["IMD: bias, percent"] = f"{error.mean():+.1f}"
    valid = (ibu != 255) & (truth["ibu_now"] != 255)
    old = job.array("IBU_then")[:]
    known = valid & (old != 255)
    earlier = _f1(old[known] == 1, truth["ibu_now"][known] == 1)
    scores["IBU: F1"] = f"{_f1(ibu[valid] == 1, truth['ibu_now'][valid] == 1):.2f}   (the old map: {earlier:.2f})"
    classes, planted = job.array("IMCC")[:], _share(truth["change"] == 1)
    inside = (classes != 255) & (_share(truth["change"] == 255) == 0)
    moved = classify_change(
        _coarse(truth["imd_then"]), _encoded(_coarse(truth["imd_now"]).astype("i2") - _coarse(truth["imd_then"]))
    )
    gain = inside & (planted == 1) & np.isin(moved, (1, 11))
    loss = inside & (planted == 1) & np.isin(moved, (2, 12))
    for name, cells, codes in (("gain", gain, (1, 11)), ("loss", loss, (2, 12))):
        if cells.any():
            hit = np.isin(classes[cells], codes).mean()
            scores[f"IMCC: planted {name} found"] = f"{100 * hit:.0f} % of {int(cells.sum())} pixels of 20 m"
    quiet = inside & (_share(truth["change"] > 0) == 0)
    scores["IMCC: change where there is none"] = f"{100 * np.isin(classes[quiet], (1, 2, 11, 12)).mean():.2f} %"
    return scores


def read_truth(path: Path, grid: GeoBox) -> np.ndarray:
    """A truth layer on a grid, 255 outside."""
    try:
        with open_full_resolution(str(path)) as source:
            return warp(source, grid, rasterio.enums.Resampling.nearest, 255)
    except rasterio.errors.RasterioIOError:
        raise InputError(f"{path}: cannot be read; simulate again") from None


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt((error.astype("f8") ** 2).mean()))


def _f1(found: np.ndarray, truth: np.ndarray) -> float:
    hit = (found & truth).sum()
    return float(2 * hit / max(found.sum() + truth.sum(), 1))


def _share(mask: np.ndarray) -> np.ndarray:
    """Share of each 20 m pixel inside a 10 m mask."""
    rows, columns = mask.shape
    return mask.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _coarse(density: np.ndarray) -> np.ndarray:
    from layers.aggregation import aggregate_mean

    return aggregate_mean(density, 2)


def _encoded(difference: np.ndarray) -> np.ndarray:
    """Change in percent as codes 0 to 200."""
    return np.clip(100 + difference, 0, 200).astype("uint8")
