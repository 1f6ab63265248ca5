"""What is told of the flow: the sums of `quality`, one canonical fact a batch, and no harm from whoever listens."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.schema import QUALITY
from headgate.errors import TransientError
from headgate.telemetry.batches import Batches
from headgate.telemetry.facts import BatchCommitted, BatchFinished, CommitRefused, LagMeasured, StageTimed
from headgate.telemetry.health import Health
from headgate.telemetry.metrics import STAGES, RunMetrics
from headgate.telemetry.sums import QualitySums
from headgate.telemetry.tee import Tee
from headgate.testing.action_log import ActionLog
from headgate.testing.faulty_stream import EVENTS, HOUR, faulty_hour, good_hour
from headgate.testing.laws import rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, FactList, World

SECONDS = ARRIVED_US // 1_000_000


def event(n, kind="a", **more):
    return json.dumps({"event_uuid": f"{n}", "event_name": f"{kind}:x", "created_at": SECONDS, **more}).encode()


RECORDS = [
    *(event(n, "ab"[n % 2]) for n in range(20)), *(event(n, "ab"[n % 2]) for n in range(4)), event(5, v=1),
    b"no json", b'{"event_uuid": "9"}', b'{"event_uuid": "10", "event_name": "b", "created_at": "1e3"}',
]  # fmt: skip


class Broken:
    """A sink that fails in a new way each time."""

    def __init__(self):
        self.asked = 0

    def emit(self, fact):
        self.asked += 1
        raise [OSError(28, "full"), TransientError("away"), ValueError("closed"), KeyError("x")][self.asked % 4]


def a_world(*sinks):
    store = MemoryClaimStore(is_embedded=False)
    world = World(
        Stream(shards={"a": [Record(data=data) for data in RECORDS]}), MemoryStorage(), "parquet", lambda: store
    )
    facts = world.telemetry
    world.telemetry = Batches(Tee(*sinks, facts), world.clock.monotonic)
    return world, facts


def metrics_of(world):
    health = Health(world.clock.monotonic, lambda: False)
    return RunMetrics(20, health=health, now_us=world.clock.now_us, lost=lambda: 0)


def values(metrics):
    return {(s.name, *s.labels.values()): s.value for family in metrics.collect() for s in family.samples}


@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_told_is_exactly_the_sum_of_the_table(depth):
    world, facts = a_world()
    metrics = metrics_of(world)
    world.telemetry = Batches(Tee(metrics, facts), world.clock.monotonic)
    world.run(Attempt(batch_events=7, per_read=3, depth=depth))
    table = QualitySums(20)
    table.add(pa.Table.from_pylist(rows(world, "quality"), schema=QUALITY))
    told = QualitySums(20)
    for fact in facts.of(BatchCommitted):
        told.add(fact.quality)
    assert told.by_label == table.by_label
    assert told.dedup_seconds == pytest.approx(table.dedup_seconds)
    assert told.shard_lag == table.shard_lag
    found = values(metrics)
    assert found["headgate_received_events_total", "a"] == table.by_label["a"].received
    assert found["headgate_commits_total",] == len(facts.of(BatchCommitted)) == len(facts.of(BatchFinished))
    assert all(found["headgate_stage_batches_total", s] == found["headgate_commits_total",] for s in STAGES)


def test_injected_faults_are_told_exactly():
    claims = MemoryClaimStore()
    stream = Stream(shards={"s": good_hour()})
    world = World(stream, MemoryStorage(), "parquet", lambda: claims)
    metrics = metrics_of(world)
    world.telemetry = Batches(Tee(metrics, world.telemetry), world.clock.monotonic)
    world.clock.step(HOUR - 1)
    world.run(Attempt(fields=("user.id",), batch_events=2_000))
    good = values(metrics)
    stream.shards["s"] += faulty_hour()
    world.clock.step(HOUR)
    world.run(Attempt(fields=("user.id",), batch_events=2_000))
    both = values(metrics)
    more = {name: value - good.get(name, 0) for name, value in both.items()}
    assert more["headgate_received_events_total", "pay"] == EVENTS
    assert more["headgate_duplicate_events_total", "pay", "natural"] == EVENTS * 0.04 * 2 / 3
    assert more["headgate_duplicate_events_total", "pay", "conflicting"] == EVENTS * 0.04 / 3
    assert more["headgate_missing_fields_total", "pay", "user.id"] == EVENTS * 0.02
    assert more["headgate_checked_fields_total", "pay", "user.id"] == EVENTS
    assert more["headgate_time_units_total", "click", "milliseconds"] == EVENTS * 3 / 4
    assert more["headgate_time_units_total", "click", "seconds"] == EVENTS / 4
    assert more["headgate_received_events_total", "stops"] == 0
    stopped, newest = (both["headgate_newest_arrival_timestamp_seconds", kind] for kind in ("stops", "pay"))
    assert HOUR - 10 < newest - stopped < HOUR + 10
    late = [more["headgate_created_to_arrived_seconds_bucket", "late", upto] for upto in ("3600.0", "7200.0")]
    assert late == [0, EVENTS]
    assert more["headgate_rejected_events_total", "none", "malformed_json"] == 6


def test_the_canonical_fact_tells_what_its_own_batch_was():
    world, facts = a_world()
    receipts = world.run(Attempt(batch_events=7, per_read=3, depth=1))
    finished = facts.of(BatchFinished)
    assert [(f.number, f.counts) for f in finished] == [(r.number, r.counts) for r in receipts]
    assert sum(f.conflicts for f in finished) == 2
    assert sum(sum(f.reasons.values()) for f in finished) == sum(f.counts.rejected for f in finished) == 2
    assert sum(f.payload_bytes for f in finished) == sum(map(len, RECORDS))
    assert {tuple(f.seconds) for f in finished} == {STAGES}
    assert finished[-1].lag == facts.of(LagMeasured)[-1].lag


def test_stages_of_a_batch_have_its_number_whatever_is_tried_again():
    world, facts = a_world()
    log = ActionLog()
    log.fail("lake.stage", "error before", nth=2)
    log.fail("lake.commit", "error after", nth=3)
    log.fail("source.ack", "error before", nth=1)
    world.run(Attempt(batch_events=7, log=log))
    for stage in STAGES:
        assert [f.batch for f in facts.of(StageTimed) if f.stage == stage] == [1, 2, 3, 4]
    assert len(facts.of(BatchFinished)) == 4


def test_a_batch_that_was_refused_is_told_so_and_counted_once():
    world, facts = a_world()
    log = ActionLog()
    log.when("lake.commit", lambda: world.run(Attempt(batch_events=7, per_read=7, max_batches=1)))
    world.run(Attempt(log=log, batch_events=7))
    assert len(facts.of(CommitRefused)) == 1
    told = sum(f.counts.received for f in facts.of(BatchCommitted))
    assert told == sum(row["received"] for row in rows(world, "quality")) == len(RECORDS)


@pytest.mark.parametrize("effect", ["lake.stage", "lake.commit", "lake.publish", "source.ack"])
@pytest.mark.parametrize("fault", ["killed before", "killed after"])
def test_a_sink_that_fails_loses_nothing_even_when_the_process_is_killed(effect, fault):
    broken = Broken()
    world, facts = a_world(broken)
    log = ActionLog()
    log.fail(effect, fault, nth=2)
    assert world.run(Attempt(batch_events=7, log=log)) is None
    world.run(Attempt(batch_events=5))
    assert broken.asked
    assert facts.of(BatchFinished)
    assert sum(row["received"] for row in rows(world, "quality")) == len(RECORDS)
    assert len({row["event_uuid"] for row in rows(world, "events")}) == len(rows(world, "events")) == 20


def test_facts_that_were_lost_are_counted():
    tee = Tee(Broken(), FactList())
    tee.emit("one")
    tee.emit("two")
    assert tee.lost == 2
