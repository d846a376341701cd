"""Logs of commands and of tile processes: warnings as plain lines, or with IMPERV_LOG=json as one JSON object a line."""

from __future__ import annotations

import logging
import os
import sys

FIELDS = "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s"


def configure() -> None:
    """Send logs of this process to standard error; IMPERV_LOG_LEVEL says from which level on, WARNING without it."""
    if os.environ.get("IMPERV_LOG", "") != "json":
        return
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(FIELDS))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("IMPERV_LOG_LEVEL", "WARNING").upper())
