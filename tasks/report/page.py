"""The page: templates, formats of numbers, and what stays private (paths, credentials)."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from imperv.grids import official_tiles
from imperv.layers.palette import Rgb
from imperv.tasks.addresses import shown
from imperv.tasks.job import utc_now

NARROW = "\u202f"
"""Between groups of digits, and before units."""

_SECRET = re.compile(r"\b((?:aws_)?(?:secret|token|password|key|signature)\w*\s*[=:]\s*)[^\s,;]+", re.IGNORECASE)
_FILE = re.compile(r"\bfile:/+", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w:/.<])/(?:[\w.+@~-]*/)+([\w.+@~-]+)")


def public(text: str) -> str:
    """Text to publish: of absolute paths the last name, of addresses neither user nor query; relative paths stay."""
    return _PATH.sub(r"\1", _SECRET.sub(r"\1...", shown(_FILE.sub("/", str(text)))))


def number(value: float | None, digits: int = 0) -> str:
    """A number with narrow spaces between thousands and a true minus sign."""
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", NARROW).replace("-", "\u2212")


FEW_KM2 = 100.0
"""Ground below which areas are given in hectares, all of a table or chart alike."""


def area(km2: float | None, most: float | None = None) -> str:
    """Area in digits and unit (km2, or ha if small) that suit it, or the whole table if `most`, its largest, is given."""
    if km2 is None:
        return "–"
    if most is not None:
        few = most < FEW_KM2
        return f"{number(100 * km2, 2 if most < 1 else 1)}{NARROW}ha" if few else f"{number(km2, 2)}{NARROW}km²"
    if abs(km2) < 0.5e-4:
        return f"0{NARROW}km²"
    if abs(km2) < 0.1:
        return f"{number(100 * km2, 2)}{NARROW}ha"
    return f"{number(km2, 2 if abs(km2) < 100 else 0)}{NARROW}km²"


def breakable(name: str) -> Markup:
    """A file name that breaks at its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0 to 1 in percent."""
    return "–" if share is None else f"{number(100 * share, digits)}{NARROW}%"


def signed(text: str) -> str:
    """With a plus sign where there is no minus; nothing is neither."""
    return text if text.startswith(("\u2212", "–", f"0{NARROW}")) else f"+{text}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{number(seconds, 1 if seconds < 10 else 0)}{NARROW}s"
    return f"{number(seconds / 60)}{NARROW}min" if seconds < 7200 else f"{number(seconds / 3600, 1)}{NARROW}h"


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{number(count, 0 if count >= 10 or unit == 'B' else 1)}{NARROW}{unit}"


def _finalize(value: Any) -> Any:
    """Every value of a template passes here; what is marked safe is our own pictures and styles."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else public(value)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imperv.tasks.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_finalize,
    )  # fmt: skip
    environment.filters |= {
        "breakable": breakable,
        "number": number, "area": area, "percent": percent, "signed": signed, "duration": duration, "size": size,
    }  # fmt: skip
    return environment


def render(template: str, **values: Any) -> str:
    """A page from a template, such as ``"tile.html.j2"``, with the values that it shows."""
    style = resources.files("imperv.tasks.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    made, version = utc_now().replace("T", " ").replace("Z", " UTC"), importlib.metadata.version("imperv")
    return _environment().get_template(template).render(style=style, made=made, version=version, **values)


def locator(tile: str) -> Markup:
    """A small map of all tiles of Europe with one of them marked, as SVG."""
    # Without the far islands, which would make the rest too small to be seen.
    places = [(x, int(t[4:6])) for t in official_tiles("eea38-2024") if (x := int(t[1:3])) >= 24]
    top = max(y for _, y in places)
    land = "".join(f"M{x} {top - y}h.9v.9h-.9z" for x, y in places)
    x, y = int(tile[1:3]), int(tile[4:6])
    left, right = min(p[0] for p in places), max(p[0] for p in places) + 1
    here = f'<rect class="here" x="{x - 0.6}" y="{top - y - 0.6}" width="2.1" height="2.1"/>' if x >= left else ""
    box = f"{left} 0 {right - left} {top - min(p[1] for p in places) + 1}"
    return Markup(
        f'<svg class="locator" viewBox="{box}" role="img" aria-label="Position of tile {tile} in Europe">'
        f'<path class="land" d="{land}"/>{here}</svg>'
    )


def relative(path: str, root: Path) -> str:
    """A path or address of the production file as it may be shown."""
    return public(path.replace(f"{root}/", ""))


def flat(parameters: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, str, Any, bool]]:
    """(group, name, value, whether it differs from the default) of nested parameters."""
    return [
        (group, name, value, value != defaults.get(group, {}).get(name))
        for group, values in parameters.items()
        for name, value in values.items()
    ]


def css(colour: Sequence[int]) -> str:
    """A colour for style sheets."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def gradient(colours: Sequence[Rgb]) -> str:
    """A CSS gradient from left to right."""
    return f"linear-gradient(90deg,{','.join(map(css, colours))})"
