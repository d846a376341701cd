"""How a production of many tiles goes through a real Prefect server and its workers on loopback: `python -m benchmarks.orchestration WHAT`.

    run       simulated tiles with networks, both passes, and the same again
    kills     the same under kills of tile runs, workers, the parent and the server, against an undisturbed production
    poisoned  after `kills`: all is delivered again while one tile's catalogue is broken
    noop      tiles that read one small raster each, as many as all of Europe has

Tiles are simulated once and kept in `--folder`. `--database` takes an address of PostgreSQL as SQLAlchemy writes it. What is printed
is JSON; figures stand in docs/operations.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.support.prefect_loopback import COMMAND, ROOT, Loopback
from tests.support.productions import TINY, delivered, flat, with_store

FOLDER = Path(__file__).parent / "results" / "orchestration"

COLUMNS, ROWS = range(42, 47), range(27, 32)
"""Of the simulated tiles: 5 x 5 in Central Europe."""

NETWORKS = ("IMCC", "IMD_now_resampled", "IBUD_now_resampled")
LIGHT = ("CHM_resampled", "SBU_then")

PAUSE = 25.0
"""Mean seconds between two kills."""


def simulated(folder: Path, count: int) -> Path:
    """Production file of the first tiles of the square, with windows of a kilometre."""
    from imperv.tasks.simulator import simulate_many

    tiles = [f"E{x}N{y}" for x in COLUMNS for y in ROWS][:count]
    place = folder / f"simulated-{count}"
    if not (place / "production.toml").exists():
        file = simulate_many(place, tiles, overpasses=8)
        file.write_text(file.read_text() + TINY)
    return place / "production.toml"


def store_of(file: Path) -> Path:
    return file.parent / f"store-{file.stem}"


def records(store: Path) -> dict[str, dict[str, Any]]:
    """Properties of all records, by path."""
    found = {}
    for path in (store / "tiles").glob("*/*/*.json"):
        if not path.name.endswith(".data.json"):
            found[str(path.relative_to(store))] = json.loads(path.read_text())["properties"]
    return found


def contents(store: Path) -> dict[str, str]:
    """Digest of every layer's pixels and of every delivered map, by path."""
    return {path: str(properties.get("imperv:digest")) for path, properties in records(store).items()} | delivered(store)


def parent(loopback: Loopback, file: Path, targets: tuple[str, ...], at_once: int) -> subprocess.Popen[str]:
    """`imperv europe`, started."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "europe", "--config", str(file), *(f"-t{t}" for t in targets), "--at-once", str(at_once), "--json"],
        cwd=ROOT, env=loopback.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Its summary, with exit code and wall time."""
    began = time.monotonic()
    out, errors = process.communicate()
    try:
        summary = json.loads(out)
    except ValueError:
        raise RuntimeError(f"europe ended with {process.returncode}: {errors[-2000:]}") from None
    failed = {tile: end["message"] for tile, end in summary["failed"].items()}
    return {**summary, "failed": failed, "exit_code": process.returncode, "seconds": round(time.monotonic() - began, 1)}


def flow_runs(loopback: Loopback) -> list[dict[str, Any]]:
    """All tile runs that the server knows."""
    found: list[dict[str, Any]] = []
    while True:
        request = urllib.request.Request(
            f"{loopback.environment['PREFECT_API_URL']}/flow_runs/filter",
            json.dumps({"limit": 200, "offset": len(found), "sort": "START_TIME_ASC"}).encode(), {"Content-Type": "application/json"},
        )  # fmt: skip
        page = json.loads(urllib.request.urlopen(request, timeout=60).read())
        found += page
        if len(page) < 200:
            return [run for run in found if " to " in run["name"]]


def times(runs: list[dict[str, Any]], wall: float, work: float, workers: int) -> dict[str, Any]:
    """Where the workers' time went, seconds a tile run: work in nodes, and all the rest."""

    def when(run: dict[str, Any], name: str) -> float:
        return datetime.fromisoformat(run[name].replace("Z", "+00:00")).timestamp()

    begun = [when(r, "start_time") - when(r, "expected_start_time") for r in runs if r["start_time"]]
    inside = sum(r["total_run_time"] for r in runs)
    count = max(1, len(runs))
    return {
        "runs": len(runs), "states": Counter(r["state_name"] for r in runs), "a_run": round(workers * wall / count, 2), "work_a_run": round(work / count, 2),
        "inside_flow_a_run": round(inside / count, 2), "overhead_a_run": round((workers * wall - work) / count, 2),
        "from_begun_to_running": {"median": round(statistics.median(begun), 2), "most": round(max(begun), 2)} if begun else None,
    }  # fmt: skip


def work_in(store: Path) -> float:
    """Seconds that nodes say they took."""
    return sum(properties.get("imperv:seconds", 0.0) for properties in records(store).values())


def measure_run(loopback: Loopback, file: Path, targets: tuple[str, ...], workers: int) -> dict[str, Any]:
    """A production and the same again, with where the time went."""
    first = finished(parent(loopback, file, targets, 2 * workers))
    spent = times(flow_runs(loopback), first["seconds"], work_in(store_of(file)), workers)
    second = finished(parent(loopback, file, targets, 2 * workers))
    return {"first": first, "times": spent, "second": second, "second_a_tile": round(second["seconds"] / second["tiles"], 2)}


def measure_kills(
    loopback: Loopback, file: Path, targets: tuple[str, ...], workers: int, kills: int, seed: int
) -> dict[str, Any]:
    """An undisturbed production, measured unless it is there, and one that is shot at, against it."""
    calm, undisturbed = file.with_name("calm.toml"), None
    if not (store_of(calm) / "products").exists():
        undisturbed = measure_run(loopback, with_store(file, "calm"), targets, workers)
    file, chance = with_store(file, "kills"), random.Random(seed)
    kinds = (["tile", "worker", "parent", "server"] * kills)[:kills]
    chance.shuffle(kinds)
    done: list[str] = []
    last: dict[str, Any] = {}
    process = parent(loopback, file, targets, 2 * workers)
    for kind in kinds:
        time.sleep(PAUSE * chance.uniform(0.3, 1.7))
        if process.poll() is not None:
            process = parent(loopback, file, targets, 2 * workers)
        done.append(kind + ("" if _kill(loopback, kind, process, chance) else " (none there)"))
        print(f"{time.strftime('%T')} killed: {done[-1]}", file=sys.stderr, flush=True)
    ends: list[Any] = []
    while True:
        try:
            last = finished(process)
            ends.append(last["exit_code"])
        except RuntimeError as error:
            ends.append(str(error)[:200])
        if ends[-1] == 0 or len(ends) == 4:
            break
        process = parent(loopback, file, targets, 2 * workers)
    before, after = contents(store_of(calm)), contents(store_of(file))
    now = time.time()
    leases = [p for p in store_of(file).glob("runs/leases/*/*.json") if json.loads(p.read_text()).get("expires", 0) > now]
    left = [str(p) for p in store_of(file).rglob("*") if ".part-" in p.name or ".gone" in p.name]
    files = sum(name.startswith("products") for name in before)
    return {
        "undisturbed": undisturbed, "kills": done, "delivered_files": files, "ends": ends, "last": last, "contents": len(before),
        "equal": before == after, "different": [n for n in before.keys() | after.keys() if before.get(n) != after.get(n)][:10],
        "leases_held": len(leases), "left_over": left[:10],
    }  # fmt: skip


def measure_poisoned(loopback: Loopback, file: Path, targets: tuple[str, ...], workers: int) -> dict[str, Any]:
    """The undisturbed production without its products, and without the scene lists of one tile, whose catalogue is broken."""
    calm = file.with_name("calm.toml")
    poisoned = with_store(file, "poisoned")
    shutil.copytree(store_of(calm), store_of(poisoned), ignore=shutil.ignore_patterns("products", "S2.json", "S2.data.json"))
    tile = sorted(p.name for p in (store_of(poisoned) / "tiles").iterdir())[12]
    for name in (p.name for p in (store_of(calm) / "tiles").iterdir() if p.name != tile):
        for path in (store_of(calm) / "tiles" / name).rglob("S2*.json"):
            shutil.copy2(path, store_of(poisoned) / path.relative_to(store_of(calm)))
    catalogue = file.parent / tile / "items.json"
    kept = catalogue.read_bytes()
    catalogue.write_bytes(kept[: len(kept) // 2])
    try:
        found = finished(parent(loopback, poisoned, targets, 2 * workers))
    finally:
        catalogue.write_bytes(kept)
    expected = {name: digest for name, digest in delivered(store_of(calm)).items() if tile not in name}
    made = delivered(store_of(poisoned))
    return {"poisoned": tile, "europe": found, "delivered": len(made), "equal": made == expected}


def _kill(loopback: Loopback, kind: str, process: subprocess.Popen[str], chance: random.Random) -> bool:
    """Kill something of a kind with signal 9, and start server and workers again; False if there was none within a minute."""
    if kind == "tile":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := _tile_runs(loopback):
                chance.choice(found).kill()
                return True
            time.sleep(0.2)
        return False
    if kind == "parent":
        process.kill()
        process.communicate()
        return True
    name = "server" if kind == "server" else chance.choice([n for n in loopback.running if n.startswith("worker")])
    loopback.kill(name)
    time.sleep(2 if kind == "server" else 0)
    loopback.start_server() if kind == "server" else loopback.start_worker(name)
    return True


def _tile_runs(loopback: Loopback) -> list[psutil.Process]:
    """Processes that run tiles for the workers of this server."""
    found = []
    for process in psutil.process_iter():
        try:
            if "prefect.engine" in process.cmdline() and process.environ()["PREFECT_HOME"] == str(loopback.home):
                found.append(process)
        except (psutil.Error, KeyError):
            continue
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "kills", "poisoned", "noop"))
    parser.add_argument("--tiles", type=int, help="25 for run and kills, 974 for noop")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", help="of the Prefect server; SQLite by default")
    parser.add_argument("--light", action="store_true", help="targets without networks")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "prefect"
    shutil.rmtree(home, ignore_errors=True)
    count = given.tiles or (974 if given.what == "noop" else 25)
    targets = ("IMD_then",) if given.what == "noop" else LIGHT if given.light else NETWORKS
    file = flat(folder, count) if given.what == "noop" else simulated(folder, count)
    with Loopback(home, given.workers, given.database) as loopback:
        if given.what == "kills":
            found = measure_kills(loopback, file, targets, given.workers, given.kills, given.seed)
        elif given.what == "poisoned":
            found = measure_poisoned(loopback, file, targets, given.workers)
        else:
            found = measure_run(loopback, with_store(file, given.what), targets, given.workers)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
