"""Settings of delivery, whatever the form: contact and terms of use."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from imperv.tasks.settings.frozen import Frozen


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError(f"{text!r} is not an e-mail address")
    return text


def _website(url: str) -> str:
    if url and not re.fullmatch(r"https?://\S+", url):
        raise ValueError(f"{url!r} is not an address like 'https://land.copernicus.eu'")
    return url


class Contact(Frozen):
    """Contact for the products; INSPIRE requires organisation and e-mail address."""

    organisation: Annotated[str, Field(min_length=1)]
    """Name of the organisation."""
    email: Annotated[str, AfterValidator(_email)]
    """Its e-mail address."""
    website: Annotated[str, AfterValidator(_website)] = ""
    """Where the products are found."""


class DeliverySettings(Frozen):
    """Contact and terms of use of the products."""

    contact: Contact | None = None
    """Contact for the products."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """SPDX identifier of the products' licence; ``other`` for none."""
    conditions: str = ""
    """Conditions of access and use; empty if unknown."""
