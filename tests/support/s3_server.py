"""A real S3 server on loopback, with a bucket and the keys that reach it in the environment."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from imperv.tasks.store.store import Store


@contextmanager
def serving_s3(bucket: str) -> Iterator[str]:
    """Address of the server while the block runs; the test is skipped where moto is not installed."""
    moto = pytest.importorskip("moto.server")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1")):
            patch.setenv(name, value)
        running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        url = "http://{}:{}".format(*running.get_host_and_port())
        try:
            Store(f"s3://{bucket}", {"endpoint_url": url}).fs.mkdir(bucket)
            yield url
        finally:
            # What moto holds is the process's, not the server's: the next one would find this bucket.
            urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=30).close()
            running.stop()
