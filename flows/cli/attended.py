"""Commands, one after another, in a process that somebody watches: `python -m imperv.flows.cli.attended FILE '[["run", ...]]'`.

FILE says what it is at and how it ended (`flows.tile.progress_file`). The first command that fails is the last.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from imperv.flows.cli.commands import main
from imperv.flows.tile.progress import listening
from imperv.flows.tile.progress_file import ProgressFile

NICE = 10
"""Added to the niceness: whoever watches wants answers meanwhile."""


def attend(file: Path, commands: Sequence[Sequence[str]]) -> int:
    """Run commands; the exit code of the last one."""
    told, code = ProgressFile(file), 1
    try:
        with listening(told):
            for command in commands:
                code = 1  # of what escapes
                if code := int(main(command)):
                    break
    finally:
        told.end(code)
    return code


if __name__ == "__main__":
    os.nice(NICE)
    sys.exit(attend(Path(sys.argv[1]), json.loads(sys.argv[2])))
