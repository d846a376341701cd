"""Taking secrets out of texts that others may read, such as logs: those that this process was given, and what looks like one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

USER = re.compile(r"\b([a-z][a-z0-9+]*://)[^\s/@]+@", re.IGNORECASE)
QUERY = re.compile(r"\b([a-z][a-z0-9+]*://[^\s?#\"']+)[?#][^\s\"';,)]*", re.IGNORECASE)
"""What of an address may be leave to read: its user, and its query."""

NAMED = re.compile(r"\b((?:aws_)?(?:secret|token|password|key(?!error)|signature)\w*\s*[=:]\s*)[^\s,;]+", re.IGNORECASE)
"""A secret behind its name."""

NAMES = re.compile(r"secret|token|passw|access_key|api_key|auth_string|credential|connection_string", re.IGNORECASE)
"""Variables and options whose values are secrets."""

SHORTEST = 6
"""Characters below which a value is no secret, but would be found in many words."""


def redacted(text: str, options: Mapping[str, Any] | None = None) -> str:
    """Text without secret values of variables and of options (at any depth), and without users and queries of addresses."""
    for value in _values({**os.environ, **(options or {})}):
        text = text.replace(value, "...")
    return NAMED.sub(r"\1...", QUERY.sub(r"\1", USER.sub(r"\1", text)))


def _values(table: Mapping[str, Any]) -> list[str]:
    """Secrets of a table, the longest first, as one may hold another."""
    found = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            found += _values(value)
        elif isinstance(value, str) and len(value) >= SHORTEST and (NAMES.search(name) or name in ("key", "secret")):
            found.append(value)
    return sorted(found, key=len, reverse=True)
