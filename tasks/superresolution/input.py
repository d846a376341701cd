"""The measured bands of a span: which overpass or overpasses, and their pixels on the native UTM grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.native.looks import CLEAR, RESAMPLED, Look, bands_of, looks_of, mask_of, rank_looks
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.store.records import digest_of
from imperv.tasks.superresolution.mosaics import mosaic_mask, mosaic_of

MOSAIC = "mosaic"

READ_NS = 40.0
"""Core nanoseconds to decode and write a pixel of one band."""

LOOKS = 8
"""Looks of a mosaic that are planned for before the catalogue was asked."""


def scene_list(job: Job) -> SceneList:
    """The frozen list."""
    return SceneList.from_json(job.store.read_text(job.place("SR_S2").data) or "")


def make_dates(job: Job, layer: Layer) -> Made:
    """Rank the overpasses by their clear ground; InputError where none shows any."""
    scenes, least = scene_list(job), job.production.parameters.input.min_clear
    lost: dict[str, str] = {}
    ranked = rank_looks(scenes, job.grid_of(CATALOGUE["SR_mask"]), job.production.scenes.access, lost)
    rows = [
        {"name": look.name, "day": str(look.day), "level": look.level, "scenes": [s.id for s in look.scenes],
         "data": round(data, 6), "clear": round(clear, 6)}
        for look, data, clear in ranked
    ]  # fmt: skip
    if not ranked or max(data for _, data, _ in ranked) == 0:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: no scene of {job.period(layer)[0]} shows the area; name another area or span"
        )
    if ranked[0][2] < least:
        best = ", ".join(f"{row['day']} {row['clear']:.1%}" for row in rows[:3])
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: clouds over the whole area in {job.period(layer)[0]} (clear: {best}, at least "
            f"{least:.1%} expected); choose another span or lower parameters.input.min_clear"
        )
    text = json.dumps(rows, indent=1) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    chosen = [row["name"] for row in rows[: 1 if job.production.parameters.input.kind != MOSAIC else None]]
    warnings = [f"scene {name} left out: {why}" for name, why in lost.items()]
    for look, _, clear in ranked[: len(chosen)]:
        if clear:
            warnings += [f"{look.name}: {said}" for said in look.warnings]
    statistics = {"overpasses": len(rows), "chosen": chosen, "clear": rows[0]["clear"], "data": rows[0]["data"]}
    return Made(digest_of(text), statistics, tuple(dict.fromkeys(warnings)))


def ranked_looks(job: Job) -> list[Look]:
    """Looks of the span, clearest first, without those that show nothing clear."""
    looks = {tuple(sorted(s.id for s in look.scenes)): look for look in looks_of(scene_list(job))}
    rows: list[dict[str, Any]] = json.loads(job.store.read_text(job.place("SR_dates").data) or "[]")
    return [looks[tuple(sorted(row["scenes"]))] for row in rows if row["clear"] > 0]


def chosen_looks(job: Job) -> list[Look]:
    """What is sharpened: the clearest look, or all of a mosaic."""
    looks = ranked_looks(job)
    return looks if job.production.parameters.input.kind == MOSAIC else looks[:1]


@dataclass(frozen=True)
class ReadBlock:
    """One block of the measured bands, or of the mask where `names` is empty."""

    looks: tuple[Look, ...]
    grid: GeoBox
    out: Any
    layer: Layer
    names: tuple[str, ...]
    mosaic: bool
    access: SceneAccess

    def __call__(self, block: Block) -> BlockReport:
        """Read and store it."""
        here, (first, *_) = block.geobox(self.grid), self.looks
        if self.names:
            if self.mosaic:
                pixels = mosaic_of(self.looks, self.names, here, self.access)
            else:
                pixels = bands_of(first, self.names, here, self.access)
            self.out[(slice(None), *block.slices)] = pixels
        else:
            pixels = mosaic_mask(self.looks, here, self.access)[0] if self.mosaic else mask_of(first, here, self.access)
            self.out[block.slices] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def make_input(job: Job, layer: Layer) -> Made:
    """The bands of one pixel size, or the mask."""
    looks, grid, blocks = tuple(chosen_looks(job)), job.grid_of(layer), job.blocks_of(layer)
    mosaic = job.production.parameters.input.kind == MOSAIC
    names = layer.variables[0].labels
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = ReadBlock(looks, grid, out[layer.symbol], layer, names, mosaic, job.production.scenes.access)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, input_bytes(job, layer), layer.symbol))
    more = {"looks": [look.name for look in looks], "level": looks[0].level}
    if not names:
        histogram = statistics[layer.symbol]["histogram"]
        more["clear"] = sum(histogram.get(str(code), 0) for code in (CLEAR, RESAMPLED)) / max(sum(histogram.values()), 1)
    return Made(digest, {**statistics, **more})


def input_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block: bands of it thrice, and where looks are put together strips of them."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * max(len(layer.variables[0].labels), 1) * 2 * 3 + 128 * 2**20


def input_cost(job: Job, layer: Layer) -> Cost:
    """Decoding of the bands, of all looks where they are put together."""
    rows, columns = job.grid_of(layer).shape
    looks = LOOKS if job.production.parameters.input.kind == MOSAIC else 1
    values = rows * columns * max(len(layer.variables[0].labels), 1) * looks
    return Cost(values * READ_NS / 1e9, resident(job, input_bytes(job, layer)), values * 2)


def dates_cost(job: Job, layer: Layer) -> Cost:
    """Masks of all looks."""
    rows, columns = job.grid_of(CATALOGUE["SR_mask"]).shape
    return Cost(rows * columns * LOOKS * READ_NS / 1e9, resident(job, rows * columns * 4), rows * columns * LOOKS)
