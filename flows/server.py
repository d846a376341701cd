"""A Prefect server inside this process, for runs without one.

Prefect's own throw-away server is a child process, which lives on when its parent is killed; this one is a thread and ends
with the process, however that ends.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import InputError, WorkError

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
    home = Path(os.environ["PREFECT_HOME"])
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"PREFECT_HOME: {home} cannot be made ({error.strerror}); set PREFECT_HOME to a folder of yours"
        ) from None
    os.environ.setdefault("PREFECT_UI_ENABLED", "false")
    os.environ.setdefault("PREFECT__SERVER_EPHEMERAL", "true")
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if get_current_settings().api.url:
        yield
        return
    with temporary_settings({PREFECT_API_URL: _start()}):
        yield


@functools.cache
def _start() -> str:
    """Start the server, once a process, and return its address.

    It is never stopped: when the process ends, Prefect first hands its last events to a server that must still be there.
    """
    import uvicorn
    from prefect.server.api.server import create_app

    # No logging set-up of its own: it would close the handlers of everybody else, and with them TensorFlow's stream.
    app = create_app(ephemeral=True, webserver_only=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", log_config=None))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="prefect-server")
    thread.start()
    deadline = time.monotonic() + STARTUP_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise WorkError("the Prefect server of this process did not start; set PREFECT_LOGGING_LEVEL=INFO to see why")
        time.sleep(0.02)
    return f"http://127.0.0.1:{listening.getsockname()[1]}/api"
