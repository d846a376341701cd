"""An edition changed in a store with products: the old files stay, are listed by run, status and verify, and not counted."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import tomli_w

from imperv.flows.cli.commands import main
from imperv.flows.plan.planning import tile_status
from imperv.tasks.delivery.delivery import deliver, places_of
from imperv.tasks.imperviousness.products.editions import editions_note, other_editions
from imperv.tasks.job import Job
from tests.support.delivered import CORNER, production, put

SYMBOLS = ("SBU", "SBCC")


def delivered(folder: Path, **settings) -> Job:
    job = Job.of(production(folder / "store", **settings), "E43N32")
    for symbol in SYMBOLS:
        put(job, symbol)
        deliver(job, symbol)
    return job


def test_products_under_other_names_are_found(tmp_path):
    old = delivered(tmp_path)
    assert other_editions(old) == {} and editions_note(old) == ""
    new = delivered(tmp_path, edition="2021-2024", version="V02")
    others = other_editions(new)
    assert others == {places_of(old, s).tif: places_of(new, s).tif for s in SYMBOLS}
    assert other_editions(old) == {places_of(new, s).tif: places_of(old, s).tif for s in SYMBOLS}
    assert editions_note(new).startswith("products/E43N32 holds 2 products of another edition, such as CLMS_HRLNVLCC_S")
    assert tile_status(new)["stages"]["delivery"]["done"] == 2
    assert tile_status(new)["other_editions"] == sorted(Path(path).name for path in others)


def test_products_of_other_years_and_what_is_no_product_are_none(tmp_path):
    delivered(tmp_path)
    later = Job.of(production(tmp_path / "store", then="2021", now="2024"), "E43N32")
    folder = Path(later.store.full("products/E43N32"))
    (folder / "CLMS_NVLCC_SBU_S2024_R100m_E43N32_03035_V09_R00.tif").write_bytes(b"without a record")
    (folder / "mine.tif").write_bytes(b"mine")
    (folder / "mine.json").write_text("{}")
    assert other_editions(later) == {} and editions_note(later) == ""


def config(folder: Path, **delivery) -> Path:
    table = {
        "tiles": ["E43N32"], "store": "store", "periods": {"then": "2018", "now": "2021"}, "area": {"bbox": list(CORNER)},
        "scenes": {"catalogue": "none"}, "delivery": delivery,
    }  # fmt: skip
    (folder / "production.toml").write_text(tomli_w.dumps(table))
    return folder / "production.toml"


def test_verify_and_status_tell_them(tmp_path, capsys):
    delivered(tmp_path)
    new = delivered(tmp_path, edition="2021-2024")
    file = str(config(tmp_path, edition="2021-2024"))
    main(["verify", "--config", file, "--target", "SBU", "--target", "SBCC"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 of 2 files pass, 2 not judged"
    assert sum(line.startswith("--   ") and "_HRLNVLCC_" in line for line in lines) == 2
    own = Path(places_of(new, "SBU").tif).name
    assert any(f"edition: of another edition, replaced by {own};" in line for line in lines)
    main(["verify", "--config", file, "--target", "SBU", "--target", "SBCC", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert sorted([f["check"] for f in fs] == ["edition"] for fs in found.values()) == [False, False, True, True]
    main(["status", "--config", file])
    assert "2 products of another edition beside, such as CLMS_HRLNVLCC_" in capsys.readouterr().out


def test_a_run_tells_them(tmp_path, caplog):
    from imperv.flows.tile.run import walk

    delivered(tmp_path)
    new = delivered(tmp_path, edition="2021-2024")
    with caplog.at_level(logging.WARNING):
        walk(new, ["SBU"], "all", False, lambda node, before, refresh: "up to date", lambda done: None)
    assert [r.getMessage() for r in caplog.records if "another edition" in r.getMessage()] == [editions_note(new)]


def test_a_folder_of_nothing_but_debris_lacks_its_products(tmp_path, capsys):
    folder = tmp_path / "store" / "products" / "E43N32"
    folder.mkdir(parents=True)
    (folder / "._x.tif").write_bytes(b"x")
    assert main(["verify", "--config", str(config(tmp_path)), "--target", "SBU"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 0 files pass, 1 missing"
