"""Runs of `imperv worker`: forks of one process, with the exit code, streams and death of a process of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from imperv.flows.runtime import warm_run
from imperv.flows.runtime.warm_run import SOCKET as WARM

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = [sys.executable, "-I", "-S", warm_run.__file__]


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Environment of launchers, and the process that forks."""
    folder, home = tmp_path_factory.mktemp("warm"), tmp_path_factory.mktemp("home")
    environment = {**os.environ, WARM: str(folder / "socket"), "PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "INFO"}
    command = [sys.executable, "-m", "imperv.flows.runtime.warm", str(folder / "socket")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "socket").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    assert (folder / "socket").stat().st_mode & 0o077 == 0
    yield environment, process
    process.stdin.close()
    assert process.wait(30) == 0
    assert not folder.exists()


@pytest.fixture
def silent():
    """Address of a server that takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def started(environment, process, silent) -> tuple[subprocess.Popen, psutil.Process]:
    """A launcher and the fork that waits for an answer of the server."""
    run = {"PREFECT_API_URL": silent, "PREFECT__FLOW_RUN_ID": "00000000-0000-0000-0000-000000000001"}
    launcher = subprocess.Popen(LAUNCHER, env=environment | run, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (children := psutil.Process(process.pid).children()):
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return launcher, children[0]


def test_exit_code_and_words_are_those_of_the_run(warm):
    environment, process = warm
    before = psutil.Process(process.pid).cpu_times().children_user
    done = subprocess.run(
        LAUNCHER, env=environment | {"PREFECT__FLOW_RUN_ID": "none"}, capture_output=True, text=True, timeout=60
    )
    cold = subprocess.run(
        [sys.executable, "-m", "prefect.engine"],
        env=environment | {"PREFECT__FLOW_RUN_ID": "none"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == cold.returncode == 1
    assert psutil.Process(process.pid).cpu_times().children_user > before  # it was a fork
    assert done.stderr.splitlines()[-1] == cold.stderr.splitlines()[-1] == "ValueError: badly formed hexadecimal UUID string"


def test_whoever_kills_the_launcher_kills_the_run(warm, silent):
    launcher, child = started(*warm, silent)
    launcher.kill()
    launcher.wait()
    child.wait(10)
    assert not child.is_running()


def test_a_killed_run_looks_killed(warm, silent):
    launcher, child = started(*warm, silent)
    child.kill()
    assert launcher.wait(10) == -signal.SIGKILL


def test_a_signal_reaches_the_run(warm, silent):
    launcher, child = started(*warm, silent)
    child.suspend()
    time.sleep(0.5)
    launcher.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert launcher.poll() is None  # it passes the signal on and waits for what becomes of the run
    child.resume()
    child.wait(20)
    assert launcher.wait(10) == -signal.SIGTERM


def test_without_anybody_to_ask_it_is_the_run_itself(tmp_path):
    environment = {**os.environ, WARM: str(tmp_path / "nothing"), "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(LAUNCHER, env=environment | {"PREFECT__FLOW_RUN_ID": "none"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: badly formed hexadecimal UUID string"


def test_a_launcher_that_is_gone_or_silent_stops_nobody(warm):
    """Killed between its request and the answer, or stopped before the request."""
    environment, process = warm
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(environment[WARM])
        for _ in range(3):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gone:
                gone.connect(environment[WARM])
                request = json.dumps({"environment": environment, "folder": str(ROOT)}).encode()
                socket.send_fds(gone, [request], [0, 1, 2])
        done = subprocess.run(
            LAUNCHER, env=environment | {"PREFECT__FLOW_RUN_ID": "none"}, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1 and process.poll() is None
    files = psutil.Process(process.pid).num_fds()
    subprocess.run(LAUNCHER, env=environment | {"PREFECT__FLOW_RUN_ID": "none"}, capture_output=True, timeout=60)
    assert psutil.Process(process.pid).num_fds() <= files


def test_nonsense_harms_nobody(warm):
    environment, process = warm
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as someone:
        someone.connect(environment[WARM])
        someone.send(b"nonsense")
        assert someone.recv(10) == b""
    assert process.poll() is None
