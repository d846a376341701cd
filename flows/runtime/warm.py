"""Runs of a worker as forks of one process that has imported everything: `python -m imperv.flows.runtime.warm SOCKET`.

Importing Prefect and what a tile needs takes longer than many a run has to do. `warm_run` is what the worker starts for
each run: it hands its environment, folder and standard streams to the process here and waits; the fork does what
`python -m prefect.engine` would do. Nothing here starts a thread or TensorFlow before a fork. When standard input ends,
which the worker holds open, no further runs are taken; those that run go on.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from imperv.flows import TENSORFLOW, assume
from imperv.tasks.settings.surroundings import put_right

PRELOADED = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.deployments.steps.pull",
    "imperv.flows.imperviousness",
    "imperv.flows.rerun",
    "distributed",
    "geopandas",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "scipy.stats",
    "sklearn",
)
"""What runs import, and what TensorFlow imports beside itself, which may not be imported before a fork."""

MESSAGE = 2**20
"""Most bytes of a request that are read. The kernel takes less in one piece, 208 KiB by default; a launcher with a larger
environment starts cold."""

HASTE = 5.0
"""Seconds that a launcher has for its request."""

KILLED = 137
"""Exit code of a run whose launcher is gone."""


def serve(path: Path, held: int = 0) -> None:
    """Fork a run for each connection, and tell it how the run ended, until `held` ends and the last run has.

    Parameters
    ----------
    path : Path
        Unix socket that is made, and removed at the end; nobody else may use it.
    held : int
        File descriptor whose end tells that the worker is gone.
    """
    for module in PRELOADED:
        importlib.import_module(module)
    if not path.parent.is_dir():  # the worker has gone meanwhile
        return
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen()
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ, "connection")
        ready.register(held, selectors.EVENT_READ, "held")
        while len(ready.get_map()):
            for key, _ in ready.select():
                if key.data == "connection":
                    _take(listener, ready)
                elif key.data != "held":
                    _end(key, ready)
                elif not os.read(held, 1):
                    ready.unregister(held)
                    ready.unregister(listener)
                    listener.close()
                    with suppress(OSError):
                        path.unlink()
                        path.parent.rmdir()
                    break  # the listener may be among what else is ready


def _end(key: selectors.SelectorKey, ready: selectors.BaseSelector) -> None:
    """Tell a launcher how its run ended."""
    pid, connection = key.data
    ready.unregister(key.fileobj)
    os.close(key.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):  # where nobody waits any more
        connection.send(json.dumps({"code": code}).encode())
    connection.close()


def _take(listener: socket.socket, ready: selectors.BaseSelector) -> None:
    """Fork what a connection asks for; one that asks for nothing, or where nothing can be had, is closed: it starts cold."""
    streams: list[int] = []
    pid = -1
    try:
        connection, _ = listener.accept()
    except OSError:
        return
    try:
        connection.settimeout(HASTE)
        message, streams, _, _ = socket.recv_fds(connection, MESSAGE, 3)
        request = dict(json.loads(message))
        connection.settimeout(None)
        pid = os.fork()
    except (OSError, ValueError, TypeError):
        connection.close()
    if pid == 0:
        _leave(listener, ready)
        _exit(_run(request, streams, connection))
    for stream in streams:
        os.close(stream)
    if pid > 0:
        with suppress(OSError):  # where the launcher is gone: the fork ends by itself
            ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
            connection.send(json.dumps({"pid": pid}).encode())


def _leave(listener: socket.socket, ready: selectors.BaseSelector) -> None:
    """Close, in a fork, what is not its own: the listener, and the ends of other runs."""
    listener.close()
    for key in list(ready.get_map().values()):
        if isinstance(key.data, tuple):
            os.close(key.fd)
            key.data[1].close()


def _run(request: dict[str, Any], streams: list[int], connection: socket.socket) -> int | str | None:
    """Be the run, in the fork: its exit code."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    assume(TENSORFLOW)
    put_right()
    os.chdir(request["folder"])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()

    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    refresh_global_settings_context()
    setup_logging(incremental=False)
    sys.argv = ["prefect.engine"]
    sys.modules.pop("prefect.engine", None)  # it is run, not imported
    try:
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return 0


def _exit(code: int | str | None) -> NoReturn:
    """End a fork as `sys.exit` would, what it has to say to the server at its end included, but leave its memory to the system.

    Taking down what was imported takes longer than many a run: two seconds, as the pages have to be copied for it.
    """
    if isinstance(code, str):
        print(code, file=sys.stderr)
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its forks
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
    finally:  # whatever a thread or a handler has to say, the run has ended as it has
        os._exit(code if isinstance(code, int) else int(code is not None))


def _die_with(connection: socket.socket) -> None:
    """End this process when its launcher has: who kills the one means the other."""
    with suppress(OSError):
        while connection.recv(1):
            pass
    os._exit(KILLED)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
