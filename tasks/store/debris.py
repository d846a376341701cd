"""Files that systems leave beside others and in archives, and that are nobody's data: AppleDouble of macOS, thumbnails, locks."""

from __future__ import annotations

from pathlib import PurePath

NAMES = ("thumbs.db", "desktop.ini")
"""What Windows leaves, in small letters."""

FOLDER = "__MACOSX"
"""Where macOS puts what it adds to an archive."""


def is_debris(path: PurePath) -> bool:
    """True for hidden files such as ``._map.tif``, for locks, and for what lies in macOS's folder of an archive."""
    name = path.name.lower()
    return name.startswith((".", "~$")) or name in NAMES or FOLDER in path.parts
