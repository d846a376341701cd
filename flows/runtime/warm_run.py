"""What a worker starts for a run: asks `warm` for a fork, or is the run itself where nobody answers.

Runs as a file, without site packages, so that it starts in milliseconds: standard library only.
"""

import contextlib
import json
import os
import signal
import socket
import sys

SOCKET = "IMPERV_WARM"
"""Environment variable that names the socket of `warm`; set in the processes of a worker."""

PATIENCE = 30.0
"""Seconds that a fork is waited for; closing the connection ends one that comes late."""


def main() -> int:
    """Exit code of the run."""
    path = os.environ.get(SOCKET, "")
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE)
        connection.connect(path)
        request = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()  # noqa: PTH109
        socket.send_fds(connection, [request], [0, 1, 2])
        pid = json.loads(connection.recv(4096))["pid"]
        connection.settimeout(None)
    except (OSError, ValueError):
        os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect.engine"])

    def forward(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, forward)
    end = connection.recv(4096)
    code = json.loads(end)["code"] if end else 1
    if code < 0:  # killed by a signal: so is this
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
