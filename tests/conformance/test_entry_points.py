"""The same records at every entry point: the same ids are accepted, the same bytes rejected for the same reasons."""

import gzip
import json
from collections import Counter
from typing import NamedTuple

import pytest
import zstandard

from headgate.core.reasons import Reason
from headgate.testing.delivery_rows import kept
from headgate.testing.event_source_mapping import EventSourceMapping
from headgate.testing.firehose_driver import Delivered, DeliveryStream
from headgate.testing.function_world import Answers
from headgate.testing.independent import ids, rejects, totals
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.kpl_writer import aggregate
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.processes import run
from headgate.testing.rubbish import FAULTS, Parts
from headgate.testing.server_valkey import valkey
from headgate.testing.stream_world import environment, held

LIMITS = """
[lake]
format = "parquet"
max_event_types = 3
[validate]
max_event_bytes = 3000
max_record_bytes = 20000
[[rules]]
name = "positive_amount"
when = "event_type = 'payment'"
check = "CAST(payload->>'amount' AS DOUBLE) > 0"
"""
UUID = "4d3f9b0a-9c57-4a3b-8e0f-2f1d6c7b8a90"


def event(event_uuid, name="click:button", **more):
    return json.dumps({"event_uuid": event_uuid, "event_name": name, "created_at": 1_790_000_000, **more}).encode()


def some(prefix, count=3):
    return [event(f"{prefix}-{n}") for n in range(count)]


def faulty(n, fault):
    return fault.make(Parts(b'"f-%d"' % n, b'"click:button"', b"1790000000", b',"a":[1,{"b":"c"}]', n * 7))


#: What a line of a file can say, too; the first ones admit the event types.
LINES = [
    event("first"),
    event("paid", "payment:card", amount=5),
    event("left", "exit"),
    event("one type too many", "fourth:type"),
    event("first"),
    event("first", more=1),
    event(UUID),
    event(UUID.upper().replace("-", "")),
    event("urn:uuid:" + UUID),
    event("{" + UUID + "}"),
    event(42),
    event("42"),
    event("free", "payment:card", amount=0),
    event("free of amount", "payment:card"),
    event("large", text="x" * 3000),
    b'{"event_uuid":"twice","event_uuid":"twice again","event_name":"exit","created_at":1790000000}',
    b'  {"event_uuid":"spaced","event_name":" exit : now ","created_at":"2026-09-21T14:13:20+02:00"}  ',
    *(faulty(n, fault) for n, fault in enumerate(FAULTS)),
    b"[" + b",".join(some("array")) + b"]",
    b"[" + b",".join([*some("mixed"), b"7", event(None), event("array-0"), event("paid")]) + b"]",
    b"[]",
    b"[[" + event("nested") + b"]]",
    b"[" + event("before the break") + b",{broken},\n".strip() + event("after the break") + b"]",
    b"[" + event("never closed"),
    b"".join(some("row")),
    b" ".join([*some("before"), b"{rubbish", *some("behind")]),
    b'"text"' + event("behind a text"),
    b"null" + event("behind a null"),
    b"\xef\xbb\xbf" + event("with a mark"),
]
WHOLE = b"\n".join([*some("whole", 4), b"not json", event("whole-1"), event("whole-9"), b""])
PACKED = {
    "gz": [gzip.compress(WHOLE), gzip.compress(b"[" + b",".join(some("gzip array")) + b"]")],
    "zst": [zstandard.compress(b"\n".join(some("zstd")))],
}
USERS = [*some("user"), event("user-0"), b"user rubbish", b"[" + b",".join(some("user array")) + b"]"]
LINED = b"\n".join([*some("lined"), b"{rubbish", event("behind a line")])
#: What no file can hold: there a blank line is no record, and what is packed is packed as a whole.
STREAM_ONLY = [
    b"   ",
    gzip.compress(b"\n".join(some("cut")))[:-9],
    gzip.compress(b"\n".join([event("inflated", text="x" * 2500)] * 9)),
    b"\x1f\x8b rubbish",
    aggregate(some("torn"))[:-1],
]


class Seen(NamedTuple):
    """What became of all records."""

    accepted: list[str]
    rejected: Counter
    duplicates: int


@pytest.fixture(scope="module")
def world(kinesis_url, tmp_path_factory):
    """A stream of one shard that holds all records, and what every child needs."""
    folder = tmp_path_factory.mktemp("entry-points")
    (folder / "headgate.toml").write_text(LIMITS)
    stream = StreamDriver(kinesis_url, shards=1)
    stream.put([*LINES, *PACKED["gz"], *PACKED["zst"], aggregate(USERS), LINED, *STREAM_ONLY])
    with valkey(folder / "valkey") as claims:
        yield World(folder, stream, claims)


class World:
    def __init__(self, folder, stream, claims):
        self.folder, self.stream, self.claims = folder, stream, claims
        self.records = held(stream)
        self.env = {**environment(stream.url), "HEADGATE_CONFIG": str(folder / "headgate.toml")}

    def function_env(self, lake, database):
        return {
            **self.env,
            "HEADGATE__LAKE__URI": str(self.folder / lake),
            "HEADGATE__DEDUP__STORE": f"redis://127.0.0.1:{self.claims.port}/{database}",
            "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
        }

    def consume(self, source, lake):
        code, child = run(["run", source, self.folder / lake, "--once"], self.folder / "logs", env=self.env)
        assert code == 0, child.errors()
        return seen(self.folder / lake)


def seen(lake):
    return Seen(ids(lake), rejects(lake), totals(lake).duplicates)


@pytest.fixture(scope="module")
def streamed(world):
    """By `headgate run kinesis://`: what the others are compared with."""
    return world.consume(f"kinesis://{world.stream.name}", "streamed")


def test_every_reason_is_among_the_records(streamed):
    reasons = {reason for reason, _ in streamed.rejected}
    assert reasons == {*Reason, "rule:positive_amount"}
    assert len(streamed.accepted) > 40
    assert streamed.duplicates >= 10


def test_files(world, streamed):
    """Lines, packed files and the user records of an aggregate; not what no file can hold."""
    source = world.folder / "files"
    source.mkdir()
    (source / "0.jsonl").write_bytes(b"\n".join(LINES) + b"\n")
    for suffix, packed in PACKED.items():
        for n, data in enumerate(packed):
            (source / f"1-{suffix}-{n}.jsonl.{suffix}").write_bytes(data)
    (source / "2.jsonl").write_bytes(b"\n".join(USERS))
    (source / "3.jsonl").write_bytes(LINED)

    filed = world.consume(source, "filed")

    only = Counter({key: count for key, count in streamed.rejected.items() if key[1] in STREAM_ONLY})
    assert filed.rejected + only == streamed.rejected
    assert filed.accepted == streamed.accepted
    assert filed.duplicates == streamed.duplicates


@pytest.mark.parametrize("batch_size", [1_000, 7])
def test_the_lambda_handler(world, streamed, batch_size):
    lake = f"lambda-{batch_size}"
    mapping = EventSourceMapping(stream=world.stream.name, batch_size=batch_size)
    handler = "headgate.entrypoints.aws_lambda.handler"
    with LambdaFunction(handler, world.folder / f"logs-{lake}", world.function_env(lake, batch_size % 16)) as function:
        driven = mapping.drive(world.records, function)
    assert driven.discarded == []
    assert seen(world.folder / lake) == streamed


def test_the_firehose_handler(world, streamed):
    """Firehose itself takes aggregates apart before it asks."""
    asked = []
    for record in world.records:
        users = USERS if record.data == aggregate(USERS) else [record.data]
        asked += [
            Delivered(f"{record.sequence}-{n}", data, record.arrived_us, record.shard, record.sequence, n)
            for n, data in enumerate(users)
        ]
    delivery, answers = DeliveryStream(), Answers()
    handler = "headgate.entrypoints.firehose.handler"
    with LambdaFunction(handler, world.folder / "logs-firehose", world.function_env("firehose", 15)) as function:

        def invoke(event):
            answer = function(event)
            answers.take(event, answer)
            return answer

        delivery.drive(asked, invoke)

    have = kept(delivery, world.folder / "firehose")
    assert answers.breaches == []
    assert have.delivered
    assert Seen(have.ids, have.raw, len(have.duplicates)) == streamed
