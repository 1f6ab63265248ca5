"""A stream on a Kinesis server, driven by hand: put, split, merge, delete, and faults put between client and server.

The faults are botocore `before-send` hooks, for what no emulator does. What the real service does: it throttles a
shard above 5 GetRecords calls or 2 MB a second with ProvisionedThroughputExceededException (HTTP 400), and a stream's
key with KMSThrottlingException; an iterator lives 5 minutes and then gives ExpiredIteratorException (400); 500 and
503 come now and then and go by themselves; records vanish once they are older than the retention, after which an
iterator at or after one of them begins, without an error, at the oldest record that is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from headgate.testing.processes import wait_until
from headgate.testing.server_kinesis import REGION

LARGEST_HASH_KEY = (1 << 128) - 1
Respond = Callable[[Mapping[str, Any]], AWSResponse | None]


class Put(NamedTuple):
    """Where a record went."""

    shard: str
    sequence: int


def client_of(url: str, *, threads: int = 10) -> Any:
    """A boto3 client without retries of its own, as the source makes it, with credentials that no server checks."""
    return boto3.client(
        "kinesis",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - no secret
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=threads),
    )


class StreamDriver:
    """A stream of its own name on a server."""

    def __init__(self, url: str, *, shards: int | None = 1, name: str | None = None) -> None:
        """Make the stream; `shards` None for an on-demand one."""
        self.url, self.name = url, name or f"stream-{uuid4().hex[:12]}"
        self.client = client_of(url)
        self.make(shards)

    def make(self, shards: int | None) -> None:
        """Make the stream, perhaps anew."""
        mode: Mapping[str, object] = (
            {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}} if shards is None else {"ShardCount": shards}
        )
        self.client.create_stream(StreamName=self.name, **mode)
        self.settle()

    def delete(self) -> None:
        """Delete the stream."""
        self.client.delete_stream(StreamName=self.name, EnforceConsumerDeletion=True)

        def is_gone() -> bool:
            try:
                self.client.describe_stream_summary(StreamName=self.name)
            except self.client.exceptions.ResourceNotFoundException:
                return True
            return False

        wait_until(is_gone, f"the end of the stream {self.name}")

    def settle(self) -> None:
        """Wait until the stream is active."""
        wait_until(lambda: self.summary()["StreamStatus"] == "ACTIVE", f"the stream {self.name}")

    def summary(self) -> Mapping[str, Any]:
        """DescribeStreamSummary."""
        about: Mapping[str, Any] = self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
        return about

    def shards(self) -> list[Mapping[str, Any]]:
        """ListShards."""
        return list(self.client.list_shards(StreamName=self.name)["Shards"])

    def open_shards(self) -> list[Mapping[str, Any]]:
        """Shards that take records, by their first hash key."""
        found = [s for s in self.shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        return sorted(found, key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))

    def put(self, records: Sequence[bytes], *, hash_key: int | None = None) -> list[Put]:
        """Put records, spread over the shards or all to the one that holds a hash key."""
        placed: list[Put] = []
        for start in range(0, len(records), 100):
            entries = [
                {
                    "Data": data,
                    "PartitionKey": f"key-{start + i}",
                    **({} if hash_key is None else {"ExplicitHashKey": str(hash_key)}),
                }
                for i, data in enumerate(records[start : start + 100])
            ]
            answer = self.client.put_records(StreamName=self.name, Records=entries)
            if answer["FailedRecordCount"]:
                raise RuntimeError(f"the server refused {answer['FailedRecordCount']} records")
            placed += [Put(r["ShardId"], int(r["SequenceNumber"])) for r in answer["Records"]]
        return placed

    def split(self, shard: Mapping[str, Any]) -> None:
        """Split an open shard in the middle."""
        low, high = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        self.client.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high + 1) // 2)
        )
        self.settle()

    def merge(self, shard: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        """Merge two shards that lie side by side."""
        self.client.merge_shards(
            StreamName=self.name, ShardToMerge=shard["ShardId"], AdjacentShardToMerge=other["ShardId"]
        )
        self.settle()


def answer(status: int, body: Mapping[str, Any] | bytes) -> AWSResponse:
    """An answer as the service gives it; bytes as they are."""
    return AWSResponse("http://kinesis", status, {"Content-Type": "application/x-amz-json-1.1"}, _Raw(body))


def error(code: str, status: int = 400) -> AWSResponse:
    """An error as the service gives it."""
    return answer(status, {"__type": code, "message": "made by a test"})


def intercept(client: Any, operation: str, respond: Respond) -> None:
    """Let `respond` answer the calls of an operation in the server's place, from the request's body.

    Args:
        client: boto3's.
        operation: such as `GetRecords`.
        respond: gives an answer; None lets the call through. It may raise, as a broken connection does.
    """

    def before_send(request: Any, **_: object) -> AWSResponse | None:
        return respond(json.loads(request.body))

    client.meta.events.register_first(f"before-send.kinesis.{operation}", before_send)


class _Raw:
    """What AWSResponse reads a body from."""

    def __init__(self, body: Mapping[str, Any] | bytes) -> None:
        self._bytes = body if isinstance(body, bytes) else json.dumps(body, default=_number).encode()

    def stream(self, *_: object, **__: object) -> list[bytes]:
        """The whole body at once."""
        return [self._bytes]


def _number(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(type(value))
