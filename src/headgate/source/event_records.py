"""Records out of the JSON events that AWS hands to a function, and the batch that they make."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from headgate.records import RECORDS, SEQUENCE_BYTES, RecordBatch, Shard, ShardRange

Json = object  # any JSON value, not yet looked at
SECOND_US = 1_000_000  # microseconds
_SEQUENCE_LIMIT = (1 << (8 * SEQUENCE_BYTES)) - 1  # the sequence after a record must fit, too
_RANDOM_BITS, _COUNT_BITS = 60, 24  # of a made sequence, below the time


class EventRecord(NamedTuple):
    """One record of an event.

    Attributes:
        shard: where it stood.
        sequence: its position.
        data: its bytes.
        arrived_us: when the stream took it, microseconds since 1970 UTC.
    """

    shard: Shard
    sequence: int
    data: bytes
    arrived_us: int


def batch_of(records: Sequence[EventRecord]) -> RecordBatch:
    """The records as one batch, sorted by shard and sequence, with one range a shard.

    Args:
        records: in any order; no two of one shard with the same sequence.
    """
    ordered = sorted(records, key=lambda r: (r.shard, r.sequence))
    shards = list(dict.fromkeys(r.shard for r in ordered))
    index = {shard: i for i, shard in enumerate(shards)}
    numbers = [index[r.shard] for r in ordered]
    table = pa.table(
        {
            "data": pa.array([r.data for r in ordered], pa.large_binary()),
            "shard": pa.array(np.array(numbers, dtype=np.int32)),
            "sequence": _sequences([r.sequence for r in ordered]),
            "end": _sequences([r.sequence + 1 for r in ordered]),
            "arrived_at": pa.array([r.arrived_us for r in ordered], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "fault": pa.nulls(len(ordered), pa.string()),
        },
        schema=RECORDS,
    )
    ranges = []
    for shard, some in groupby(ordered, key=lambda r: r.shard):
        held = list(some)
        ranges.append(ShardRange(shard=shard, start=str(held[0].sequence), end=str(held[-1].sequence + 1)))
    return RecordBatch(table=table, ranges=ranges)


def data_of(value: Json) -> bytes:
    """A record's bytes: base64 as AWS sends it; any other text, or a JSON value, as people's test events have it."""
    if not isinstance(value, str):
        return json_bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):  # ValueError: it is not ASCII
        return value.encode("utf-8", "surrogatepass")  # a lone surrogate becomes a reject, as on any other path


def json_bytes(value: Json) -> bytes:
    """A JSON value as the producer would have sent it; what is no JSON (NaN, a lone surrogate) stays none."""
    return json.dumps(value, separators=(",", ":")).encode()


def sequence_of(value: Json) -> int | None:
    """A sequence number; any other text stands for a digest of itself. None: there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _SEQUENCE_LIMIT:
        return value
    if not isinstance(value, str) or not value:
        return None
    if value.isascii() and value.isdecimal() and len(value) <= 57 and int(value) < _SEQUENCE_LIMIT:
        return int(value)
    return digest_of(value)


def digest_of(text: str) -> int:
    """128 bits that stand for a text."""
    return xxhash.xxh3_128_intdigest(text.encode("utf-8", "surrogatepass"))


def first_sequence(now_us: int, random_bits: Callable[[int], int]) -> int:
    """Where the made sequences of one invocation begin: its time and 60 random bits, with room for 2**24 records.

    Args:
        now_us: wall clock.
        random_bits: gives so many random bits as an integer.
    """
    return ((now_us << _RANDOM_BITS) | random_bits(_RANDOM_BITS)) << _COUNT_BITS


def arrived_us(value: Json, now_us: int) -> int:
    """A time of arrival: seconds (Kinesis), milliseconds (Firehose) or ISO 8601; now where it is none of these.

    Kinesis and Firehose keep milliseconds, so that rounding to these undoes what floating point did.
    """
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return now_us
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        try:
            since_us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        except OverflowError:  # year 1 east of Greenwich
            return now_us
        return since_us if since_us >= 0 else now_us
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return now_us
    milliseconds = value * 1000 if abs(value) < 1e11 else value
    return round(milliseconds) * 1000 if 0 <= milliseconds < 1e15 else now_us


def member(value: Json, name: str) -> Json:
    """The value under a name; None where there is none, or no object around it."""
    return value.get(name) if isinstance(value, dict) else None


def text_member(value: Json, name: str) -> str | None:
    """The non-empty text under a name."""
    found = member(value, name)
    return found if isinstance(found, str) and found else None


def stream_of(arn: str | None) -> str | None:
    """The stream's name in its ARN, or in that of one of its consumers."""
    if arn is None:
        return None
    parts = arn.split("/")
    is_stream = arn.startswith("arn:") and parts[0].endswith("stream") and len(parts) > 1
    return (parts[1] or None) if is_stream else None


def _sequences(values: Sequence[int]) -> pa.Array:
    return pa.array([v.to_bytes(SEQUENCE_BYTES, "big") for v in values], pa.binary(SEQUENCE_BYTES))
