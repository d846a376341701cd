"""The store on S3: s3fs with patience for a server that is gone for a while, and one line for mistakes of access.

fsspec gives `PatientS3` for ``s3://`` as soon as `tasks.store.store` is imported.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientConnectorDNSError
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.patience import BUSY, LONGEST_PAUSE

PATIENCE = 300.0
"""Seconds that a server which has answered before is waited for; ``patience`` of ``store_options`` overrules it."""

FIRST_CONTACT = 10.0
"""Seconds that one is waited for which has never answered: more often its address is wrong."""

log = logging.getLogger(__name__)

_answered: set[str] = set()
"""Servers that have answered this process: file systems for threads and for coroutines are two objects."""


class PatientS3(S3FileSystem):
    """File system of s3fs whose requests are made again, for `patience` seconds, while the server is silent or busy."""

    def __init__(
        self, *args: Any, patience: float = PATIENCE, config_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        # Or botocore would wait as well, without a word.
        once = {"retries": {"total_max_attempts": 1}}
        super().__init__(*args, config_kwargs={**once, **(config_kwargs or {})}, **options)
        self.patience = float(patience)

    @property
    def server(self) -> str:
        """Name of the server for messages."""
        return str(self.endpoint_url or self.client_kwargs.get("endpoint_url") or "s3://")

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        """One request; s3fs makes all of them here."""
        began, pause = 0.0, 0.5
        while True:
            try:
                answer = await super()._call_s3(method, *akwarglist, **kwargs)
            except Exception as error:
                if mistake := self._mistake(error, kwargs.get("Bucket", "")):
                    raise InputError(f"store: {mistake}") from None
                why = _passing(error)
                if not why:
                    raise
                if isinstance(error.__cause__, ClientError):
                    _answered.add(self.server)
                began = began or time.monotonic()
                patience = self.patience if self.server in _answered else min(FIRST_CONTACT, self.patience)
                if time.monotonic() - began > patience:
                    raise WorkError(
                        f"store: {self.server} has not answered for {patience:g} s ({why}); "
                        "run again when it does, what is finished is kept"
                    ) from None
                if pause == 0.5:
                    log.warning("store: %s does not answer (%s); waiting up to %g s", self.server, why, patience)
            else:
                _answered.add(self.server)
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    call_s3 = sync_wrapper(_call_s3)

    async def _cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """A file in one request: to read in parts at once, s3fs would ask for its size first, and list what is not there."""
        return await super()._cat_file(path, *args, **{"max_concurrency": 1, **kwargs})

    def _mistake(self, error: Exception, bucket: str) -> str:
        """Mistake in the request itself, and the remedy; empty if none is known."""
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return (
                f"no keys for s3://{bucket}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in store_options"
            )
        if isinstance(error, ProfileNotFound):
            return f"{error}; correct store_options.profile or add it to the AWS configuration"
        if isinstance(error, EndpointConnectionError) and isinstance(error.kwargs.get("error"), ClientConnectorDNSError):
            return f"{self.server}: there is no such host; correct store_options.endpoint_url"
        if isinstance(error.__cause__, ClientError) and error.__cause__.response["Error"].get("Code") == "NoSuchBucket":
            return f"there is no bucket {bucket} at {self.server}; make it, or correct store or store_options.endpoint_url"
        return ""


def _passing(error: Exception) -> str:
    """Message of a silent or busy server; empty for errors that stay."""
    if isinstance(error.__cause__, ClientError):
        status = int(error.__cause__.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return f"HTTP {status}" if status in BUSY else ""
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError | HTTPClientError) and not isinstance(error, SSLError):
        return re.split(r" (?:to the |on |from )?endpoint URL", " ".join(str(error).split()))[0]
    return ""
