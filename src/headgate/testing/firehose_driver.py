"""A delivery stream on script: buffers records, asks the transformation, retries, delivers by partition keys.

What Firehose does (docs.aws.amazon.com/firehose/latest/dev/data-transformation.html): it buffers up to 3 MB, invokes
the function and, where that fails, invokes it again with the same records, three times by default; then, and for
every record that is answered `ProcessingFailed`, not at all, twice or under an unknown id, the raw record goes to the
error output. `Ok` data is delivered under the prefix that its partition keys make, `Dropped` is delivered nowhere.
Delivery is at least once.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from headgate.testing.event_source_mapping import Event, FunctionError

DELIVERY_ARN = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/delivery"
STREAM_ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/stream"
RETRIES = 3
PREFIX = "events/event_type={event_type}/created_date={created_date}/"


class Delivered(NamedTuple):
    """A record as Firehose holds it.

    Attributes:
        record_id: Firehose's own name of it.
        data: its bytes.
        arrived_us: when it was taken.
        shard: of the source stream; None for records that were put directly.
        sequence: in that shard.
        subsequence: of a user record of a KPL aggregate.
    """

    record_id: str
    data: bytes
    arrived_us: int
    shard: str | None = None
    sequence: int = 0
    subsequence: int = 0


@dataclass(kw_only=True)
class DeliveryStream:
    """One delivery stream and its outputs.

    Attributes:
        buffer_bytes: of data a request.
        files: delivered content by prefix.
        failed: raw records of the error output.
        dropped: how many records were delivered nowhere, on purpose.
    """

    buffer_bytes: int = 1 << 20
    files: dict[str, bytes] = field(default_factory=lambda: defaultdict(bytes))
    failed: list[bytes] = field(default_factory=list)
    dropped: int = 0

    def drive(self, records: Iterable[Delivered], invoke: Callable[[Event], Mapping[str, Any]]) -> None:
        """Deliver records.

        Args:
            records: in order.
            invoke: the transformation; raises FunctionError where there was no answer.
        """
        for some in self._buffers(records):
            event = request(some)
            for _ in range(1 + RETRIES):
                try:
                    self._deliver(some, invoke(event)["records"])
                    break
                except FunctionError:
                    continue
            else:
                self.failed += [one.data for one in some]

    def write(self, folder: Path) -> None:
        """Write the delivered content as files."""
        for number, (prefix, content) in enumerate(self.files.items()):
            path = folder / prefix / f"part-{number}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _buffers(self, records: Iterable[Delivered]) -> Iterator[list[Delivered]]:
        some: list[Delivered] = []
        size = 0
        for one in records:
            if some and size + len(one.data) > self.buffer_bytes:
                yield some
                some, size = [], 0
            some.append(one)
            size += len(one.data)
        if some:
            yield some

    def _deliver(self, records: Sequence[Delivered], answers: Sequence[Mapping[str, Any]]) -> None:
        times = Counter(answer["recordId"] for answer in answers)
        by_id = {answer["recordId"]: answer for answer in answers}
        for one in records:
            answer = by_id.get(one.record_id, {})
            result = answer.get("result") if times[one.record_id] == 1 else None
            if result == "Ok":
                prefix = PREFIX.format(**answer["metadata"]["partitionKeys"])
                self.files[prefix] += base64.b64decode(answer["data"], validate=True)
            elif result == "Dropped":
                self.dropped += 1
            else:
                self.failed.append(one.data)


def request(records: Sequence[Delivered]) -> Event:
    """The event that asks the transformation."""
    event: Event = {
        "invocationId": "invoked123",
        "deliveryStreamArn": DELIVERY_ARN,
        "region": "eu-central-1",
        "records": [_record(one) for one in records],
    }
    if any(one.shard is not None for one in records):
        event["sourceKinesisStreamArn"] = STREAM_ARN
    return event


def _record(one: Delivered) -> Event:
    record: Event = {
        "recordId": one.record_id,
        "approximateArrivalTimestamp": one.arrived_us // 1000,
        "data": base64.b64encode(one.data).decode(),
    }
    if one.shard is not None:
        record["kinesisRecordMetadata"] = {
            "shardId": one.shard,
            "partitionKey": "1",
            "approximateArrivalTimestamp": one.arrived_us // 1000,
            "sequenceNumber": str(one.sequence),
            "subsequenceNumber": one.subsequence,
        }
    return record
