"""Scenes over HTTP range requests on the loopback: requests and bytes for a block of a tile, beside the same files read locally."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from benchmarks.preprocessing import window
from tests.support.range_server import RangeServer, serving
from tests.support.scenes import make_scenes, production

EDGE = 1000
"""Edge of the block in pixels of 10 m: a shard of the store."""

DATES = 12


def _features(folder: Path, text: str) -> tuple[float, dict[str, object], str]:
    """Seconds, statistics and digest of the features of a production file."""
    from imperv.layers.catalogue import CATALOGUE
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production
    from imperv.tasks.yearly.freezing import make_scene_list
    from imperv.tasks.yearly.preprocessing import make_pp

    with tempfile.TemporaryDirectory(dir=folder) as place:
        (Path(place) / "production.toml").write_text(text)
        job = Job.of(Production.read(Path(place)), "E44N26")
        make_scene_list(job, CATALOGUE["S2_now"])
        start = time.perf_counter()
        made = make_pp(job, CATALOGUE["PP_now"])
        return time.perf_counter() - start, dict(made.statistics), made.digest


def _served(folder: Path, server: RangeServer) -> Path:
    """Item file of the scenes as the server shows them."""
    table = json.loads((folder / "items.json").read_text())
    for item in table["features"]:
        for asset in item["assets"].values():
            asset["href"] = f"{server.url}/{Path(asset['href']).relative_to(folder)}"
    path = folder / "served" / "items.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(table))
    return path


def http_lines(edge: int = EDGE, dates: int = DATES) -> list[str]:
    """What a block costs over HTTP, for the report of `make bench`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        box, grid = window(edge, edge)
        make_scenes(folder, grid, dates)
        local = production(folder, box)
        _features(folder, production(folder, window(100, 100)[0]))  # compiles, or loads what was compiled
        at_disk, _, digest = _features(folder, local)
        with serving(folder) as server:
            items = _served(folder, server)
            remote = local.replace(str(folder / "items.json"), str(items))
            at_server, statistics, same = _features(folder, remote)
            assert same == digest, "the same pixels by both ways"
            files = {r.path for r in server.requests}
            heads = sum(r.method == "HEAD" for r in server.requests)
            headers = sum(r.range == "bytes=0-32767" for r in server.requests)
            reads = len(server.requests) - heads - headers
            size = sum((folder / name.lstrip("/")).stat().st_size for name in files)
            return [
                f"over HTTP: a block of {edge} x {edge} px, {dates} dates, {len(files)} files ({statistics['blocks']} block): "
                f"{len(server.requests)} requests ({heads} for sizes, {headers} for headers, {reads} for pixels), no listings",
                f"over HTTP: {server.sent / 2**20:.0f} MiB sent of {size / 2**20:.0f} MiB of files "
                f"({100 * server.sent / size:.0f} %), {at_server:.1f} s against {at_disk:.1f} s from disk",
            ]


if __name__ == "__main__":
    print("\n".join(http_lines()))
