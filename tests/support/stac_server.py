"""A small STAC API on loopback that pages, counts, and fails when told to: what a kept server cannot be made to do."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from shapely.geometry import box, shape

Fault = Callable[[BaseHTTPRequestHandler], None]
"""Answers a request in place of the server."""


@dataclass
class StacServer:
    """State that a test sets and looks at."""

    items: list[dict[str, Any]]
    url: str = ""
    limit: int = 1000
    """Most items of a page, whatever is asked for."""
    count: Callable[[int], int | None] = lambda matched: matched
    """What the server says it has found; None for a server that does not count."""
    count_field: str = "numberMatched"
    methods: tuple[str, ...] = ("GET", "POST")
    faults: deque[Fault] = field(default_factory=deque)
    """Each spoils one search."""
    landing_fault: Fault | None = None
    strays: list[dict[str, Any]] = field(default_factory=list)
    """Given on the first page whatever is asked for."""
    repeat: bool = False
    """Every page is the first."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Parameters of every search."""

    @property
    def collections(self) -> list[str]:
        return sorted({item.get("collection") or "none" for item in self.items})

    def landing(self) -> dict[str, Any]:
        core = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        search = [{"rel": "search", "href": f"{self.url}/search", "method": m} for m in self.methods]
        links = [{"rel": "self", "href": self.url}, *search]
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": "test", "description": "test", "conformsTo": core, "links": links,
        }  # fmt: skip

    def search(self, question: dict[str, Any], method: str) -> dict[str, Any]:
        self.asked.append({**question, "method": method})
        found = [item for item in self.items if self._matches(item, question)]
        start = int(question.get("token", 0))
        size = min(int(question.get("limit", 10)), self.limit)
        page = found[0:size] if self.repeat else found[start : start + size]
        links = []
        if start + size < len(found) or self.repeat:
            token = str(start + size)
            if method == "POST":
                links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": {"token": token}, "merge": True}]
            else:
                flat = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in {**question, "token": token}.items()}
                query = urlencode(flat)
                links = [{"rel": "next", "href": f"{self.url}/search?{query}"}]
        table = {"type": "FeatureCollection", "features": [*(self.strays if not start else []), *page], "links": links}
        counted = self.count(len(found))
        if counted is not None:
            table |= {"numberMatched": counted} if self.count_field == "numberMatched" else {"context": {"matched": counted}}
        return table

    def _matches(self, item: dict[str, Any], question: dict[str, Any]) -> bool:
        if (wanted := question.get("collections")) and item.get("collection") not in wanted:
            return False
        first, last = question["datetime"].split("/")
        west, south, east, north = question["bbox"]
        area = box(west, south, east, north) if west <= east else box(west, south, 180, north) | box(-180, south, east, north)
        return first <= item["properties"]["datetime"] <= last and shape(item["geometry"]).intersects(area)


@contextmanager
def serving(server: StacServer) -> Iterator[StacServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlparse(self.path)
            if address.path == "/search":
                question: dict[str, Any] = {key: values[0] for key, values in parse_qs(address.query).items()}
                question["bbox"] = [float(v) for v in question["bbox"].split(",")]
                question["collections"] = question["collections"].split(",")
                self.search(question, "GET")
            elif address.path == "/":
                server.landing_fault(self) if server.landing_fault else answer(self, server.landing())
            elif address.path == "/collections":
                answer(self, {"collections": [{"id": name} for name in server.collections], "links": []})
            elif address.path.removeprefix("/collections/") in server.collections:
                answer(self, {"type": "Collection", "id": address.path.removeprefix("/collections/")})
            else:
                answer(self, {"code": "NotFoundError"}, 404)

        def do_POST(self) -> None:
            self.search(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), "POST")

        def search(self, question: dict[str, Any], method: str) -> None:
            if method not in server.methods:
                answer(self, {"code": "MethodNotAllowed"}, 405)
            elif server.faults:
                server.asked.append(question)
                server.faults.popleft()(self)
            else:
                answer(self, server.search(question, method))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        server.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        http.shutdown()


def answer(handler: BaseHTTPRequestHandler, table: object, status: int = 200, **headers: str) -> None:
    body = table if isinstance(table, bytes) else json.dumps(table).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int, **headers: str) -> Fault:
    return lambda handler: answer(handler, {"description": "not\nnow"}, code, **headers)


def text(body: bytes) -> Fault:
    return lambda handler: answer(handler, body)


def hang(seconds: float) -> Fault:
    return lambda _: time.sleep(seconds)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    """Ends in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"type": ')
    handler.wfile.flush()
    handler.connection.close()
