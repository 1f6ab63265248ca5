"""Enhanced fan-out before a `kinesis-local`: all calls go through, SubscribeToShard is answered here.

`kinesis-local` registers consumers, but its own SubscribeToShard lacks the message that opens an event stream, without
which boto3 reads none, and never tells of the end of a shard. Here GetRecords of the emulator is polled, and its
answers become messages of `application/vnd.amazon.eventstream`, for a real boto3 client over HTTP/1.1.

What the real service does, and where this is kinder: it speaks HTTP/2 as well; a subscription lasts 5 minutes (here as
long as the script says); a new one within 5 seconds of the last is refused with ResourceInUseException (here where the
script says so), a later one takes over, and the older one ends with ResourceInUseException (here too); 2 MB a second
and shard (here no limit); an event without records every few seconds (here every 50 ms); a continuation that is no
record's number tells of progress through times without records (here too). Nothing expires here by itself.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from headgate.source.kinesis.event_stream import encoded
from headgate.testing.kinesis_driver import client_of
from headgate.testing.servers import HOST

POLL_SECONDS = 0.01  # between two looks at the emulator
IDLE_SECONDS = 0.05  # between two events without records
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFault:
    """What befalls one subscription.

    Attributes:
        effect: `refuse` it with the error `code`; `fail` it with that error as its last message; `cut` the connection
            in the middle of a message; `damage` a message's last byte.
        after: events that it gives before.
        code: of the error.
    """

    effect: Literal["refuse", "fail", "cut", "damage"]
    after: int = 0
    code: str = "InternalFailureException"


@dataclass(slots=True)
class Script:
    """How the server behaves; changed by the test while it runs.

    Attributes:
        events: after which a subscription ends well; None: never.
        records: of one event at most.
        guard_seconds: after a subscription in which the next one to its shard and consumer is refused.
        trimmed: last sequence number, by shard, that the stream holds no more.
        faults: each befalls the next subscription.
        before_event: called before each look at the emulator.
        begun: shard and StartingPosition of all subscriptions, in their order.
        given: events that were sent, without those that hold no records.
    """

    events: int | None = None
    records: int = 10_000
    guard_seconds: float = 0.0
    trimmed: dict[str, int] = field(default_factory=dict)
    faults: deque[SubscriptionFault] = field(default_factory=deque)
    before_event: Callable[[], object] | None = None
    begun: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    given: int = 0


class FanOutServer:
    """A running server.

    Attributes:
        url: for clients, in place of the emulator's.
        script: see Script.
    """

    def __init__(self, upstream: str) -> None:
        """Listen, before the emulator at an URL."""
        self.script = Script()
        self.upstream = upstream
        self.client = client_of(upstream, threads=50)
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, str], tuple[object, float]] = {}
        self._continuations: dict[str, str] = {}
        self.is_stopped = False
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._http = ThreadingHTTPServer((HOST, 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://{HOST}:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End all subscriptions, and listen no more."""
        self.is_stopped = True
        self._http.shutdown()
        self._http.server_close()

    def admit(self, consumer: str, shard: str, token: object) -> bool:
        """Let a subscription begin, which ends an older one; False where that one is too young."""
        with self._lock:
            _, began = self._newest.get((consumer, shard), (None, float("-inf")))
            if time.monotonic() - began < self.script.guard_seconds:
                return False
            self._newest[consumer, shard] = (token, time.monotonic())
            return True

    def is_newest(self, consumer: str, shard: str, token: object) -> bool:
        """True until another subscription took over."""
        return self._newest[consumer, shard][0] is token

    def take_fault(self) -> SubscriptionFault | None:
        """What befalls the subscription that begins now."""
        with self._lock:
            return self.script.faults.popleft() if self.script.faults else None

    def iterator(self, consumer: str, shard: str, position: Mapping[str, Any]) -> str:
        """An iterator of the emulator for a StartingPosition."""
        self.client.describe_stream_consumer(ConsumerARN=consumer)
        stream, sequence = consumer.split("/")[1], position.get("SequenceNumber")
        where: dict[str, object] = {"ShardIteratorType": position["Type"]}
        if sequence is not None and sequence in self._continuations:
            return self._continuations[sequence]
        if sequence is not None and int(sequence) <= self.script.trimmed.get(shard, -1):
            sequence, where = str(self.script.trimmed[shard]), {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}
        if sequence is not None:
            where["StartingSequenceNumber"] = sequence
        if "Timestamp" in position:
            where["Timestamp"] = datetime.fromtimestamp(position["Timestamp"], UTC)
        return str(self.client.get_shard_iterator(StreamName=stream, ShardId=shard, **where)["ShardIterator"])

    def continuation(self, iterator: str, got: Mapping[str, Any]) -> str:
        """A number to go on from: the last record's, or one that is no record's."""
        if got["Records"]:
            return str(got["Records"][-1]["SequenceNumber"])
        with self._lock:
            number = str(10**50 + len(self._continuations))
            self._continuations[number] = iterator
            return number


@contextmanager
def fan_out_server(upstream: str) -> Iterator[FanOutServer]:
    """A server before the kinesis-local at an URL, until the block ends."""
    server = FanOutServer(upstream)
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: FanOutServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep quiet."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client went away

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("x-amz-target", "").endswith(".SubscribeToShard"):
            self._subscribe(json.loads(body))
        else:
            self._forward(body)

    def _forward(self, body: bytes) -> None:
        at = urlsplit(self.server_of.upstream)
        connection = http.client.HTTPConnection(at.hostname or HOST, at.port)
        try:
            connection.request("POST", self.path, body, _kept(self.headers.items()))
            response = connection.getresponse()
            self._answer(response.status, _kept(response.getheaders()), response.read())
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, code: str) -> None:
        content = json.dumps({"__type": code, "message": "made by a test"}).encode()
        self._answer(400, {"content-type": "application/x-amz-json-1.1"}, content)

    def _subscribe(self, asked: Mapping[str, Any]) -> None:
        server, token = self.server_of, object()
        consumer, shard, position = asked["ConsumerARN"], asked["ShardId"], asked["StartingPosition"]
        fault = server.take_fault()
        if fault is not None and fault.effect == "refuse":
            return self._refuse(fault.code)
        try:
            iterator = server.iterator(consumer, shard, position)
        except ClientError as error:
            return self._refuse(error.response["Error"]["Code"])
        if not server.admit(consumer, shard, token):
            return self._refuse("ResourceInUseException")
        server.script.begun.append((shard, position))
        self.send_response_only(200)
        self.send_header("content-type", "application/vnd.amazon.eventstream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._send(encoded({":message-type": "event", ":event-type": "initial-response"}, b"{}"))
        return self._events(iterator, fault, lambda: server.is_newest(consumer, shard, token))

    def _events(self, iterator: str, fault: SubscriptionFault | None, is_newest: Callable[[], bool]) -> None:
        """Send events until the script, a fault, the end of the shard or a younger subscription ends it."""
        for number, event in enumerate(self._looks(iterator)):
            if not is_newest():
                self._send(_error("ResourceInUseException"))
                break
            if fault is not None and number == fault.after:
                self._befall(fault, event)
                return
            self._send(event)
            if number + 1 >= (self.server_of.script.events or math.inf):
                break
        self._end()

    def _befall(self, fault: SubscriptionFault, event: bytes) -> None:
        if fault.effect == "cut":
            self._send(event[: len(event) // 2])
            self.close_connection = True  # without the last chunk
            return
        self._send(_error(fault.code) if fault.effect == "fail" else event[:-1] + bytes([event[-1] ^ 1]))
        self._end()

    def _looks(self, iterator: str) -> Iterator[bytes]:
        """Events as the emulator has them: at once what is there, then what comes, and now and then an empty one."""
        server, quiet_since = self.server_of, float("-inf")
        following: str | None = iterator
        while following is not None and not server.is_stopped:
            if server.script.before_event is not None:
                server.script.before_event()
            got = server.client.get_records(ShardIterator=following, Limit=server.script.records)
            following = got.get("NextShardIterator")
            if got["Records"] or following is None or time.monotonic() - quiet_since >= IDLE_SECONDS:
                server.script.given += bool(got["Records"])
                yield _event(got, None if following is None else server.continuation(following, got))
                quiet_since = time.monotonic()
            else:
                time.sleep(POLL_SECONDS)

    def _send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


def _kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}


def _event(got: Mapping[str, Any], continuation: str | None) -> bytes:
    about: dict[str, object] = {
        "Records": [
            {
                "SequenceNumber": record["SequenceNumber"],
                "ApproximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                "Data": base64.b64encode(record["Data"]).decode(),
                "PartitionKey": record["PartitionKey"],
            }
            for record in got["Records"]
        ],
        "MillisBehindLatest": got["MillisBehindLatest"],
    }
    if continuation is None:
        about["ChildShards"] = got["ChildShards"]
    else:
        about["ContinuationSequenceNumber"] = continuation
    headers = {":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": "application/json"}
    return encoded(headers, json.dumps(about).encode())


def _error(code: str) -> bytes:
    headers = {":message-type": "exception", ":exception-type": code, ":content-type": "application/json"}
    return encoded(headers, b'{"message":"made by a test"}')
