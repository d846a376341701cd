"""Logs of commands and of tile processes: warnings as plain lines, or with IMPERV_LOG=json as one JSON object a line."""

from __future__ import annotations

import logging
import os
import sys

from imperv.tasks.addresses import shown
from imperv.tasks.errors import InputError

FORM, LEVEL = "IMPERV_LOG", "IMPERV_LOG_LEVEL"

FIELDS = "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s"


class _Shown(logging.LogRecord):
    """Text of a record, without secrets in addresses."""

    def getMessage(self) -> str:  # noqa: N802
        """See `logging.LogRecord`."""
        return shown(super().getMessage())


def configure() -> None:
    """Send logs to standard error, from the level IMPERV_LOG_LEVEL (WARNING by default) on; InputError for a wrong variable."""
    logging.setLogRecordFactory(_Shown)
    form, level = os.environ.get(FORM, ""), (os.environ.get(LEVEL) or "WARNING").upper()
    if form not in ("", "json"):
        raise InputError(f"environment: {FORM}: {form!r} is no form of logs; write json or unset it")
    if level not in (known := logging.getLevelNamesMapping()):
        raise InputError(f"environment: {LEVEL}: {os.environ[LEVEL]!r} is no level; write one of {', '.join(known)}")
    if not form:
        return
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(FIELDS))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
