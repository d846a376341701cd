"""A web server on loopback that takes alerts, with answers as they are scripted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """What a server was sent."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Status of the next answers, 200 once there are no more; a negative one is a number of seconds without an answer."""
    got: list[dict[str, Any]] = field(default_factory=list)
    """Bodies that were taken with 200."""
    asked: int = 0

    def events(self) -> list[str]:
        """What the alerts taken were about."""
        return [body["attachments"][0]["fields"][0]["value"] for body in self.got]


@contextmanager
def receiving(*answers: int) -> Iterator[Hook]:
    """A server while the block runs."""
    hook = Hook(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = hook.answers.pop(0) if hook.answers else 200
            if answer < 0:
                time.sleep(-answer)
                return
            if answer == 200:
                hook.got.append({**body, "type": self.headers["Content-Type"]})
            self.send_response(answer)
            self.send_header("Content-Length", "2")
            if answer in (301, 302):
                self.send_header("Location", hook.url)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/SECRET"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
