"""A Prefect server that a user names: what is wrong with it or the way to it is said in one line. Servers are on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imperv.flows.runtime.server import check_server
from imperv.tasks.errors import InputError, WorkError

ROOT = Path(__file__).resolve().parents[3]

LOOK = """
import sys
from imperv.flows.runtime.server import check_server, prepare_command
from imperv.tasks.errors import ImpervError
try:
    prepare_command()
    check_server(*sys.argv[1:], patience=0)
except ImpervError as error:
    print(type(error).__name__, error)
"""


@contextmanager
def serving(status: int, body: str, port: int = 0) -> Iterator[str]:
    """Address of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def said(*arguments: str, code: str = LOOK, **environment: str) -> str:
    """What is printed; nothing else may be on standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=240
    )
    assert done.stderr == "" and done.returncode == 0
    return done.stdout.strip()


def look(url: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        check_server(patience=0)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '"2.20.14"', "Prefect: the server {url} is of version 2.20.14, this is 3."),
        (401, "{}", "Prefect: {url} refuses this user (401); set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"),
        (404, "{}", "PREFECT_API_URL: {url} is no Prefect server (404); its address ends with /api"),
        (200, "<html>", "PREFECT_API_URL: {url} is no Prefect server; its address ends with /api"),
    ],
)
def test_answers_that_are_none_of_a_server_of_ours(status, body, expected):
    with serving(status, body) as url, pytest.raises(InputError, match=re.escape(expected.format(url=url))):
        look(url)


def test_an_older_server_of_the_same_first_number_will_do():
    with serving(200, '"3.0.0"') as url:
        look(url)


def test_a_server_that_is_not_ready():
    with serving(500, "{}") as url, pytest.raises(WorkError, match=r"is not ready \(500\); start the server"):
        look(url)


def test_nobody_listens_and_the_password_is_not_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}/api"
    with pytest.raises(WorkError, match=rf"^Prefect: http://{place} does not answer .*; start the server"):
        look(f"http://anna:secret@{place}")


def test_one_that_is_starting_is_waited_for(monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr("imperv.flows.runtime.server.PAUSE", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = threading.Event()

    def late() -> None:
        time.sleep(1)
        with serving(200, '"3.0.0"', port):
            begun.set()
            time.sleep(20)

    threading.Thread(target=late, daemon=True).start()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        check_server(patience=15)
    assert begun.is_set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PREFECT_API_URL": "http://nobody.invalid/api"}, "PREFECT_API_URL: the host of http://nobody.invalid/api is not known"),
        (
            {"PREFECT_API_URL": "server:4200"},
            "InputError PREFECT_API_URL: server:4200 is no address such as http://server:4200/api",
        ),
        (
            {"PREFECT_API_REQUEST_TIMEOUT": "soon"},
            "InputError environment: PREFECT_API_REQUEST_TIMEOUT: Input should be a valid number",
        ),
        ({"PREFECT_LOGGING_LEVEL": "loud"}, "InputError environment: PREFECT_LOGGING_LEVEL: Input should be 'DEBUG', 'INFO'"),
        ({"PREFECT_HOME": "/dev/null/prefect"}, "InputError PREFECT_HOME: /dev/null/prefect cannot be made"),
    ],
)
def test_wrong_variables(environment, expected):
    found = said(**{"PREFECT_API_URL": "http://127.0.0.1:1/api"} | environment)
    if "host of" in expected and "AwayError" in found:
        pytest.skip("no name server says whether the host is there")
    assert expected in found and len(found.splitlines()) == 1


@pytest.mark.slow
def test_a_command_reads_no_profile(tmp_path):
    """It would send what the user of another server logs in with."""
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_KEY = "secret"\nPREFECT_API_REQUEST_TIMEOUT = "soon"\n'
    )
    code = LOOK + "\nfrom prefect.settings import get_current_settings\nprint(get_current_settings().api.key)"
    with serving(200, json.dumps("3.0.0")) as url:
        assert said(code=code, PREFECT_API_URL=url, HOME=str(tmp_path), PREFECT_PROFILE="mine") == "None"


@pytest.mark.slow
def test_without_a_server_prefect_is_not_even_imported():
    """So no database, variable or profile of it can be in the way, and a command starts seconds earlier."""
    code = "import sys, imperv.flows.production.running, imperv.flows.cli.many, imperv.flows.cli.imperviousness.demo"
    code += "; import imperv.flows.production.run, imperv.flows.cli.commands; print('prefect' in sys.modules)"
    assert said(code=code, PREFECT_HOME="/dev/null", PREFECT_API_REQUEST_TIMEOUT="soon") == "False"


@pytest.mark.slow
def test_a_worker_without_a_server():
    code = "import sys; from imperv.flows.cli.commands import main; sys.stderr = sys.stdout; print(main(sys.argv[1:]))"
    found = said("worker", code=code)
    assert found.splitlines()[0].startswith("imperv: no Prefect server is named: set PREFECT_API_URL") and found.endswith("\n2")


def test_a_worker_whose_server_is_away_says_so_in_a_line(capsys):
    """Prefect's own loop; it printed a traceback of every kind of error at each step."""
    import httpx

    from imperv.flows.runtime.worker import base

    asked = iter([True] * 4 + [False] + [True] * 9)

    async def ask() -> None:
        if next(asked):
            raise httpx.ConnectError("All connection attempts failed")

    said, heard = [], logging.Handler()
    heard.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("imperv.flows.runtime.worker").addHandler(heard)
    with pytest.raises(RuntimeError, match="error threshold"):
        asyncio.run(base.critical_service_loop(ask, interval=0.01, backoff=3))
    logging.getLogger("imperv.flows.runtime.worker").removeHandler(heard)
    away = "the Prefect server does not answer; next try in "
    assert said == [f"{away}0.02s", "the Prefect server answers again", f"{away}0.02s", f"{away}0.04s"]
    assert capsys.readouterr().out == ""
