"""The lines in which a command objected, out of all that came on standard error in the meantime."""

from __future__ import annotations

import re

_COMPLAINT = re.compile(r"^--- Logging error ---\n.*?^Arguments: [^\n]*\n?", re.DOTALL | re.MULTILINE)
"""What Python prints when a library logs to a stream that an earlier test has closed, from its first line to its last."""


def objections(printed: str) -> list[str]:
    """Lines of `printed` that begin with `imperv: `, whatever the work before them has said."""
    return [line for line in printed.splitlines() if line.startswith("imperv: ")]


def nothing_but_objections(printed: str) -> list[str]:
    """Lines of `printed`, each of which begins with `imperv: `.

    Libraries that earlier tests of the process used may complain at any moment, of connections that are thrown away when memory
    is tidied up; only such a complaint may stand beside them.
    """
    lines = [line for line in _COMPLAINT.sub("", printed).splitlines() if line.strip()]
    assert lines == objections(printed), printed
    return lines
