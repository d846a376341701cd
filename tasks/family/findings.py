"""What checks say: findings of delivered files, and remarks on a production file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imperv.tasks.addresses import shown


@dataclass(frozen=True)
class Finding:
    """What one rule says of one file."""

    check: str
    """Rule, by the EEA check's name where it has one."""
    ok: bool
    """False where the file breaks the rule."""
    text: str
    """What was found."""
    note: bool = False
    """True for a file that passes with something that a person should read."""


def passed(check: str, text: str, *, note: bool = False) -> Finding:
    """A rule that is kept."""
    return Finding(check, True, text, note)


def failed(check: str, text: str) -> Finding:
    """A rule that is broken."""
    return Finding(check, False, text)


class Level(StrEnum):
    """How much a remark matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Remark:
    """One line of `imperv config check`."""

    level: Level
    text: str

    def __post_init__(self) -> None:
        """Keep signatures of addresses out of the line."""
        object.__setattr__(self, "text", shown(self.text))


def fine(text: str) -> Remark:
    """What is right."""
    return Remark(Level.OK, text)


def doubtful(text: str) -> Remark:
    """What may be wrong."""
    return Remark(Level.WARNING, text)
