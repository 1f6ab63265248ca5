"""`headgate run` on a stream, as real processes."""

import pytest

from headgate.records import Shard
from headgate.testing.independent import breaches, ledger
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.kpl_writer import aggregate
from headgate.testing.processes import run
from headgate.testing.server_kinesis import REGION


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
