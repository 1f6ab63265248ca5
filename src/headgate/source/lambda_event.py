"""What an invocation of the Lambda function carries, as a RecordBatch.

An event source mapping sends, for a batch of one shard of a Kinesis stream
(docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html):

    {"Records": [{"eventSource": "aws:kinesis", "eventSourceARN": "arn:aws:kinesis:…:stream/NAME",
                  "eventID": "shardId-000000000006:4959…", "kinesis": {"sequenceNumber": "4959…",
                  "data": "<base64>", "approximateArrivalTimestamp": 1545084650.987, "partitionKey": "1"}}]}

People's test events leave out any of it. A direct invocation is `{"data": [event, …]}`, each an object or JSON text.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from headgate.errors import PermanentError
from headgate.records import RecordBatch, Shard
from headgate.source.event_records import (
    EventRecord,
    Json,
    arrived_us,
    batch_of,
    data_of,
    first_sequence,
    json_bytes,
    member,
    sequence_of,
    stream_of,
    text_member,
)

DIRECT = "direct"  # source and shard of what carries no position
DEFAULT_SHARD = "shardId-000000000000"


class Origin:
    """Where an invocation gets the positions and times from that its event does not carry.

    Attributes:
        now_us: wall clock, microseconds.
        source_name: name in positions in place of the stream's; None for `kinesis://STREAM`.
    """

    def __init__(
        self,
        *,
        now_us: int,
        random_bits: Callable[[int], int],
        source_name: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Begin an invocation.

        Args:
            now_us: wall clock, microseconds.
            random_bits: gives so many random bits as an integer.
            source_name: see above.
            request_id: the invocation's, which Lambda keeps when it retries: so a retry finds its own claims.
        """
        self.now_us, self.source_name = now_us, source_name
        self._shard = Shard(DIRECT, request_id or DIRECT)
        self._sequences = count(0 if request_id else first_sequence(now_us, random_bits))

    def record(self, data: bytes) -> EventRecord:
        """A record that carries no position gets one of its own, behind those made before it."""
        return EventRecord(self._shard, next(self._sequences), data, self.now_us)


def batch_of_event(event: Json, origin: Origin) -> tuple[RecordBatch, int]:
    """The records of an invocation.

    Args:
        event: as the runtime hands it over.
        origin: see Origin.

    Returns:
        The batch, and how many copies of a record (same shard, sequence and bytes) were left out.

    Raises:
        PermanentError: the event is of another kind; nothing was read.
    """
    if isinstance(records := member(event, "Records"), list):
        found = [_record(record, origin) for record in records]
    elif isinstance(events := member(event, "data"), list):
        found = [origin.record(_direct(one)) for one in events]
    else:
        raise PermanentError(
            'this event has neither "Records" (of a Kinesis event source mapping) nor "data" (a list of events): '
            "check what invokes the function"
        )
    once = _once(found, origin)
    return batch_of(once), len(found) - len(once)


def _record(record: Json, origin: Origin) -> EventRecord:
    kinesis = member(record, "kinesis")
    at = kinesis if isinstance(kinesis, dict) else record
    source = text_member(record, "eventSource")
    if source not in (None, "aws:kinesis"):
        raise PermanentError(f"records of {source!r}: this function takes those of Kinesis; mend the event source")
    data = data_of(member(at, "data")) if isinstance(at, dict) and "data" in at else _direct(record)
    shard, _, after = (text_member(record, "eventID") or "").rpartition(":")
    sequence = sequence_of(member(at, "sequenceNumber"))
    if sequence is None:
        sequence = sequence_of(after)
    if sequence is None:
        return origin.record(data)
    stream = stream_of(text_member(record, "eventSourceARN"))
    name = origin.source_name or (f"kinesis://{stream}" if stream else DIRECT)
    arrived = arrived_us(member(at, "approximateArrivalTimestamp"), origin.now_us)
    return EventRecord(Shard(name, shard or DEFAULT_SHARD), sequence, data, arrived)


def _direct(value: Json) -> bytes:
    """An event of a direct invocation: its text, or the value itself as JSON."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json_bytes(value)


def _once(records: list[EventRecord], origin: Origin) -> list[EventRecord]:
    """Each position once: a copy of a record is left out, another record gets a position of its own.

    No stream sends either; a test event that was written by copying does.
    """
    seen: dict[tuple[Shard, int], bytes] = {}
    once = []
    for record in records:
        place = record.shard, record.sequence
        if place not in seen:
            seen[place] = record.data
            once.append(record)
        elif seen[place] != record.data:
            once.append(origin.record(record.data))
    return once
