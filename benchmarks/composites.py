"""Composites of twelve months beside the yearly features of the same scenes, and beside odc-stac and xarray."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from benchmarks.preprocessing import WORKERS, features, odc_load, window
from benchmarks.timing import Row, compare
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.composites import MONTHLY
from imperv.tasks.composites.making import make_composite
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import freeze_scenes
from tests.support.scenes import make_scenes

EDGE, SMALL, DATES = 2000, 500, 100
"""Pixels each way, of the comparison with yearly features and of that with xarray, which holds no more; dates of the year."""


def composites(folder: Path, edge: int) -> None:
    """The composites of twelve months of a window, from its scenes to the store."""
    place = folder / "composites"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "production.toml").write_text(
        f'product = "composites"\ntiles = ["E44N26"]\nstore = "store"\n[periods]\nspan = "2021"\n[area]\n'
        f'bbox = {list(window(edge)[0])}\n[scenes]\ncatalogue = "{folder / "items.json"}"\n[engine]\nmemory = "4 GiB"\n'
        f"workers = {WORKERS}\n"
    )
    job = Job.of(Production.read(place), "E44N26")
    freeze_scenes(job, CATALOGUE["CO_S2"])
    for symbol in MONTHLY:
        make_composite(job, CATALOGUE[symbol])


def as_a_user_would(folder: Path, grid: GeoBox) -> None:
    """The same with odc-stac and xarray: all bands and dates are loaded, clouds masked, and each month's median taken."""
    fine, coarse = odc_load(folder, grid)
    clear = fine["SCL"].isin((4, 5, 6))
    for bands, seen in ((fine.drop_vars("SCL"), clear), (coarse, clear[:, ::2, ::2])):
        looks = bands.where((bands > 0) & seen.values)
        found = looks.groupby("time.month").median().fillna(0).round().astype("uint16")
        assert all(np.asarray(found[name]).any() for name in found)


def rows(folder: Path, edge: int = EDGE, dates: int = DATES) -> list[Row]:
    """Ours against the yearly features, and against xarray."""
    make_scenes(folder, window(edge)[1], dates)
    features(folder, 100), composites(folder, 100)  # compiles, or loads what was compiled
    unit, looks, few = "pixel and date", edge * edge * dates, SMALL * SMALL * dates
    name = f"composites of 12 months, {edge} x {edge}, {dates} dates, {WORKERS} threads"
    year = compare(
        name, (lambda: composites(folder, edge), looks), "yearly features", (lambda: features(folder, edge), looks),
        unit=unit, runs=3, warm=False,
    )  # fmt: skip
    small = f"composites of 12 months, {SMALL} x {SMALL}, {dates} dates, {WORKERS} threads"
    grid = window(SMALL)[1]
    peer = compare(
        small, (lambda: composites(folder, SMALL), few), "odc-stac and xarray", (lambda: as_a_user_would(folder, grid), few),
        unit=unit, runs=3, warm=False,
    )  # fmt: skip
    return [year, peer]
