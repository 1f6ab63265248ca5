"""`generate --out kinesis://STREAM`: what the truth says is in the stream, whatever befalls the calls."""

import base64
import json
import random

import pytest

from headgate.core.envelope import Envelope
from headgate.core.irregular import parts_of
from headgate.core.limits import Limits
from headgate.entrypoints.kinesis_sink import MAX_BYTES, StreamWriter, records_of
from headgate.entrypoints.output import Silent
from headgate.errors import ConfigError, TransientError
from headgate.testing.clock import VirtualClock
from headgate.testing.generator import EventSpec, Truth, generate
from headgate.testing.kinesis_driver import StreamDriver, answer, client_of, error, intercept
from headgate.testing.kinesis_reader import StreamReader
from headgate.testing.processes import run
from headgate.testing.server_kinesis import REGION

SPEC = EventSpec(events=300, start_ms=1_790_000_000_000, duplicates=0.1, invalid=0.1, late=0)


def content(stream):
    reader = StreamReader(stream, once=True)
    reader.drain()
    reader.source.close()
    return reader.rows


def writer_of(client, stream, **options):
    defaults = {"clock": VirtualClock(), "jitter": lambda: 0.5, "progress": Silent()}
    return StreamWriter(client, stream, **{**defaults, **options})


def lines_of(spec):
    return b"".join(generate(spec)).split(b"\n")[:-1]


def write(writer, spec=SPEC):
    for block in generate(spec):
        writer.write(block)


def test_the_command_puts_what_the_truth_says(kinesis_url, tmp_path):
    stream = StreamDriver(kinesis_url, shards=3)
    env = {
        "AWS_ENDPOINT_URL_KINESIS": kinesis_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = ["generate", "--events", "400", "--out", f"kinesis://{stream.name}", "--rate", "2000", "--json"]
    code, child = run([*command, "--events-per-record", "7", "--start", "2026-11-20T00:00:00Z"], tmp_path, env=env)
    assert code == 0, child.errors()
    said = json.loads(child.out.read_text())
    rows = content(stream)
    found = [part for row in rows for part in parts_of(row.data, None, Envelope(), Limits())]
    assert len(found) == 400
    assert len(rows) == said["records"]
    assert sum(1 for part in found if part.reason == "malformed_json") == said["rejected_by_reason"]["malformed_json"]
    assert len({row.shard for row in rows}) == 3


def test_a_stream_without_a_name_is_wrong_usage(tmp_path):
    code, child = run(["generate", "--events", "1", "--out", "kinesis://"], tmp_path)
    assert code == 2
    assert "names no stream" in child.errors()


def test_records_that_were_not_taken_are_sent_again_and_only_those(kinesis_url):
    """The real service takes some records of a call and throttles others, shard by shard."""
    stream = StreamDriver(kinesis_url, shards=2)
    client, rng, calls = client_of(kinesis_url), random.Random(5), []

    def respond(body):
        calls.append(body)
        if len(calls) % 3 == 0:
            return error("InternalFailure", 500)
        taken = [rng.random() < 0.6 for _ in body["Records"]]
        entries = [
            {"Data": base64.b64decode(entry["Data"]), "PartitionKey": entry["PartitionKey"]}
            for entry, is_taken in zip(body["Records"], taken, strict=True)
            if is_taken
        ]
        placed = iter(stream.client.put_records(StreamName=stream.name, Records=entries)["Records"] if entries else [])
        refused = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "made by a test"}
        results = [next(placed) if is_taken else refused for is_taken in taken]
        return answer(200, {"FailedRecordCount": taken.count(False), "Records": results})

    intercept(client, "PutRecords", respond)
    writer = writer_of(client, stream.name)
    write(writer)
    assert sorted(row.data for row in content(stream)) == sorted(lines_of(SPEC))
    assert writer.sent.records == writer.sent.events == SPEC.events
    assert writer.sent.again > 0


def taking(taken):
    def respond(body):
        taken.append(body["Records"])
        return answer(200, {"Records": [{"SequenceNumber": "1", "ShardId": "s"} for _ in body["Records"]]})

    return respond


def test_a_steady_rate_is_kept_and_calls_come_often():
    client, taken = client_of("http://nobody.invalid"), []
    intercept(client, "PutRecords", taking(taken))
    clock = VirtualClock()
    writer = writer_of(client, "s", clock=clock, rate=100.0)
    write(writer)
    assert clock.monotonic() == pytest.approx(SPEC.events / 100, abs=0.3)
    assert {len(records) for records in taken} == {20}
    assert writer.lag_seconds < 0.3


def test_behind_the_rate_is_lag():
    client, clock = client_of("http://nobody.invalid"), VirtualClock()
    respond = taking([])

    def slowly(body):
        clock.sleep(1.0)
        return respond(body)

    intercept(client, "PutRecords", slowly)
    writer = writer_of(client, "s", clock=clock, rate=100.0)
    write(writer)
    assert writer.lag_seconds == pytest.approx(15 - 3, abs=0.5)


def test_calls_keep_to_the_limits_of_the_service():
    client, taken = client_of("http://nobody.invalid"), []
    intercept(client, "PutRecords", taking(taken))
    writer = writer_of(client, "s")
    writer.write(b"x\n" * 1_001)
    writer.write((b"y" * (3 << 20) + b"\n") * 7)
    assert [len(records) for records in taken] == [500, 500, 1, 3, 3, 1]
    assert all(sum(len(base64.b64decode(r["Data"])) + 32 for r in records) <= MAX_BYTES for records in taken)
    assert len({r["PartitionKey"] for records in taken for r in records}) == 1_008


def test_a_stream_that_takes_nothing_for_minutes_is_an_error():
    client, clock = client_of("http://nobody.invalid"), VirtualClock()
    intercept(client, "PutRecords", lambda _: error("ProvisionedThroughputExceededException"))
    with pytest.raises(TransientError, match=r"takes no records.*lower --rate"):
        write(writer_of(client, "s", clock=clock))
    assert 60 < clock.monotonic() < 600


def test_no_rights_are_a_wrong_configuration_at_once():
    client = client_of("http://nobody.invalid")
    intercept(client, "PutRecords", lambda _: error("AccessDeniedException"))
    with pytest.raises(ConfigError, match="AccessDeniedException"):
        write(writer_of(client, "s"))


@pytest.mark.parametrize("events_per_record", [1, 2, 7, 1_000])
def test_arrays_hold_the_same_parts_as_lines(events_per_record):
    truth = Truth()
    lines = b"".join(generate(SPEC, truth)).split(b"\n")[:-1]

    def parts(records):
        found = [part for record in records for part in parts_of(record, None, Envelope(), Limits())]
        return sorted((part.payload, part.reason or "") for part in found)

    records = list(records_of(lines, events_per_record))
    assert sum(events for _, events in records) == SPEC.events
    assert parts(data for data, _ in records) == parts(lines)
