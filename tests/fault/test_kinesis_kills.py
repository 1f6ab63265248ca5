"""A stream that is split and merged while its consumer is killed: exactly once, as an independent reader sees it."""

import json
import random

import pytest

from headgate.records import Shard
from headgate.testing.independent import breaches, ledger
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.kpl_writer import aggregate
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.server_kinesis import REGION

EVENTS = 3_000

pytestmark = pytest.mark.kill


@pytest.fixture
def stream(kinesis_url, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL_KINESIS": kinesis_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return StreamDriver(kinesis_url, shards=2)


def received(lake):
    if not (lake / "_headgate" / "ledger").exists():
        return 0
    return sum(entry.get("counts", [0])[0] for entry in ledger(lake))


def reshard(stream, rng):
    shards = stream.open_shards()
    at = rng.randrange(len(shards))
    if len(shards) > 3 and at:
        stream.merge(shards[at - 1], shards[at])
    else:
        stream.split(shards[at])


def test_splits_merges_and_kills_change_nothing(stream, tmp_path):
    """`generate` fills the stream, with copies across shards, while consumers come and go."""
    rng, lake, logs, truth = random.Random(7), tmp_path / "lake", tmp_path / "logs", tmp_path / "truth.json"
    out = f"kinesis://{stream.name}"
    options = ["--duplicates", "0.2", "--invalid", "0.05", "--rate", "300", "--events-per-record", "5"]
    consume = ["run", out, lake, "--format", "json", "--flush-seconds", "0.3", "--batch-events", "200"]
    with Child(["generate", "--events", str(EVENTS), "--out", out, "--truth", truth, *options], logs) as producer:
        for turn in range(4):
            with Child(consume, logs) as consumer:
                goal = EVENTS * (turn + 1) // 6
                wait_until(lambda goal=goal: received(lake) >= goal or not consumer.is_running, f"event {goal}")
                reshard(stream, rng)
                assert consumer.kill() == -9, consumer.errors()
            reshard(stream, rng)
        assert producer.wait() == 0, producer.errors()
    code, last = run([*consume, "--once"], logs)
    assert code == 0, last.errors()
    assert received(lake) == EVENTS
    assert breaches(lake, json.loads(truth.read_text())) == []
    entries = ledger(lake)
    ended = {r["shard"] for e in entries for r in e.get("ranges", []) if r.get("meta", {}).get("is_end")}
    assert len(ended) >= 5


def test_aggregates_and_plain_records_through_to_the_lake(stream, tmp_path):
    """Each user record is an event with a position of its own; where there is nothing more to read, `--once` ends."""
    event = b'{"event_uuid":"%d","event_name":"a:b","created_at":1790000000}'
    stream.put([event % 0, aggregate([event % i for i in range(1, 4)]), aggregate([event % 4])[:-1]])
    code, child = run(["run", f"kinesis://{stream.name}", tmp_path / "lake", "--once", "--json"], tmp_path / "logs")
    assert code == 0, child.errors()
    assert received(tmp_path / "lake") == 5
    assert breaches(tmp_path / "lake") == []
    entries = ledger(tmp_path / "lake")
    shards = {Shard(r["source"], r["shard"]) for entry in entries for r in entry.get("ranges", [])}
    assert shards == {Shard(f"kinesis://{stream.name}", s["ShardId"]) for s in stream.shards()}
    code, child = run(["run", f"kinesis://{stream.name}", tmp_path / "lake", "--once"], tmp_path / "logs")
    assert code == 0, child.errors()
    assert received(tmp_path / "lake") == 5
