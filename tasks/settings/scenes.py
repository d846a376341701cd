"""Where scenes come from, and how their files are reached."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from imperv.layers.reflectance import ALL_BANDS
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.paths import PathText


def _endpoint(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^/\s]+(/[^\s?#]*)?", url):
        raise ValueError(f"{url!r} is not an address like 'https://eodata.dataspace.copernicus.eu'")
    return url.rstrip("/")


class SceneAccess(Frozen):
    """How files of scenes are reached that lie on object stores and web servers; keys come from the environment."""

    unsigned: bool = False
    """Unsigned requests, for public buckets."""
    profile: str = ""
    """AWS profile; overrides keys of the environment."""
    endpoint_url: Annotated[str, AfterValidator(_endpoint)] = ""
    """Object store other than that of AWS, such as ``"https://eodata.dataspace.copernicus.eu"``."""
    region: str = ""
    """Region of the buckets, where neither environment nor profile has it."""
    requester_pays: bool = False
    """Pay for requests, for requester-pays buckets."""
    connect_timeout: Annotated[float, Field(gt=0)] = 10
    """Seconds within which a server must accept a connection."""
    timeout: Annotated[float, Field(gt=0)] = 30
    """Seconds without data after which a transfer is tried again."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Immediate repetitions of a request to a busy server (429, 5xx)."""
    patience: Annotated[float, Field(ge=0)] = 300
    """Longest wait for a server that does not answer before the tile fails, seconds."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Remote files read at once."""

    @model_validator(mode="after")
    def _one_identity(self) -> SceneAccess:
        if self.unsigned and self.profile:
            raise ValueError("unsigned and profile exclude each other; remove one")
        return self


SENTINEL2: Final = "sentinel-2"
LANDSAT: Final = "landsat"


class Scenes(Frozen):
    """Where scenes come from."""

    sensor: Literal["sentinel-2"] = SENTINEL2
    """What sees the periods."""
    catalogue: PathText
    """STAC API, file or folder of STAC items, static catalogue, or folder of SAFE products (docs/scenes.md)."""
    collection: str = "sentinel-2-l2a"
    """Collection asked for; items that name another one are left out."""
    level: Literal["L2A", "L1C", "auto"] = "L2A"
    """Level of processing; L1C and ``auto``, what is found, where the product can use it and the collection holds it."""
    boa_offset: Literal["auto", "none", "subtract"] = "auto"
    """Offset of processing baseline 04.00: by the items' metadata, never, or always subtracted."""
    bands: dict[str, str] = Field(default_factory=dict)
    """Asset keys of bands that metadata does not name, such as ``{B02 = "image_blue"}``."""
    access: SceneAccess = SceneAccess()
    """How their files are reached."""

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(name for name in value if name.upper() not in ALL_BANDS):
            raise ValueError(f"{', '.join(unknown)}: bands are named {', '.join(ALL_BANDS)}")
        return {name.upper(): key for name, key in value.items()}

    def seen_by(self, *roles: str) -> str:
        """Names of what sees some periods, or all: ``Sentinel-2 and Landsat``."""
        return "Sentinel-2"

    def of(self, role: str) -> Scenes:
        """Where those of a role come from: a product may name other places for a period."""
        return self
