"""An HTTP proxy before an emulator that fails on script, for clients that no hook reaches (obstore, delta-rs).

It is a process of its own, because some calls of those clients hold Python's lock while they wait. What it makes, and
real services do: answers such as 503, 409, 403 or an expired token without any effect; an effect whose answer never
arrives; a connection that is closed before the request had an effect.
"""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import msgspec

from headgate.testing.servers import HOST, free_port, serving

Effect = Literal["answer", "answer_after", "lose", "drop"]

_CONTROL = "/-/proxy/"
_HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "te", "trailer", "upgrade"}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived: `path` is decoded, with the query; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Fault(msgspec.Struct, kw_only=True):
    """What befalls requests.

    Attributes:
        method: HTTP method; empty for any.
        path: text that the decoded path contains; empty for any.
        header: text that one of the headers' values contains; empty for any.
        effect: `answer` in place of the server, `answer_after` it had its effect, `lose` the server's answer by
            closing the connection, `drop` the request by closing the connection.
        status: HTTP status of our own answers.
        code: error code of S3 in them.
        times: how often; None for as long as it is there.
    """

    method: str = ""
    path: str = ""
    header: str = ""
    effect: Effect = "answer"
    status: int = 503
    code: str = "SlowDown"
    times: int | None = 1

    def befalls(self, request: Request) -> bool:
        """True for a request that is meant, as often as it is."""
        is_meant = self.method in ("", request.method) and self.path in request.path
        return is_meant and self.times != 0 and any(self.header in value for value in request.headers.values())


class FaultProxy:
    """A running proxy, told from the test what to do."""

    def __init__(self, port: int) -> None:
        """Where it listens."""
        self._port = port

    @property
    def endpoint_url(self) -> str:
        """For clients, in place of the server's."""
        return f"http://{HOST}:{self._port}"

    def fail(self, fault: Fault) -> None:
        """Add a fault; of several that match the first one counts."""
        self._tell("fail", msgspec.json.encode(fault))

    def heal(self) -> None:
        """Forget all faults."""
        self._tell("heal", b"")

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """Requests so far, in order of arrival: of a method, on paths that contain a text."""
        found = msgspec.json.decode(self._tell("requests", b""), type=list[Request])
        return [r for r in found if method in ("", r.method) and path in r.path]

    def _tell(self, what: str, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(HOST, self._port)
        try:
            connection.request("POST", f"{_CONTROL}{what}", body)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def fault_proxy(upstream_port: int, logs: Path) -> Iterator[FaultProxy]:
    """A proxy that runs until the block ends.

    Args:
        upstream_port: loopback port of the emulator.
        logs: a folder for its output.
    """
    port = free_port()
    with serving([sys.executable, "-m", "headgate.testing.proxy", str(port), str(upstream_port)], port, logs):
        yield FaultProxy(port)


class _State:
    """The script and what was seen, shared by all connections."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def control(self, what: str, body: bytes) -> bytes:
        with self._lock:
            if what == "fail":
                self._faults.append(msgspec.json.decode(body, type=Fault))
            elif what == "heal":
                self._faults.clear()
            return msgspec.json.encode(self._requests) if what == "requests" else b""

    def take(self, request: Request) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for fault in self._faults:
                if fault.befalls(request):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: _State

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep quiet."""

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.startswith(_CONTROL):
            self._answer(200, [], self.state.control(self.path.removeprefix(_CONTROL), body))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.state.take(Request(method=self.command, path=unquote(self.path), headers=headers))
        if fault is not None and fault.effect == "drop":
            self.close_connection = True
        elif fault is not None and fault.effect == "answer":
            self._answer_error(fault)
        else:
            status, answered, content = self._forward(body)
            if fault is None:
                self._answer(status, answered, content)
            elif fault.effect == "lose":
                self.close_connection = True
            else:
                self._answer_error(fault)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(HOST, self.state.upstream_port)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        kept = [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
        if not any(name.lower() == "content-length" for name, _ in kept):
            kept.append(("content-length", str(len(content))))
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer_error(self, fault: Fault) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>on script</Message></Error>"
        self._answer(fault.status, [("content-type", "application/xml")], text.encode())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request  # noqa: N815  the base class's names


def serve(port: int, upstream_port: int) -> None:
    """Serve until the process is ended."""
    _Handler.state = _State(upstream_port)
    server = ThreadingHTTPServer((HOST, port), _Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
