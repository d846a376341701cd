"""`imperv demo landcover`: simulate a town, map it, tune the map with polygons, pack it, and score both maps by the truth."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from pathlib import Path

from rich.console import Console

from imperv.flows.cli.parts.folders import own_folder
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

SMALLEST, LARGEST = 200, 1000
"""Edge of the site, pixels of 10 m."""

KILOMETRE = 100
"""Pixels. Areas are whole kilometres."""

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
    from imperv.flows.cli.parts.showing import run_view
    from imperv.flows.production.running import run_tiles
    from imperv.flows.tile.progress import listening
    from imperv.tasks.landcover.package import package
    from imperv.tasks.landcover.session import read_polygons, tune_tile

    if not SMALLEST <= size <= LARGEST or size % KILOMETRE:
        raise InputError(f"--size {size}: choose whole kilometres, {SMALLEST} to {LARGEST} pixels in steps of {KILOMETRE}")
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
    polygons = read_polygons(job, directory / "training" / "polygons.geojson")
    found = tune_tile(job, polygons)
    out.print(f"\nround {found['round']}: {len(polygons)} polygons, {found['changed_share']:.1%} of the base map changed")
    try:
        files = package(job, "", None, directory / "landcover.zip")
        out.print(f"package          {directory / 'landcover.zip'}: {', '.join(files)}")
    except InputError as error:  # ReportLab is optional
        out.print(f"no package       {error}", markup=False)
    from imperv.flows.tile.run import write_report

    out.print(f"open             {job.store.full(write_report(job))}")
    out.print(f"production file  {config}\nstore            {production.store_url}")
    _show_scores(job, directory / "truth" / "truth_landcover.tif", out)
    out.print(f"\n{time.perf_counter() - started:.0f} s in all")
    return {}


def simulated(directory: Path, size: int, err: Console) -> Path:
    """Production file of the simulated input; input of this size is kept."""
    from imperv.tasks.simulator import VERSION as SIMULATOR
    from imperv.tasks.simulator import simulate, site_bounds, site_landscape
    from imperv.tasks.simulator.fine import classes_at_5m, write_coastal, write_fine_truth, write_polygons

    marker, begun = directory / "simulation.json", directory / "simulation.begun"
    config = directory / "production.toml"
    wanted = json.dumps({"product": "landcover", "size": size, "simulator": SIMULATOR, "version": VERSION})
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted and config.is_file():
        return config
    with own_folder(directory, begun, "is no demo"):
        err.print(f"simulating {size} x {size} pixels, two years of Sentinel-2, in {directory}")
        marker.unlink(missing_ok=True)
        shutil.rmtree(directory / "scenes", ignore_errors=True)
    made = simulate(directory, size=size)
    write_coastal(directory)
    bounds = site_bounds(made.tile, size)
    land = site_landscape(bounds, (2018, 2021), 24, 1)
    corner = bounds[0], bounds[3]
    write_fine_truth(directory, land, corner, DAY)
    write_polygons(directory, classes_at_5m(land, DAY), corner)
    config.write_text(PRODUCTION.format(tile=made.tile, bbox=list(bounds)), encoding="utf-8")
    marker.write_text(wanted, encoding="utf-8")
    return config


def _show_scores(job: Job, truth: Path, out: Console) -> None:
    """Scores of the maps against the truth, with intervals."""
    from imperv.tasks.landcover.evaluation import scored_maps

    for row in scored_maps(job, str(truth)):
        out.print("  ".join(cell.ljust(width) for cell, width in zip(row, (12, 24, 24, 60), strict=True)).rstrip(), markup=False)
