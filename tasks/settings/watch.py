"""How a production is watched; no setting changes a pixel, a key or the name of a run."""

from __future__ import annotations

import shlex
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from imperv.tasks.settings.paths import PathText


def _notifier(given: SecretStr) -> SecretStr:
    """An address or a command; what is wrong is said without it, as addresses of chats are secrets."""
    text = given.get_secret_value()
    try:
        if "://" in text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
            raise ValueError("is no address like 'https://hooks.example.org/...'")
        if not shlex.split(text):
            raise ValueError("is empty")
    except ValueError as error:
        remedy = "give an http(s) address or a command such as 'mail -s {subject} ops@example.org'"
        raise ValueError(f"{error}; {remedy}") from None
    return given


def _several(given: object) -> object:
    return (given,) if isinstance(given, str) else given


def _base(url: str) -> str:
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise ValueError(f"{url!r} is not an address like 'https://maps.example.org/store'")
    return url.rstrip("/")


def _prom(path: str) -> str:
    if path and not path.endswith(".prom"):
        raise ValueError(f"{path!r} does not end in .prom, and node_exporter would not read it")
    return path


class WatchSettings(BaseModel):
    """How a production of many tiles is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heartbeat: Annotated[float, Field(ge=1)] = 30
    """Seconds between two signs of life of its parent, which counts as silent after three."""
    notify: Annotated[tuple[Annotated[SecretStr, AfterValidator(_notifier)], ...], BeforeValidator(_several)] = ()
    """Recipients of alerts (first failure, end, silence): addresses that take Slack's JSON, or commands that read the text."""
    metrics: Annotated[PathText, AfterValidator(_prom)] = ""
    """File for Prometheus' node_exporter, ending in ``.prom``, written anew with every sign of life."""
    links: Annotated[str, AfterValidator(_base)] = ""
    """Address of the store for browsers, such as ``"https://maps.example.org/store"``, for links in Prefect's pages."""
