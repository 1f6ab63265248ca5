"""What a Firehose transformation is asked to transform, as a RecordBatch whose rows follow the records.

    {"invocationId": "…", "deliveryStreamArn": "arn:aws:firehose:…:deliverystream/NAME",
     "sourceKinesisStreamArn": "arn:aws:kinesis:…:stream/NAME", "region": "…",
     "records": [{"recordId": "…", "approximateArrivalTimestamp": 1510772160000, "data": "<base64>",
                  "kinesisRecordMetadata": {"shardId": "shardId-…", "sequenceNumber": "4954…", "subsequenceNumber": 0,
                                            "partitionKey": "…", "approximateArrivalTimestamp": 1510772160000}}]}

(docs.aws.amazon.com/lambda/latest/dg/services-kinesisfirehose.html; `kinesisRecordMetadata` only where a Kinesis
stream is the source.) Firehose takes KPL aggregates apart before it asks: their user records come one by one, with
one sequence number and `subsequenceNumber` 0, 1, 2…

Who a record is. From a stream: shard, sequence and sub-sequence number, which the stream keeps for ever. Else: the
delivery stream and the `recordId`. AWS says that a failed invocation is retried (three times by default), and that an
answer must carry the ids of the request (docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-
handling.html, …/data-transformation-status-model.html); it does not say that ids are the same at every retry. They
belong to the request that is sent again, and no report of another one was found. Should a retry bear new ids, its
events look like copies of those whose answer was lost: they are answered `Dropped` and lie, whole, among the
duplicates under `_headgate/firehose/`, with an original that is nowhere, which `verify` names and `replay --orphans`
admits. A record that is put into a stream again (as AWS's blueprints do with what does not fit an answer) is another
record, and its events are copies of themselves; so this transformation never does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.errors import PermanentError
from headgate.records import RecordBatch, Shard
from headgate.source.event_records import (
    EventRecord,
    Json,
    arrived_us,
    batch_of,
    data_of,
    digest_of,
    member,
    sequence_of,
    stream_of,
    text_member,
)

_SUB_BITS = 16  # of a part's sub-number that count the events inside a user record of an aggregate
_MAX_SUBSEQUENCE = (1 << 15) - 1  # a sub-number has 31 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class FirehoseRecord:
    """One record of the request.

    Attributes:
        record_id: by which it is answered.
        record: its bytes and position.
        subsequence: of a user record in an aggregate; 0 for the first one and for any other record.
    """

    record_id: str
    record: EventRecord
    subsequence: int


def records_of_event(event: Json, *, now_us: int, source_name: str | None = None) -> list[FirehoseRecord]:
    """The records of an invocation, in the order of the request.

    Args:
        event: as the runtime hands it over.
        now_us: arrival of records that carry none.
        source_name: name in positions; None for `kinesis://STREAM`, or `firehose://NAME` where there is no stream.

    Raises:
        PermanentError: the event is of another kind.
    """
    records = member(event, "records")
    if not isinstance(records, list) or any(text_member(r, "recordId") is None for r in records):
        raise PermanentError(
            'this event has no "records" with a "recordId" each, as Firehose sends: check what invokes the function'
        )
    arn = text_member(event, "deliveryStreamArn") or ""
    delivery = f"firehose://{arn.rpartition('/')[2] or 'direct'}"
    stream = stream_of(text_member(event, "sourceKinesisStreamArn"))
    kinesis = source_name or (f"kinesis://{stream}" if stream else delivery)
    shard = Shard(source_name or delivery, arn or "direct")
    return _apart([_record(r, shard, kinesis, now_us) for r in records], shard)


def batch_of_records(records: Sequence[FirehoseRecord]) -> RecordBatch:
    """One batch, sorted by shard and sequence; user records of one aggregate have a row each."""
    return batch_of([one.record for one in in_order(records)])


def in_order(records: Sequence[FirehoseRecord]) -> list[FirehoseRecord]:
    """The records in the order of the rows of `batch_of_records`."""
    return sorted(records, key=lambda r: (r.record.shard, r.record.sequence, r.subsequence))


def sub_number(subsequence: int, sub: int) -> int:
    """The sub-number of an event in a user record of an aggregate.

    Args:
        subsequence: of the user record; 0 leaves `sub` as it is.
        sub: of the event within the user record, -1 where it is all of it.
    """
    return sub if subsequence == 0 else (subsequence << _SUB_BITS) | min(sub + 1, (1 << _SUB_BITS) - 1)


def _apart(records: Sequence[FirehoseRecord], delivery: Shard) -> list[FirehoseRecord]:
    """Each record with a place that only its copies share.

    The same place with the same bytes is a copy. With other bytes it is another record, which the metadata do not tell
    apart: it stands at its `recordId`, as one that came without metadata.
    """
    first: dict[tuple[Shard, int, int], bytes] = {}
    found = []
    for one in records:
        place = (one.record.shard, one.record.sequence, one.subsequence)
        if first.setdefault(place, one.record.data) != one.record.data:
            moved = one.record._replace(shard=delivery, sequence=digest_of(one.record_id))
            found.append(FirehoseRecord(record_id=one.record_id, record=moved, subsequence=0))
        else:
            found.append(one)
    return found


def _record(record: Json, delivery: Shard, kinesis: str, now_us: int) -> FirehoseRecord:
    record_id = text_member(record, "recordId") or ""
    data = data_of(member(record, "data"))
    arrived = arrived_us(member(record, "approximateArrivalTimestamp"), now_us)
    origin = member(record, "kinesisRecordMetadata")
    shard, sequence = text_member(origin, "shardId"), sequence_of(member(origin, "sequenceNumber"))
    subsequence = _subsequence(member(origin, "subsequenceNumber"))
    if shard is None or sequence is None or subsequence is None:
        return FirehoseRecord(
            record_id=record_id, record=EventRecord(delivery, digest_of(record_id), data, arrived), subsequence=0
        )
    taken = arrived_us(member(origin, "approximateArrivalTimestamp"), arrived)
    place = EventRecord(Shard(kinesis, shard), sequence, data, taken)
    return FirehoseRecord(record_id=record_id, record=place, subsequence=subsequence)


def _subsequence(value: Json) -> int | None:
    """A number or its text; 0 where there is none; None where it is too large for a sub-number."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return 0
    return value if value <= _MAX_SUBSEQUENCE else None
