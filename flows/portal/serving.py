"""Starting and ending the portal: socket, start token, server."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Sequence
from urllib.parse import quote

import uvicorn

from imperv.flows.portal.app import create_app
from imperv.flows.portal.guard import LEAST, Access, is_loopback, known_hosts
from imperv.flows.portal.sites import Sites
from imperv.tasks.errors import InputError

TOKEN = "IMPERV_PORTAL_TOKEN"
"""Variable with a token of one's own: for scripts, and where other machines may ask."""

CONNECTIONS = 256
"""Connections at once; more get 503."""

GRACE = 3
"""Seconds that open connections have when the portal ends."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; InputError where there cannot be one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else str(error)  # Python's own text names the address once more
        raise InputError(
            f"portal: {host}, port {port}: {why}; name another --port, 0 for a free one, or another --host"
        ) from None


def access_of(host: str, port: int, names: Sequence[str]) -> Access:
    """Secrets of this start.

    Raises
    ------
    InputError
        If other machines may ask, and nobody chose a token; or it is too short.
    """
    chosen = os.environ.get(TOKEN, "")
    if not chosen and not is_loopback(host):
        raise InputError(
            f"--host: {host} can be reached from other machines; set {TOKEN} to a secret of {LEAST} characters or more"
        )
    if chosen and len(chosen) < LEAST:
        raise InputError(f"environment: {TOKEN} has {len(chosen)} characters; choose {LEAST} or more")
    return Access(known_hosts(host, names), chosen or secrets.token_urlsafe(32), cookie=f"imperv_portal_{port}")


def address(host: str, port: int, token: str = "") -> str:
    """The link to the page; the token is in the fragment, which browsers send to nobody."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"#token={quote(token, safe='')}" if token else "")


def serve(sites: Sites, access: Access, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which are the way to end it."""
    threading.Thread(target=sites.main.watch, name="store", daemon=True).start()
    config = uvicorn.Config(
        create_app(sites, access), log_level="warning", access_log=False, server_header=False, date_header=False,
        proxy_headers=False, limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=GRACE, lifespan="off", ws="none",
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # the server has ended well, and passes the signal on
        pass
    finally:
        sites.end()
