"""Records that arrived long ago and come late: the claims of their time are there again before they are judged."""

import json
import os
from pathlib import Path

from click.testing import CliRunner

from headgate.claims.memory import MemoryClaimStore
from headgate.entrypoints.cli import cli
from headgate.testing.laws import rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.processes import Child
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import WINDOW_US, Attempt, World


def record(event_id, arrived_us):
    event = {"event_uuid": event_id, "event_name": "a:b", "created_at": 1_600_000_000}
    return Record(data=json.dumps(event).encode(), arrived_us=arrived_us)


def test_a_copy_that_arrived_long_ago_is_a_duplicate_though_its_claims_had_expired():
    store = MemoryClaimStore(bucket_us=10_000_000)
    now = ARRIVED_US + 10 * WINDOW_US
    stream = Stream(shards={"old": [record("X", ARRIVED_US)], "new": [record(f"n{i}", now + i) for i in range(4)]})
    world = World(stream, MemoryStorage(), "parquet", lambda: store)
    world.run(Attempt(batch_events=1, per_read=1))
    assert store.expired_us > ARRIVED_US
    stream.shards["late"] = [record("X", ARRIVED_US + 60_000_000)]
    world.run(Attempt())
    found = rows(world, "duplicates")
    assert [(row["event_uuid"], row["original_shard"]) for row in found] == [("X", "old")]


def test_a_file_of_1970_is_admitted_and_the_run_ends(tmp_path: Path) -> None:
    source = tmp_path / "old.jsonl"
    source.write_bytes(b'{"event_uuid":"1","event_name":"a:b","created_at":0}\n')
    os.utime(source, (0, 0))
    with Child(["run", source, tmp_path / "lake"], tmp_path / "logs") as child:
        assert child.wait() == 0, child.errors()
    ran = CliRunner().invoke(cli, ["status", str(tmp_path / "lake"), "--json"])
    assert json.loads(ran.stdout)["counts"] == {"received": 1, "accepted": 1, "duplicates": 0, "rejected": 0}
