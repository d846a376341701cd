"""A web server of a folder for tests and benchmarks: byte ranges, a log of requests, and faults on demand."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_USED: set[int] = set()
"""Ports of earlier servers: GDAL keeps what it has read of an address as long as the process lives."""


@dataclass
class Fault:
    """What goes wrong with paths that contain `part`."""

    part: str
    status: int = 0
    """Answer instead of the file."""
    hang: float = 0
    """Seconds of silence before the answer."""
    cut: int = 0
    """Bytes that the file seems to have."""
    times: int = 10**9
    """How often, counted over all paths."""


@dataclass
class Request:
    """One request that was answered."""

    method: str
    path: str
    range: str
    sent: int
    headers: dict[str, str]


@dataclass
class RangeServer:
    """Serves `folder` on a port of the loopback that stays the same from start to start."""

    folder: Path
    faults: list[Fault] = field(default_factory=list)
    signature: str = ""
    """Words that the query of a request must hold, or it is refused (403)."""
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    kills: int = 0
    """For tests to count in."""
    after: dict[int, threading.Event] = field(default_factory=dict)
    """Events that are set when so many requests have been answered."""
    _server: ThreadingHTTPServer | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> int:
        """Bytes of all answers, headers left out."""
        return sum(r.sent for r in self.requests)

    def start(self) -> RangeServer:
        while self._server is None:
            server = _Server(("127.0.0.1", self.port), _handler(self))
            if self.port or server.server_address[1] not in _USED:
                self._server = server
            else:
                server.server_close()
        self.port = self._server.server_address[1]
        _USED.add(self.port)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections, as a killed server does."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def fault_of(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.part in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            count = len(self.requests)
        for number, event in self.after.items():
            if count >= number:
                event.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:  # connections that are cut are what is tested
        pass


def _handler(owner: RangeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with owner._lock:
                owner._open.add(self.request)

        def finish(self) -> None:
            with owner._lock:
                owner._open.discard(self.request)
            super().finish()

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            fault = owner.fault_of(path)
            if fault and fault.hang:
                time.sleep(fault.hang)
            if fault and fault.status:
                self._empty(fault.status)
                return
            if owner.signature not in urlsplit(self.path).query:
                self._empty(403)
                return
            file = owner.folder / path.lstrip("/")
            if not file.is_file():
                self._empty(404)
                return
            size = min(file.stat().st_size, fault.cut) if fault and fault.cut else file.stat().st_size
            first, last = 0, size - 1
            if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(wanted[1]), min(int(wanted[2] or last), last)
                if first >= size:
                    self._empty(416)
                    return
            with file.open("rb") as source:
                source.seek(first)
                body = b"" if self.command == "HEAD" else source.read(last - first + 1)
            owner.note(Request(self.command, path, self.headers.get("Range", ""), len(body), dict(self.headers)))
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(body)

        def _empty(self, status: int) -> None:
            owner.note(Request(self.command, self.path, self.headers.get("Range", ""), 0, dict(self.headers)))
            self.send_response(status, HTTPStatus(status).phrase)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """A running server of a folder."""
    server = RangeServer(folder).start()
    try:
        yield server
    finally:
        server.stop()
