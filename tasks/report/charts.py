"""Canvas of the charts of reports: SVG in a common style, small enough to be embedded."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from importlib import resources
from typing import Any

INK, MUTED, LINE, ACCENT = "#1c2733", "#5d6b79", "#dfe4e9", "#1f6b75"
"""Colours of all reports."""

WIDTH, HEIGHT = 5.0, 3.0
"""Inches of 72 points, so that text has its size on a telephone."""

LEFT = 0.8
"""Inches beside the axes: labels of five figures and the axis title."""

FONT = "DejaVu Sans"
"""Matplotlib's own, in which texts are measured."""

PAGE_FONT = "Inter, 'Source Sans 3', 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
"""The page's own, in which texts are shown; it is narrower."""


@dataclass(frozen=True)
class Chart:
    """A picture of numbers."""

    title: str
    image: str
    """Data URI of an SVG."""
    alt: str
    note: str = ""


class Canvas:
    """A figure in the common style; sizes and margins are in inches."""

    def __init__(self, rows: int = 1, width: float = WIDTH, height: float = HEIGHT, top: float = 0.32, right: float = 0.1,
                 bottom: float = 0.52) -> None:  # fmt: skip
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with resources.as_file(resources.files("imperv.tasks.report").joinpath("templates", "charts.mplstyle")) as style:
            self._context = mpl.rc_context(fname=style)
            self._context.__enter__()
        self.figure = Figure(figsize=(width, height))
        FigureCanvasSVG(self.figure)
        space = {"left": LEFT / width, "right": 1 - right / width, "bottom": bottom / height, "top": 1 - top / height}
        self.axes = self.figure.subplots(rows, 1, squeeze=False, gridspec_kw={**space, "hspace": 0.62})[:, 0]

    def legend(self, columns: int = 2, **how: Any) -> None:
        """Above the last axes, unless `how` says otherwise."""
        self.axes[-1].legend(**{"ncols": columns, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0), **how})

    def finish(self, title: str, alt: str, note: str = "") -> Chart:
        """The chart; nothing can be drawn afterwards."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        self._context.__exit__(None, None, None)
        picture = buffer.getvalue().replace(f"'{FONT}'".encode(), PAGE_FONT.encode())
        return Chart(title, f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}", alt, note)
