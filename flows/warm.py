"""Runs of a worker as forks of one process that has imported everything: `python -m flows.warm SOCKET`.

Importing Prefect and what a tile needs takes longer than many a run has to do. `warm_run` is what the worker starts for
each run: it hands its environment, folder and standard streams to the process here and waits; the fork does what
`python -m prefect.engine` would do. Nothing here starts a thread or TensorFlow before a fork. When standard input ends,
which the worker holds open, no further runs are taken; those that run go on.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows import TENSORFLOW, assume

PRELOADED = ("prefect.engine", "prefect.flow_engine", "prefect.task_engine", "flows.imperviousness", "flows.rerun")
"""What runs import; more is imported by the runs themselves."""

MESSAGE = 2**20
"""Longest request, bytes: an environment."""

KILLED = 137
"""Exit code of a run whose launcher is gone."""


def serve(path: Path, held: int = 0) -> None:
    """Fork a run for each connection, and tell it how the run ended, until `held` ends and the last run has.

    Parameters
    ----------
    path : Path
        Unix socket that is made; nobody else may use it.
    held : int
        File descriptor whose end tells that the worker is gone.
    """
    for module in PRELOADED:
        importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen()
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ, "connection")
        ready.register(held, selectors.EVENT_READ, "held")
        running = 0
        open_for_more = True
        while open_for_more or running:
            for key, _ in ready.select():
                if key.data == "connection":
                    connection, _ = listener.accept()
                    if pid := _begin(connection, listener, ready):
                        ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                        running += 1
                elif key.data == "held":
                    if not os.read(held, 1):
                        ready.unregister(held)
                        ready.unregister(listener)
                        listener.close()
                        open_for_more = False
                else:
                    _end(key, ready)
                    running -= 1


def _end(key: selectors.SelectorKey, ready: selectors.BaseSelector) -> None:
    """Tell a launcher how its run ended."""
    pid, connection = key.data
    ready.unregister(key.fileobj)
    os.close(key.fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):  # where nobody waits any more
        connection.send(json.dumps({"code": code}).encode())
    connection.close()


def _begin(connection: socket.socket, listener: socket.socket, ready: selectors.BaseSelector) -> int:
    """Fork what a connection asks for; 0 if it asks for nothing."""
    try:
        message, streams, _, _ = socket.recv_fds(connection, MESSAGE, 3)
        request = json.loads(message)
    except (OSError, ValueError):
        connection.close()
        return 0
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            listener.close()
            ready.close()
            code = _run(request, streams, connection)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    for stream in streams:
        os.close(stream)
    connection.send(json.dumps({"pid": pid}).encode())
    return pid


def _run(request: dict[str, Any], streams: list[int], connection: socket.socket) -> int:
    """Be the run, in the fork: its exit code."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    assume(TENSORFLOW)
    os.chdir(request["folder"])
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    threading.Thread(target=_die_with, args=(connection,), daemon=True).start()

    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings

    sys.argv = ["prefect.engine"]
    sys.modules.pop("prefect.engine", None)  # it is run, not imported
    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        try:
            runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _die_with(connection: socket.socket) -> None:
    """End this process when its launcher has: who kills the one means the other."""
    with suppress(OSError):
        while connection.recv(1):
            pass
    os._exit(KILLED)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
