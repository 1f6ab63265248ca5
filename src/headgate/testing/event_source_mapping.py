"""A Kinesis event source mapping on script: forms batches a shard, invokes a function, retries, repeats, reorders.

What Lambda does (docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html): it reads each shard in
order, hands over up to BatchSize records of one shard, one batch of a shard at a time (ParallelizationFactor 1),
and hands over the same records again until the function answers; with BisectBatchOnFunctionError it hands over
halves instead. With MaximumRetryAttempts or MaximumRecordAge it gives a batch up; nothing tells the function.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

Event = dict[str, Any]
Invoke = Callable[[Event], Mapping[str, Any]]  # raises where the function did

STREAM_ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/{}"


class StreamRecord(NamedTuple):
    """A record as the stream holds it.

    Attributes:
        shard: `shardId-…`.
        sequence: its sequence number.
        data: its bytes.
        arrived_us: when the stream took it; Kinesis keeps milliseconds.
    """

    shard: str
    sequence: int
    data: bytes
    arrived_us: int


class FunctionError(Exception):
    """The function raised, was killed or ran out of time: no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """Settings of the mapping.

    Attributes:
        stream: name of the stream.
        batch_size: records a batch.
        max_attempts: invocations of one batch before it is given up (MaximumRetryAttempts and one).
        is_bisected: whether a batch that failed is cut in two.
    """

    stream: str = "stream"
    batch_size: int = 100
    max_attempts: int = 10_000
    is_bisected: bool = False

    def event(self, records: Sequence[StreamRecord]) -> Event:
        """The event that hands some records over."""
        return {"Records": [kinesis_record(record, self.stream) for record in records]}

    def batches(self, records: Iterable[StreamRecord]) -> Iterator[list[StreamRecord]]:
        """Batches of one shard each, in order."""
        in_order = sorted(records, key=lambda r: (r.shard, r.sequence))
        for _, some in groupby(in_order, key=lambda r: r.shard):
            held = list(some)
            for at in range(0, len(held), self.batch_size):
                yield held[at : at + self.batch_size]

    def drive(self, records: Iterable[StreamRecord], invoke: Invoke) -> Driven:
        """Hand all records over, each batch until it is answered or given up."""
        answers: list[Mapping[str, Any]] = []
        discarded: list[list[StreamRecord]] = []
        waiting = [(batch, 1) for batch in self.batches(records)]
        while waiting:
            batch, attempt = waiting.pop(0)
            try:
                answers.append(invoke(self.event(batch)))
            except FunctionError:
                if attempt >= self.max_attempts:
                    discarded.append(batch)
                elif self.is_bisected and len(batch) > 1:
                    half = len(batch) // 2
                    waiting[:0] = [(batch[:half], attempt + 1), (batch[half:], attempt + 1)]
                else:
                    waiting.insert(0, (batch, attempt + 1))
        return Driven(answers=answers, discarded=discarded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What a mapping did.

    Attributes:
        answers: of the function, in order.
        discarded: batches that were given up; the failure destination gets their positions.
    """

    answers: Sequence[Mapping[str, Any]]
    discarded: Sequence[Sequence[StreamRecord]]


def kinesis_record(record: StreamRecord, stream: str = "stream") -> Event:
    """A record as Lambda hands it over."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": str(record.sequence),
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrived_us / 1_000_000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{record.shard}:{record.sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/headgate",
        "awsRegion": "eu-central-1",
        "eventSourceARN": STREAM_ARN.format(stream),
    }
