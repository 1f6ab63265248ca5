"""The dashboard's web server: one address, few threads, and no client that keeps the others waiting.

Requests are read and answers are sent by one thread that waits for nobody (waitress); a worker gets a request once it
has arrived whole. What is read of a request is bounded, and a connection that says nothing is closed.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from waitress.server import create_server

from headgate.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

THREADS = 6
MAX_HEADER_BYTES = 16_384
MAX_BODY_BYTES = 8_192  # nothing here wants one
MAX_CONNECTIONS = 400
IDLE_SECONDS = 20  # after which a connection is closed; browsers open another one
_TAKEN = (errno.EADDRINUSE, errno.EACCES)

WsgiApp = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that the port is known before anything is served.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.

    Raises:
        ConfigError: it is taken, or no address of this machine.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"--host {host}: is no address of this machine ({error.strerror or error})") from error
    bound = socket.socket(family, kind, proto)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno in _TAKEN:
            raise ConfigError(f"--port {port}: is taken, or not allowed; choose another one, or 0 for any") from error
        raise ConfigError(f"--host {host}: cannot be listened on ({error.strerror})") from error
    return bound


def address_of(host: str, port: int) -> str:
    """The URL of a server that listens there, as a browser on this machine opens it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/"
    if address.is_unspecified:
        return f"http://{socket.gethostname()}:{port}/"
    return f"http://[{address}]:{port}/" if address.version == 6 else f"http://{address}:{port}/"


class Server:
    """Serves an application from a thread of its own."""

    def __init__(self, app: WsgiApp, bound: socket.socket) -> None:
        """Listen; connections are taken once it was started."""
        # A queue is no news, nor is a request that the parser stumbles over; the application tells its own errors.
        logging.getLogger("waitress").addHandler(logging.NullHandler())
        self._server = create_server(
            app,
            sockets=[bound],
            threads=THREADS,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=5,
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=MAX_BODY_BYTES,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
            expose_tracebacks=False,
            ident=None,
        )
        self._thread = threading.Thread(target=self._server.run, name="server", daemon=True)

    def start(self) -> None:
        """Take connections."""
        self._thread.start()
