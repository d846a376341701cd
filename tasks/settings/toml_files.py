"""TOML files as people save them: with a byte order mark, in another encoding, or not TOML at all."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from imperv.tasks.errors import InputError


def read_toml(file: Path) -> dict[str, Any]:
    """Table of a production file.

    Raises
    ------
    InputError
        If it cannot be read, is no UTF-8 text, or no TOML.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); name a production file with --config, or begin one with imperv init"
        ) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise InputError(f"{file}: is UTF-16 text, as some Windows editors write it; save as UTF-8")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}: line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}); save as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: is not valid TOML: {error}") from None
