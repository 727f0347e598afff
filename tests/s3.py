"""An S3-compatible server in this process: moto's, with a count of requests, and faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


class S3Server:
    """Listens on 127.0.0.1; use it in a ``with`` block.

    Attributes:
        requests: Method and path of every request so far.
        fault: Called with method and path before a request is answered; the status and code of an
            S3 error to answer with, ``None`` to let it by.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._buckets = 0

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "word",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __enter__(self) -> S3Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def new_bucket(self) -> Iterator[str]:
        """The name of an empty bucket."""
        from urllib.request import Request, urlopen

        self._buckets += 1
        name = f"bucket-{self._buckets}"
        urlopen(Request(f"{self.url}/{name}", method="PUT")).close()
        self.requests.clear()
        yield name
        self.fault = lambda method, path: None

    def puts(self) -> list[str]:
        """Paths of the objects that were sent, those of a trying out apart."""
        return [path for method, path in self.requests if method == "PUT" and "tried-" not in path]

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        fault = self.fault(method, path)
        if fault is None:
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer
        status, code = fault
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {code}", headers)
        return [b"" if method == "HEAD" else body.encode()]
