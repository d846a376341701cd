"""Hrefs of STAC items and links as paths and URLs (RFC 3986, for files RFC 8089)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote, unquote, urljoin

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?(?P<path>/.*)", re.IGNORECASE)
"""A file of this machine."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of characters: in no path, and not for a terminal."""

_LEGAL = "%/:?#[]@!$&'()*+,;=~"
"""What stays as it is in a URL, besides letters, digits, ``_``, ``.`` and ``-``."""


def is_href(said: Any) -> TypeGuard[str]:
    """True for text that can lead anywhere."""
    return isinstance(said, str) and bool(said.strip()) and not UNPRINTABLE.search(said.strip())


def absolute(href: str, source: str | Path) -> str:
    """An href seen from the file or URL that holds it: a path of this machine, or a URL.

    Escapes such as ``%20`` in paths are decoded. A path that exists only as it is written is taken as it is written, as is one
    with the backslashes of Windows.
    """
    href = href.strip()
    if match := _FILE.fullmatch(href):
        return _existing(match["path"], Path("/"))
    if href.startswith("/vsi"):
        return href
    if _SCHEME.match(href):
        return _legal(href)
    if "://" not in str(source):
        return _existing(href, Path(source).parent)
    if href.startswith("/") and _is_there(local := _existing(href, Path("/"))):
        return local  # a server of this machine that tells paths
    return _joined(str(source), href)


def local_path(path: str) -> str:
    """A path that may be written as ``file://``; anything else as it is."""
    match = _FILE.fullmatch(path)
    return _existing(match["path"], Path("/")) if match else path


def _legal(url: str) -> str:
    """A URL with blanks and letters of other alphabets escaped; keys of object stores are no URLs."""
    return quote(url, safe=_LEGAL) if url.lower().startswith(("http://", "https://")) else url


def _joined(source: str, href: str) -> str:
    """A relative href seen from a URL."""
    scheme, _, rest = source.partition("://")
    if scheme.lower() in ("http", "https"):
        return _legal(urljoin(source, href))
    # urllib knows the schemes only that have relative references, and s3 is none.
    return urljoin(f"http://{rest}", href).replace("http", scheme, 1)


def _existing(path: str, folder: Path) -> str:
    """The first of the ways to read a path that leads to something, or the first."""
    ways = [_seen(way, folder) for way in dict.fromkeys((unquote(path), path, unquote(path).replace("\\", "/")))]
    return ways[0] if len(ways) == 1 else next((way for way in ways if _is_there(way)), ways[0])


def _seen(path: str, folder: Path) -> str:
    return path if path.startswith("/") else os.path.realpath(folder / path)


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # such as a name that is too long
        return False
