"""Answers of GetRecords, and events of a subscription, as columns.

The SDK's own parser takes 20 µs a record; this one takes the body itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from headgate.errors import TransientError
from headgate.records import RECORDS, SEQUENCE_BYTES, SEQUENCE_TYPE
from headgate.source.kinesis.lineage import ShardInfo
from headgate.source.kinesis.positions import sequence_numbers

BODY = "HeadgateBody"  # where the body stands in what the SDK answers


class _Record(msgspec.Struct, rename="pascal", gc=False):
    sequence_number: str
    approximate_arrival_timestamp: float
    data: bytes


class _HashKeyRange(msgspec.Struct, rename="pascal"):
    starting_hash_key: str
    ending_hash_key: str


class _Child(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shards: list[str]
    hash_key_range: _HashKeyRange


class _Body(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    next_shard_iterator: str | None = None
    millis_behind_latest: int | None = None
    child_shards: list[_Child] | None = None


class _Event(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    continuation_sequence_number: str | None = None
    millis_behind_latest: int | None = None
    child_shards: list[_Child] | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_event = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of GetRecords, or one event of a subscription; the lists are of equal length.

    Attributes:
        data: the records' bytes.
        sequences: their sequence numbers.
        arrived_us: ApproximateArrivalTimestamp, microseconds since 1970.
        next_iterator: where it goes on, of an event the ContinuationSequenceNumber; None where the shard is closed and
            read to its end.
        behind_ms: how far behind the tip, milliseconds.
        children: shards that came from this one, where it ended.
    """

    data: Sequence[bytes]
    sequences: Sequence[int]
    arrived_us: Sequence[int]
    next_iterator: str | None
    behind_ms: int
    children: Sequence[ShardInfo] = ()

    def after(self, skipped: int) -> Answer:
        """The same without its first records."""
        if not skipped:
            return self
        return Answer(
            data=self.data[skipped:],
            sequences=self.sequences[skipped:],
            arrived_us=self.arrived_us[skipped:],
            next_iterator=self.next_iterator,
            behind_ms=self.behind_ms,
            children=self.children,
        )


def keep_body(response_dict: dict[str, object], customized_response_dict: dict[str, object], **_: object) -> None:
    """A `before-parse` hook of botocore: hand the body of a good answer on, unparsed."""
    if response_dict["status_code"] == 200:
        customized_response_dict[BODY] = response_dict["body"]
        response_dict["body"] = b"{}"


def answer_of(body: bytes) -> Answer:
    """Read the body of an answer.

    Raises:
        TransientError: it is no answer of GetRecords (cut off, or from something in between).
        PermanentError: a sequence number does not fit.
    """
    try:
        read = _decode(body)
    except msgspec.DecodeError as error:
        raise TransientError(f"GetRecords gave an answer that cannot be read ({error}); Headgate tries again") from None
    return _answer(read.records, read.next_shard_iterator, read.millis_behind_latest, read.child_shards)


def answer_of_event(payload: bytes) -> Answer:
    """Read an event of a subscription.

    Raises:
        TransientError: it is no such event, or the end of a shard that names no children: that may be a fault of the
            service, and a shard that ended is never read again.
        PermanentError: a sequence number does not fit.
    """
    try:
        read = _decode_event(payload)
    except msgspec.DecodeError as error:
        raise TransientError(f"SubscribeToShard gave an event that cannot be read ({error}); tried again") from None
    goes_on = read.continuation_sequence_number
    if goes_on is None and not read.child_shards:
        raise TransientError("SubscribeToShard gave the end of a shard without its children; tried again")
    if goes_on is not None:
        sequence_numbers([goes_on])
    return _answer(read.records, goes_on, read.millis_behind_latest, read.child_shards)


def _answer(
    records: Sequence[_Record], next_iterator: str | None, behind_ms: int | None, children: Sequence[_Child] | None
) -> Answer:
    return Answer(
        data=[r.data for r in records],
        sequences=sequence_numbers([r.sequence_number for r in records]),
        arrived_us=_whole_milliseconds([r.approximate_arrival_timestamp for r in records]),
        next_iterator=next_iterator,
        behind_ms=behind_ms or 0,
        children=[
            ShardInfo(
                name=c.shard_id,
                parents=tuple(c.parent_shards),
                hash_range=(c.hash_key_range.starting_hash_key, c.hash_key_range.ending_hash_key),
            )
            for c in children or ()
        ],
    )


def _whole_milliseconds(seconds: Sequence[float]) -> list[int]:
    """Microseconds since 1970: the service keeps milliseconds, so that rounding to these undoes the floating point."""
    times: list[int] = (np.rint(np.array(seconds) * 1000).astype(np.int64) * 1000).tolist()
    return times


def records_of(answer: Answer) -> pa.Table:
    """RECORDS of one answer; `shard` is 0 throughout."""
    n = len(answer.data)
    sequences = b"".join([number.to_bytes(SEQUENCE_BYTES, "big") for number in answer.sequences])
    columns = [
        pa.array(answer.data, pa.large_binary()),
        pa.array(np.zeros(n, dtype=np.int32)),
        _sequence_array(n, sequences),
        _sequence_array(n, _successors(sequences)),
        pa.array(np.array(answer.arrived_us, dtype=np.int64)).cast(pa.timestamp("us", tz="UTC")),
        pa.nulls(n, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=RECORDS)


def _successors(sequences: bytes) -> bytes:
    """Each number plus one; none is the largest that 24 bytes hold."""
    words = np.frombuffer(sequences, dtype=">u8").reshape(-1, SEQUENCE_BYTES // 8).astype(np.uint64)
    carry = np.ones(len(words), dtype=np.bool_)
    for column in range(words.shape[1] - 1, -1, -1):
        words[:, column] += carry
        carry &= words[:, column] == 0
    return words.astype(">u8").tobytes()


def _sequence_array(n: int, flat: bytes) -> pa.Array:
    return pa.Array.from_buffers(SEQUENCE_TYPE, n, [None, pa.py_buffer(flat)])
