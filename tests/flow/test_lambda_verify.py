"""`verify` over a lake that functions wrote: islands in any order are no breach, a discarded batch is one."""

import json
from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.entrypoints.aws_lambda import admit
from headgate.invocation import InvocationSettings
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.entry import decode_entry, encode, entry_path
from headgate.lake.local import LocalStorage
from headgate.testing import independent
from headgate.testing.containers import Platform
from headgate.testing.event_source_mapping import EventSourceMapping, StreamRecord
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.records import ARRIVED_US
from headgate.wiring.existing import existing_lake

SOURCE = "kinesis://stream"
MAPPING = EventSourceMapping(batch_size=3)
SETTINGS = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=7 * 24 * 3600 * 1_000_000)


def data(n):
    if n % 7 == 3:
        return b"rubbish"
    return json.dumps({"event_uuid": f"id-{n % 10}", "event_name": "a:b", "created_at": 1_790_000_000}).encode()


def records(count):
    return [StreamRecord("shardId-000000000000", n, data(n), ARRIVED_US) for n in range(count)]


def stream(count):
    held = [Record(data=data(n), arrived_us=ARRIVED_US) for n in range(count)]
    return MemorySource(Stream(shards={"shardId-000000000000": held}), name=SOURCE)


@pytest.fixture
def world(tmp_path):
    return Platform(storage=LocalStorage(tmp_path), settings=InvocationSettings(publish_seconds=0.0))


def invoke(world, batches):
    for batch in batches:
        admit(world.container(), MAPPING.event(batch), world.deadline())


def proof(tmp_path, count):
    return verify(existing_lake(str(tmp_path)), stream(count), SETTINGS, source_name=SOURCE)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (3, 0, 4, 1, 2, 3, 0)])
@pytest.mark.parametrize("table_format", ["parquet", "delta"])
def test_islands_in_any_order_are_proven(world, tmp_path, order, table_format):
    world.table_format = table_format
    batches = list(MAPPING.batches(records(14)))
    invoke(world, [batches[i] for i in order])
    found = proof(tmp_path, 14)
    assert found.breaches == []
    assert found.is_proven
    assert not any("were committed before" in breach for breach in independent.breaches(tmp_path))


def test_a_batch_that_the_mapping_discarded_is_missing(world, tmp_path):
    batches = list(MAPPING.batches(records(14)))
    invoke(world, [batches[0], batches[1], batches[3]])
    found = proof(tmp_path, 14)
    assert [breach.kind for breach in found.breaches] == ["missing"]
    assert "3 events" in found.breaches[0].sentence
    assert found.unread_records == 2


def test_islands_that_overlap_are_a_breach(world, tmp_path):
    invoke(world, MAPPING.batches(records(6)))
    last = world.lake().refresh().number
    storage = LocalStorage(tmp_path)
    entry = decode_entry(storage.get(entry_path(last)))
    (moved,) = entry.ranges
    storage.put(entry_path(last), encode(replace(entry, ranges=[replace(moved, start="1")])))
    assert "ledger" in {breach.kind for breach in proof(tmp_path, 6).breaches}
    assert any("were committed before" in breach for breach in independent.breaches(tmp_path))


class Forgetful(MemorySource):
    """A stream that no longer has the first records of its shard."""

    def __init__(self, count, gone):
        super().__init__(stream(count)._stream, name=SOURCE)
        self.gone = gone

    def resume(self, shards):
        super().resume(shards)
        self._at = {"shardId-000000000000": self.gone}


@pytest.mark.parametrize(("gone", "again"), [(4, 10), (9, 5), (14, 0)])
def test_what_the_stream_forgot_is_proven_by_the_ledger(world, tmp_path, gone, again):
    invoke(world, MAPPING.batches(records(14)))
    lake = existing_lake(str(tmp_path))
    found = verify(lake, Forgetful(14, gone), replace_fields(SETTINGS, is_forgetful=True), source_name=SOURCE)
    assert found.breaches == []
    assert (found.reread_parts, found.ledger_only_rows) == (again, gone)
    assert found.reread_shards == bool(again)
    if again:
        kept = verify(lake, Forgetful(14, gone), SETTINGS, source_name=SOURCE)
        assert [breach.kind for breach in kept.breaches] == ["extra"]
