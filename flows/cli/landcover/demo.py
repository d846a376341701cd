"""`imperv demo landcover`: simulate a town, map it, tune the map with polygons, pack it, and score both maps by the truth."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from rich.console import Console

from imperv.flows.cli.parts.demos import check_size, run_shown, simulated
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

SMALLEST, LARGEST = 200, 1000
"""Edge of the site, pixels of 10 m."""

DAY = dt.date(2021, 7, 1)
"""Middle of the span, by which fields are grass or bare in the truth."""

VERSION = 1
"""Raised when the demo's input changes."""

PRODUCTION = """\
product = "landcover"
tiles = ["{tile}"]
store = "store"

[periods]
span = "2021-05-15/2021-08-15"

[area]
bbox = {bbox}

[scenes]
catalogue = "items.json"

[references]
clcplus = "reference/clcplus_now.tif"
density = "reference/imd_then.tif"
footprints = ["reference/footprints.geojson"]

# Quick ways for a demo. Remove these lines for the usual ones.
[parameters.sharpening]
method = "regression"
[parameters.unet]
members = 1
epochs = 6
steps_per_epoch = 40
"""


def run_demo(directory: Path, size: int, out: Console, err: Console) -> dict[str, ImpervError]:
    """Simulate, map, tune, pack and score on a site of `size` pixels of 10 m each way; failed tiles with their errors."""
    from imperv.flows.tile.run import write_report
    from imperv.tasks.landcover.package import package
    from imperv.tasks.landcover.session import read_polygons, tune_tile

    check_size(size, SMALLEST, LARGEST)
    started = time.perf_counter()
    config = simulated_town(directory, size, err)
    production = Production.read(config)
    tile = production.tile_names[0]
    if failed := run_shown(tile, config, err):
        return failed
    job = Job.of(production, tile)
    polygons = read_polygons(job, directory / "training" / "polygons.geojson")
    found = tune_tile(job, polygons)
    out.print(f"\nround {found['round']}: {len(polygons)} polygons, {found['changed_share']:.1%} of the base map changed")
    try:
        files = package(job, "", None, directory / "landcover.zip")
        out.print(f"package          {directory / 'landcover.zip'}: {', '.join(files)}")
    except InputError as error:  # ReportLab is optional
        out.print(f"no package       {error}", markup=False)
    out.print(f"open             {job.store.full(write_report(job))}")
    out.print(f"production file  {config}\nstore            {production.store_url}")
    _show_scores(job, directory / "truth" / "truth_landcover.tif", out)
    out.print(f"\n{time.perf_counter() - started:.0f} s in all")
    return {}


def simulated_town(directory: Path, size: int, err: Console) -> Path:
    """Production file of the simulated input; input of this size is kept."""
    from imperv.tasks.simulator import VERSION as SIMULATOR
    from imperv.tasks.simulator import simulate, site_bounds, site_landscape
    from imperv.tasks.simulator.fine import classes_at_5m, write_coastal, write_fine_truth, write_polygons

    def make() -> None:
        made = simulate(directory, size=size)
        write_coastal(directory)
        bounds = site_bounds(made.tile, size)
        land = site_landscape(bounds, (2018, 2021), 24, 1)
        corner = bounds[0], bounds[3]
        write_fine_truth(directory, land, corner, DAY)
        write_polygons(directory, classes_at_5m(land, DAY), corner)
        text = PRODUCTION.format(tile=made.tile, bbox=list(bounds))
        (directory / "production.toml").write_text(text, encoding="utf-8")

    said = {"product": "landcover", "size": size, "simulator": SIMULATOR, "version": VERSION}
    return simulated(directory, size, said, make, err)


def _show_scores(job: Job, truth: Path, out: Console) -> None:
    """Scores of the maps against the truth, with intervals."""
    from imperv.tasks.landcover.evaluation import scored_maps

    for row in scored_maps(job, str(truth)):
        out.print("  ".join(cell.ljust(width) for cell, width in zip(row, (12, 24, 24, 60), strict=True)).rstrip(), markup=False)
