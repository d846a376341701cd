"""The model that every part of a production file is, and what a check of several parts raises."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of a production file: it does not change, and has no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingError(ValueError):
    """What is wrong with a key, found where several tables are looked at together."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key
        """Dotted name."""
