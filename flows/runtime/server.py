"""The Prefect server of PREFECT_API_URL, checked before anything begins; without that variable Prefect is not even imported."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import tenacity

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.settings.surroundings import temporary_folder

log = logging.getLogger(__name__)

ADDRESS = "PREFECT_API_URL"

QUIET = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_CLI_COLORS": "false"}
"""Keeps Prefect's own lines out of those of a command."""

PATIENCE = 30.0
"""Seconds of tries of a server: it may be starting."""

PAUSE = 2.0
"""Seconds between two tries."""


class AwayError(WorkError):
    """The server does not answer at the moment."""


def named() -> bool:
    """True where the environment names a server."""
    return bool(os.environ.get(ADDRESS))


def prepare_command() -> None:
    """Import Prefect as a quiet client without profiles; InputError for a wrong variable."""
    if "PREFECT_HOME" in os.environ:
        home = Path(os.environ["PREFECT_HOME"])
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"PREFECT_HOME: {home} cannot be made ({error.strerror}); set it to a folder of yours") from None
    else:
        os.environ["PREFECT_HOME"] = str(temporary_folder("prefect"))
    os.environ.pop("PREFECT_PROFILE", None)
    os.environ["PREFECT_PROFILES_PATH"] = os.devnull  # an empty file: no profile
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    _import_prefect()


def prepare_worker() -> None:
    """Import Prefect with profiles and logs; InputError for a wrong variable or profile, or no server."""
    _import_prefect()
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        raise InputError(f"no Prefect server is named: set {ADDRESS}, such as http://server:4200/api, or use a profile with one")


def _import_prefect() -> None:
    """Import Prefect, whose settings are read at that moment."""
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)  # it logs unsent events at the end
    from pydantic import ValidationError

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it prints there what it then raises
            import prefect.context

        assert prefect.context
    except ValidationError as error:
        wrong = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        lines = (f"{_variable(str(e['loc'][0]))}: {e['msg']} (given: {e['input']!r}); correct it" for e in wrong)
        raise InputError("\n".join(lines)) from None
    except ValueError as error:
        raise InputError(f"Prefect's settings cannot be read: {' '.join(str(error).split())}; correct them") from None


def _variable(setting: str) -> str:
    """Variable of a setting of Prefect, or the setting where it comes from a file."""
    found = [name for name in os.environ if name.startswith("PREFECT_") and name.endswith(f"_{setting.upper()}")]
    return f"environment: {', '.join(found)}" if found else f"Prefect's setting {setting}"


def check_server(deployment: str = "", pool: str = "", patience: float = PATIENCE) -> None:
    """Check that the server answers, has the right version, and knows the deployment (``imperviousness/tile``) or work pool.

    WorkError if nothing answers for `patience` seconds; InputError if address, key, version, deployment or pool is wrong.
    """

    def say(state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            log.warning("%s; trying for up to %g s", state.outcome.exception(), patience)

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(AwayError), wait=tenacity.wait_fixed(PAUSE),
        stop=tenacity.stop_before_delay(patience), before_sleep=say, reraise=True,
    )  # fmt: skip
    attempts(_look, deployment, pool)


def _look(deployment: str, pool: str) -> None:
    from prefect import __version__, get_client
    from prefect.client.base import ServerType
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client, _in_one_line(url := _without_password(str(client.api_url))):
        own = __version__.split(".")[0]
        if client.server_type == ServerType.CLOUD:
            client.read_work_pools(limit=1)
        elif (version := client.api_version()).split(".")[0] != own:
            raise InputError(
                f"Prefect: the server {url} is of version {version}, this is {__version__}; their first numbers must be the same"
            )
        if deployment:
            try:
                client.read_deployment_by_name(deployment)
            except ObjectNotFound:
                raise InputError(
                    f"--deployment: {url} has no deployment {deployment!r}; deploy first, prefect --no-prompt deploy --all"
                ) from None
        if pool:
            try:
                kind = client.read_work_pool(pool).type
            except ObjectNotFound:
                raise InputError(
                    f"--pool: {url} has no work pool {pool!r}; make it, prefect work-pool create {pool} --type process"
                ) from None
            if kind != "process":
                raise InputError(f"--pool: {pool!r} is of the type {kind}; name one of the type process")


@contextlib.contextmanager
def _in_one_line(url: str) -> Iterator[None]:
    """Turn errors of a server, or on the way to it, into one line."""
    import httpx

    remedy = f"start the server, or correct {ADDRESS}"
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise InputError(f"{ADDRESS}: {url} is no address such as http://server:4200/api ({error})") from None
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            raise InputError(
                f"Prefect: {url} refuses this user ({code}); set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it asks for"
            ) from None
        if code >= 500 or code in (408, 429):
            raise AwayError(f"Prefect: {url} is not ready ({code}); {remedy}") from None
        raise InputError(f"{ADDRESS}: {url} is no Prefect server ({code}); its address ends with /api") from None
    except httpx.TransportError as error:
        if (cause := _unresolved(error)) and cause.errno != socket.EAI_AGAIN:
            raise InputError(f"{ADDRESS}: the host of {url} is not known ({cause.strerror}); correct it") from None
        raise AwayError(
            f"Prefect: {url} does not answer ({' '.join(str(error).split()) or type(error).__name__}); {remedy}"
        ) from None
    except ValueError:
        raise InputError(f"{ADDRESS}: {url} is no Prefect server; its address ends with /api") from None


def _without_password(url: str) -> str:
    """Address without user and password."""
    parts = urlsplit(url.rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _unresolved(error: BaseException | None) -> socket.gaierror | None:
    """Failed look-up of a host among the causes of an error."""
    while error is not None and not isinstance(error, socket.gaierror):
        error = error.__cause__ or error.__context__
    return error
