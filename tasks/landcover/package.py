"""The package of a map of land cover: of the base map, or of a tuned map of any round, with its polygons and scores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.statistics.scores import percent_text
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.delivery.metadata_pdf import Section
from imperv.tasks.delivery.package import Contents, write_package
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.landcover.delivery import BASE, TUNED, with_own_classes
from imperv.tasks.landcover.rounds import present, read_round, write_round
from imperv.tasks.landcover.session import restore
from imperv.tasks.landcover.tuning import present_change
from imperv.tasks.samples import as_geojson, of_store
from imperv.tasks.store.overlay import Overlay

LIMITS = (
    "A pixel of 5 m may hold several materials: it has the class of its most probable one. The satellites measure four bands at "
    "10 m and six at 20 m; bands at 5 m are inferred, and what is narrower than 5 m is not mapped.",
    "Classes are for urban mapping in general: species of trees, kinds of roofs and narrow corridors are not told apart.",
    "The base model learns from reference maps of other dates and of 10 m, with their errors. Accuracy differs with town, season "
    "and clouds; polygons of the place itself help most.",
)


def package(job: Job, symbol: str, number: int | None, out: Path) -> list[str]:
    """Write the package of the tuned map of a round (by default the present one), of the base map (round 0, or where there is no
    round), or of another coded layer; names of its files.

    A round whose layers are not those of the store is made in a scratch store: the store stays as it is.
    """
    if symbol and number is not None:
        raise InputError(f"--round {number}: is of tuned maps; leave --layer out")
    if symbol not in ("", BASE, TUNED):
        return write_package(job, symbol, out, Contents(_sections(job, symbol, None)))
    now = present(job)
    wanted = 0 if symbol == BASE else now if number is None else number
    if symbol == TUNED and not wanted:
        raise InputError(f"{TUNED} of tile {job.tile}: there is no round yet; `imperv landcover tune` makes one")
    if not wanted or (wanted == now and _is_made(job, read_round(job, wanted))):
        return _write(job, wanted, out)
    with tempfile.TemporaryDirectory(prefix="imperv-") as folder:
        scratch = replace(job, store=Overlay(folder, job.store, runs=job.store.runs))
        write_round(scratch, wanted, read_round(job, wanted))
        restore(scratch, wanted)
        return _write(scratch, wanted, out)


def _is_made(job: Job, table: Mapping[str, Any]) -> bool:
    """Whether the layers of the store are those of a round: it was finished, on this base map, with this head."""
    base, model = job.usable("LC_probability"), job.usable("LC_tuned_model")
    return (
        bool(table["finished"]) and base is not None and model is not None and table["base"] == base.version
        and all(table.get(key) == value for key, value in present_change(job).items())
    )  # fmt: skip


def _write(job: Job, number: int, out: Path) -> list[str]:
    """Of the present round, or of the base map."""
    symbol, table, files = BASE, None, {}
    if number:
        symbol, table = TUNED, read_round(job, number)
        samples = of_store(table["polygons"], job.production.parameters.classes.classes)
        files["training_polygons.geojson"] = as_geojson(samples).encode("utf-8")
        files["tuning.json"] = (json.dumps(_scores(table), indent=1, sort_keys=True) + "\n").encode("utf-8")
    deliver(job, symbol)
    layer = with_own_classes(job.production, CATALOGUE[symbol])
    return write_package(job, symbol, out, Contents(_sections(job, symbol, table), files, layer))


def _scores(table: Mapping[str, Any]) -> dict[str, Any]:
    """What a round says of its accuracy and changes, without what tells of the run."""
    return {key: table[key] for key in ("round", "scores", "classes", "changed", "changed_share")}


def _sections(job: Job, symbol: str, table: Mapping[str, Any] | None) -> list[Section]:
    found = [_inputs(job)]
    if symbol in (BASE, TUNED):
        found.append(_accuracy_of_base(job))
    if table is not None:
        found.append(_accuracy_of_round(table))
    return [*found, Section("Limits", LIMITS)]


def _inputs(job: Job) -> Section:
    """Scenes with their dates, and what else the map was made of."""
    scenes = job.store.read_text(job.place("SR_dates").data)
    rows = [["Overpass", "Clear share"]]
    for row in json.loads(scenes or "[]"):
        if row["clear"] > 0:
            rows.append([row["name"], f"{100 * row['clear']:.1f} %"])
    text = ["Sentinel-2, median of the clear looks of the period, sharpened to 5 m:"]
    mosaic = job.record("LC_mosaic")
    if mosaic and mosaic.statistics.get("filled"):
        text.append(f"{100 * mosaic.statistics['filled']:.1f} % of the area was filled from the months around.")
    return Section("Inputs", text, rows)


def _accuracy_of_base(job: Job) -> Section:
    """Of the base model on ground that it did not learn from, against its labels."""
    record = job.record("LC_model")
    if record is None or not record.made:
        return Section("Accuracy of the base model", ("The base model is of another tile; no accuracy is known here.",))
    rows = [["Network", "Overall accuracy", "Mean F1"]]
    for k, member in enumerate(record.statistics["history"], 1):
        rows.append([str(k), *(percent_text(member["scores"].get(name)) for name in ("oa", "f1"))])
    text = "Against the labels that it learnt from, which have errors of their own, on blocks of ground that were held out:"
    return Section("Accuracy of the base model", (text,), rows)


def _accuracy_of_round(table: Mapping[str, Any]) -> Section:
    """Of a tuned map on polygons that were left out."""
    scores, names = table["scores"], table["scores"]["classes"]
    text = [
        f"Round {table['round']}: {scores['polygons']} polygons; {100 * table['changed_share']:.1f} % of the base map changed.",
        f"On polygons that were left out in turn, each counted alike: accuracy {percent_text(scores['scores'].get('oa'))}.",
    ]
    rows: list[Sequence[str]] = [["Class", "Polygons", "Pixels", "F1 on left-out polygons"]]
    for k, name in enumerate(names):
        drawn = table["classes"].get(name, {"polygons": 0, "pixels": 0})
        rows.append([name, str(drawn["polygons"]), str(drawn["pixels"]), percent_text(scores["scores"].get(f"f1_{k}"))])
    return Section("Accuracy of the tuned map", text, rows)
