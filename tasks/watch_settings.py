"""What a production says of how it is watched; nothing of it changes a pixel, a key or the name of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class WatchSettings(BaseModel):
    """How a production of many tiles is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heartbeat: Annotated[float, Field(ge=1)] = 30
    """Seconds between two signs of life of its parent, which counts as silent after three."""
