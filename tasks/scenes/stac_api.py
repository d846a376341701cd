"""STAC APIs: asked page by page, with patience for servers that are busy and none for questions that are wrong.

Frozen lists are made from what is found here, so a hole is an error: all pages are followed, and counted if the server counts.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, NoReturn
from urllib.parse import quote

import pystac
import pystac_client.warnings
import requests
import tenacity
from pystac_client import Client, ItemSearch
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import DoesNotConformTo
from urllib3.exceptions import InvalidHeader, NameResolutionError
from urllib3.util import Retry

from imperv.grids import Bounds
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.patience import BUSY
from imperv.tasks.scenes.items import name_of, refuse_flood, trouble_with, unusable, unwanted, with_absolute_hrefs
from imperv.tasks.settings.periods import Period
from imperv.tasks.store.hrefs import is_href

PAGE = 200
"""Items asked for at once: servers refuse more than some hundreds."""

BARREN_PAGES = 3
"""Pages in a row without a new item after which a server is thought to go round in circles."""

ATTEMPTS_AT_A_COUNT = 2
"""Times a search is made whose number of items is not that which the server counts: items may arrive between two pages."""


@dataclass(frozen=True)
class Patience:
    """Attempts and waits for a server."""

    attempts: int = 6
    """Times a request is made."""
    first_wait: float = 1
    """Seconds before the second attempt; each wait is twice the one before."""
    longest_wait: float = 120
    """Seconds; a server that asks for more by Retry-After is given up."""
    connect_timeout: float = 10
    """Seconds to connect."""
    read_timeout: float = 60
    """Seconds without a byte."""


PATIENCE = Patience()


class Connection(StacApiIO):
    """Requests with time limits that are made again when the server is busy, cuts off its answer or cannot be reached.

    Errors are those of pystac-client; `text` raises them in one line.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__(timeout=(patience.connect_timeout, patience.read_timeout), max_retries=None)
        self.patience = patience
        self._asked_wait: float | None = None
        self.session.hooks["response"].append(self._note_wait)

    def _note_wait(self, response: requests.Response, *_: Any, **__: Any) -> None:
        with suppress(InvalidHeader):
            self._asked_wait = Retry().get_retry_after(response.raw)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Text of an answer; called by pystac-client for everything that it asks."""
        backoff = tenacity.wait_exponential_jitter(
            self.patience.first_wait, self.patience.longest_wait, jitter=self.patience.first_wait
        )
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.patience.attempts),
            wait=lambda state: backoff(state) if self._asked_wait is None else self._asked_wait,
            retry=tenacity.retry_if_exception(self._is_worth_another_attempt),
            reraise=True,
        )
        return attempts(self._once, href, method, headers, parameters)

    def _once(self, *question: Any) -> str:
        self._asked_wait = None
        return super().request(*question)

    def _is_worth_another_attempt(self, error: BaseException) -> bool:
        if not isinstance(error, APIError) or (self._asked_wait or 0) > self.patience.longest_wait:
            return False
        return _is_temporary(error)

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All pages, also those without items, at which pystac-client ends: what they count would be lost."""
        page = self.read_json(url, method=method, parameters=parameters)
        yield page
        while link := _next(page):
            page = self.read_json(link, parameters=parameters)
            yield page

    def text(self, url: str) -> str:
        """Text behind a URL; InputError if there is nothing, WorkError if the server does not answer."""
        try:
            return self.request(url)
        except APIError as error:
            self.give_up(error, url)

    def give_up(self, error: APIError, url: str) -> NoReturn:
        """Raise a failure in one line, with a remedy."""
        status, said = _status(error), _said(error)
        if (self._asked_wait or 0) > self.patience.longest_wait:
            raise WorkError(f"scenes.catalogue: {url}: answers {status}, wait {self._asked_wait:.0f} s; run again then") from None
        if _is_temporary(error):
            cause = f"still answers {status}" if status else f"does not answer ({said})"
            raise WorkError(
                f"scenes.catalogue: {url}: {cause} after {self.patience.attempts} attempts; run again when it is up"
            ) from None
        if status in (401, 403):
            raise InputError(f"scenes.catalogue: {url}: refuses access ({status} {said}); correct it or get access") from None
        answers = f"answers {status}{f' ({said})' if said else ''}" if status else f"cannot be asked ({said})"
        raise InputError(f"scenes.catalogue: {url}: {answers}; correct the URL or scenes.collection") from None


def _status(error: APIError) -> int | None:
    """HTTP status of a failure; None where there was no answer."""
    return getattr(error, "status_code", None)


def _is_temporary(error: APIError) -> bool:
    """False for answers that stay, and for requests that fail before they are sent for a reason that stays."""
    if _status(error) is not None:
        return _status(error) in BUSY
    cause = error.__context__
    if isinstance(cause, ValueError | requests.exceptions.SSLError | requests.exceptions.TooManyRedirects):
        return False
    if isinstance(cause, requests.exceptions.ConnectionError) and cause.args:
        return not isinstance(getattr(cause.args[0], "reason", None), NameResolutionError)
    return True


def _said(error: APIError) -> str:
    """A server's answer, or the fault of the connection without the names of classes around it."""
    cause = error.__context__
    if _status(error) is not None or not isinstance(cause, requests.exceptions.RequestException) or not cause.args:
        return _one_line(str(error))
    inner = getattr(cause.args[0], "reason", cause.args[0])
    if isinstance(inner, Exception) and inner.args and isinstance(inner.args[-1], Exception):
        inner = inner.args[-1]
    return _one_line(str(inner).rpartition(": ")[2])


def _one_line(text: str) -> str:
    """The beginning of what a server or library says."""
    return shorten(text, 160, placeholder="...")


def _next(page: Mapping[str, Any]) -> pystac.Link | None:
    """Link to the page after a page."""
    links = page.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next" and link.get("href"):
            return pystac.Link.from_dict(link)
    return None


def _self(item: Mapping[str, Any]) -> str:
    """Address of an item by its own link; empty without one."""
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self" and is_href(href := link.get("href")):
            return href
    return ""


class StacApi:
    """A STAC API, by the URL of its landing page, and a collection in it; an empty `collection` means all."""

    def __init__(self, url: str, collection: str = "", patience: Patience = PATIENCE) -> None:
        self.url, self.collection = url, collection
        self._connection = Connection(patience)

    def search(self, bounds: Bounds, period: Period) -> list[Mapping[str, Any]]:
        """Items that touch the bounds in the period; strays and broken items are given as unusable.

        WorkError if the API does not answer, or gives another number of items than it counts.
        """
        try:
            question = self._question(bounds, period)
            items = self._all(question)
            if not items:
                self._check_collection()
        except APIError as error:
            self._connection.give_up(error, self.url)
        except json.JSONDecodeError as error:
            raise WorkError(f"scenes.catalogue: {self.url}: answers with broken JSON ({error}); run again later") from None
        return [self._checked(item, bounds, period) for item in items]

    def _question(self, bounds: Bounds, period: Period) -> ItemSearch:
        # To the first moment of the next day: servers differ in how they round the last second.
        days = f"{period.start}T00:00:00Z/{period.end + dt.timedelta(days=1)}T00:00:00Z"
        try:
            with pystac_client.warnings.ignore():
                # Without its own timeout, opening takes away that of the connection.
                client = Client.open(self.url, stac_io=self._connection, timeout=self._connection.timeout)
                methods = {link.extra_fields.get("method", "GET") for link in client.get_links("search")}
                return client.search(
                    method="GET" if methods == {"GET"} else "POST",
                    collections=[self.collection] if self.collection else None,
                    bbox=list(bounds),
                    datetime=days,
                    limit=PAGE,
                )
        except (pystac.STACError, ClientTypeError, DoesNotConformTo, KeyError, TypeError, AttributeError, ValueError) as error:
            # What pystac raises on a document that is no catalogue depends on what the document lacks.
            raise InputError(
                f"scenes.catalogue: {self.url}: is no STAC API that can be searched ({_one_line(str(error))}); "
                "name the landing page of one, or the catalog.json of a static catalogue"
            ) from None

    def _all(self, question: ItemSearch) -> list[dict[str, Any]]:
        """The items of all pages, as many as the server counts."""
        for _ in range(ATTEMPTS_AT_A_COUNT):
            items, counted = self._pages(question)
            if counted is None or counted == len(items):
                return items
        raise WorkError(
            f"scenes.catalogue: {self.url}: gives {len(items)} items but counts {counted}; "
            "run again, and if it stays so, freeze the scenes from another catalogue or an item file"
        )

    def _pages(self, question: ItemSearch) -> tuple[list[dict[str, Any]], int | None]:
        items: dict[tuple[str, str], dict[str, Any]] = {}
        counted, barren = None, 0
        for page in self._connection.get_pages(question.url, question.method, question.get_parameters()):
            features = page.get("features") if isinstance(page, dict) else None
            if not isinstance(features, list):
                raise WorkError(f"scenes.catalogue: {self.url}: answers with something other than items; run again later")
            before = len(items)
            for item in features:
                if not (name := name_of(item, "")):
                    raise WorkError(f"scenes.catalogue: {self.url}: gives a feature that is no STAC item; run again later")
                # An id is one of its kind within a collection.
                items[str(item.get("collection")), name] = {**item, "source": _self(item) or question.url}
            refuse_flood(len(items), self.url)
            counted = _count(page, counted)
            barren = barren + 1 if len(items) == before else 0
            if barren == BARREN_PAGES:
                raise WorkError(f"scenes.catalogue: {self.url}: its pages repeat after {len(items)} items; run again later")
        return list(items.values()), counted

    def _checked(self, item: dict[str, Any], bounds: Bounds, period: Period) -> Mapping[str, Any]:
        """An item that can be used, or why not."""
        source = item.pop("source")
        stray, broken = unwanted(item, bounds, period, self.collection), trouble_with(item)
        if reason := stray or broken:
            return unusable(name_of(item, self.url), f"{reason}, by error of the catalogue", asked_for=not stray)
        return with_absolute_hrefs(item, source)

    def _check_collection(self) -> None:
        """Raise InputError for an unknown collection: many servers find nothing in it, without an error."""
        if not self.collection:
            return
        base = self.url.rstrip("/")
        try:
            self._connection.request(f"{base}/collections/{quote(self.collection)}")
        except APIError as error:
            if _status(error) != 404:
                raise
            raise InputError(
                f"scenes.catalogue: {self.url}: has no collection {self.collection}{self._names(base)}; correct scenes.collection"
            ) from None

    def _names(self, base: str) -> str:
        """Collections that there are, for a message."""
        with suppress(APIError, ValueError, TypeError, KeyError, AttributeError):
            table = self._connection.read_json(f"{base}/collections")
            names = sorted(str(c["id"]) for c in table["collections"])
            close = [name for name in names if "sentinel-2" in name.lower()] or names
            return f" (it has {', '.join(close[:8])}{', ...' if len(close) > 8 else ''})"
        return ""


def _count(page: Mapping[str, Any], before: int | None) -> int | None:
    """Number of items that a page says there are in all."""
    context = page.get("context")
    for number in (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None):
        if isinstance(number, int) and not isinstance(number, bool):
            return number
    return before
