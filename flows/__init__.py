"""What runs when: the flow of a tile, plans, and the command line.

Libraries read the environment once, when they are imported, so what every process here needs of it is set before. Anything that
the environment already says stays.
"""

import os

TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}

PREFECT = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""No calls of its own to anybody."""

GDAL = {"GDAL_CACHEMAX": "128"}
"""Megabytes of decoded blocks, in place of a twentieth of the machine, which nobody counts: two rows of blocks of 1024 pixels of
a tile at 10 m, and of a country's raster in strips."""


def assume(settings: dict[str, str]) -> None:
    """Set environment variables that are not set."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)


assume(TENSORFLOW | PREFECT | GDAL)
