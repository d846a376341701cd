"""A real S3 server on loopback, with a bucket and the keys that reach it in the environment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from imperv.tasks.store.store import Store


@contextmanager
def serving_s3(bucket: str) -> Iterator[str]:
    """Address of the server while the block runs; the test is skipped where moto is not installed."""
    moto = pytest.importorskip("moto.moto_server.werkzeug_app")
    from moto.backends import get_backend
    from werkzeug.serving import make_server

    class Quiet(moto.MotoRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_DEFAULT_REGION", "us-east-1")):
            patch.setenv(name, value)
        # The server of S3 alone: that of all services looks for the one that is meant with each request.
        app, one = moto.create_backend_app("s3"), threading.Lock()

        def served(environ, start):  # moto looks first and writes later: two conditional writes at once would both succeed
            with one if "HTTP_IF_NONE_MATCH" in environ else nullcontext():
                return app(environ, start)

        running = make_server("127.0.0.1", 0, served, threaded=True, request_handler=Quiet)
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}"
        try:
            Store(f"s3://{bucket}", {"endpoint_url": url}).fs.mkdir(bucket)
            yield url
        finally:
            running.shutdown()
            running.server_close()
            # What moto holds is the process's, not the server's: the next one would find this bucket.
            get_backend("s3").reset()
