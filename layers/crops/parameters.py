"""What shapes a model of crops and its training (AI4Copernicus, table 10; the names and defaults are its own)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Kind = Literal["tempcnn", "lstm", "forest", "boosting"]

NETWORKS: tuple[Kind, ...] = ("tempcnn", "lstm")
"""Kinds that are Keras models."""


class TrainingParameters(BaseModel):
    """How a model learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "tempcnn"
    """Convolutions in time, a long short-term memory, a random forest, or boosted trees."""
    n_epochs: int = Field(default=50, gt=1)
    """Passes over the samples."""
    batch_size: int = Field(default=32, gt=2)
    """Samples of a step; a power of two."""
    class_weights: bool = False
    """Weigh classes by their rarity."""
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    """Highest size of a step; warmed up, then lowered along a cosine."""
    members: int = Field(default=3, ge=1, le=10)
    """Networks whose answers are averaged."""
    variants: bool = True
    """Learn from variants of the samples: with looks left out, moved in time, brighter, noisier; trees from ten of each."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""

    @field_validator("batch_size")
    @classmethod
    def _power(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"{value} is not a power of two, such as 32")
        return value
