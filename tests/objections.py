"""The lines in which a command objected, out of all that came on standard error in the meantime."""

from __future__ import annotations


def objections(printed: str) -> list[str]:
    """Lines of `printed` that begin with `imperv: `.

    Libraries that earlier tests of the process used may complain on the same stream at any moment: of connections that are
    thrown away, for example, when memory is tidied up.
    """
    return [line for line in printed.splitlines() if line.startswith("imperv: ")]
