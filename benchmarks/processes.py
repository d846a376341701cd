"""Modules of the benchmarks in processes of their own, whose memory is then theirs alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def told_by(module: str, *arguments: object) -> Any:
    """The last line that `python -m MODULE ARGUMENTS` prints, from JSON.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(command[3:])}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
