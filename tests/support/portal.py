"""A portal as people start it: the command in a process of its own, on a free port of this machine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from imperv.grids.pyramid import EDGE, ORIGIN, pixel_size

STARTING = 300
"""Seconds that a start may take on a machine that is busy."""


def tile_at(z: int, easting: float, northing: float) -> tuple[int, int]:
    """(x, y) of the map tile of a level that holds a place."""
    edge = EDGE * pixel_size(z)
    return int((easting - ORIGIN[0]) // edge), int((ORIGIN[1] - northing) // edge)


@dataclass(frozen=True)
class Portal:
    """A running portal."""

    link: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return urlsplit(self.link).port or 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).fragment)["token"][0]

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: str | bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and body of one request; headers as they are, Host too."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": f"127.0.0.1:{self.port}", **(headers or {})}.items():
                if value:
                    connection.putheader(name, value)
            data = body.encode() if isinstance(body, str) else body
            if data is not None and "Content-Length" not in (headers or {}):
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """JSON of an answer, asked for as a script does."""
        status, _, body = self.ask(path, {"Authorization": f"Bearer {self.token}"})
        assert status == 200, body
        return json.loads(body)

    def settled(self) -> None:
        """Wait until the store is read."""
        end = time.monotonic() + STARTING
        while not _settled(found := self.get("/api/version")) and time.monotonic() < end:
            time.sleep(0.1)
        assert _settled(found)


def _settled(version: Mapping[str, Any]) -> bool:
    return version["progress"] is None and bool(version["state"] or version["trouble"])


@contextmanager
def portal_on(place: Path | str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Portal]:
    """A portal while the block runs; it ends as by Ctrl-C."""
    command = [sys.executable, "-m", "imperv", "portal", str(place), "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            process.kill()
            raise AssertionError(f"{line}{process.communicate()[1]}")
        portal = Portal(line[line.index("http://") :].strip(), process)
        portal.settled()
        yield portal
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.communicate()
