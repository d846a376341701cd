"""Alerts: to a web address that takes Slack's JSON, or to the standard input of a command such as mail.

A failing notifier is logged and tried again for a while; it never stops a production. Addresses are secrets, never shown whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import tenacity
from pydantic import SecretStr

from imperv.tasks.errors import InputError

log = logging.getLogger(__name__)

CONNECT, ANSWER = 5.0, 10.0
"""Time limits of a server, seconds."""

COMMAND = 30.0
"""Time limit of a command, seconds."""

PATIENCE = 600.0
"""Seconds of tries while a production goes on."""

FAREWELL = 30.0
"""Seconds of tries at its end, and in `imperv status`."""

LONGEST_PAUSE = 60.0
"""Longest pause between two tries, seconds."""

BUSY = (408, 425, 429)
"""HTTP codes below 500 that are tried again."""


@dataclass(frozen=True)
class Alert:
    """An alert."""

    event: str
    """One word for programs: ``failed``, ``blocked``, ``ended``, ``stopped``, ``trouble``, ``well``."""
    subject: str
    """One line."""
    lines: tuple[str, ...] = ()
    """Details."""
    facts: dict[str, str] = field(default_factory=dict)
    """By name: production, store, ..."""
    good: bool = False

    @property
    def text(self) -> str:
        """Subject, lines and facts, as commands get them."""
        return "\n".join((self.subject, *self.lines, *(f"{name}: {value}" for name, value in self.facts.items())))

    def as_json(self) -> dict[str, Any]:
        """JSON of Slack's incoming webhooks, also for Mattermost, Rocket.Chat and Discord (``.../slack``)."""
        facts = {"event": self.event, **self.facts}
        fields = [{"title": name, "value": value, "short": len(value) < 40} for name, value in facts.items()]
        color = "good" if self.good else "danger"
        return {"text": self.subject, "attachments": [{"color": color, "text": "\n".join(self.lines), "fields": fields}]}


class NotTakenError(Exception):
    """Failure of a notifier; `passing` where another try may succeed."""

    def __init__(self, why: str, passing: bool) -> None:
        super().__init__(why)
        self.passing = passing


def shown(notifier: SecretStr) -> str:
    """Server or program of a notifier, without secrets."""
    text = notifier.get_secret_value()
    if "://" not in text:
        return shlex.split(text)[0]
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def check_notifiers(notifiers: Iterable[SecretStr]) -> None:
    """Raise InputError if the command of a notifier does not exist."""
    for notifier in notifiers:
        text = notifier.get_secret_value()
        if "://" not in text and shutil.which(shlex.split(text)[0]) is None:
            raise InputError(f"notify: there is no command {shown(notifier)} here; install it, or give an http(s) address")


async def send(notifiers: Sequence[SecretStr], alert: Alert, patience: float = PATIENCE) -> list[bool]:
    """Send an alert to all notifiers at once; for each whether it took it."""
    return list(await asyncio.gather(*(_send(notifier, alert, patience) for notifier in notifiers)))


async def _send(notifier: SecretStr, alert: Alert, patience: float) -> bool:
    name = shown(notifier)

    def say(state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            why = state.outcome.exception()
            log.warning("notify: %s took no alert (%s); trying for up to %g s", name, why, patience)

    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, NotTakenError) and error.passing),
        wait=tenacity.wait_exponential(max=LONGEST_PAUSE), stop=tenacity.stop_before_delay(patience),
        before_sleep=say, reraise=True,
    )  # fmt: skip
    try:
        text = notifier.get_secret_value()
        await attempts(asyncio.to_thread, _post if "://" in text else _run, text, alert)
    except NotTakenError as error:
        log.warning('notify: %s did not take "%s": %s', name, alert.subject, error)
        return False
    except asyncio.CancelledError:
        log.warning('notify: %s did not take "%s" in time', name, alert.subject)
        raise
    return True


def _post(url: str, alert: Alert) -> None:
    import requests  # late: it is slow to import

    try:
        # A redirect would make a GET of it.
        answer = requests.post(url, json=alert.as_json(), timeout=(CONNECT, ANSWER), allow_redirects=False)
    except requests.exceptions.Timeout:
        raise NotTakenError("no answer in time", True) from None
    except requests.exceptions.SSLError:
        raise NotTakenError("its certificate is not trusted", False) from None
    except requests.exceptions.ConnectionError:
        raise NotTakenError("no connection", True) from None
    except (requests.exceptions.RequestException, ValueError) as error:  # its text has the address
        raise NotTakenError(type(error).__name__, False) from None
    if not 200 <= answer.status_code < 300:
        raise NotTakenError(f"HTTP {answer.status_code}", answer.status_code >= 500 or answer.status_code in BUSY)


def _run(command: str, alert: Alert) -> None:
    words = [word.replace("{subject}", alert.subject).replace("{event}", alert.event) for word in shlex.split(command)]
    environment = {**os.environ, "IMPERV_EVENT": alert.event, "IMPERV_SUBJECT": alert.subject}
    try:
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NotTakenError(error.strerror or "it cannot be started", False) from None
    try:
        said, _ = process.communicate(alert.text + "\n", timeout=COMMAND)
    except subprocess.TimeoutExpired:
        # With its children, which would keep its output open.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise NotTakenError(f"not done after {COMMAND:g} s", True) from None
    if process.returncode:
        last = said.strip().splitlines()[-1:]
        raise NotTakenError(": ".join([f"exit code {process.returncode}", *last]), True)
