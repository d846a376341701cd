"""What runs when: the flow of a tile, plans, and the command line.

Prefect reads its settings once, when it is imported, so what a run without a server needs is set here, before: no network
calls of its own, a folder of its own, and a quiet log. Anything that the environment already says stays.
"""

import os
from pathlib import Path

from platformdirs import user_state_path


def _defaults() -> None:
    home = Path(os.environ.get("PREFECT_HOME") or user_state_path("imperv") / "prefect")
    settings = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


_defaults()
