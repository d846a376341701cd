"""Charts whose texts lie within the picture."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from imperv.tasks.imperviousness.report import charts
from imperv.tasks.imperviousness.report.facts import DENSITY_GROUPS, Looks, Status, Training
from imperv.tasks.report.charts import Canvas, Chart
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.periods import Period

PERIODS = {"then": Period.parse("2017-08-01/2018-07-31"), "now": Period.parse("2017-12-01/2018-11-30")}


def overpasses(period: Period) -> SceneList:
    days = [period.start + dt.timedelta(days=30 * k) for k in range(10)]
    return SceneList(tuple(Scene(str(d), f"{d}T10:30:00", f"S2A|{d}", "31UDS", "", 20.0, 0, "") for d in days))


def make(name: str) -> Chart:
    rng = np.random.default_rng(1)
    if name.startswith("calibration"):
        counts = rng.integers(0, 2 if "few" in name else 90_000, (60, 50))
        edges = np.linspace(-0.2, 1, 61), np.linspace(0, 100, 51)
        fitted = {"intercept": 116.5, "slope": -174.0, "minimum": 14.8, "maximum": 90.0, "r2": 0.85}
        return charts.calibration_chart(counts, edges, fitted)
    if name == "training":
        member = {"loss": [0.7, 0.5], "validation": [0.6, 0.55], "best_epoch": 1, "constant_loss": 0.62}
        return charts.training_chart(Training("IMD_model", (member, member), ("E38N31",), False))
    if name == "looks":
        looks = {p: Looks(37, 12, tuple(rng.integers(0, 90, 60).tolist()), 80, 80, {}) for p in PERIODS}
        return charts.looks_chart(looks, PERIODS)
    if name == "scenes":
        return charts.scenes_chart({p: overpasses(period) for p, period in PERIODS.items()}, PERIODS)
    if name == "confidence":
        return charts.confidence_chart({s: {60: 3, 99: 40_000_000} for s in ("IMDCL", "IBUCL")})
    if name == "areas":
        status = Status(9000.0, 1234.5, tuple(1234.5 for _ in DENSITY_GROUPS), 567.8)
        return charts.areas_chart(status, status)
    time = np.linspace(0, 1, 50, endpoint=False)
    looks = {"now": [(0.1, 0.5, True), (0.6, 0.1, False)]}
    return charts.ndvi_chart("Trees", time, {"then": 0.5 + 0 * time, "now": 0.4 + 0 * time}, looks, "note")


@pytest.mark.parametrize(
    "name", ["calibration", "calibration of few", "training", "looks", "scenes", "confidence", "areas", "ndvi"]
)
def test_no_text_is_cut(name, monkeypatch):
    """Titles of axes, labels and legends; measured in Matplotlib's own font, which is wider than the page's."""
    outside: list[str] = []
    finish = Canvas.finish

    def measured(self, *words):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        size, margin = self.figure.get_size_inches(), 0.02
        for axes in self.figure.axes:
            for part in (axes.xaxis, axes.yaxis, axes.title, axes.get_legend(), *axes.texts):
                box = part.get_tightbbox(canvas.get_renderer()) if part is not None else None
                if box is None:
                    continue
                (x0, y0), (x1, y1) = box.get_points() / self.figure.dpi
                if min(x0, y0) < -margin or x1 > size[0] + margin or y1 > size[1] + margin:
                    outside.append(f"{type(part).__name__}: {x0:.2f} {y0:.2f} {x1:.2f} {y1:.2f} in {size}")
        return finish(self, *words)

    monkeypatch.setattr(Canvas, "finish", measured)
    assert make(name).image.startswith("data:image/svg+xml;base64,")
    assert outside == []
