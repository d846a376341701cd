"""What a production says of its deliverables: names, whom to ask, terms of use, and choices where ATBD and EEA check differ."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _edition(text: str) -> str:
    match = re.fullmatch(r"(\d{4})-(\d{4})", text, re.ASCII)
    if text != "auto" and (match is None or match[1] >= match[2]):
        raise ValueError(f"{text!r} is not an edition like '2021-2024'")
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError(f"{text!r} is not an e-mail address")
    return text


def _website(url: str) -> str:
    if url and not re.fullmatch(r"https?://\S+", url):
        raise ValueError(f"{url!r} is not an address like 'https://land.copernicus.eu'")
    return url


class Contact(_Model):
    """Who answers questions about the products: INSPIRE asks for an organisation and an e-mail address."""

    organisation: Annotated[str, Field(min_length=1)]
    """Name of the organisation."""
    email: Annotated[str, AfterValidator(_email)]
    """Its e-mail address."""
    website: Annotated[str, AfterValidator(_website)] = ""
    """Where the products are found."""


class DeliverySettings(_Model):
    """Names of delivered files, their metadata, and choices where ATBD and EEA check differ."""

    edition: Annotated[str, AfterValidator(_edition)] = "auto"
    """Years in names, such as ``"2021-2024"``; auto: those of the periods."""
    version: Annotated[str, Field(pattern=r"^V\d\d$")] = "V01"
    """Version part of the file name."""
    release: Annotated[str, Field(pattern=r"^R\d\d$")] = "R00"
    """Release part of the file name."""
    theme: Literal["auto", "HRLNVLCC", "NVLCC"] = "auto"
    """Product line in the file name; auto: HRLNVLCC for 2021 and earlier, NVLCC after."""
    fold_built_up_classes: bool = False
    """Write IBUC classes 11 and 12 as 10, as the EEA check of IBUC asks; the ATBD's table has all six."""
    contact: Contact | None = None
    """Who answers questions."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """SPDX identifier of the products' licence; ``other`` where there is none."""
    conditions: str = ""
    """Conditions of access and use, in words; empty where they are not known."""
    zip: bool = False
    """Write each product's package for the EEA too."""

    @model_validator(mode="after")
    def _somebody_to_ask(self) -> DeliverySettings:
        if self.zip and self.contact is None:
            raise ValueError(
                "zip needs somebody to ask in its INSPIRE metadata; add [delivery.contact] with organisation and email"
            )
        return self
