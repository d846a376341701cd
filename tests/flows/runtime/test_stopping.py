"""SIGTERM and SIGHUP end a command with one line, and with the processes that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]

WAITING = """
import sys, time
from imperv.flows.cli import commands as cli

@cli.app.command("wait")
def wait(kind: str) -> None:
    print("ready", flush=True)
    if kind == "plain":
        time.sleep(60)
    import asyncio, contextlib

    async def child() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
        try:
            print(process.pid, flush=True)
            await process.wait()
        finally:
            process.kill()
            await process.wait()

    asyncio.run(child())

sys.exit(cli.main(sys.argv[1:]))
"""
"""The command, with one more that waits as `run` does, or as `europe` does for its processes."""


def as_in_the_foreground() -> None:
    """Whoever runs these tests in the background ignores interrupts."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("kind", ["plain", "processes"])
def test_a_signal_ends_a_command_with_one_line(number, kind):
    command = subprocess.Popen(
        [sys.executable, "-c", WAITING, "wait", kind],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=as_in_the_foreground,
    )  # fmt: skip
    assert command.stdout.readline() == "ready\n", command.stderr.read()
    child = psutil.Process(int(command.stdout.readline())) if kind == "processes" else None
    command.send_signal(number)
    _, said = command.communicate(timeout=300)
    assert said.strip() == "imperv: stopped; what is finished is kept, run again to go on"
    assert command.returncode == 128 + number
    assert child is None or not child.is_running()


def test_a_job_in_the_background_that_ignores_interrupts_still_ends():
    """A shell starts its background jobs like that."""
    command = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", WAITING, "wait", "processes"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert command.stdout.readline() == "ready\n"
    child = psutil.Process(int(command.stdout.readline()))
    os.kill(command.pid, signal.SIGTERM)
    _, said = command.communicate(timeout=300)
    assert "imperv: stopped" in said and "Traceback" not in said and command.returncode == 143
    assert not child.is_running()
