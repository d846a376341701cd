"""A real Prefect server on loopback with everything of prefect.yaml and workers, for tests and measurements."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

COMMAND = "import sys; from imperv.flows.cli.commands import main; sys.exit(main(sys.argv[1:]))"
"""`imperv`, whatever is installed."""

ONE_AFTER_ANOTHER = """
import json, sys
from prefect.cli import app
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        app()
    except SystemExit as end:
        if end.code:
            raise
"""
"""Commands of Prefect in one process, which spends seconds on imports."""

STARTUP_SECONDS = 180
"""Longest wait for the server; a first start on a busy machine creates its database."""


@dataclass
class Loopback:
    """Server, pools, deployments and workers, each a process group of its own; all but the runs end with the block.

    Parameters
    ----------
    home : Path
        Folder of Prefect: its database, unless another one is given. In a copy of one that was used everything is deployed.
    workers : int
        Of the pool of tiles, one run at a time each.
    database : str, optional
        Address as SQLAlchemy writes it, such as ``postgresql+asyncpg://...``; SQLite in `home` by default.
    """

    home: Path
    workers: int = 2
    database: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """Of Prefect, beside those that a loopback needs."""
    environment: dict[str, str] = field(default_factory=dict)
    """For commands that use the server."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """``server`` and workers by name."""

    def __enter__(self) -> Loopback:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.environment = {
            **os.environ, "PREFECT_HOME": str(self.home), "PREFECT_API_URL": f"http://127.0.0.1:{self._port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "ERROR",
            "PREFECT_WORKER_QUERY_SECONDS": "1", "CUDA_VISIBLE_DEVICES": "-1", **self.settings,
        }  # fmt: skip
        if self.database:
            self.environment["PREFECT_API_DATABASE_CONNECTION_URL"] = self.database
        deployed = self.database is None and (self.home / "prefect.db").exists()
        try:
            self.start_server()
            if not deployed:
                pools = [("work-pool", "create", pool, "--type", "process") for pool in ("tiles", "productions")]
                self.prefect_all(*pools, ("--no-prompt", "deploy", "--all"))
            for number in range(self.workers):
                self.start_worker(f"worker-{number + 1}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.running)):
            self.kill(name)

    def start_server(self) -> None:
        """Start the server, or start it again on the same port and database, and wait until it answers."""
        self._start("server", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port))
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.environment['PREFECT_API_URL']}/health", timeout=2).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.running["server"].poll() is not None:
                    raise RuntimeError("the Prefect server does not start") from None
                time.sleep(0.5)

    def start_worker(self, name: str) -> None:
        """Start a worker of the pool of tiles that runs one flow at a time."""
        self._start(name, "-c", COMMAND, "worker", "--pool", "tiles", "--name", name)

    def kill(self, name: str) -> None:
        """Kill a process at once, the server with all that it has started; runs of a killed worker live on."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if name == "server" else process.kill()
        process.wait()

    def prefect(self, *arguments: str) -> str:
        """What a command of Prefect prints; raises if it fails."""
        return self.prefect_all(arguments)

    def prefect_all(self, *commands: Sequence[str]) -> str:
        """What some commands print, one after another; raises if one fails."""
        done = subprocess.run(
            [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)],
            env=self.environment, cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"prefect {commands}: {done.stdout}{done.stderr}")
        return done.stdout

    def _start(self, name: str, *arguments: str) -> None:
        environment = dict(self.environment)
        if name == "server":
            del environment["PREFECT_API_URL"]
        self.running[name] = subprocess.Popen(
            [sys.executable, *arguments], env=environment, cwd=ROOT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
