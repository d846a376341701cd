"""Who may ask what: hosts, start token, session, changes, headers of safety. It stands before every other part of the portal.

Loopback needs no name of a user: whoever has the link with the start token may look. `docs/portal.md` has the rules.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Everything from here, nothing inline, no eval."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

MARK = "x-imperv"
"""Header of every change: what other pages cannot send without being asked about it (CORS), which nobody answers."""

OPEN = ("/", "/favicon.svg", "/api/session")
"""Paths that need no session; and the files of the page, which say nothing of any store."""

STATIC = "/static/"

LEAST = 16
"""Characters of a token that a person chooses."""


@dataclass(frozen=True)
class Access:
    """Secrets of one start."""

    hosts: frozenset[str]
    """Names that the portal answers to, in small letters, without port."""
    token: str = field(repr=False)
    """Start token: in the link, or as bearer token of scripts."""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """Value of the cookie."""
    cookie: str = "imperv_portal"
    """Its name: cookies do not know ports, so it holds the port."""

    def is_token(self, text: str) -> bool:
        """Whether a text is the start token, in constant time."""
        return hmac.compare_digest(text.encode(), self.token.encode())


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def known_hosts(host: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Names that a portal which listens on `host` answers to."""
    own = {"localhost", "127.0.0.1", "[::1]"} if is_loopback(host) else set()
    written = f"[{host}]" if ":" in host else host
    return frozenset(name.lower() for name in {*own, written, *more})


@dataclass(frozen=True)
class Guard:
    """Middleware: refuses what is not allowed, and adds the headers of safety to every answer."""

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets: the server closes what nobody accepts

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("content-security-policy", POLICY)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self.refusal(scope)
        if refusal is None:
            await self.app(scope, receive, guarded)
        else:
            status, why = refusal
            await JSONResponse({"detail": why}, status)(scope, receive, guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is refused, with the status; None if it is allowed."""
        headers, method, path = Headers(scope=scope), str(scope["method"]), str(scope["path"])
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self.access.hosts:
            return 421, "this host name is not one of the portal's; start it with --allow-host NAME"
        if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            return 405, "this method is not for the portal"
        bearer = self._bearer(headers)
        if bearer is False:
            return 401, "the token is wrong; take that of this start"
        if method not in ("GET", "HEAD") and (why := self._refused_change(headers, scope, bool(bearer))):
            return why
        if path in OPEN or path.startswith(STATIC) or bearer or self._has_session(headers):
            return None
        return 401, "no session; open the link that imperv portal printed"

    def _bearer(self, headers: Headers) -> bool | None:
        """Whether a bearer token is right; None without any."""
        kind, _, text = headers.get("authorization", "").partition(" ")
        return self.access.is_token(text.strip()) if kind.lower() == "bearer" else None

    def _has_session(self, headers: Headers) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load("; ".join(headers.getlist("cookie")))
        except CookieError:
            return False
        found = cookies.get(self.access.cookie)
        return found is not None and hmac.compare_digest(found.value.encode(), self.access.session.encode())

    def _refused_change(self, headers: Headers, scope: Scope, bearer: bool) -> tuple[int, str] | None:
        """Why a change is refused: it must come from the portal's own page, or from a script with the token."""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "changes are JSON; send content-type: application/json"
        if bearer and "origin" not in headers and "sec-fetch-site" not in headers:
            return None  # a script; a proxy may add the token to what browsers ask, whose pages are looked at all the same
        origin, host = headers.get("origin", ""), headers.get("host", "")
        try:
            asked = urlsplit(origin)
        except ValueError:  # such as an address of IPv6 without its end
            asked = urlsplit("")
        if asked.netloc.lower() != host.lower() or asked.scheme not in ("http", "https"):
            return 403, "changes come from the portal's own page only"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin" or headers.get(MARK) != "1":
            return 403, "changes come from the portal's own page only"
        return None


def host_name(text: str) -> str:
    """A Host header without its port."""
    name, _, port = text.rpartition(":")
    return (name if name and port.isdigit() else text).lower()
