"""`imperv config check`: what is right, doubtful and wrong, counted; and that looking changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.tile.checking import Level, check_production
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.objections import nothing_but_objections
from tests.support.s3_server import serving_s3

ROOT = Path(__file__).resolve().parents[3]
CONTACT = '[delivery.contact]\norganisation = "Agency"\nemail = "maps@example.org"\n'


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def levels(file: Path) -> dict[Level, list[str]]:
    found: dict[Level, list[str]] = {level: [] for level in Level}
    for finding in check_production(Production.read(file)):
        found[finding.level].append(finding.text)
    return found


def everything(folder: Path) -> dict[str, str]:
    """Every path below a folder, and of files what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def test_warnings_are_said_and_counted(flanders_file, capsys):
    assert main(["config", "check", str(flanders_file)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len([line for line in warnings if "covers 14 % of the area" in line]) == 4
    assert [line for line in warnings if "delivery.contact" in line]
    assert lines[-1] == f"{flanders_file}: 1 tile, 0 errors, {len(warnings)} warnings"
    assert all(line.startswith(("ok: ", "warning: ")) for line in lines[:-1])


def test_no_usable_footprint_is_a_warning(flanders_file, tmp_path):
    far = {"type": "Polygon", "coordinates": [[[10.0, 50.0], [10.001, 50.0], [10.001, 50.001], [10.0, 50.0]]]}
    features = [{"type": "Feature", "properties": {}, "geometry": far}]
    (tmp_path / "far.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    text = re.sub(r"footprints = .*", f'footprints = ["{tmp_path}/far.geojson"]', flanders_file.read_text())
    flanders_file.write_text(text)
    found = levels(flanders_file)
    assert found[Level.ERROR] == []
    assert [line for line in found[Level.WARNING] if "0 usable footprints" in line and "E38N31" in line]


def test_strict_makes_warnings_count(flanders_file, capsys):
    assert main(["config", "check", str(flanders_file), "--strict"]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert line.endswith("1 tile, 0 errors, 5 warnings; with --strict warnings count")


def test_strict_passes_where_there_is_no_warning(flanders_file, capsys, tmp_path, shared_data):
    """References that fill the window: the same rasters, laid into a larger one of zeros."""
    import numpy as np
    import rasterio

    for name in ("imd_then", "ibu_then", "clcplus_then", "clcplus_now"):
        profile = {
            "driver": "GTiff", "width": 200, "height": 200, "count": 1, "dtype": "uint8", "crs": "EPSG:3035", "nodata": 255,
            "transform": rasterio.transform.from_origin(3829000, 3103000, 10, 10),
        }  # fmt: skip
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as raster:
            raster.write(np.full((1, 200, 200), 6 if "clc" in name else 0, "uint8"))
    text = flanders_file.read_text().replace(f"{shared_data}/flanders/reference/", f"{tmp_path}/")
    text = text.replace(f"{tmp_path}/footprints", f"{shared_data}/flanders/reference/footprints")
    flanders_file.write_text(text + CONTACT)
    assert main(["config", "check", str(flanders_file), "--strict"]) == 0, capsys.readouterr()
    assert capsys.readouterr().out.splitlines()[-1] == f"{flanders_file}: 1 tile, 0 errors, 0 warnings"


def test_every_error_is_said_once_and_counted(flanders_file, capsys):
    edit(flanders_file, 'tiles = ["E38N31"]', 'tiles = ["E38N31", "E43N32"]')
    edit(flanders_file, "imd_then.tif", "nothing.tif")
    edit(flanders_file, 'store = "store"', 'store = "production.toml/store"')
    assert main(["config", "check", str(flanders_file)]) == 2
    lines = nothing_but_objections(capsys.readouterr().err)
    assert len(lines) == len(set(lines))
    assert len([line for line in lines if "nothing.tif" in line]) == 1
    assert [line for line in lines if "store: " in line and "cannot be written" in line]
    assert re.search(rf"2 tiles, {len(lines) - 1} errors, \d+ warnings$", lines[-1])


@pytest.mark.slow
def test_it_leaves_nothing_behind(flanders_file, tmp_path):
    """A new process with a home, a temporary folder and a place of its own: all of them are afterwards as they were before."""
    edit(flanders_file, 'store = "store"', 'store = "deep/down/store"')
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LD_LIBRARY_PATH") if key in os.environ}
    environment = kept | {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    before = everything(tmp_path)
    code = "from imperv.flows.cli.commands import main; raise SystemExit(main(['config', 'check']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=flanders_file.parent, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "deep/down/store can be written" in done.stdout
    assert everything(tmp_path) == before


@pytest.mark.slow
def test_it_leaves_a_store_as_it_is(flanders_file):
    store = flanders_file.parent / "store"
    for folder in ("tiles/E38N31/2018", "runs", "leases"):
        (store / folder).mkdir(parents=True)
    (store / "runs" / "E38N31.data.json").write_text("{}")
    before = everything(store)
    assert levels(flanders_file)[Level.ERROR] == []
    assert everything(store) == before


@pytest.mark.slow
def test_it_leaves_a_bucket_as_it_is(flanders_file):
    with serving_s3("bucket") as url:
        edit(flanders_file, 'store = "store"', f'store = "s3://bucket/prefix"\nstore_options = {{endpoint_url = "{url}"}}')
        found = levels(flanders_file)
        assert found[Level.ERROR] == []
        assert "store: s3://bucket/prefix can be written" in found[Level.OK]
        assert Store("s3://bucket", {"endpoint_url": url}).find("") == {}
        edit(flanders_file, "s3://bucket/prefix", "s3://nobucket/prefix")
        (line,) = levels(flanders_file)[Level.ERROR]
    assert "nobucket" in line


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where nobody may write, root neither")
def test_a_store_that_nobody_can_write(flanders_file):
    edit(flanders_file, 'store = "store"', 'store = "/proc/store"')
    (line,) = levels(flanders_file)[Level.ERROR]
    assert line.startswith("store: /proc")
    assert "cannot be written" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("part", ["", "tiles"])
def test_a_folder_that_is_read_only(flanders_file, part):
    place = flanders_file.parent / "store" / part
    place.mkdir(parents=True)
    place.chmod(0o555)
    try:
        (line,) = levels(flanders_file)[Level.ERROR]
    finally:
        place.chmod(0o755)
    assert "cannot be written" in line


def test_a_read_only_folder_with_the_file_is_no_trouble_for_another_store(flanders_file, tmp_path):
    edit(flanders_file, 'store = "store"', f'store = "{tmp_path}/elsewhere"')
    flanders_file.parent.chmod(0o555)
    try:
        assert levels(flanders_file)[Level.ERROR] == []
    finally:
        flanders_file.parent.chmod(0o755)
    assert not (tmp_path / "elsewhere").exists()
