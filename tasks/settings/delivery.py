"""What a production says of its deliverables, whatever their form: whom to ask, and terms of use."""

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
    """Who answers questions about the products: INSPIRE asks for an organisation and an e-mail address."""

    organisation: Annotated[str, Field(min_length=1)]
    """Name of the organisation."""
    email: Annotated[str, AfterValidator(_email)]
    """Its e-mail address."""
    website: Annotated[str, AfterValidator(_website)] = ""
    """Where the products are found."""


class DeliverySettings(Frozen):
    """Whom to ask about the products, and the terms of their use."""

    contact: Contact | None = None
    """Who answers questions."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """SPDX identifier of the products' licence; ``other`` where there is none."""
    conditions: str = ""
    """Conditions of access and use, in words; empty where they are not known."""
