"""A Kinesis that replays recorded answers at full speed: a real boto3 client, and no server behind it.

What is measured with it is everything but the network: signing, the answer's bytes, parsing, and all that follows.
The recording is exact (kinesis-local writes the same bytes again) or made of lines; the service's limits do not hold.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.awsrequest import AWSResponse

from headgate.testing.kinesis_driver import LARGEST_HASH_KEY, StreamDriver, answer, client_of, intercept
from headgate.testing.records import ARRIVED_US

FIRST_SEQUENCE = 49680416134291111839103225072814912035316082618801324034  # as the service's look: 56 digits
SEQUENCE_STEP = 1208925819614629174706176  # between two records of the service
CREATED_SECONDS = ARRIVED_US // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """The records of one GetRecords answer as JSON text, and the last one's sequence number."""

    records: bytes
    last: int


class _Recorded(msgspec.Struct, rename="pascal"):
    records: msgspec.Raw


def recorded_lines(
    lines: Sequence[bytes], *, shards: int, per_answer: int = 10_000, arrived_us: int = ARRIVED_US
) -> dict[str, list[RecordedAnswer]]:
    """Answers that hold each line as a record, in turn over the shards.

    Args:
        lines: the records' bytes.
        shards: number of shards.
        per_answer: records an answer; the service gives 10,000 or 10 MB.
        arrived_us: when all of them arrived.
    """
    found: dict[str, list[RecordedAnswer]] = {}
    for shard in range(shards):
        own = lines[shard::shards]
        answers = found[f"shardId-{shard:012d}"] = []
        for start in range(0, len(own), per_answer):
            numbers = range(start, min(start + per_answer, len(own)))
            records = [
                {
                    "SequenceNumber": str(FIRST_SEQUENCE + (i + 1) * SEQUENCE_STEP),
                    "ApproximateArrivalTimestamp": arrived_us / 1e6,
                    "Data": base64.b64encode(own[i]).decode(),
                    "PartitionKey": f"key-{i}",
                    "EncryptionType": "NONE",
                }
                for i in numbers
            ]
            last = FIRST_SEQUENCE + (numbers[-1] + 1) * SEQUENCE_STEP
            answers.append(RecordedAnswer(records=json.dumps(records, separators=(",", ":")).encode(), last=last))
    return found


def recorded_stream(stream: StreamDriver, *, per_answer: int = 10_000) -> dict[str, list[RecordedAnswer]]:
    """The answers that a server gives for the shards of a stream, byte for byte, up to the tip."""
    client = client_of(stream.url)
    bodies: list[bytes] = []
    client.meta.events.register(
        "before-parse.kinesis.GetRecords", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    found: dict[str, list[RecordedAnswer]] = {}
    for shard in stream.shards():
        name = shard["ShardId"]
        answers = found[name] = []
        iterator = client.get_shard_iterator(StreamName=stream.name, ShardId=name, ShardIteratorType="TRIM_HORIZON")
        following = iterator["ShardIterator"]
        while following:
            got = client.get_records(ShardIterator=following, Limit=per_answer)
            if not got["Records"]:
                break
            records = bytes(msgspec.json.decode(bodies[-1], type=_Recorded).records)
            answers.append(RecordedAnswer(records=records, last=int(got["Records"][-1]["SequenceNumber"])))
            following = got.get("NextShardIterator")
    return found


class ReplayedKinesis:
    """A stream of recorded answers."""

    def __init__(self, answers: Mapping[str, Sequence[RecordedAnswer]], *, name: str = "replayed") -> None:
        """Take the answers of each shard."""
        self.name = name
        self._answers = answers

    def client(self) -> Any:
        """A boto3 client that is answered from the recording; each call makes another one."""
        client = client_of("http://replayed.invalid")
        intercept(client, "DescribeStreamSummary", lambda _: answer(200, {"StreamDescriptionSummary": self._summary()}))
        intercept(client, "ListShards", lambda _: answer(200, {"Shards": list(self._shards())}))
        intercept(client, "GetShardIterator", lambda body: answer(200, {"ShardIterator": self._iterator(body)}))
        intercept(client, "GetRecords", lambda body: self._records(body["ShardIterator"]))
        return client

    def _summary(self) -> dict[str, object]:
        return {
            "StreamName": self.name,
            "StreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{self.name}",
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 8760,
            "StreamCreationTimestamp": CREATED_SECONDS,
            "EnhancedMonitoring": [],
            "OpenShardCount": len(self._answers),
        }

    def _shards(self) -> Iterable[dict[str, object]]:
        width = (LARGEST_HASH_KEY + 1) // len(self._answers)
        for i, name in enumerate(self._answers):
            yield {
                "ShardId": name,
                "HashKeyRange": {"StartingHashKey": str(i * width), "EndingHashKey": str((i + 1) * width - 1)},
                "SequenceNumberRange": {"StartingSequenceNumber": "1"},
            }

    def _iterator(self, body: Mapping[str, Any]) -> str:
        """`shard/number of the answer`; a reader drops the records of that answer which it has."""
        shard = body["ShardId"]
        sequence = int(body.get("StartingSequenceNumber", 0))
        is_at = body["ShardIteratorType"] == "AT_SEQUENCE_NUMBER"
        before = sum(1 for a in self._answers[shard] if a.last < sequence + (not is_at))
        return f"{shard}/{before}"

    def _records(self, iterator: str) -> AWSResponse:
        shard, _, number = iterator.rpartition("/")
        answers = self._answers[shard]
        at = int(number)
        is_tip = at >= len(answers)
        body = b'{"NextShardIterator":"%b/%d","MillisBehindLatest":%d,"Records":%b}' % (
            shard.encode(),
            at if is_tip else at + 1,
            0 if is_tip else (len(answers) - at) * 1000,
            b"[]" if is_tip else answers[at].records,
        )
        return answer(200, body)
