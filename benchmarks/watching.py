"""What is said of a production that goes wrong, on a real Prefect server with a worker on loopback: `python -m benchmarks.watching`.

For each mishap of `tests.support.watching`, what `imperv status`, `status --check`, the alerts of the parent and of cron, the server's automations
and the metrics say, and after how many seconds. What is printed is a Markdown table; docs/operations.md has it in short.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.orchestration import FOLDER
from tests.support.prefect_loopback import Loopback
from tests.support.watching import QUICK, Rehearsal, Seen, rehearse
from tests.support.webhook_server import receiving


def table(seen: list[Seen]) -> str:
    """Markdown."""
    head = "| case | seconds | status | check | troubles | parent tells | cron tells | server tells | metrics |"
    rows = [
        f"| {s.case} | {s.seconds} | {'<br>'.join(s.status)} | {s.check} | {'<br>'.join(t['text'] for t in s.troubles)} | "
        f"{'<br>'.join(s.parent)} | {'<br>'.join(s.cron)} | {'<br>'.join(s.server)} | "
        f"{', '.join(f'{k}={v:g}' for k, v in s.metrics.items() if v and 'timestamp' not in k and 'bytes' not in k)} |"
        for s in seen
    ]
    return "\n".join([head, "|---" * 9 + "|", *rows])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heartbeat", type=float, default=30.0, help="seconds between two signs of life")
    parser.add_argument("--quick", action="store_true", help="workers that are gone are noticed in seconds")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "prefect", ignore_errors=True)
    with (
        receiving() as parent, receiving() as cron, receiving() as server,
        Loopback(folder / "prefect", 1, settings=QUICK if given.quick else {}) as loopback,
    ):  # fmt: skip
        print(table(rehearse(Rehearsal(loopback, folder, given.heartbeat, parent, cron, server), patient=True)))


if __name__ == "__main__":
    main(sys.argv[1:])
