"""One pass of one tile in a process of its own: `python -m imperv.flows.tile.process '{"tile": ..., "config": ..., "until":
...}'`.

What it prints last is one line of JSON: how it ended. Its exit code is that of the command line.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from imperv.flows.runtime.logs import configure
from imperv.flows.runtime.outcomes import kind_of
from imperv.tasks.errors import ImpervError


def main(request: dict[str, Any]) -> int:
    """Run it and say how it ended."""
    configure()
    from imperv.flows.tile.run import run_plain

    try:
        counts = run_plain(
            request["tile"], request["config"], request.get("targets"), request["until"], request.get("refresh", False)
        )
    except ImpervError as error:
        _tell({"kind": kind_of(error), "message": str(error)})
        return 2 if kind_of(error) == "input" else 1
    _tell({"kind": "done", "counts": counts})
    return 0


def _tell(end: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(end) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
