"""The calls on one stream: describe, list shards, make an iterator, get records. Errors become Headgate's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.source.kinesis.answers import BODY, Answer, answer_of, keep_body
from headgate.source.kinesis.faults import ExpiredError, kinesis_error
from headgate.source.kinesis.lineage import ShardInfo
from headgate.source.kinesis.positions import StreamIdentity

CONNECT_SECONDS = 5  # until a connection is given up
ANSWER_SECONDS = 20  # until an answer is given up; 10 MB take a few seconds
EVENT_SECONDS = 40  # of silence after which a subscription is given up; AWS's own client library waits 35
MAX_RECORDS = 10_000  # records a call; GetRecords API reference
PAGE_SHARDS = 1_000  # shards a page; ListShards takes up to 10,000
HOUR_US = 3_600_000_000  # microseconds


class KinesisClient(Protocol):
    """What is used of boto3's Kinesis client."""

    meta: Any

    def describe_stream_summary(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def list_shards(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def get_shard_iterator(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def get_records(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def describe_stream_consumer(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3; of enhanced fan-out, as the next two."""
        ...

    def register_stream_consumer(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def subscribe_to_shard(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...

    def put_records(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3; of `generate`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream as it is now: who it is, and how long it keeps records (microseconds)."""

    identity: StreamIdentity
    retention_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading of a shard begins, for GetShardIterator and for SubscribeToShard; made by the functions below."""

    kind: str
    sequence: int | None = None
    moment: datetime | None = None

    def as_iterator(self) -> Mapping[str, object]:
        """Arguments of GetShardIterator."""
        return {"ShardIteratorType": self.kind, **self._named("StartingSequenceNumber")}

    def as_position(self) -> Mapping[str, object]:
        """StartingPosition of SubscribeToShard."""
        return {"Type": self.kind, **self._named("SequenceNumber")}

    def _named(self, name: str) -> Mapping[str, object]:
        if self.sequence is not None:
            return {name: str(self.sequence)}
        return {} if self.moment is None else {"Timestamp": self.moment}


def oldest() -> Start:
    """At the oldest record that the shard still holds."""
    return Start(kind="TRIM_HORIZON")


def at(sequence: int) -> Start:
    """At a record that was read before. The real service begins later where it is gone."""
    return Start(kind="AT_SEQUENCE_NUMBER", sequence=sequence)


def after(sequence: int) -> Start:
    """After a record that was read before."""
    return Start(kind="AFTER_SEQUENCE_NUMBER", sequence=sequence)


def since(us: int) -> Start:
    """At the first record of the second that `us` lies in: the SDK sends whole seconds."""
    return Start(kind="AT_TIMESTAMP", moment=datetime.fromtimestamp(us // 1_000_000, UTC))


def kinesis_client(
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    answer_seconds: float = ANSWER_SECONDS,
) -> KinesisClient:
    """A boto3 client whose only retries are Headgate's own. Credentials come from the SDK's chain.

    Args:
        region: by default the SDK's.
        endpoint_url: another server than AWS's.
        connections: that are kept for the next call.
        answer_seconds: of silence after which an answer is given up.

    Raises:
        ConfigError: no region, or an endpoint that is no URL.
    """
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=answer_seconds,
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    try:
        client: KinesisClient = boto3.client("kinesis", region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"no Kinesis client: {error}; set [aws] region, and an endpoint only where needed") from None
    return client


class StreamCalls:
    """One stream's API. Safe to use from several threads."""

    def __init__(self, client: KinesisClient, stream: str, *, page_shards: int = PAGE_SHARDS) -> None:
        """Name the stream; nothing is called yet.

        Args:
            client: boto3's.
            stream: name or ARN.
            page_shards: shards a page of the list.
        """
        self.stream = stream
        self._client, self._page_shards = client, page_shards
        self._named = {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}
        self._by_arn = self._named if "StreamARN" in self._named else {}
        self._has_worked = False
        client.meta.events.register("before-parse.kinesis.GetRecords", keep_body, unique_id="headgate-body")

    def describe(self) -> Stream:
        """Who the stream is and how long it keeps records.

        Raises:
            TransientError: no answer, or the stream is still being made.
            PermanentError: no such stream.
        """
        about = self._call("DescribeStreamSummary", self._client.describe_stream_summary, **self._named)
        summary = about["StreamDescriptionSummary"]
        status = summary["StreamStatus"]
        if status == "CREATING":
            raise TransientError(f"the stream {self.stream} is still being made")
        if status == "DELETING":
            raise PermanentError(f"the stream {self.stream} is being deleted")
        created: datetime = summary["StreamCreationTimestamp"]
        identity = StreamIdentity(arn=summary["StreamARN"], created_us=round(created.timestamp() * 1000) * 1000)
        return Stream(identity=identity, retention_us=int(summary["RetentionPeriodHours"]) * HOUR_US)

    def shards(self) -> list[ShardInfo]:
        """All shards, open and closed, of all pages; a token that expired between two pages begins anew."""
        while True:
            try:
                return self._pages()
            except ExpiredError:
                continue

    def _pages(self) -> list[ShardInfo]:
        found: list[ShardInfo] = []
        where: Mapping[str, str] = self._named
        while True:
            page = self._call("ListShards", self._client.list_shards, **where, MaxResults=self._page_shards)
            found += [_shard(shard) for shard in page["Shards"]]
            token = page.get("NextToken")
            if not token:
                return found
            where = {"NextToken": token}

    def iterator(self, shard: str, start: Start) -> str:
        """An iterator of a shard."""
        call, named = self._client.get_shard_iterator, {"ShardId": shard, **self._named}
        got = self._call(f"GetShardIterator of {shard}", call, **named, **start.as_iterator())
        return str(got["ShardIterator"])

    def records(self, iterator: str, limit: int = MAX_RECORDS) -> Answer:
        """The next records.

        Raises:
            ExpiredError: the iterator is older than 5 minutes.
            TransientError: throttled, or no answer.
        """
        got = self._call("GetRecords", self._client.get_records, ShardIterator=iterator, Limit=limit, **self._by_arn)
        return answer_of(got[BODY])

    def _call(self, what: str, call: Callable[..., Mapping[str, Any]], **arguments: object) -> Mapping[str, Any]:
        try:
            got = call(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise kinesis_error(error, f"{what} on the stream {self.stream}", has_worked=self._has_worked) from error
        self._has_worked = True
        return got


def _shard(listed: Mapping[str, Any]) -> ShardInfo:
    parents = (listed.get("ParentShardId"), listed.get("AdjacentParentShardId"))
    hashes = listed["HashKeyRange"]
    return ShardInfo(
        name=listed["ShardId"],
        parents=tuple(parent for parent in parents if parent),
        start=listed["SequenceNumberRange"]["StartingSequenceNumber"],
        hash_range=(hashes["StartingHashKey"], hashes["EndingHashKey"]),
    )
