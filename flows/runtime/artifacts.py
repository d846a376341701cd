"""Prefect's artifact of a finished tile: its products, with links to files, quicklooks and report."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from imperv.layers.catalogue import CATALOGUE, DEFAULT
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.job import Job
from imperv.tasks.settings.production import describe_bytes


def show_products(job: Job) -> None:
    """Create the artifact of a tile; a failure is a warning."""
    try:
        create_markdown_artifact(
            key=artifact_key(job),
            markdown=products_markdown(job),
            description=f"Products of {job.family}, EEA tile {job.tile}",
        )
    except (PrefectException, httpx.HTTPError) as error:
        get_run_logger().warning("the products are not shown in Prefect: %s", error)


def artifact_key(job: Job) -> str:
    """Key of the artifact of a product and tile, in lowercase letters, digits and dashes; without the default product's name."""
    product = "" if job.family == DEFAULT else f"{job.family.replace('_', '-')}-"
    return f"products-{product}{job.tile}".lower()


def products_markdown(job: Job) -> str:
    """Table of the products of a tile."""
    lines = [f"# Products of {job.tile}, {job.production.periods.whole}", ""]
    report = job.report_path
    if job.store.fs.exists(job.store.full(report)):
        lines += [_link(job, "Report of the tile", report), ""]
    lines += ["| product | what it is | pixel | mapped | size | picture |", "|---|---|---|---|---|---|"]
    for symbol in delivered_symbols(job.family):
        places, layer = places_of(job, symbol), CATALOGUE[symbol]
        record = job.store.read_record(places.record)
        if record is None:
            continue
        counts = record.statistics[symbol]
        mapped = 100 * (1 - counts["outside"] / counts["pixels"])
        picture = _link(job, "PNG", places.quicklook)
        lines.append(
            f"| {_link(job, Path(places.tif).stem, places.tif)} | {layer.description} | {layer.resolution:g} m "
            f"| {mapped:.1f} % | {describe_bytes(record.size)} | {picture} |"
        )
    return "\n".join(lines) + "\n"


def _link(job: Job, text: str, place: str) -> str:
    """A link where the store has an address for browsers (``watch.links``), else the place of the file."""
    if base := job.production.watch.links:
        return f"[{text}]({base}/{quote(place)})"
    full = job.store.full(place)
    return f"{text}: `{full if job.store.is_local else job.store.fs.unstrip_protocol(full)}`"
