"""How good the density models are, on data with truth: `python -m benchmarks accuracy`, or one case: `python -m benchmarks.accuracy CASE`.

Sites are city kits (where shared/tools lies beside the checkout) and simulated tiles, and nine simulated tiles around one for ensembles and
transfer. A case is one training, minutes long; its result is a JSON file, kept while code and settings stay as they were. Parameters
come from the environment, as for every production: IMPERV_PARAMETERS__UNET__EPOCHS=3. Figures stand in docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KITS = ROOT.parent / "shared" / "tools" / "make_city_kit.py"
FOLDER = Path(__file__).parent / "results" / "accuracy"

TRIALS = 3
PRODUCTS = ("IBU", "IMD")
CENTRE, NEAREST = "E44N27", "E44N26"

CODE = (
    "layers/unet", "layers/fitting", "layers/optimizer", "layers/training", "layers/sampling", "layers/features", "layers/windows",
    "layers/ensemble", "layers/baselines", "tasks/alignment", "tasks/features",
)  # fmt: skip
"""Modules that results depend on; features are made anew when their version in the catalogue is raised."""


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


@dataclass(frozen=True)
class Site:
    """A place with truth."""

    name: str
    kind: str
    """kit, simulated or neighbour."""
    seed: int
    origin: tuple[int, int] | None = None
    """Column and row of a kit in its image."""
    tile: str = CENTRE
    """Of a simulation."""
    size: int = 512


SITES = (
    Site("kit-1", "kit", 1),
    Site("kit-2", "kit", 2, (420, 180)),
    Site("kit-3", "kit", 3, (230, 10)),
    Site("simulated-1", "simulated", 1),
    Site("simulated-2", "simulated", 2),
    Site("simulated-3", "simulated", 3),
)
AROUND = tuple(
    Site(f"neighbour-E{44 + i}N{27 + j}", "neighbour", 20 + 3 * (i + 1) + j, tile=f"E{44 + i}N{27 + j}")
    for i in (-1, 0, 1)
    for j in (-1, 0, 1)
)
"""Each in the middle of its tile or where its UTM zones meet; the centre is among them."""


def cases(kits: bool = KITS.exists()) -> list[str]:
    """All cases, in an order in which they can run."""
    sites = [site for site in SITES if kits or site.kind != "kit"]
    trials = [f"{site.name}:{product}:{number}" for site in sites for product in PRODUCTS for number in range(TRIALS)]
    models = [f"{site.name}:{product}:model" for site in AROUND for product in PRODUCTS]
    return [*trials, *models, *(f"{kind}:{product}" for kind in ("ensemble", "transfer") for product in PRODUCTS)]


def site_of(name: str) -> Site:
    return next(site for site in (*SITES, *AROUND) if site.name == name)


# sites ----------------------------------------------------------------------------------------------------------


def prepare(site: Site, folder: Path) -> tuple[Path, str]:
    """Production file and tile of a site with features of both years in its store, made if they are not there."""
    place = folder / "sites" / site.name
    config, marker = place / "production.toml", place / "made.json"
    wanted = {"seed": site.seed, "origin": list(site.origin or ()), "tile": site.tile, "size": site.size}
    if not marker.exists() or json.loads(marker.read_text()) != wanted:
        place.mkdir(parents=True, exist_ok=True)
        (_make_kit if site.kind == "kit" else _simulate)(site, place)
        marker.write_text(json.dumps(wanted))
    from tasks.production import Production

    tile = Production.read(config).tile_names[0]
    _make(config, tile, ("PP_then", "PP_now", "PP_shift", "IMD_then", "CLCP_then", "IBUD_ref"))
    return config, tile


def _make_kit(site: Site, place: Path) -> None:
    import rasterio

    from grids import Tile

    origin = ["--origin", *map(str, site.origin)] if site.origin else []
    subprocess.run(
        [sys.executable, KITS, place, "--seed", str(site.seed), "--size", str(site.size), *origin],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with rasterio.open(place / "truth" / "truth_imd_now.tif") as source:
        box = source.bounds

    def overlap(name: str) -> float:
        left, bottom, right, top = Tile(name).bounds
        return max(0.0, min(right, box.right) - max(left, box.left)) * max(0.0, min(top, box.top) - max(bottom, box.bottom))

    corners = {f"E{int(x // 1e5)}N{int(y // 1e5)}" for x in (box.left, box.right) for y in (box.bottom, box.top)}
    tile = max(sorted(corners), key=overlap)
    (place / "production.toml").write_text(KIT_PRODUCTION.format(tile=tile, bbox=[round(v) for v in box]))


def _simulate(site: Site, place: Path) -> None:
    from tasks.simulator import simulate

    made = simulate(place, tile=site.tile, size=site.size, seed=site.seed)
    if site.kind == "neighbour":  # one store for all nine, and each with its own window, so that they find each other's models
        text = made.production.read_text().replace('store = "store"', 'store = "../neighbours-store"')
        made.production.write_text(text + '\n[parameters.ensemble]\naccept = "compatible"\n')


def _make(config: Path, tile: str, targets: tuple[str, ...], anew: bool = False) -> dict[str, Any]:
    """Make nodes and what they need, the targets even if they look up to date if `anew`; what the last record says."""
    from layers.catalogue import topological_order
    from tasks.job import Job
    from tasks.nodes import make_node
    from tasks.production import Production

    job, record = Job.of(Production.read(config), tile), None
    for symbol in topological_order(targets):
        record, _ = make_node(job, symbol, force=anew and symbol in targets)
    assert record is not None
    return {"seconds": record.seconds, "statistics": dict(record.statistics)}


# cases ----------------------------------------------------------------------------------------------------------


def run_case(name: str, folder: Path, told: Callable[[str], None] = print) -> dict[str, Any]:
    """The result of a case, from its file where that was made by the same code and settings."""
    path = folder / "results" / f"{name.replace(':', '_')}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["made_by"] == made_by(name):
            return kept
    started = time.perf_counter()
    first, *rest = name.split(":")
    if first in ("ensemble", "transfer"):
        result = (_ensemble if first == "ensemble" else _transfer)(rest[0], folder, told)
    elif rest[1] == "model":
        result = _model(site_of(first), rest[0], folder)
    else:
        result = _trial(site_of(first), rest[0], int(rest[1]), folder, told)
    found = {"case": name, "made_by": made_by(name), "seconds": round(time.perf_counter() - started, 1), **result}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def made_by(name: str) -> str:
    """Digest of what a case's result depends on."""
    import tomllib

    from tasks.evaluation import method_settings
    from tasks.job import Job
    from tasks.production import Production

    text = (
        f'tiles = ["{CENTRE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n[area]\n'
        "bbox = [4450000, 2750000, 4455000, 2755000]\n"
    )
    job = Job.of(Production(**tomllib.loads(text)), CENTRE)
    parts = [name, json.dumps(method_settings(job), sort_keys=True), job.production.parameters.ensemble.model_dump_json()]
    parts += [str(site) for site in (*SITES, *AROUND) if name.startswith((site.name, "ensemble", "transfer"))]
    code = [(ROOT / f"{module}.py").read_bytes() for module in CODE]
    return hashlib.blake2b("\n".join(parts).encode() + b"".join(code), digest_size=8).hexdigest()


def _job(config: Path, tile: str) -> Any:
    from tasks.job import Job
    from tasks.production import Production

    return Job.of(Production.read(config), tile)


def _truth(config: Path) -> Any:
    from tasks.truth import Truth

    return Truth.find(config.parent / "truth")


def _trial(site: Site, product: str, number: int, folder: Path, told: Callable[[str], None]) -> dict[str, Any]:
    from tasks.evaluation import run_trial

    config, tile = prepare(site, folder)
    return {"trial": run_trial(_job(config, tile), product, _truth(config), number, told).to_json()}


def _model(site: Site, product: str, folder: Path) -> dict[str, Any]:
    from tasks.evaluation import MODELS

    config, tile = prepare(site, folder)
    return {"model": _make(config, tile, (MODELS[product],), anew=True)}


def _ensemble(product: str, folder: Path, told: Callable[[str], None]) -> dict[str, Any]:
    """The centre's maps by the models around it that take part, by its own, and its confidence."""
    from grids import Tile, nearest_tiles
    from tasks.evaluation import threshold
    from tasks.evaluation_summary import summarise_stored
    from tasks.stored_evaluation import FINAL, RAW, judge_stored

    config, tile = prepare(site_of(f"neighbour-{CENTRE}"), folder)
    job = _job(config, tile)
    parameters = job.production.parameters
    models = -(-parameters.ensemble.members // parameters.unet.members)
    for name in (*nearest_tiles(Tile(CENTRE), [Tile(site.tile) for site in AROUND], models - 1), CENTRE):
        run_case(f"neighbour-{name}:{product}:model", folder, told)
    _make(config, tile, (FINAL[product], f"{RAW[product][0]}_sd"))
    stored = judge_stored(job, product, _truth(config))
    assert stored is not None
    return {"stored": summarise_stored([stored], {product: threshold(job, product)})}


def _transfer(product: str, folder: Path, told: Callable[[str], None]) -> dict[str, Any]:
    """The centre's model from scratch and from the nearest tile that trains from nothing: epochs to the same validation loss."""
    import numpy as np

    from layers.catalogue import CATALOGUE
    from layers.training import train
    from layers.unet import configure_threads
    from tasks.evaluation import MODELS
    from tasks.models import training_regions
    from tasks.starting import load_start, starting_model

    symbol = MODELS[product]
    run_case(f"neighbour-{NEAREST}:{product}:model", folder, told)
    config, tile = prepare(site_of(f"neighbour-{CENTRE}"), folder)
    job = _job(config, tile)
    start = starting_model(job, symbol)
    assert start is not None, "the tiles around have models"
    configure_threads(job.engine.settings.workers)
    regions = training_regions(job, CATALOGUE[symbol], job.production.parameters.unet)
    curves = {}
    for how, initial in (("scratch", None), ("transfer", load_start(job, start))):
        trained = train(regions, job.production.parameters.unet, initial=initial)
        curves[how] = [list(map(float, h["validation"])) for h in trained.history]
        told(f"{tile} {product} {how}: {[len(c) for c in curves[how]]} epochs")
    rows = []
    for scratch, moved in zip(curves["scratch"], curves["transfer"], strict=True):
        best = int(np.argmin(scratch))
        reached = np.flatnonzero(np.array(moved) <= scratch[best])
        rows.append(
            {
                "scratch_best": scratch[best], "scratch_epochs": best + 1, "transfer_best": min(moved),
                "transfer_epochs": int(reached[0]) + 1 if len(reached) else None,
            }
        )  # fmt: skip
    return {"from": start.tile, "curves": curves, "members": rows}


# tables ---------------------------------------------------------------------------------------------------------


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Results that are there and fit today's code and settings, by case."""
    found = {}
    for path in sorted((folder / "results").glob("*.json")):
        kept = json.loads(path.read_text())
        if kept["made_by"] == made_by(kept["case"]):
            found[kept["case"]] = kept
    return found


def tables(folder: Path) -> str:
    """Markdown for docs/accuracy.md, from what has been measured."""
    from tasks.evaluation import SEALED, Trial
    from tasks.parameters import BuiltUpParameters

    found = results(folder)
    cuts = {"IBU": BuiltUpParameters().threshold, "IMD": SEALED}
    trials = {name: Trial.from_json(r["trial"]) for name, r in found.items() if "trial" in r}
    lines: list[str] = []
    for title, kind in (("City kits", "kit"), ("Simulated tiles", "simulated")):
        mine = {n: t for n, t in trials.items() if site_of(n.split(":")[0]).kind == kind}
        if mine:
            lines += [f"## {title}", "", *_trial_lines(mine, cuts)]
    if stored := [row for r in found.values() for row in r.get("stored", ())]:
        lines += ["## Ensemble and confidence", "", *_stored_lines(stored)]
    if moved := [(name, r) for name, r in found.items() if "curves" in r]:
        lines += ["## Transfer learning", "", *_transfer_lines(moved)]
    return "\n".join(lines)


def _markdown(headings: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _trial_lines(trials: dict[str, Any], cuts: dict[str, float]) -> Iterator[str]:
    """For each product a table of all sites and one of each."""
    from flows.evaluating import BEST, DENSITY_COLUMNS, MASK_COLUMNS, best_cell, cell, digits_of
    from tasks.evaluation_summary import summarise_trials

    names = {"IBU": ("f1", "iou", "precision", "recall"), "IMD": ("mae", "rmse", "r2", "f1")}
    for product in PRODUCTS:
        columns = {n: h for n, h in (DENSITY_COLUMNS | MASK_COLUMNS).items() if n in names[product]}

        def cells(row: dict[str, Any], columns: dict[str, str] = columns) -> list[str]:
            return [cell(row.get(n), digits_of(n)) for n in columns]

        by_site: dict[str, dict[int, Any]] = {}
        for name, trial in trials.items():
            if trial.product == product:
                by_site.setdefault(name.split(":")[0], {})[trial.number] = trial
        groups = {site: [site] for site in sorted(by_site)}
        if len(groups) > 1:
            groups = {"all sites": list(groups)} | groups
        for label, sites in groups.items():
            # Only trials that every site has: medians would mix other sites otherwise.
            numbers = sorted(set.intersection(*(set(by_site[site]) for site in sites)))
            if not numbers:
                continue
            summary = summarise_trials([by_site[site][k] for site in sites for k in numbers], cuts)
            blocks = summary["scores"][0]["blocks"]
            yield f"**{product}, {label}**: median of {len(numbers)} trials, of {min(blocks)} to {max(blocks)} held-out blocks each"
            yield ""
            rows = [[r["year"], r["method"], *cells(r), best_cell(r)] for r in summary["scores"]]
            rows += [[r["year"], f"U-Net minus {r['minus']}", *cells(r), ""] for r in summary["differences"]]
            rows += [["now minus then", r["method"], *cells(r), ""] for r in summary["years"]]
            yield from _markdown(["year", "method", *columns.values(), BEST], rows)


def _stored_lines(stored: list[dict[str, Any]]) -> Iterator[str]:
    from flows.evaluating import grids_of

    for title, headings, rows in grids_of(
        {"scores": [], "differences": [], "years": [], "stored": stored, "thresholds": {"IBU": 10.0, "IMD": 10.0}}
    ):
        yield f"**{title}**"
        yield ""
        yield from _markdown(headings, rows)
    for row in stored:
        if row["confidence"]:
            yield f"{row['product']}: rank correlation of spread and error {row['confidence']['spearman']:.2f}."
            yield ""


def _transfer_lines(moved: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    rows = [
        [
            name.split(":")[1], result["from"], str(k + 1), f"{m['scratch_best']:.4f}", str(m["scratch_epochs"]), f"{m['transfer_best']:.4f}",
            "not reached" if m["transfer_epochs"] is None else str(m["transfer_epochs"]),
        ]
        for name, result in moved
        for k, m in enumerate(result["members"])
    ]  # fmt: skip
    yield from _markdown(
        [
            "product",
            "from",
            "member",
            "best loss from scratch",
            "after epochs",
            "best loss with transfer",
            "epochs to the same loss",
        ],
        rows,
    )


# running --------------------------------------------------------------------------------------------------------


def run_all(folder: Path = FOLDER, names: list[str] | None = None) -> str:
    """Run cases one after another, each in a process of its own, and give the tables."""
    # The parent limits its threads for other benchmarks; trainings take all cores.
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    failed = []
    for name in names or cases():
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.accuracy", name, "--folder", str(folder)], cwd=ROOT, env=environment
        )
        if done.returncode:
            failed.append(name)
    text = tables(folder)
    (folder / "tables.md").write_text(text, encoding="utf-8")
    return text + (f"\nfailed: {', '.join(failed)}\n" if failed else "")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("case", nargs="*", help="cases, or the beginning of their names; `list` and `tables` show what there is")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    folder = given.folder.absolute()
    if given.case == ["list"]:
        known = results(folder)
        print("\n".join(f"{'done' if name in known else '    '}  {name}" for name in cases()))
    elif given.case == ["tables"]:
        print(tables(folder))
    elif len(given.case) == 1 and given.case[0] in cases():
        result = run_case(given.case[0], folder, lambda line: print(line, flush=True))
        print(f"{result['case']}: {result['seconds']:.0f} s")
    else:
        chosen = [name for name in cases() if not given.case or name.startswith(tuple(given.case))]
        if not chosen:
            sys.exit(f"benchmarks: {' '.join(given.case)}: there is no such case; `python -m benchmarks.accuracy list` shows all")
        print(run_all(folder, chosen))


if __name__ == "__main__":
    main(sys.argv[1:])
