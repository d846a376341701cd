"""A Prefect server inside this process, for runs without one.

Prefect's own throw-away server is a child process, which lives on when its parent is killed; this one is a thread and ends
with the run, however that ends.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import WorkError

STARTUP_SECONDS = 120
"""Longest wait for the server; a first start on a busy machine creates its database."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Have a Prefect server while the block runs: the one that is configured, or a thread of this process.

    Raises
    ------
    WorkError
        If the thread does not come up.
    """
    os.environ.setdefault("PREFECT_UI_ENABLED", "false")
    os.environ.setdefault("PREFECT__SERVER_EPHEMERAL", "true")
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if get_current_settings().api.url:
        yield
        return
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(ephemeral=True, webserver_only=True), log_level="critical"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="prefect-server")
        thread.start()
        deadline = time.monotonic() + STARTUP_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise WorkError("the Prefect server of this process did not start; set PREFECT_LOGGING_LEVEL=INFO to see why")
            time.sleep(0.02)
        try:
            with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{listening.getsockname()[1]}/api"}):
                yield
        finally:
            server.should_exit = True
            thread.join(timeout=10)
