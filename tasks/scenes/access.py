"""Files of scenes on object stores and web servers: GDAL's configuration for them, and patience with silent servers.

A file that its server refuses (403, 404), never gives although it gives others, or whose content is damaged is the trouble of a
scene; a server that does not answer is waited for and then fails the work, for no scene may be left out because of it. GDAL's
messages do not distinguish them reliably, so the server itself is asked.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from os import environ
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import rasterio
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound
from botocore.session import Session
from rasterio.errors import RasterioError
from rasterio.session import DummySession

from imperv.tasks.addresses import is_signed, shown
from imperv.tasks.errors import InputError, SceneError, WorkError
from imperv.tasks.patience import BUSY, LONGEST_PAUSE
from imperv.tasks.settings.scenes import SceneAccess

T = TypeVar("T")

LOCAL = SceneAccess()
"""Access with nothing set, as local files need it."""

ALWAYS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_NUM_THREADS": 1,
    "VSI_CACHE": False,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "CPL_VSIL_CURL_CACHE_SIZE": 2**26,
}
"""GDAL settings whatever is read: no directory listings and no search for side-car files (so that a list of allowed extensions,
on which signed addresses would fail, is not needed), a small cache of pixels (bytes), parallelism over files and not inside a
read; adjoining blocks in one request, the header of a usual COG in one, and headers of a year of scenes kept (bytes)."""

NAMED_SIDECARS = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
"""The same for files on disks, where a look for masks and headers beside them, by name and without a listing, costs nothing."""

SLOWEST = 1
"""Bytes a second below which a transfer counts as hanging."""

PATIENT_TRANSFER = 20
"""A single transfer may take this many times the timeout for silence."""

TRIES = 3
"""Failures of a file whose server answers before the file counts as damaged."""

PASSING = re.compile(r"response code: (429|5\d\d)|[Cc]ould not connect|refused|[Tt]imed out|too slow|reset by peer|SlowDown")
"""GDAL's messages on passing troubles; everything else is decided by asking the server."""

REMOTE = re.compile(r"(?:.*?/vsicurl/)?(?P<url>https?://.+)|(?:s3://|.*?/vsis3/)(?P<bucket>[^/]+)/(?P<key>.+)")
INSIDE_ZIP = re.compile(r"^/vsizip/+(.*?\.zip)\b", re.IGNORECASE)

RAN_OUT = "its signature may have run out"
"""Hint at the refusal of a signed address."""

RAN_OUT_SAYS = (400, 401, 403)
"""Answers to signatures that have run out; 400 is that of temporary keys of S3 and of Google's servers."""

ACCESS_REFUSED = re.compile(r"\(HTTP 40[13]\b")
"""A refusal of access in the reason of a `SceneError`."""

log = logging.getLogger(__name__)


def is_remote(path: str) -> bool:
    """True for a path on a web server or object store."""
    return REMOTE.fullmatch(path) is not None


def files_at_once(paths: Iterable[str], workers: int, access: SceneAccess) -> int:
    """Files to read at once: as many as there are workers, or more where any lies elsewhere and is waited for."""
    return max(workers, access.concurrency) if any(is_remote(path) for path in paths) else workers


def gdal_path(path: str) -> str:
    """The name under which GDAL knows a file: ``s3://bucket/key`` and ``https://...`` become its virtual file systems."""
    if path.startswith("s3://"):
        return f"/vsis3/{path.removeprefix('s3://')}"
    return f"/vsicurl/{path}" if path.startswith(("http://", "https://")) else path


def gdal_options(access: SceneAccess) -> dict[str, Any]:
    """GDAL's configuration for reading scenes, local ones too. Holds no secrets: keys are GDAL's to find in the environment."""
    options: dict[str, Any] = {
        **ALWAYS,
        "GDAL_HTTP_CONNECTTIMEOUT": access.connect_timeout,
        "GDAL_HTTP_LOW_SPEED_TIME": max(1, round(access.timeout)),
        "GDAL_HTTP_LOW_SPEED_LIMIT": SLOWEST,
        "GDAL_HTTP_TIMEOUT": max(1, round(PATIENT_TRANSFER * access.timeout)),
        "GDAL_HTTP_MAX_RETRY": access.retries,
        "GDAL_HTTP_RETRY_DELAY": 0.5,
        "GDAL_HTTP_RETRY_CODES": ",".join(map(str, BUSY)),
    }
    if access.unsigned:
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    if access.profile:
        options["AWS_PROFILE"] = access.profile
    if file := environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        options["CPL_AWS_CREDENTIALS_FILE"] = file  # GDAL does not know boto's name for it
    if access.endpoint_url:
        parts = urlsplit(access.endpoint_url)
        options |= {
            "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    if access.region:
        options["AWS_REGION"] = access.region
    if access.requester_pays:
        options["AWS_REQUEST_PAYER"] = "requester"
    return options


class _Keys(DummySession):
    """Leaves it to GDAL to find keys; rasterio would look for them by itself at every call, where boto3 is installed."""

    def __init__(self, access: SceneAccess) -> None:
        super().__init__()
        # With GDAL keys of the environment beat a profile, unless they are empty.
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN") if access.profile else ()
        self.credentials = dict.fromkeys(names, "")

    def get_credential_options(self) -> dict[str, str]:
        """GDAL's options."""
        return dict(self.credentials)


def environment(access: SceneAccess = LOCAL, path: str = "", **more: Any) -> rasterio.Env:
    """GDAL's environment for reading a file; for use with ``with``.

    Local files may have a mask (``.msk``) or more of their header (``.aux.xml``) beside them. Nothing is asked for beside remote
    files: their addresses are those of single files.
    """
    sidecars = NAMED_SIDECARS if path and not is_remote(path) else {}
    return rasterio.Env(session=_Keys(access), **{**gdal_options(access), **sidecars, **more})


class Answer(NamedTuple):
    """Answer of a server about a file."""

    state: Literal["there", "refused", "silent"]
    detail: str


def ask(path: str, access: SceneAccess) -> Answer:
    """Ask the server of a file once whether it is there; InputError if there are no keys to ask with."""
    inside = INSIDE_ZIP.match(path)
    found = REMOTE.fullmatch(inside[1] if inside else path)
    if found is None:
        return Answer("there", "")
    return _ask_web(found["url"], access) if found["url"] else _ask_s3(found["bucket"], found["key"], access)


def _ask_web(url: str, access: SceneAccess) -> Answer:
    # Not HEAD: signed addresses allow one method only.
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=access.timeout):
            return Answer("there", "")
    except urllib.error.HTTPError as error:
        error.close()
        hint = f", {RAN_OUT}" if error.code in RAN_OUT_SAYS and is_signed(url) else ""
        return _judged(error.code, f"HTTP {error.code} {error.reason}{hint}")
    except urllib.error.URLError as error:
        return Answer("silent", _first_line(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer("silent", _first_line(error))


def _ask_s3(bucket: str, key: str, access: SceneAccess) -> Answer:
    payer = {"RequestPayer": "requester"} if access.requester_pays else {}
    try:
        # Not HEAD: its answers have no words, and a busy server may give it when it gives nothing else.
        _s3(access).get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **payer)["Body"].close()
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return _judged(status, f"HTTP {status} {error.response['Error'].get('Message', '')}".rstrip())
    except (NoCredentialsError, PartialCredentialsError):
        raise InputError(
            f"scenes.access: no keys for s3://{bucket}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "name a profile, or set unsigned = true for a public bucket"
        ) from None
    except (BotoCoreError, OSError) as error:
        return Answer("silent", _first_line(error))
    return Answer("there", "")


def _judged(status: int, text: str) -> Answer:
    if status == 416:  # an empty file has no first byte
        return Answer("there", text)
    return Answer("silent" if status in BUSY or status >= 500 else "refused", text)


@functools.lru_cache(maxsize=8)
def _s3(access: SceneAccess) -> Any:
    try:
        session = Session(profile=access.profile or None)
        return session.create_client(
            "s3", region_name=access.region or None, endpoint_url=access.endpoint_url or None,
            config=Config(
                connect_timeout=access.connect_timeout, read_timeout=access.timeout, retries={"total_max_attempts": 1},
                signature_version=UNSIGNED if access.unsigned else None,
                s3={"addressing_style": "path"} if access.endpoint_url else None,
            ),
        )  # fmt: skip
    except ProfileNotFound:
        raise InputError(
            f"scenes.access.profile: {access.profile!r} is not in the AWS configuration; correct the name or add the profile"
        ) from None


def server_of(path: str, access: SceneAccess) -> str:
    """Name of the server that a remote file lies on."""
    found = REMOTE.fullmatch(path)
    if found and found["url"]:
        return "://".join(urlsplit(found["url"])[:2])
    return access.endpoint_url or f"s3://{found['bucket'] if found else ''}"


_silent_since: dict[str, float] = {}
"""Servers that do not answer at present, and since when, by the monotonic clock: all readers give up together."""
_given: dict[str, str] = {}
"""A file that could be read of each server, to distinguish a file that is never given from a server that is gone."""
_silence = threading.Lock()


def patiently(path: str, scene: str, access: SceneAccess, read: Callable[[], T]) -> T:
    """The result of `read`, which opens a file inside of `environment(access)`, tried again as long as there is hope.

    SceneError if the file is missing, refused, damaged, or not given within `access.patience` by a server that gives others;
    WorkError if its server does not answer within it.
    """
    damaged, pause, began = 0, 0.5, 0.0
    while True:
        try:
            result = read()
        except (RasterioError, OSError) as error:
            detail = " / ".join(_first_line(e) for e in _chain(error))
        else:
            if is_remote(path):
                server = server_of(path, access)
                _given[server] = path
                if _silent_since:
                    _speaks(server)
            return result
        # From here outside of the handler: GDAL's own error could not travel from a worker process along with ours.
        answer = ask(path, access) if is_remote(path) else Answer("there", "")
        if answer.state == "refused":
            forget(path, access)
            raise SceneError(scene, f"{path} cannot be read ({answer.detail})")
        if answer.state == "there" and not (is_remote(path) and PASSING.search(detail)):
            damaged += 1
            if damaged >= TRIES or not is_remote(path):
                forget(path, access)
                raise SceneError(scene, f"{path} cannot be read ({detail.split(' / ')[-1]})")
        else:
            began = began or time.monotonic()
            _wait_or_give_up(path, scene, access, answer.detail or detail, began)
        time.sleep(min(pause, max(access.patience / 10, 0.05)) * random.uniform(0.8, 1.2))
        pause = min(2 * pause, LONGEST_PAUSE)
        forget(path, access)


def _wait_or_give_up(path: str, scene: str, access: SceneAccess, why: str, began: float) -> None:
    server, now = server_of(path, access), time.monotonic()
    with _silence:
        first = server not in _silent_since
        since = _silent_since.setdefault(server, now)
    # A server may answer for every file but this one: then others reset the clock that all share, but not this reader's own.
    if now - min(since, began) > access.patience:
        if _gives_others(server, path, access):
            _speaks(server)
            if now - began > access.patience:
                forget(path, access)
                raise SceneError(
                    scene, f"{path} cannot be read ({why} for {access.patience:g} s, while {server} gives other files)"
                )
            return
        raise WorkError(
            f"{server} has not answered for {access.patience:g} s ({why}), asked for {path}; "
            "run again when it does, what is finished is kept"
        )
    if first:
        log.warning("%s does not answer (%s); waiting up to %g s", server, shown(why), access.patience)


def _gives_others(server: str, path: str, access: SceneAccess) -> bool:
    """True where a server gives a file that it has given before."""
    other = _given.get(server, path)
    return other != path and ask(other, access).state == "there"


def _speaks(server: str) -> None:
    with _silence:
        _silent_since.pop(server, None)


def forget(path: str, access: SceneAccess) -> None:
    """Make GDAL forget what it knows of a remote file: it remembers failures and what it has got of a file that was cut off."""
    if not is_remote(path):
        return
    # Of a file opened so, everything is thrown away when it is closed; colons end a name there, a beginning is enough.
    name = gdal_path(path)
    with contextlib.suppress(RasterioError, OSError), environment(access, CPL_VSIL_CURL_NON_CACHED=name), rasterio.open(name):
        pass


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 5:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
