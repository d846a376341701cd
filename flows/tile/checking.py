"""`imperv config check`: everything in a production file that can be checked without computing anything."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError

from imperv.layers.catalogue import CATALOGUE, Layer, layers_of
from imperv.tasks.errors import ImpervError, InputError, WorkError, disk_trouble
from imperv.tasks.families import family, task_of
from imperv.tasks.family.findings import Level, Remark, doubtful, fine
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.scenes.access import ask, is_remote
from imperv.tasks.scenes.scenes import SCL, Scene, SceneList
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from imperv.tasks.yearly.freezing import search_scenes

TRIAL = "check.data.json"
"""Object that is written into an object store, and removed, to see whether it can be."""


def check_production(production: Production) -> Iterator[Remark]:
    """What is right, doubtful and wrong, each error once, as it is found; nothing is left in the store or elsewhere."""
    if not production.tile_names:
        yield Remark(Level.ERROR, 'tiles: no tile is named; add one such as tiles = ["E43N32"]')
    told: set[str] = set()
    for look in _looks(production):
        try:
            yield from look
        except (ImpervError, OSError, BotoCoreError, ClientError) as error:
            lines = str(error).splitlines() if isinstance(error, ImpervError) else [" ".join(str(error).split())]
            for line in dict.fromkeys(lines):
                if line not in told:
                    told.add(line)
                    yield Remark(Level.ERROR, line)


def _looks(production: Production) -> Iterator[Iterator[Remark]]:
    """All single checks, one after the other."""
    found = family(production.product)
    yield _store(production)
    yield _dask(production)
    yield found.form.look(production)
    layers = layers_of(production.product)
    sources = [symbol for symbol, layer in layers.items() if layer.kind == "source"]
    places = {symbol: production.scenes.of(layers[symbol].role) for symbol in sources}
    # One file of each place; then and now mostly come from one.
    asked = {(place.catalogue, repr(place.access)): symbol for symbol, place in places.items()}.values()
    for name in production.tile_names:
        try:
            job = Job.of(production, name)
        except ImpervError as error:
            yield iter([Remark(Level.ERROR, str(error))])
            continue
        yield from (found.tasks[symbol].look(job, symbol) for symbol in layers)
        yield from (_scenes(job, symbol, symbol in asked) for symbol in sources)


def _store(production: Production) -> Iterator[Remark]:
    """Whether the store can be written, which is tried by a file without a name, or in an object store by one that is removed."""
    store = Store(production.store_url, production.store_options, production.runs)
    if store.is_local:
        _require_writable(Path(store.root))
    else:
        try:
            store.write_text(f"{store.runs}/{TRIAL}", "{}\n")
            store.fs.rm_file(store.full(f"{store.runs}/{TRIAL}"))
        except (OSError, BotoCoreError, ClientError) as error:
            raise InputError(f"store: {production.store_url}: {' '.join(str(error).split())}") from None
    yield fine(f"store: {production.store_url} can be written")


def _require_writable(folder: Path) -> None:
    """Raise where a folder, or what it will be made in, cannot be written; the folders in it count."""
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        for place in (there, *(child for child in folder.glob("*") if child.is_dir())):
            with tempfile.TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise disk_trouble(error, str(folder)) from None


def _dask(production: Production) -> Iterator[Remark]:
    address = production.engine.dask_address
    if address:
        parts = urlparse(address)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 8786), timeout=5).close()
        except OSError as error:
            raise InputError(
                f"engine.dask_address: {address} does not answer ({error}); start the scheduler or clear the key"
            ) from None
        yield fine(f"engine.dask_address: {address} answers")


def _scenes(job: Job, symbol: str, ask_for_file: bool) -> Iterator[Remark]:
    layer = CATALOGUE[symbol]
    scenes = search_scenes(job, layer)
    task_of(symbol).require(job, layer, scenes)
    subtract = sum(s.subtract > 0 for s in scenes.scenes)
    yield fine(
        f"{job.tile}: {symbol}: {len(scenes.overpasses)} overpasses, {len(scenes.scenes)} scenes, "
        f"{len(scenes.dropped)} left out, offset subtracted from {subtract}"
    )
    for name, why in scenes.reasons.items():
        yield doubtful(f"{job.tile}: {symbol}: scene {name} left out: {why}")
    if ask_for_file:
        yield from _pixels(job, layer, scenes)


def _pixels(job: Job, layer: Layer, scenes: SceneList | LandsatList) -> Iterator[Remark]:
    """Whether a file of a scene can be had, where scenes lie on servers."""
    files = (scene.bands[SCL] if isinstance(scene, Scene) and SCL in scene.bands else scene.paths[0] for scene in scenes.scenes)
    path = next(filter(is_remote, files), None)
    if path is not None:
        place = job.production.scenes.of(layer.role)
        of_period = place != job.production.scenes
        answer = ask(path, place.access)
        if answer.state != "there":
            raise WorkError(
                f"{job.tile}: scenes: {path} cannot be had ({answer.detail}); correct scenes.access"
                f"{f' or scenes.{layer.role}.access' if of_period else ''}, or wait for the server"
            )
        yield fine(f"{job.tile}: scenes: {path} can be had")
