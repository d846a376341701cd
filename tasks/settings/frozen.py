"""The model that every part of a production file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of a production file: it does not change, and has no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
