"""The HTTP endpoint of a running consumer: `/metrics`, `/healthz`, `/readyz`, in threads of its own.

Law: nothing here can stop or slow the flow: few threads, few connections, nothing is waited for at the end.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from waitress import wasyncore
from waitress.server import create_server

from headgate.errors import ConfigError

THREADS = 2  # a scrape and a probe at a time
MAX_CONNECTIONS = 32
IDLE_SECONDS = 15  # after which a silent connection is closed
END_SECONDS = 1.0  # of patience at the end; the threads are daemons
TEXT = "text/plain; charset=utf-8"

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], object]


def answers(registry: CollectorRegistry, obstacle: Callable[[], str | None]) -> Callable[[Environ, Start], list[bytes]]:
    """The WSGI application.

    Args:
        registry: what `/metrics` tells.
        obstacle: why the consumer is not ready; None where it is.
    """

    def answer(environ: Environ) -> tuple[str, str, bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", TEXT, b"only GET and HEAD\n"
        if path == "/metrics":
            encoder, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
            return "200 OK", content_type, encoder(registry)
        if path == "/healthz":
            return "200 OK", TEXT, b"alive\n"
        if path == "/readyz":
            why = obstacle()
            return ("200 OK", TEXT, b"ready\n") if why is None else ("503 Service Unavailable", TEXT, _line(why))
        if path == "/":
            return "200 OK", TEXT, b"Headgate: /metrics /healthz /readyz\n"
        return "404 Not Found", TEXT, b"not found: /metrics /healthz /readyz\n"

    def app(environ: Environ, start: Start) -> list[bytes]:
        status, content_type, body = answer(environ)
        start(status, [
            ("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ])  # fmt: skip
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    return app


class Endpoint:
    """Serves from `__enter__` on until `__exit__`."""

    def __init__(self, app: Callable[[Environ, Start], Iterable[bytes]], host: str, port: int) -> None:
        """Take the port.

        Args:
            app: WSGI.
            host: name or address to bind to.
            port: 0 for a free one.

        Raises:
            ConfigError: the port is taken, or the host is none of this machine.
        """
        logging.getLogger("waitress").addHandler(logging.NullHandler())
        listening = _bound(host, port)
        self.address = f"{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        self._map: dict[int, object] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=[listening],
            threads=THREADS,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=IDLE_SECONDS,
            max_request_body_size=1024,
            max_request_header_size=16_384,
            ident="",
        )
        self._is_ending = False
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    def __enter__(self) -> Endpoint:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no more."""
        self._is_ending = True
        try:
            self._server.pull_trigger()
        except OSError:
            return  # the thread is gone already
        self._thread.join(END_SECONDS)

    def _serve(self) -> None:
        while not self._is_ending and self._map:
            wasyncore.loop(timeout=IDLE_SECONDS, map=self._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=END_SECONDS / 2)
        wasyncore.close_all(self._map, ignore_all=True)


def _bound(host: str, port: int) -> socket.socket:
    where = f"the metrics endpoint cannot listen on {host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"{where}: {host} is no name or address of this machine") from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(MAX_CONNECTIONS)  # now: of two processes that bound, the second would fail only here
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{where}: {error.strerror}; name another port with --metrics HOST:PORT or [telemetry] metrics"
        ) from None
    return listening


def _line(text: str) -> bytes:
    """One line, whatever is in it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text).encode() + b"\n"
