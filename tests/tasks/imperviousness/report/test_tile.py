"""The report of a tile and of a production, made from a finished store, and seen by a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.runtime.journal import note_run
from imperv.tasks.delivery.delivery import delivered_symbols, product_paths
from imperv.tasks.imperviousness.report.curves import middle_of
from imperv.tasks.imperviousness.report.production import outliers, robust_z, row_of, write_production_report
from imperv.tasks.imperviousness.report.tile import write_tile_report
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.support.browser import ARGUMENTS, browser_path
from tests.support.report_store import TILE, copied, new_job

PROBE = """<script>
window.trouble = [];
addEventListener("error", e => trouble.push(String(e.message || (e.target && (e.target.src || e.target.href)))), true);
const said = console.error; console.error = (...words) => { trouble.push(words.join(" ")); said(...words); };
addEventListener("load", () => {
  const pre = document.createElement("pre");
  pre.id = "probe";
  const blank = [...document.images].filter(i => !i.naturalWidth).length;
  const images = document.images.length, scroll = document.documentElement.scrollWidth;
  pre.textContent = JSON.stringify({ trouble, blank, images, inner: innerWidth, scroll });
  pre.style.display = "none";
  document.body.append(pre);
});
</script>"""


class Page(HTMLParser):
    """Tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def finished(filled, tmp_path_factory) -> Job:
    job = copied(filled, tmp_path_factory.mktemp("finished"))
    note_run(job, "done", "")
    return job


@pytest.fixture(scope="module")
def text(finished) -> str:
    path = write_tile_report(finished)
    assert path == f"runs/{TILE}.report.html"
    return Path(finished.store.full(path)).read_text(encoding="utf-8")


def seen_by_browser(text: str, folder: Path, width: int) -> dict:
    browser = browser_path()
    page = folder / "page.html"
    page.write_text(text.replace("<head>", f"<head>{PROBE}", 1), encoding="utf-8")
    command = [
        browser, "--headless", *ARGUMENTS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1200",
        "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search(r'<pre id="probe"[^>]*>(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_errors_and_without_sideways_scrolling(text, tmp_path, width):
    found = seen_by_browser(text, tmp_path, width)
    assert found["trouble"] == [] and found["blank"] == 0 and found["images"] > 30
    assert found["scroll"] <= found["inner"], found


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(text):
    page = Page(text)
    sources = [
        value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href", "srcset", "data", "action")
    ]
    assert sources and all(s.startswith(("data:", "#")) for s in sources)
    assert "url(" not in re.sub(r"data:[^\"')]*", "", text) and "@import" not in text


def test_it_tells_neither_paths_nor_people(text, finished):
    assert "somebody" not in text and str(finished.production.root) not in text and "/home/" not in text
    assert "B04.tif is damaged" in text  # the warning itself is there


def test_every_picture_has_words_and_every_anchor_a_place(text):
    page = Page(text)
    assert all(attrs.get("alt", "").strip() for attrs in page.all("img")) and page.all("img")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= set(ids)
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1


def test_all_final_layers_are_drawn_and_all_checks_are_told(text, finished):
    page = Page(text)
    alts = [attrs["alt"] for attrs in page.all("img")]
    for symbol in delivered_symbols():
        assert any(alt.startswith(f"Map of {symbol}:") for alt in alts), symbol
        assert Path(product_paths(finished, symbol)[0]).name in page.words
    assert page.words.count("rules passed") == len(delivered_symbols())
    for part in (
        "Largest changes",
        "Training of the density model",
        "Area by density",
        "New sealing",
        "R² =",
        "Peak memory",
        "Where the level comes from",
        "Decreased cover, built-up at both dates",
        "without any change: IBU_then is the map",
    ):
        assert part in page.words, part
    assert "Could not be shown" not in page.words


def test_numbers_are_those_of_the_pixels(text, finished):
    density = finished.array("IMD_now")[:]
    valid = density != 255
    assert f"{100 * density[valid].mean() / 100:.1f}\u202f%" in text
    change = finished.array("IMDC")[:].astype("i4")
    gain = ((change - 100)[(change > 100) & (change <= 200)]).sum() / 100 * 400 / 1e6
    assert 0.01 < gain < 0.1 and f"+{100 * gain:.2f}\u202fha" in text


def test_the_largest_planted_change_is_in_a_window(finished):
    from imperv.tasks.imperviousness.report.zooms import choose

    chosen = choose(finished)
    left, _, _, top = finished.bounds
    planted = (left + 1500 + 130, top - 1500 - 100)
    assert any(b[0] <= planted[0] <= b[2] and b[1] <= planted[1] <= b[3] for title, b, *_ in chosen if title == "Gain")
    assert [title for title, *_ in chosen].count("Loss") == 1


def test_what_is_missing_is_said(tmp_path):
    job = new_job(tmp_path, 1)
    text = Path(job.store.full(write_tile_report(job))).read_text(encoding="utf-8")
    words = Page(text).words
    assert "This tile is not good" in words and words.count("has not been made yet") >= len(delivered_symbols())
    note_run(job, "failed", "PP_now: /secret/place/B04.tif: too few observations")
    words = Page(Path(job.store.full(write_tile_report(job))).read_text(encoding="utf-8")).words
    assert "The last run failed" in words and "B04.tif: too few observations" in words and "secret" not in words


def test_results_of_a_validation_are_shown_with_their_intervals(tmp_path):
    job = new_job(tmp_path, 1)
    place = {"place": TILE, "overall": {"value": 0.91234, "se": 0.01, "low": 0.89, "high": None}, "matrix": [[5, 1], [0, 7]]}
    job.store.write_text(f"runs/{TILE}.validation.data.json", json.dumps({"reference": "/home/a/points.csv", "places": [place]}))
    words = Page(Path(job.store.full(write_tile_report(job))).read_text(encoding="utf-8")).words
    assert "0.9123 (0.89 to –)" in words and "points.csv" in words and "/home/a" not in words and "5, 1" in words


@pytest.mark.slow
def test_damaged_layers_and_broken_files_are_told_and_the_rest_is_shown(finished, tmp_path):
    shutil.copytree(finished.production.root, tmp_path / "copy")
    job = Job.of(Production.read(tmp_path / "copy"), TILE)
    shutil.rmtree(job.store.full(job.place("IMDCL").data))
    path = Path(job.store.full(product_paths(job, "SBU")[0]))
    path.write_bytes(path.read_bytes()[:200])
    words = Page(Path(job.store.full(write_tile_report(job))).read_text(encoding="utf-8")).words
    assert "Could not be shown: map of IMDCL" in words and "its pixels cannot be read" in words
    assert re.search(r"\d of \d+ rules failed", words) and "This tile is not good" in words
    assert "Largest changes" in words and "New sealing" in words


@pytest.mark.slow
def test_the_report_of_a_production(finished, tmp_path, capsys):
    config = str(finished.production.root / "production.toml")
    assert main(["report", "--all", "--config", config]) == 0
    made = capsys.readouterr().out.split()
    assert [Path(path).name for path in made] == [f"{TILE}.report.html", "production.report.html"]
    text = Path(made[1]).read_text(encoding="utf-8")
    page = Page(text)
    assert f"{TILE}.report.html" in {a.get("href") for a in page.all("a")}
    assert "Costs so far" in page.words and "core hours" in page.words and "GB stored" in page.words
    assert "1 tile" in page.words and str(finished.production.root) not in text
    found = seen_by_browser(text, tmp_path, 390)
    assert found["trouble"] == [] and found["scroll"] <= found["inner"]


def test_tiles_unlike_the_others_are_found(finished):
    from dataclasses import replace

    from imperv.tasks.imperviousness.report.facts import gather

    row = row_of(gather(finished), "done", "", "good", "")
    rows = [replace(row, tile=f"E44N{20 + k}", sealed=0.05 + 0.001 * k, slope=-100.0 - k) for k in range(9)]
    rows[4] = replace(rows[4], sealed=0.6)
    found = outliers(rows)
    assert [(one.tile, one.measure) for one in found] == [("E44N24", "sealed share now")] and found[0].z > 3.5
    assert outliers(rows[:4]) == []
    statuses = [{"tile": name, "state": "missing", "why": ""} for name in ("E44N25", "E45N26")]
    wide = finished.production.model_copy(update={"area": None})
    words = Page(Path(finished.store.full(write_production_report(wide, statuses))).read_text(encoding="utf-8")).words
    assert "0 of 2 done" in words and "2 missing" in words


def test_robust_distances():
    assert robust_z([1, 2, 3, 4, 100])[4] == pytest.approx(97 / 1.4826, rel=1e-5)
    assert robust_z([5, 5, 5, 5]).tolist() == [0, 0, 0, 0]
    assert robust_z([5, 5, 5, 9])[3] == pytest.approx(4 / 1.2533)


def test_a_typical_pixel_is_the_median_one():
    import numpy as np

    values = np.array([[5.0, 1.0], [3.0, 9.0]])
    assert middle_of(np.ones((2, 2), bool), values) == (0, 0)
    assert middle_of(np.zeros((2, 2), bool), values) is None


def test_names_and_all_exclude_each_other(finished, capsys):
    assert main(["report", TILE, "--all", "--config", str(finished.production.root / "production.toml")]) == 2
    assert "not both" in capsys.readouterr().err
