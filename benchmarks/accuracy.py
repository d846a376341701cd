"""How good the density models are beside per-pixel models, by today's defaults, on ground with truth: `python -m benchmarks accuracy`.

Sites are three city kits (where shared/tools lies beside the checkout) and three simulated tiles. All methods learn from one year with a quarter
of the ground held out, and are judged there in both years, as by `imperv evaluate`. Parameters come from the environment, as for every
production: IMPERV_PARAMETERS__UNET__EPOCHS=3. Figures stand in docs/accuracy.md.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from imperv.flows.cli.imperviousness.evaluating import PRODUCTS, grids_of
from imperv.grids import Tile
from imperv.layers.catalogue import topological_order
from imperv.tasks.imperviousness.assessment.evaluation import NEEDED, Trial, run_trial, threshold
from imperv.tasks.imperviousness.assessment.summary import summarise_trials
from imperv.tasks.imperviousness.assessment.truth import Truth
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node
from imperv.tasks.settings.production import Production
from imperv.tasks.simulator import simulate

KITS = Path(__file__).resolve().parents[2] / "shared" / "tools" / "make_city_kit.py"
SEEDS = (1, 2, 3)
"""Of kits and simulated tiles."""
ORIGINS = {2: (420, 180), 3: (230, 10), 4: (0, 190), 5: (420, 0)}
"""Column and row of kits in their image, by seed."""
TILE, SIZE = "E44N27", 512
"""Of the simulation; edge of all sites, pixels."""

KIT_PRODUCTION = """tiles = ["{tile}"]
[periods]
then = "2018"
now = "2021"
[area]
bbox = {bbox}
[scenes]
catalogue = "items.json"
[references]
imd_then = "reference/imd_then.tif"
ibu_then = "reference/ibu_then.tif"
clcplus_then = "reference/clcplus_then.tif"
clcplus_now = "reference/clcplus_now.tif"
footprints = ["reference/footprints.geojson"]
"""


def accuracy_lines(folder: Path, seeds: tuple[int, ...] = SEEDS) -> list[str]:
    """Markdown: scores of every site, and their medians over the sites of a kind; sites are kept in the folder."""
    lines = []
    for kind, make in (("City kit", _kit), ("Simulated tile", _simulated)):
        if make is _kit and not KITS.exists():
            continue
        trials: list[Trial] = []
        for seed in seeds:
            place = folder / f"{make.__name__[1:]}-{seed}"
            place.mkdir(parents=True, exist_ok=True)
            job = _ready(make(place, seed))
            found = [run_trial(job, product, Truth.find(place / "truth"), progress=_say) for product in PRODUCTS]
            lines += _tables(f"{kind} {seed}", found, job)
            trials += [replace(trial, number=seed) for trial in found]
        lines += _tables(f"{kind}s", trials, job)
    return lines


def kit_job(place: Path, seed: int) -> Job:
    """A city kit with features of both years in its store."""
    place.mkdir(parents=True, exist_ok=True)
    return _ready(_kit(place, seed))


def _kit(place: Path, seed: int) -> Path:
    """Production file of a city kit, in the tile that holds most of it."""
    import rasterio

    origin = ["--origin", *map(str, ORIGINS[seed])] if seed in ORIGINS else []
    command = [sys.executable, KITS, place, "--seed", str(seed), "--size", str(SIZE), *origin]
    if not (place / "truth" / "truth_imd_now.tif").exists():
        subprocess.run(command, check=True, stdout=sys.stderr)
    with rasterio.open(place / "truth" / "truth_imd_now.tif") as source:
        left, bottom, right, top = map(round, source.bounds)

    def overlap(name: str) -> float:
        west, south, east, north = Tile(name).bounds
        return max(0.0, min(right, east) - max(left, west)) * max(0.0, min(top, north) - max(bottom, south))

    tile = max(sorted({f"E{x // 100_000}N{y // 100_000}" for x in (left, right) for y in (bottom, top)}), key=overlap)
    file = place / "production.toml"
    file.write_text(KIT_PRODUCTION.format(tile=tile, bbox=[left, bottom, right, top]))
    return file


def _simulated(place: Path, seed: int) -> Path:
    """Production file of a simulated tile."""
    file = place / "production.toml"
    return file if file.exists() else simulate(place, tile=TILE, size=SIZE, seed=seed).production


def _ready(file: Path) -> Job:
    """The tile with features of both years and references in its store."""
    production = Production.read(file)
    job = Job.of(production, production.tile_names[0])
    for symbol in topological_order([*NEEDED["IMD"], *NEEDED["IBU"]]):
        make_node(job, symbol)
    return job


def _tables(title: str, trials: list[Trial], job: Job) -> list[str]:
    cuts = {product: threshold(job, product) for product in PRODUCTS}
    found: dict[str, Any] = {**summarise_trials(trials, cuts), "stored": [], "thresholds": cuts}
    lines = [f"## {title}", ""]
    for what, headings, rows in grids_of(found):
        lines += [f"**{what}**", "", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
