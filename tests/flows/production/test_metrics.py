"""Numbers for Prometheus, read by its own parser: of a living production, a silent one, an ended one, and one that never ran."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imperv.flows.cli.commands import main
from imperv.flows.production.heartbeat import PATH, give_sign, new_sign
from imperv.flows.production.metrics import write_metrics
from imperv.flows.production.state import PATH as STATE
from imperv.tasks.errors import WorkError
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.productions import flat

BEGAN = datetime.now(UTC) - timedelta(hours=3)
FACTS = {
    "tiles": {"not begun": 3, "in work": 2, "done": 20, "failed": 1}, "failures": {"input": 1}, "finished": 18,
    "tiles_an_hour": 6.5,
    "hours_left": 0.77, "hours": 41.25, "bytes": {"layers": 1000, "products": 10}, "blocked": "",
    "pool": {"name": "tiles", "workers": 4, "paused": False, "why": ""},
}  # fmt: skip


def production(tmp_path, **state: str) -> tuple[Path, Production]:
    """One that gave a sign of life this moment."""
    file = flat(tmp_path, 1)
    file.write_text(file.read_text() + f'[watch]\nmetrics = "{tmp_path}/out.prom"\n')
    store = Store(file.parent / "store")
    store.write_text(
        f"runs/{STATE}", json.dumps({"run": "abc", "began": BEGAN.isoformat(timespec="seconds"), "ended": "", **state})
    )
    give_sign(store, replace(new_sign("abc", 30.0), facts=FACTS))
    return file, Production.read(file)


def by_label(path: Path) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by the label beside that of the production, by metric."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.type == "gauge" and family.documentation and family.samples
        found[family.name] = {tuple(v for k, v in s.labels.items() if k != "production"): s.value for s in family.samples}
        assert len({sample.labels["production"] for sample in family.samples}) == 1
    return found


def parsed(tmp_path) -> dict[str, dict[tuple[str, ...], float]]:
    return by_label(tmp_path / "out.prom")


def test_of_a_living_production(tmp_path):
    write_metrics(*production(tmp_path))
    found = parsed(tmp_path)
    sign = found.pop("imperv_heartbeat_timestamp_seconds")[()]
    assert abs(sign - time.time()) < 10
    assert found == {
        "imperv_production_state": {("running",): 1, ("silent",): 0, ("stopped",): 0, ("ended",): 0},
        "imperv_production_start_timestamp_seconds": {(): float(int(BEGAN.timestamp()))},
        "imperv_heartbeat_interval_seconds": {(): 30},
        "imperv_tiles": {("not begun",): 3, ("in work",): 2, ("done",): 20, ("failed",): 1},
        "imperv_tile_failures": {("input",): 1},
        "imperv_stored_bytes": {("layers",): 1000, ("products",): 10},
        "imperv_tiles_per_hour": {(): 6.5},
        "imperv_remaining_hours": {(): 0.77},
        "imperv_node_hours": {(): 41.25},
        "imperv_pool_workers": {("tiles",): 4},
        "imperv_pool_paused": {("tiles",): 0},
    }
    assert [path.name for path in tmp_path.glob("out*")] == ["out.prom"]


def test_rates_only_of_the_living(tmp_path):
    file, found = production(tmp_path)
    old = time.time() - 7200
    text = json.loads((file.parent / "store" / "runs" / PATH).read_text())
    other = {**text["process"], "boot": "other"}
    (file.parent / "store" / "runs" / PATH).write_text(json.dumps({**text, "process": other}))
    os.utime(file.parent / "store" / "runs" / PATH, (old, old))
    write_metrics(file, found)
    dead = parsed(tmp_path)
    assert dead["imperv_production_state"][("silent",)] == 1 and dead["imperv_tiles"][("done",)] == 20
    assert dead["imperv_node_hours"] == {(): 41.25}
    assert not {"imperv_tiles_per_hour", "imperv_remaining_hours", "imperv_pool_workers", "imperv_pool_paused"} & set(dead)
    file, found = production(tmp_path, ended=datetime.now(UTC).isoformat(timespec="seconds"))
    write_metrics(file, found)
    ended = parsed(tmp_path)
    assert ended["imperv_production_state"][("ended",)] == 1 and "imperv_tiles_per_hour" not in ended
    assert abs(ended["imperv_production_end_timestamp_seconds"][()] - time.time()) < 10


def test_names_that_need_care_come_through(tmp_path):
    folder = tmp_path / 'a "quoted\\name'
    file = flat(folder, 1)
    named = file.rename(file.with_name('x "y\\z.toml'))
    named.write_text(named.read_text() + f'[watch]\nmetrics = "{tmp_path}/out.prom"\n')
    Store(named.parent / "store").write_text(f"runs/{STATE}", json.dumps({"run": "abc", "began": BEGAN.isoformat(), "ended": ""}))
    write_metrics(named, Production.read(named))
    (family, *_) = text_string_to_metric_families((tmp_path / "out.prom").read_text())
    assert family.samples[0].labels["production"] == 'x "y\\z'


def test_status_writes_them_whenever_it_is_asked(tmp_path, capsys):
    file, _ = production(tmp_path)
    file.write_text(file.read_text().replace(f'metrics = "{tmp_path}/out.prom"', ""))
    assert main(["status", "--config", str(file)]) == 0
    assert not (tmp_path / "out.prom").exists()
    assert main(["status", "--config", str(file), "--metrics", str(tmp_path / "out.prom")]) == 0
    assert parsed(tmp_path)["imperv_tiles_per_hour"] == {(): 6.5}
    said = capsys.readouterr().out.splitlines()[-1]
    assert "3 not begun, 2 in work, 20 done, 1 failed, 6.5 tiles an hour, about 46 min left; last sign of life" in said


def test_no_run_no_file_and_a_place_that_takes_none_is_told(tmp_path):
    file = flat(tmp_path, 1)
    file.write_text(file.read_text() + f'[watch]\nmetrics = "{tmp_path}/out.prom"\n')
    write_metrics(file, Production.read(file))
    assert not (tmp_path / "out.prom").exists()
    (tmp_path / "out.prom").mkdir()
    with pytest.raises(WorkError, match="metrics: .*out.prom cannot be written"):
        write_metrics(*production(tmp_path))
