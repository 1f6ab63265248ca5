"""Records that arrived long ago and come late: the claims of their time are there again before they are judged."""

import json

from headgate.claims.memory import MemoryClaimStore
from headgate.testing.laws import rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
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
