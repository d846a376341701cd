"""`python -m benchmarks whole-tile [FOLDER] [--small]`: one whole tile from simulated scenes to delivered maps, killed twice on the way.

Granules, dates and references of E42N26 are simulated once into FOLDER/archive. Then `imperv run` makes both products; its process group
is killed with -9 in the features of `now` and in the prediction of imperviousness, and goes on. Report and verification follow, and the
two nodes are made again without a kill. Each node is told beside what `imperv plan` projects. A call goes on where the last one ended;
measurements are lines of FOLDER/measured.jsonl. `--small` does the same on a window.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.watched import Watched, watched
from imperv.flows.plan.planning import plan_tile
from imperv.flows.plan.targets import steps
from imperv.flows.runtime.run_logs import logs_of
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import delivery_standing, form_of
from imperv.tasks.families import task_of
from imperv.tasks.family.costs import Cost
from imperv.tasks.job import Job, utc_now
from imperv.tasks.settings.production import Production
from imperv.tasks.simulator import simulate_mirrored
from imperv.tasks.store.records import Record

TILE = "E42N26"
"""It lies in one UTM zone and needs four granules, the fewest that any tile needs."""

OVERPASSES = 8
"""A year, one more than `preprocessing.min_observations`."""

KILLED = ("PP_now", "RIMD")
"""Nodes in which the run is killed."""

HALFWAY = 0.4
"""Share of the projected core seconds of a node after which it is killed."""

TOLD = 0.2
"""Difference from the projection above which a node is listed."""

LEAST = 2.0
"""Core seconds below which a difference is not told: starting to read and write takes them."""

SETTINGS = """
[engine]
memory = "8 GiB"
workers = 2

# {what}
[parameters.unet]
epochs = {epochs}
steps_per_epoch = {steps}
base_filters = {filters}
"""


@dataclass(frozen=True)
class Scale:
    """How large the tile is, and how long the training."""

    size: int
    """Edge of the site, pixels of 10 m."""
    edge: int
    """Edge of the landscape that is repeated."""
    epochs: int
    steps: int
    filters: int
    """Of the network's first level."""

    @property
    def settings(self) -> str:
        """Lines of the production file."""
        what = f"{self.epochs * self.steps} steps a member in place of 8000: dates and steps are cut, not pixels."
        return SETTINGS.format(what=what, epochs=self.epochs, steps=self.steps, filters=self.filters)


WHOLE, SMALL = Scale(10_000, 2000, 5, 100, 16), Scale(300, 150, 1, 10, 4)


@dataclass
class Bench:
    """A folder with its production and the lines that were measured."""

    folder: Path
    job: Job

    @property
    def config(self) -> Path:
        """Production file."""
        return self.folder / "archive" / "production.toml"

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was measured."""
        file = self.folder / "measured.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def keep(self, what: str, **more: Any) -> dict[str, Any]:
        """Add a line."""
        line = {"what": what, "when": utc_now(), "load": round(os.getloadavg()[1], 1), **more}
        with (self.folder / "measured.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(" ".join(f"{k} {v}" for k, v in line.items() if not isinstance(v, dict)), flush=True)
        return line

    def records(self) -> dict[str, list[str]]:
        """Key, digest and time of every node that is done."""
        found = {name: record for name, record in self.made() if record is not None}
        return {name: [record.key, record.digest, record.created] for name, record in found.items()}

    def made(self) -> Iterator[tuple[str, Record | None]]:
        """All nodes and deliveries, with their records."""
        order, products = steps(None)
        yield from ((symbol, self.job.record(symbol)) for symbol in order)
        yield from ((f"deliver {symbol}", delivery_standing(self.job, symbol).record) for symbol in products)

    def call(self, what: str, *arguments: str, killed_in: str = "") -> dict[str, Any]:
        """Run `imperv` and keep what it took."""
        command = [str(Path(sys.executable).with_name("imperv")), *arguments, "--config", str(self.config)]
        # The benchmarks of kernels keep libraries to one thread; a production does not.
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        kill = Halfway(self.job, killed_in) if killed_in else None
        found: Watched = watched(command, self.folder / f"{what.replace(' ', '_')}.txt", environment, kill)
        hit = killed_in if found.code < 0 else ""
        return self.keep(what, **asdict(found), killed_in=hit, records=self.records())


@dataclass
class Halfway:
    """True when a node has taken a part of the processor time that it should."""

    job: Job
    symbol: str
    begun: float | None = None

    def __call__(self, cpu_seconds: float) -> bool:
        """Look at the log of the run."""
        if now_at_work(self.job) != self.symbol:
            return False
        if self.begun is None:
            self.begun = cpu_seconds
        whole = projected(self.job, self.symbol).core_seconds
        # One that is over before the next look is killed at once.
        return whole < LEAST or cpu_seconds - self.begun >= HALFWAY * whole


def now_at_work(job: Job) -> str:
    """The node that the newest run is at, as its log says."""
    logs = logs_of(job.store, str(job.tile))
    lines = (job.store.read_text(logs[-1]) or "").splitlines() if logs else []
    words = lines[-1].split() if lines else []
    return words[2] if len(words) == 3 and words[1] == "INFO" else ""


def projected(job: Job, node: str) -> Cost:
    """What `imperv plan` says that a node or a delivery takes."""
    symbol = node.removeprefix("deliver ")
    return (task_of(symbol).cost if symbol == node else form_of(CATALOGUE[symbol]).cost)(job, CATALOGUE[symbol])


def main(arguments: Sequence[str]) -> None:
    """Do all of it, and print the table."""
    names = [name for name in arguments if name != "--small"]
    scale = SMALL if "--small" in arguments else WHOLE
    folder = Path(names[0] if names else Path(__file__).parent / "results" / "whole-tile").absolute()
    bench = opened(folder, scale)
    run_killed(bench)
    finish(bench)
    text = "\n".join(table(bench, scale))
    (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)


def opened(folder: Path, scale: Scale) -> Bench:
    """Simulate what is not there yet."""
    config = simulate_mirrored(
        folder / "archive", TILE, scale.size, scale.edge, overpasses=OVERPASSES, more=scale.settings,
        progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    return Bench(folder, Job.of(Production.read(config), TILE))


def run_killed(bench: Bench) -> None:
    """Run to the end, with a kill in each of `KILLED`; exits where a run fails."""
    for symbol in KILLED:
        if bench.job.record(symbol) is None and not any(line.get("killed_in") == symbol for line in bench.lines):
            ended(bench.call("run", "run", TILE, killed_in=symbol))
    if any(step.state != "up to date" for step in plan_tile(bench.job, None)):
        ended(bench.call("run", "run", TILE))


def ended(line: dict[str, Any]) -> None:
    """Exit where a command failed, other than by our kill."""
    if line["code"] and not line["killed_in"]:
        sys.exit(f"whole-tile: {line['what']} ended with {line['code']}; what it printed is beside measured.jsonl")


def finish(bench: Bench) -> None:
    """Report, verification, and the killed nodes once more without a kill."""
    for what, arguments in (("report", ("report", TILE)), ("verify", ("verify",))):
        if not any(line["what"] == what and not line["code"] for line in bench.lines):
            ended(bench.call(what, *arguments))
    for symbol in KILLED:
        again = f"{symbol} again"
        if any(line["what"] == again for line in bench.lines):
            continue
        if (record := bench.job.record(symbol)) is not None:
            bench.keep("record removed", node=symbol, digest=record.digest)
            bench.job.store.remove_record(bench.job.place(symbol).record)
        ended(bench.call(again, "run", TILE, "--target", symbol))


def comparisons(bench: Bench) -> Iterator[tuple[str, bool]]:
    """What must be equal, and whether it is."""
    lines, now = bench.lines, bench.records()
    for killed in (line for line in lines if line.get("killed_in")):
        kept = {name: record for name, record in killed["records"].items() if name not in KILLED}
        same = all(now.get(name) == record for name, record in kept.items())
        yield f"killed in {killed['killed_in']}: the records of {len(kept)} finished nodes are as they were", same
    for removed in (line for line in lines if line["what"] == "record removed"):
        same = now.get(removed["node"], ["", ""])[1] == removed["digest"]
        yield f"{removed['node']}, made after the kill and again without one: equal digests", same
    yield "nothing is left to run", all(step.state == "up to date" for step in plan_tile(bench.job, None))


def table(bench: Bench, scale: Scale) -> Iterator[str]:
    """Measured beside projected, as Markdown."""
    yield (
        f"Simulated tile {TILE}, {scale.size} x {scale.size} pixels, {OVERPASSES} overpasses a year, two years; a training of "
        f"{scale.epochs * scale.steps} steps, two members; engine.memory 8 GiB, two workers.\n"
    )
    yield "| node | s | processor s | projected | ratio | peak MiB | projected | MB read | MB written |"
    yield "|---|---|---|---|---|---|---|---|---|"
    off, sums, held = [], [0.0, 0.0, 0.0], 0
    for name, record in bench.made():
        if record is None or not record.made:
            continue
        cost = projected(bench.job, name)
        sums = [a + b for a, b in zip(sums, (record.seconds, record.cpu_seconds, cost.core_seconds), strict=True)]
        ratio = record.cpu_seconds / cost.core_seconds if cost.core_seconds else float("nan")
        yield (
            f"| {name} | {record.seconds:.1f} | {record.cpu_seconds:.1f} | {cost.core_seconds:.1f} | {ratio:.2f} | "
            f"{record.peak_memory / 2**20:.0f} | {cost.memory / 2**20:.0f} | {record.bytes_read / 1e6:.0f} | {record.bytes_written / 1e6:.0f} |"
        )
        if abs(record.cpu_seconds - cost.core_seconds) > max(TOLD * cost.core_seconds, LEAST):
            off.append(f"{name}: {record.cpu_seconds:.1f} processor s, {cost.core_seconds:.1f} projected")
        # A process keeps what its earlier nodes made it load.
        held = max(held, cost.memory)
        if record.peak_memory > (1 + TOLD) * held:
            off.append(f"{name}: {record.peak_memory / 2**20:.0f} MiB, {held / 2**20:.0f} projected")
    yield f"| **all** | {sums[0]:.0f} | {sums[1]:.0f} | {sums[2]:.0f} | {sums[1] / sums[2]:.2f} | | | | |\n"
    yield "| command | ended | s | processor s | peak MiB | MB read | MB written | load |"
    yield "|---|---|---|---|---|---|---|---|"
    for line in bench.lines:
        if "code" in line:
            how = f"killed in {line['killed_in']}" if line["killed_in"] else f"status {line['code']}"
            yield (
                f"| {line['what']} | {how} | {line['seconds']:.0f} | {line['cpu_seconds']:.0f} | {line['peak_memory'] / 2**20:.0f} | "
                f"{line['bytes_read'] / 1e6:.0f} | {line['bytes_written'] / 1e6:.0f} | {line['load']} |"
            )
    yield f"\nMore than {100 * TOLD:.0f} % off the projection:\n"
    yield from (f"* {line}" for line in off or ["nothing"])
    yield ""
    yield from (f"* {what}: {'yes' if same else 'NO'}" for what, same in comparisons(bench))
