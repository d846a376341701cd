"""What runs when: the flow of a tile, plans, and the command line.

Prefect reads its settings once, when it is imported, so what a run without a server needs is set here, before: no network
calls of its own, a folder of its own, and a quiet log. Anything that the environment already says stays.
"""

import os

from platformdirs import user_state_path

from flows.warm_run import SOCKET as WARM

TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}

PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_HOME": str(user_state_path("imperv") / "prefect"),
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_CLI_COLORS": "false",
}
"""Of commands; a worker and its runs have what Prefect assumes by itself, and write their logs to its server."""


def assume(settings: dict[str, str]) -> tuple[str, ...]:
    """Set environment variables that are not set; their names."""
    missing = tuple(name for name in settings if name not in os.environ)
    os.environ.update({name: settings[name] for name in missing})
    return missing


assume(TENSORFLOW)
ASSUMED = () if WARM in os.environ else assume(PREFECT)
"""What was set here of Prefect's; nothing in the processes of a worker."""
