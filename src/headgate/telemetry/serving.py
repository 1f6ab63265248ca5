"""A small HTTP server in threads of this process: of a running consumer, and of the dashboard.

Requests are read and answers are sent by one thread that waits for nobody (waitress); a worker gets a request once it
has arrived whole. What is read of a request is bounded, and a connection that says nothing is closed.

Law: nothing here can stop or slow the flow: few threads, few connections, nothing is waited for at the end.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.server import create_server

from headgate.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

MAX_HEADER_BYTES = 16_384
MAX_BODY_BYTES = 1_024  # nothing here wants one
BACKLOG = 64  # connections that wait to be taken
END_SECONDS = 1.0  # of patience at the end; the threads are daemons

Application = Callable[[dict[str, Any], "StartResponse"], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use.

    Attributes:
        threads: requests that are worked on at a time.
        connections: open at a time.
        idle_seconds: after which a connection that says nothing is closed.
    """

    threads: int
    connections: int
    idle_seconds: int


def listening(host: str, port: int, *, what: str, mend: str) -> socket.socket:
    """A socket that listens, so that the port is known, and is this process's own, before anything is served.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.
        what: listens, for the error: `the dashboard`.
        mend: what to do where it cannot: `choose another --port`.

    Raises:
        ConfigError: the port is taken or not allowed, or the host is none of this machine.
    """
    where = f"{what} cannot listen on {host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"{where}: {host} is no name or address of this machine") from None
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(BACKLOG)  # now: of two processes that bound, the second would fail only here
    except OSError as error:
        found.close()
        raise ConfigError(f"{where}: {error.strerror}; {mend}") from None
    return found


class Server:
    """Serves an application from `start`, or `__enter__`, on until `__exit__`, or the end of the process.

    Attributes:
        address: where it listens, `HOST:PORT`.
        port: of it.
    """

    def __init__(self, name: str, app: Application, socket_: socket.socket, limits: Limits) -> None:
        """Take over a socket.

        Args:
            name: of the thread.
            app: WSGI; it tells its own errors.
            socket_: of `listening`.
            limits: what clients may use.
        """
        host, self.port = socket_.getsockname()[:2]
        self.address = f"{f'[{host}]' if ':' in host else host}:{self.port}"
        # A queue is no news, nor is a request that the parser stumbles over.
        logging.getLogger("waitress").addHandler(logging.NullHandler())
        self._idle = limits.idle_seconds
        self._map: dict[int, object] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=[socket_],
            threads=limits.threads,
            connection_limit=limits.connections,
            channel_timeout=limits.idle_seconds,
            cleanup_interval=limits.idle_seconds,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
            expose_tracebacks=False,
            ident=None,
        )
        self._is_ending = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def __enter__(self) -> Server:
        """Begin to answer."""
        self.start()
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
            wasyncore.loop(timeout=self._idle, use_poll=True, map=self._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=END_SECONDS / 2)
        wasyncore.close_all(self._map, ignore_all=True)
