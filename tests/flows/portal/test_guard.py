"""Who may ask the portal what: the rules of docs/portal.md as tables, against the running server.

A refused request is one line of JSON, and changes nothing. What comes from another page is refused even with the cookie.
"""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import anyio
import psutil
import pytest
from fastapi import HTTPException

from imperv.flows.cli.commands import main
from imperv.flows.portal import sample_routes
from imperv.flows.portal.app import Turns, create_app
from imperv.flows.portal.guard import POLICY, Access, host_name, is_loopback, known_hosts
from imperv.flows.portal.site import NoSource, Site
from imperv.flows.portal.sites import Sites
from tests.support.portal import portal_on, tile_at
from tests.support.report_store import LEFT, TILE, TOP


@pytest.fixture(scope="module")
def own(portal) -> dict[str, str]:
    """Headers of a change by the portal's own page."""
    return {
        "Origin": portal.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json", "X-Imperv": "1",
    }  # fmt: skip


@pytest.fixture(scope="module")
def cookie(portal, own) -> str:
    status, headers, _ = portal.ask("/api/session", own, "POST", json.dumps({"token": portal.token}))
    assert status == 200
    found = headers["set-cookie"]
    assert "HttpOnly" in found and "SameSite=strict" in found and "Path=/" in found and f"imperv_portal_{portal.port}=" in found
    assert portal.token not in found
    return found.partition(";")[0]


@pytest.fixture(scope="module")
def layer(portal) -> dict:
    return next(entry for entry in portal.get("/api/layers")["layers"] if entry["symbol"] == "IMD_now")


CLOSED = (
    "/api/layers", "/api/site", "/api/version", "/api/tiles", "/api/lists", "/api/value?x=1&y=1", "/api/openapi.json",
    f"/report/{TILE}.report.html", "/map/IMD_now.2018-2021.0/0123456789abcdef/1/0/0.png",
    "/api/layers/IMD_now.2018-2021.0/legend",
    "/nothing", "/api/",
)  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Cookie": "imperv_portal=x"}, {"Cookie": "imperv_portal_PORT=wrong"}, {"Authorization": "Bearer wrong"},
     {"Authorization": "Basic eDp5"}, {"Cookie": "imperv_portal_PORT=\u00ff".encode("latin-1").decode("latin-1")}],
    ids=["nothing", "another cookie", "wrong cookie", "wrong token", "a password", "no ASCII"],
)  # fmt: skip
def test_without_a_session_nothing_is_told(portal, path, headers):
    status, _, body = portal.ask(path, {name: value.replace("PORT", str(portal.port)) for name, value in headers.items()})
    assert status == 401 and set(json.loads(body)) == {"detail"}


def test_the_page_itself_tells_nothing_of_the_store(portal):
    for path in ("/", "/static/js/portal.js", "/static/portal.css", "/favicon.svg"):
        status, _, body = portal.ask(path)
        assert status == 200 and b"Vienna" not in body and TILE.encode() not in body.replace(b"E44N26, Vienna or", b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:PORT", 200), ("localhost:PORT", 200), ("LOCALHOST", 200), ("[::1]:PORT", 200),
     ("evil.example:PORT", 421), ("127.0.0.1.evil.example", 421), ("localhost.", 421), ("evil.example#127.0.0.1", 421),
     ("127.0.0.1@evil.example", 421), ("0.0.0.0:PORT", 421), ("169.254.169.254", 421), ("", 400)],
)  # fmt: skip
def test_other_names_of_the_host_are_refused(portal, host, status):
    """DNS rebinding: a foreign page whose name leads here sends its own name."""
    for path in ("/", "/api/layers"):
        found, _, _ = portal.ask(
            path, {"Host": host.replace("PORT", str(portal.port)), "Authorization": f"Bearer {portal.token}"}
        )
        assert found == status, path


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, 200), ({"Content-Type": "text/plain"}, 415), ({"Content-Type": ""}, 415),
     ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
     ({"Content-Type": "multipart/form-data; boundary=x"}, 415), ({"Origin": ""}, 403), ({"Origin": "null"}, 403),
     ({"Origin": "https://evil.example"}, 403), ({"Origin": "http://127.0.0.1:1"}, 403), ({"Origin": "http://localhost:PORT"},
     403),
     ({"Origin": "http://["}, 403), ({"Origin": "http://[::1"}, 403), ({"Origin": "ftp://127.0.0.1:PORT"}, 403),
     ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "none"}, 403),
     ({"X-Imperv": ""}, 403), ({"X-Imperv": "2"}, 403)],
)  # fmt: skip
def test_changes_come_from_the_own_page(portal, own, cookie, change, status):
    headers = {**own, "Cookie": cookie, **{name: value.replace("PORT", str(portal.port)) for name, value in change.items()}}
    found, answered, _ = portal.ask("/api/session", headers, "POST", json.dumps({"token": portal.token}))
    assert found == status
    assert ("set-cookie" in answered) == (status == 200)


@pytest.mark.parametrize(
    ("body", "status"),
    [('{"token": "wrong"}', 401), ('{"token": 7}', 422), ('{"token": "x", "more": 1}', 422), ("{", 422), ("", 422), ("[]", 422),
     ('{"token": "%s"}' % ("x" * 300), 422), ('{"token": "%s"}' % ("x" * 5000), 413), ('{"token": "\\u0000"}', 401)],
    ids=["wrong", "number", "more", "half", "empty", "list", "long", "huge", "zero"],
)  # fmt: skip
def test_bad_starts_are_refused_in_one_line(portal, own, body, status):
    found, headers, answer = portal.ask("/api/session", own, "POST", body)
    assert found == status and "set-cookie" not in headers
    assert b"\n" not in answer and b"Traceback" not in answer and (len(body) < 20 or body.encode()[:40] not in answer)


def test_a_body_without_end_is_cut(portal, own):
    """Chunked, and with a length that lies."""
    with socket.create_connection(("127.0.0.1", portal.port), timeout=20) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        connection.sendall(
            f"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:{portal.port}\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(64):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            return  # it hung up
        assert b" 413 " in connection.recv(4096)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_nothing_is_changed_by_other_methods(portal, own, cookie, method):
    for path in ("/api/layers", "/", "/static/portal.css", "/api/tiles"):
        status, headers, _ = portal.ask(path, {**own, "Cookie": cookie}, method)
        assert status == 405 and not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    "path",
    ["/map/IMD_now.2018-2021.0/KEY/99/0/0.png", "/map/IMD_now.2018-2021.0/KEY/-1/0/0.png",
     "/map/IMD_now.2018-2021.0/KEY/3/8/0.png",
     "/map/IMD_now.2018-2021.0/KEY/3/0/99999999999999999999.png", "/map/IMD_now.2018-2021.0/KEY/1e3/0/0.png",
     "/map/IMD_now.2018-2021.0/KEY/1/0/0.tif", "/map/IMD_now.2018-2021.0/ffffffffffffffff/1/0/0.png",
     "/map/IMD_now.2018-2021.0/x/1/0/0.png",
     "/map/NOTHING.2018-2021.0/KEY/1/0/0.png", "/map/..%2f..%2fetc%2fpasswd/KEY/1/0/0.png",
     "/map/%2fvsicurl%2fhttp:%2f%2fevil/KEY/1/0/0.png",
     "/map/IMD_now.2018-2021.0%00/KEY/1/0/0.png", "/map/GTIFF_RAW:x.2018.0/KEY/1/0/0.png", "/map/$(id).2018.0/KEY/1/0/0.png",
     "/api/layers/..%2f/legend", "/api/layers/%5c%5chost%5cshare/legend", "/report/..%2f..%2fproduction.report.html",
     "/report/production.report.html", "/report/E99N99.report.html", "/report/E44N26%2f..%2fx.report.html",
     "/static/..%2fapp.py", "/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/js/",
     "/api/value", "/api/value?x=nan&y=1", "/api/value?x=inf&y=1", "/api/value?x=1e99&y=1", "/api/value?x=a&y=1",
     "/api/value?x=1",
     "/docs", "/redoc", "/openapi.json", "/api/flow_runs/filter", "/api/health", "/api/admin/version", "/api/deployments/",
     "/dashboard"],
)  # fmt: skip
def test_paths_that_are_not_there_lead_nowhere(portal, layer, path):
    """Identifiers have a pattern, layers are those of the store; no text of a client becomes a path or a name of GDAL."""
    address = path.replace("KEY", layer["key"])
    status, _, body = portal.ask(address, {"Authorization": f"Bearer {portal.token}"})
    assert status in (404, 405, 410, 422), body
    assert b"Traceback" not in body and b"root:" not in body and b"import" not in body


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 401),
        ({"Origin": "OWN", "Sec-Fetch-Site": "same-origin", "X-Imperv": "1"}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "OWN", "Sec-Fetch-Site": "cross-site", "X-Imperv": "1"}, 403),
        ({"Origin": "OWN", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "none", "X-Imperv": "1"}, 403),
    ],
)
def test_a_proxy_that_adds_the_token_opens_no_way_for_other_pages(portal, more, status):
    """401 is the answer to the wrong start token in the body: the guard has let it pass."""
    headers = {name: value.replace("OWN", portal.origin) for name, value in more.items()}
    bearer = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json"}
    assert portal.ask("/api/session", bearer | headers, "POST", '{"token": "wrong"}')[0] == status


def test_every_answer_has_the_headers_of_safety(portal, layer):
    bearer = {"Authorization": f"Bearer {portal.token}"}
    paths = ("/", "/static/js/portal.js", "/api/layers", "/nothing", f"/map/{layer['id']}/{layer['key']}/12/1726/1294.png")
    for path in paths:
        for headers in (bearer, {}, {"Host": "evil.example"}):
            _, found, _ = portal.ask(path, headers)
            assert found["content-security-policy"] == POLICY, path
            assert found["x-content-type-options"] == "nosniff" and found["referrer-policy"] == "no-referrer"
            assert found["cross-origin-resource-policy"] == "same-origin" and found["x-frame-options"] == "DENY"
            assert "access-control-allow-origin" not in found and "server" not in found
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY
    _, found, _ = portal.ask("/api/layers", bearer)
    assert found["cache-control"] == "no-store"


def test_a_tile_is_kept_by_its_key(portal, layer):
    path = f"/map/{layer['id']}/{layer['key']}/12/1727/1293.png"
    status, headers, body = portal.ask(path, {"Authorization": f"Bearer {portal.token}"})
    assert status == 200 and headers["content-type"] == "image/png" and body.startswith(b"\x89PNG")
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    status, _, body = portal.ask(f"/map/{layer['id']}/{layer['key']}/12/0/0.png", {"Authorization": f"Bearer {portal.token}"})
    assert (status, body) == (204, b"")


def test_many_at_once_take_no_more_memory(portal, layer):
    """200 tiles, eight at once, every one drawn anew; then far more than may wait, which are refused and nothing else."""
    bearer = {"Authorization": f"Bearer {portal.token}"}
    layers = [entry for entry in portal.get("/api/layers")["layers"] if entry["resolution"] == 10]

    def draw(number: int) -> int:
        entry, z = layers[number % len(layers)], (12, 13, 14, 11)[number // len(layers) % 4]
        x, y = tile_at(z, LEFT + 1500, TOP - 1500)
        return portal.ask(f"/map/{entry['id']}/{entry['key']}/{z}/{x}/{y}.png", bearer)[0]

    process = psutil.Process(portal.process.pid)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(draw, range(200))) <= {200, 204}
        grown = []
        for _ in range(3):  # once something else of the process may fall into it
            before = process.memory_info().rss
            assert set(pool.map(draw, range(200))) <= {200, 204}
            grown.append(process.memory_info().rss - before)
        assert min(grown) < 50 * 2**20
    turns = Turns(1, 2)
    with turns.taken(), pytest.raises(HTTPException) as refused:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: turns.places.acquire(blocking=False))
            assert waiting.result()
        with turns.taken():
            raise AssertionError("two are there already")
    assert refused.value.status_code == 503 and refused.value.headers == {"retry-after": "1"}


def test_waiting_takes_not_all_threads():
    """Handlers share AnyIO's threads: what waits in all queues leaves some for the others."""

    async def threads() -> float:
        return anyio.to_thread.current_default_thread_limiter().total_tokens

    app = create_app(Sites(Site(NoSource(), "none")), Access(frozenset(), "token"))
    queues = [app.state.turns, app.state.long_turns, app.state.plan_turns, sample_routes.files]
    places = 0
    for queue in queues:
        with ExitStack() as taken:
            while queue.places.acquire(blocking=False):
                taken.callback(queue.places.release)
                places += 1
    assert 30 <= places < anyio.run(threads)


def test_a_report_is_in_a_sandbox(portal):
    status, headers, body = portal.ask(f"/report/{TILE}.report.html", {"Authorization": f"Bearer {portal.token}"})
    policy = headers["content-security-policy"]
    assert status == 200 and TILE.encode() in body
    assert policy.startswith("sandbox allow-scripts;") and "allow-same-origin" not in policy and "default-src 'none'" in policy
    scripts = re.search(r"script-src ([^;]*)", policy)[1]
    assert scripts.count("'sha256-") == body.count(b"<script>") and "unsafe-inline" not in scripts


def test_the_interface_is_described_without_pages_of_others(portal):
    found = portal.get("/api/openapi.json")
    assert "/map/{name}/{key}/{z}/{x}/{y}.png" in found["paths"] and "/api/value" in found["paths"]
    text = json.dumps(found)
    assert portal.token not in text and "http://" not in text and "https://" not in text


@pytest.mark.slow
def test_links_of_one_start_do_not_open_another(portal, own, production):
    with portal_on(production) as second:
        assert second.token != portal.token
        headers = {**own, "Origin": second.origin}
        assert second.ask("/api/session", headers, "POST", json.dumps({"token": portal.token}))[0] == 401


def test_another_host_needs_a_token(filled, capsys, monkeypatch):
    monkeypatch.delenv("IMPERV_PORTAL_TOKEN", raising=False)
    assert main(["portal", str(filled), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "IMPERV_PORTAL_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("IMPERV_PORTAL_TOKEN", "short")
    assert main(["portal", str(filled), "--port", "0"]) == 2
    assert "5 characters; choose 16 or more" in capsys.readouterr().err


def test_a_named_host_is_answered(filled):
    secret = {"IMPERV_PORTAL_TOKEN": "a secret of this test"}
    with portal_on(
        filled / "store", "--host", "0.0.0.0", "--allow-host", "127.0.0.1", "--allow-host", "maps.example", environment=secret
    ) as running:
        assert running.token == secret["IMPERV_PORTAL_TOKEN"]
        bearer = {"Authorization": f"Bearer {running.token}"}
        assert [
            running.ask("/api/site", {**bearer, "Host": host})[0] for host in ("maps.example", "localhost", "evil.example")
        ] == [200, 421, 421]


def test_hosts():
    assert is_loopback("127.0.0.5") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("::") and not is_loopback("localhost.evil.example")
    assert known_hosts("::1") == {"localhost", "127.0.0.1", "[::1]"} and known_hosts("10.0.0.7", ["Maps.example"]) == {
        "10.0.0.7",
        "maps.example",
    }
    assert [host_name(text) for text in ("A:80", "[::1]:80", "[::1]", "a", "a:b")] == ["a", "[::1]", "[::1]", "a", "a:b"]
