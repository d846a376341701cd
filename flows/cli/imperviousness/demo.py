"""`imperv demo`: simulate a corner of a tile, run the whole chain, and compare the maps with the truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from imperv.flows.cli.imperviousness.demo_scores import Score, candidates, compare, read_truths
from imperv.flows.cli.parts.demos import check_size, run_shown, simulated
from imperv.layers.catalogue import CATALOGUE, DEFAULT
from imperv.tasks.delivery.delivery import delivered_symbols, product_paths
from imperv.tasks.errors import ImpervError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

SMALLEST, LARGEST = 200, 10_000
"""Edge in pixels: the smallest has room for a town, fields and a forest."""


def run_demo(directory: Path, size: int, out: Console, err: Console) -> dict[str, ImpervError]:
    """Simulate, run and compare on a site of `size` pixels of 10 m each way; failed tiles with their errors."""
    from imperv.flows.tile.refusing import refuse_without_writer

    check_size(size, SMALLEST, LARGEST)
    refuse_without_writer(None, DEFAULT)
    started = time.perf_counter()
    config = simulated_site(directory, size, err)
    production = Production.read(config)
    tile = production.tile_names[0]
    if failed := run_shown(tile, config, err):
        return failed
    show_end(Job.of(production, tile), config, out)
    out.print(f"\n{time.perf_counter() - started:.0f} s in all")
    return {}


def show_end(job: Job, config: Path, out: Console) -> None:
    """Print the places of all outputs, the report first, and the accuracy last."""
    out.print(f"\nopen {job.store.full(job.report_path)}")
    _show_layers(job, out)
    out.print(f"production file  {config}\nstore            {job.production.store_url}")
    out.print(f'in a notebook    import imperv; imperv.open("{config}").open("IMD_now", "{job.tile}")')
    _show_scores(job, config.parent / "truth", out)


TRAINING = """
# A sixth of the usual training, for a quick demo. Remove these lines for the usual one.
[parameters.unet]
epochs = 8
steps_per_epoch = 32
"""


def simulated_site(directory: Path, size: int, err: Console) -> Path:
    """Production file of the simulated input; input of this size is kept."""
    from imperv.tasks.simulator import VERSION, simulate

    def make() -> None:
        simulate(directory, size=size)
        with (directory / "production.toml").open("a", encoding="utf-8") as file:
            file.write(TRAINING)

    return simulated(directory, size, {"size": size, "simulator": VERSION}, make, err)


def _show_layers(job: Job, out: Console) -> None:
    """Final layers and their files."""
    rows = [("layer", "pixel", "valid", "file", "description")]
    for symbol in delivered_symbols():
        layer, record = CATALOGUE[symbol], job.record(symbol)
        if record is None or not record.made:
            rows.append((symbol, f"{layer.resolution} m", "", "not made", record.reason if record else "missing"))
            continue
        pixels = record.statistics[symbol]
        valid = f"{100 * (1 - pixels['outside'] / pixels['pixels']):.0f} %"
        rows.append((symbol, f"{layer.resolution} m", valid, _product(job, symbol).name, layer.description))
    _print_columns(rows, out)
    out.print(f"\nfiles in         {_product(job, 'IMD_now').parent}")


def _print_columns(rows: Sequence[tuple[str, ...]], out: Console) -> None:
    """Rows as aligned plain text; a table of rich would cut file names in pipes."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    out.print("")
    for row in rows:
        out.print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _product(job: Job, symbol: str) -> Path:
    return Path(job.store.full(product_paths(job, symbol)[0]))


def _show_scores(job: Job, folder: Path, out: Console) -> None:
    """Print the accuracy beside that of the maps without this run, and where and why those are better."""
    found = candidates(job)
    rows = compare(found, read_truths(folder, job.grid(10)))
    _print_columns([("against the truth", *found), *((row.name, *map(row.text, found)) for row in rows)], out)
    out.print("")
    for line in (*map(": ".join, zip(list(found)[1:], WITHOUT, strict=True)), *advantages(rows, list(found))):
        out.print(line)


WITHOUT = (
    "the old map, taken as if nothing had changed; its built-up is what is mostly building",
    "its sealed pixels at the old map's mean density in them, and its two years compared",
)
"""The maps without this run."""


def advantages(rows: Sequence[Score], names: Sequence[str]) -> list[str]:
    """One line for each map that is better than the first one in a score: in which, and why."""
    lines = []
    for name in names[1:]:
        better = [row for row in rows if row.loss(name) < row.loss(names[0])]
        reasons = dict.fromkeys(row.why for row in better)
        what = "; ".join(f"{', '.join(row.short for row in better if row.why == why)} ({why})" for why in reasons)
        lines += [f"{name} is better at {what}"] if better else []
    return lines
