"""`imperv config check`: everything in a production file that can be checked without computing anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError

from layers.catalogue import CATALOGUE
from tasks.clcplus import clcplus_missing
from tasks.distance import shape_files
from tasks.errors import ImpervError
from tasks.footprints import count_footprints
from tasks.freezing import require_enough, search_scenes
from tasks.job import Job
from tasks.osm_shapes import check_shapes
from tasks.production import Production
from tasks.references import SETTING, check_reference, open_reference, partly_covered


def check_production(production: Production) -> tuple[list[str], list[str]]:
    """What is wrong, and what was found, one line each.

    Parameters
    ----------
    production : Production
        Read from a file; its form is right already.
    """
    wrong: list[str] = []
    found: list[str] = []
    if not production.tile_names:
        wrong.append('tiles: no tile is named; add one such as tiles = ["E43N32"]')
    if production.delivery.contact is None:
        found.append(
            "delivery.contact: nobody is named to ask: the metadata of products will say missing, and there are no packages; "
            "add [delivery.contact] with organisation and email"
        )
    for check in (_store, _dask):
        try:
            found += list(check(production))
        except ImpervError as error:
            wrong += str(error).splitlines()
        except (OSError, BotoCoreError) as error:
            wrong.append(f"store: {production.store_url}: {' '.join(str(error).split())}")
    for name in production.tile_names:
        try:
            job = Job.of(production, name)
        except ImpervError as error:
            wrong.append(str(error))
            continue
        for look in (
            *(_reference(job, s) for s in SETTING),
            _footprints(job),
            _scenes(job, "S2_then"),
            _scenes(job, "S2_now"),
            _pixels(job),
        ):
            try:
                found += list(look)
            except ImpervError as error:
                wrong += str(error).splitlines()
    return list(dict.fromkeys(wrong)), found


def _store(production: Production) -> Iterator[str]:
    from tasks.store import Store

    store = Store(production.store_url, production.store_options)
    store.write_text("runs/check.data.json", "{}\n")
    store.fs.rm_file(store.full("runs/check.data.json"))
    yield f"store: {production.store_url} can be written"


def _dask(production: Production) -> Iterator[str]:
    from tasks.errors import InputError

    address = production.engine.dask_address
    if address:
        parts = urlparse(address)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 8786), timeout=5).close()
        except OSError as error:
            raise InputError(
                f"engine.dask_address: {address} does not answer ({error}); start the scheduler or clear the key"
            ) from None
        yield f"engine.dask_address: {address} answers"


def _reference(job: Job, symbol: str) -> Iterator[str]:
    if symbol == "CLCP_now" and (reason := clcplus_missing(job)):
        yield f"{job.tile}: references.clcplus_now: {reason}: a proxy takes its place"
        for theme, paths in shape_files(job).items():
            for path in paths:
                yield f"{job.tile}: references.{theme}: {path}, layers with {theme}: {', '.join(check_shapes(path, theme))}"
        return
    path, source = open_reference(job, symbol)
    with source:
        share = check_reference(job, symbol, source, path)
        yield f"{job.tile}: references.{SETTING[symbol]}: {path}, {source.width} x {source.height} px, {source.crs.to_string()}"
        if share < 1:
            yield f"{job.tile}: references.{SETTING[symbol]}: {partly_covered(path, share)}"


def _footprints(job: Job) -> Iterator[str]:
    for tally in count_footprints(job):
        files = "" if tally.files == 1 else f" ({tally.files} files)"
        yield f"{job.tile}: references.footprints: {tally.entry}{files}, {tally.used} polygons in the area"
        for line in tally.trouble(str(job.tile)):
            yield f"{job.tile}: references.footprints: {line}"


def _scenes(job: Job, symbol: str) -> Iterator[str]:
    layer = CATALOGUE[symbol]
    scenes = search_scenes(job, layer)
    require_enough(job, layer, scenes)
    subtract = sum(s.subtract > 0 for s in scenes.scenes)
    yield (
        f"{job.tile}: {symbol}: {len(scenes.overpasses)} overpasses, {len(scenes.scenes)} scenes, "
        f"{len(scenes.dropped)} left out, offset subtracted from {subtract}"
    )


def _pixels(job: Job) -> Iterator[str]:
    """Whether a file of a scene can be had, where scenes lie on servers."""
    from tasks.access import ask, is_remote
    from tasks.errors import WorkError
    from tasks.scenes import SCL

    access = job.production.scenes.access
    path = next((s.bands[SCL] for s in search_scenes(job, CATALOGUE["S2_now"]).scenes if is_remote(s.bands[SCL])), None)
    if path is not None:
        answer = ask(path, access)
        if answer.state != "there":
            raise WorkError(
                f"{job.tile}: scenes: {path} cannot be had ({answer.detail}); correct scenes.access, or wait for the server"
            )
        yield f"{job.tile}: scenes: {path} can be had"
