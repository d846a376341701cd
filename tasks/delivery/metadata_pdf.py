"""The PDF of a package: what the map is, how it was made, of what, its classes, accuracy, limits and terms.

Written by ReportLab, which is installed with ``imperv[pdf]``; the same map gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from imperv.layers.catalogue import Layer, family_of
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.job import Job

if TYPE_CHECKING:
    from imperv.tasks.delivery.package import ClassShare

FONT, BOLD = "DejaVuSans", "DejaVuSans-Bold"
"""Fonts that Matplotlib brings: Latin, Greek and Cyrillic."""

PLATFORM = (
    "Made with imperv, open software for the Copernicus High Resolution Layer Imperviousness and products beside it, from images "
    "of the Copernicus satellites Sentinel-2."
)

TERMS = (
    "Contains modified Copernicus Sentinel data. Their use is free, full and open (Regulation (EU) No 377/2014 and Commission "
    "Delegated Regulation (EU) No 1159/2013); say so wherever the map is shown."
)


@dataclass(frozen=True)
class Section:
    """A part of the PDF."""

    title: str
    text: Sequence[str] = field(default_factory=tuple)
    """Paragraphs."""
    table: Sequence[Sequence[str]] = field(default_factory=tuple)
    """Rows; the first is the head."""


def require_writer() -> None:
    """InputError where ReportLab is not installed."""
    if find_spec("reportlab") is None:
        raise InputError("the metadata of a package is a PDF, for which ReportLab is needed; pip install 'imperv[pdf]'")


def metadata_pdf(
    job: Job, layer: Layer, item: Mapping[str, Any], classes: Sequence[ClassShare], more: Sequence[Section] = ()
) -> bytes:
    """The PDF of a delivered map with a STAC Item; `more` are sections of the product."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    _fonts()
    body = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=13, spaceAfter=4)
    small = ParagraphStyle("small", parent=body, fontSize=8, leading=10, spaceAfter=0)
    head = ParagraphStyle("head", fontName=BOLD, fontSize=11, leading=15, spaceBefore=10, spaceAfter=4)
    title = ParagraphStyle("title", fontName=BOLD, fontSize=16, leading=21, spaceAfter=6)
    lines = colors.HexColor("#c8c8c8")

    def text(words: str, style: Any = body) -> Any:
        return Paragraph(escape(words), style)

    def grid(rows: Sequence[Sequence[Any]], widths: Sequence[float] | None = None) -> Any:
        cells = [[cell if not isinstance(cell, str) else text(cell, small) for cell in row] for row in rows]
        style = [
            ("GRID", (0, 0), (-1, -1), 0.4, lines), ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#f0f0ee")), ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]  # fmt: skip
        return Table(cells, widths, style=TableStyle(style), repeatRows=1, hAlign="LEFT")

    story: list[Any] = [text(layer.title, title), text(PLATFORM)]
    story += [text("What it is", head), grid(_facts(job, layer), [45 * mm, 125 * mm])]
    rows = [["Code", "Colour", "Class", "Share", "km²"]] + [
        [str(one.code), "", one.name, f"{100 * one.share:.2f} %", f"{one.km2:.4f}"] for one in classes
    ]
    table = grid(rows, [16 * mm, 18 * mm, 84 * mm, 26 * mm, 26 * mm])
    for number, one in enumerate(classes, 1):
        table.setStyle(TableStyle([("BACKGROUND", (1, number), (1, number), colors.Color(*(v / 255 for v in one.colour)))]))
    story += [KeepTogether([text("Classes", head), table])]
    statement = item["properties"].get("processing:lineage", "")
    sections = [Section("How it was made", tuple(filter(None, [statement]))), *more, _terms(job)]
    for section in sections:
        first = [text(section.title, head), *(text(words) for words in section.text[:1])]
        story.append(KeepTogether(first))
        story += [text(words) for words in section.text[1:]]
        if section.table:
            story += [grid(section.table), Spacer(1, 3 * mm)]
    found = io.BytesIO()
    document = SimpleDocTemplate(
        found, pagesize=A4, invariant=1, title=layer.title, author="imperv", subject=f"Tile {job.tile}",
        leftMargin=20 * mm, rightMargin=20 * mm, topMargin=18 * mm, bottomMargin=18 * mm,
    )  # fmt: skip

    def foot(canvas: Any, page: Any) -> None:
        canvas.setFont(FONT, 7)
        canvas.drawString(20 * mm, 10 * mm, f"{layer.title}, tile {job.tile}, {job.production.periods.whole}")
        canvas.drawRightString(190 * mm, 10 * mm, str(page.page))

    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return found.getvalue()


def _facts(job: Job, layer: Layer) -> list[list[str]]:
    """Rows of what every map is."""
    first, last = job.period(layer)
    grid = job.grid_of(layer)
    left, bottom, right, top = grid.boundingbox.bbox
    version = importlib.metadata.version("imperv")
    return [
        ["Description", f"{layer.description}."],
        ["Tile", f"{job.tile} of the EEA reference grid{', a window of it' if job.windowed else ''}"],
        ["Period", f"{first.start} to {last.end}"],
        ["Reference system", f"{grid.crs}, ETRS89-extended / LAEA Europe" if str(grid.crs) == "EPSG:3035" else str(grid.crs)],
        ["Bounds", f"{left:.0f} {bottom:.0f} {right:.0f} {top:.0f} metres"],
        ["Resolution", f"{layer.resolution:g} m, {grid.shape.x} x {grid.shape.y} pixels"],
        ["File", f"cloud-optimised GeoTIFF, {layer.variables[0].dtype}, no data {layer.variables[0].nodata:g}"],
        ["Product", f"{job.family}: {family(family_of(layer.symbol)).title}"],
        ["Software", f"imperv {version}, algorithm {layer.symbol} {layer.version}"],
    ]


def _terms(job: Job) -> Section:
    """Terms of use, and whom to ask."""
    settings = job.production.delivery
    said = [TERMS]
    if settings.licence != "other":
        said.append(f"Licence of the map: {settings.licence}.")
    if settings.conditions:
        said.append(settings.conditions)
    if settings.contact:
        said.append(f"Contact: {settings.contact.organisation}, {settings.contact.email} {settings.contact.website}".strip())
    return Section("Terms of use", said)


def _fonts() -> None:
    """Make the fonts known to ReportLab."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (FONT, BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")))
