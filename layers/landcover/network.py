"""Parameters of the network of the base model (docs/landcover.md); the network and its training are in `layers.network`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from imperv.layers.network.unet import NetworkParameters


class ClassNetworkParameters(NetworkParameters):
    """Parameters of a network of classes."""

    features: Literal["urban24", "urban15"] = "urban24"
    """Feature set: bands of the span at 5 m, their indices, a local deviation, and seasons of the year; or without seasons."""
    guard: int = Field(default=8, ge=1)
    """Width of the band between training and validation that is in neither, pixels."""
    balance: float = Field(default=0.5, ge=0, lt=1)
    """Share of the training crops that are centred near rare classes; the loss is weighted back."""
    focal: float = Field(default=0.0, ge=0)
    """Exponent of the focal loss; 0 for the cross-entropy."""
    class_power: float = Field(default=0.0, ge=0, le=1)
    """Classes weigh by their frequency to the power of minus this: 0 alike by pixel, 1 alike by class."""
