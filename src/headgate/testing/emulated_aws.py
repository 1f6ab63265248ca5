"""All of AWS at one address, for tools that know one: Kinesis is `kinesis-local`, every other service is moto.

A stream is made at both: moto lets a function be mapped only to a stream that it knows. Records go to one alone.
Policies of buckets are kept here and refuse nobody: moto takes every `Deny` as if it had no condition. Where this is
kinder than AWS besides, see server_kinesis.py and server_moto.py.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from headgate.testing.server_kinesis import kinesis_local
from headgate.testing.server_moto import moto_serving
from headgate.testing.servers import HOST

KINESIS = "Kinesis_20131202."
AT_BOTH = ("CreateStream", "DeleteStream")
_HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "te", "trailer", "upgrade"}


class Answer:
    """What a server answered: status, headers, content."""

    def __init__(self, port: int, asked: BaseHTTPRequestHandler, body: bytes) -> None:
        """Ask it.

        Args:
            port: of the server on this machine.
            asked: the request.
            body: its content.
        """
        connection = http.client.HTTPConnection(HOST, port)
        try:
            connection.putrequest(asked.command, asked.path, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            self.status, self.headers, self.content = response.status, response.getheaders(), response.read()
        finally:
            connection.close()


class _Front(BaseHTTPRequestHandler):
    """Hands each request to the server that knows the service."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer
    kinesis_port: int
    moto_port: int
    policies: ClassVar[dict[str, bytes]]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep quiet."""

    def handle_request(self) -> None:
        """Any method."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url, target = urlsplit(self.path), self.headers.get("x-amz-target") or ""
        bucket = url.path.strip("/")
        if "policy" in parse_qs(url.query, keep_blank_values=True) and (
            self.command == "PUT" or bucket in self.policies
        ):
            self._keep_policy(bucket, body)
            return
        if target.removeprefix(KINESIS) in AT_BOTH:
            Answer(self.moto_port, self, body)
        answer = Answer(self.kinesis_port if target.startswith(KINESIS) else self.moto_port, self, body)
        kept = {name.lower(): value for name, value in answer.headers if name.lower() not in _HOP_BY_HOP}
        self._answer(answer.status, kept, answer.content)

    def _keep_policy(self, bucket: str, body: bytes) -> None:
        if self.command == "GET":
            self._answer(200, {"content-type": "application/json"}, self.policies[bucket])
            return
        if self.command == "PUT":
            self.policies[bucket] = body
        else:
            del self.policies[bucket]
        self._answer(204, {}, b"")

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = handle_request  # noqa: N815  the base class's names


@contextmanager
def emulated_aws(node: Path, logs: Path) -> Iterator[str]:
    """Run it until the block ends; gives its endpoint URL.

    Args:
        node: the folder with the package-lock.json that pins `kinesis-local`.
        logs: a folder for the servers' output.
    """
    with moto_serving(logs / "moto") as moto, kinesis_local(node, logs / "kinesis-local") as kinesis_url:

        class Front(_Front):
            kinesis_port, moto_port = int(urlsplit(kinesis_url).port or 0), moto.port
            policies: ClassVar[dict[str, bytes]] = {}

        server = ThreadingHTTPServer((HOST, 0), Front)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True, name="emulated-aws").start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
