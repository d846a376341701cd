"""Making one node of the graph, unless it is up to date: which task makes which layer, keys, and the record written last."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.tasks.engine import measured
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.calibration import calibration_versions, make_calibration
from imperv.tasks.imperviousness.clcplus import clcplus_missing, make_clcplus_now, not_needed
from imperv.tasks.imperviousness.distance import files_of, make_distance
from imperv.tasks.imperviousness.proxy import make_proxy, make_proxy_model
from imperv.tasks.imperviousness.recipes import RECIPES, make_by_recipe
from imperv.tasks.imperviousness.whole_tile import make_chm, make_chm_raw
from imperv.tasks.job import Job, Made, software, utc_now
from imperv.tasks.networks.models import START, make_model, training_versions
from imperv.tasks.networks.predicting import halo_versions, make_prediction
from imperv.tasks.networks.registry import ensemble_versions, imported, imported_reason
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.references.footprints import make_footprints
from imperv.tasks.references.references import SETTING, make_reference, open_reference, reference_path
from imperv.tasks.references.sources import footprint_sources
from imperv.tasks.store.records import Record, digest_of, explain_difference
from imperv.tasks.store.store import with_measured
from imperv.tasks.yearly.alignment import make_shift
from imperv.tasks.yearly.freezing import make_scene_list, scenes_ingredients
from imperv.tasks.yearly.preprocessing import make_pp, pp_trouble

Maker = Callable[[Job, Layer], Made]

MAKERS: dict[str, Maker] = {
    "S2_then": make_scene_list,
    "S2_now": make_scene_list,
    "PP_then": make_pp,
    "PP_now": make_pp,
    **dict.fromkeys(SETTING, make_reference),
    "CLCP_now": make_clcplus_now,
    "OSM_distance": make_distance,
    "CLCP_proxy_model": make_proxy_model,
    "CLCP_proxy": make_proxy,
    "IBUD_ref": make_footprints,
    "CHM_raw": make_chm_raw,
    "CHM": make_chm,
    "IMD_model": make_model,
    "IBUD_model": make_model,
    "PP_shift": make_shift,
    "RIMD": make_prediction,
    "RIBUD": make_prediction,
    "IMD_calibration": make_calibration,
    **dict.fromkeys(RECIPES, make_by_recipe),
}
"""Task of every node."""


def _external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """What a layer depends on beside other layers of its tile and parameters."""
    if layer.kind == "source":
        return {"scenes": scenes_ingredients(job, layer)}
    if layer.symbol == "CLCP_now" and not job.production.references.clcplus_now:
        clcplus_missing(job)  # refused where nothing can take its place
        return {"files": {}}
    if layer.symbol == "OSM_distance":
        known = job.record("CLCP_now") is not None or not job.production.references.clcplus_now
        needed = known and not not_needed(job, layer.symbol)
        return {"files": fingerprint(job, *(files_of(job) if needed else ()))}
    if layer.symbol in SETTING:
        open_reference(job, layer.symbol)[1].close()
        return {"files": fingerprint(job, reference_path(job, layer.symbol))}
    if layer.symbol == "IBUD_ref":
        files = [file.partition("|")[0] for source in footprint_sources(job) for file in source.files]
        return {"files": fingerprint(job, *files), "footprint_confidence": job.production.references.footprint_confidence}
    if layer.symbol in ("IMD_model", "IBUD_model"):
        # What a training started from is history, like a frozen scene list: another neighbour today makes it no worse.
        record = job.record(layer.symbol)
        start = {START: record.ingredients[START]} if record and START in record.ingredients else {}
        return {"neighbours": training_versions(job, layer.symbol), **start}
    if layer.symbol == "IMD_calibration":
        # Only one that has borrowed depends on what there is to borrow.
        record = job.record(layer.symbol)
        return {"neighbours": calibration_versions(job)} if record and "neighbours" in record.ingredients else {}
    if layer.symbol in ("RIMD", "RIBUD"):
        return {"models": ensemble_versions(job, layer.inputs[1]), "halos": halo_versions(job)}
    return {}


def ingredients(job: Job, layer: Layer, external: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Everything that a layer's key is made of, None while an input is not done; `external` is looked up unless given."""
    inputs = {}
    for name in layer.inputs:
        record = job.record(name)
        if record is None:
            return None
        # By stem: features of a year are the same whether that year is `then` or `now`.
        # A scene list counts by what is in it: where its catalogue lies does not change a pixel.
        version = record.digest if CATALOGUE[name].kind == "source" else record.version
        inputs[CATALOGUE[name].stem if layer.stem != layer.symbol else name] = version
    if reason := not_needed(job, layer.symbol):  # then nothing else can change it
        return {"algorithm": f"{layer.stem} {layer.version}", "window": list(job.bounds), "not made": reason}
    return {
        "algorithm": f"{layer.stem} {layer.version}",
        "window": list(job.bounds),
        "periods": [str(p) for p in dict.fromkeys(job.period(layer))],
        "parameters": job.pick(layer),
        "inputs": inputs,
        **(_external(job, layer) if external is None else external),
    }


State = Literal["run", "up to date", "maybe"]


@dataclass(frozen=True)
class Standing:
    """Whether a layer must be made."""

    symbol: str
    state: State
    reason: str
    record: Record | None = None


def standing(job: Job, symbol: str, changing: Mapping[str, State] | None = None) -> Standing:
    """Whether a layer is up to date, and why not.

    For a plan, `changing` gives the state of the layers before it: "run" if its key will differ, "maybe" if the same pixels are
    expected to come again.
    """
    layer, changing = CATALOGUE[symbol], changing or {}
    record = job.record(symbol)
    if record is not None and imported(record):
        # It was trained from other data than the tile's, so no key of here could ever agree with its own.
        return Standing(symbol, "up to date", imported_reason(job, symbol, record), record)
    external = _external(job, layer)  # first, as a missing file is worth more words than a missing record
    if record is None:
        return Standing(symbol, "run", "not made yet")
    if ahead := [name for name in layer.inputs if changing.get(name) == "run"]:
        return Standing(symbol, "run", f"{', '.join(ahead)} will change", record)
    now = ingredients(job, layer, external)
    if now is None:
        return Standing(symbol, "run", "an input is not done", record)
    if digest_of(now) != record.key:
        return Standing(symbol, "run", explain_difference(record.ingredients, now), record)
    if layer.stem == "PP" and (trouble := pp_trouble(job, layer, record)):
        return Standing(symbol, "run", trouble, record)
    if not job.store.data_in_place(record):
        return Standing(symbol, "maybe", "its data are gone or damaged", record)
    if ahead := [name for name in layer.inputs if changing.get(name) == "maybe"]:
        return Standing(symbol, "up to date", f"as long as {', '.join(ahead)} comes out the same", record)
    return Standing(symbol, "up to date", record.reason, record)


def make_node(job: Job, symbol: str, force: bool = False) -> tuple[Record, bool]:
    """Make a layer unless it is up to date: its record, and False if it was. A failure leaves nothing that looks done."""
    layer = CATALOGUE[symbol]
    found = standing(job, symbol)
    if found.state == "up to date" and found.record is not None and not force:
        return found.record, False
    made_of = ingredients(job, layer)
    if made_of is None:
        raise WorkError(f"{symbol} of tile {job.tile}: an input is not done")
    with measured() as usage:
        try:
            made = MAKERS[symbol](job, layer)
        except MemoryError:
            raise WorkError(f"{symbol} of tile {job.tile}: out of memory; lower engine.memory or engine.workers") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorkError(
                    f"{symbol} of tile {job.tile}: no room left on the disk; free space and run again, nothing is lost"
                ) from None
            raise
    if not made.made:
        job.store.remove(job.place(symbol))  # what was there of it before
    told_now = (START, "neighbours") if layer.symbol == "IMD_calibration" else (START,)
    made_of = {k: v for k, v in made_of.items() if k not in told_now} | dict(made.external)
    place, periods = job.place(symbol), job.period(layer)
    record = Record(
        symbol=layer.stem,
        tile=str(job.tile),
        key=digest_of(made_of),
        digest=made.digest,
        ingredients=made_of,
        made=made.made,
        reason=made.reason,
        href=place.data if made.made else "",
        bbox=job.bounds,
        windowed=job.windowed,
        start=str(periods[0].start),
        end=str(periods[1].end),
        statistics=made.statistics,
        warnings=made.warnings,
        seconds=usage.seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory=usage.peak_memory,
        software=software(),
        created=utc_now(),
    )
    record = with_measured(record, job.store)
    job.store.write_record(place.record, record)
    return record, True
