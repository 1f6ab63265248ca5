"""A consumer's life: lease, standby, conflicts, and a start that gets no answer."""

import json
from dataclasses import dataclass, field

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.consumer import POLL_SECONDS, Consumer, Parts
from headgate.errors import PermanentError
from headgate.telemetry.facts import Noticed, Retried, StoodBy
from headgate.testing.action_log import ActionLog
from headgate.testing.clock import VirtualClock
from headgate.testing.laws import entries, rows
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, FactList, World


def record(event_id, name="a:b"):
    event = {"event_uuid": event_id, "event_name": name, "created_at": ARRIVED_US // 1_000_000}
    return Record(data=json.dumps(event).encode())


def a_world(*ids, names=()):
    store = MemoryClaimStore(is_embedded=False)
    records = [record(i) for i in ids] + [record(f"{n}-id", n) for n in names]
    return World(Stream(shards={"a": records}), MemoryStorage(), "parquet", lambda: store)


@pytest.mark.parametrize(
    "effect",
    [
        "lake.refresh",
        "lake.publish",
        "claims.withdraw",
        "claims.sync",
        "lake.note",
        "claims.mark_seen",
        "source.abandoned",
        "source.resume",
    ],
)
@pytest.mark.parametrize("fault", ["error before", "error after"])
def test_a_start_that_gets_no_answer_is_made_again_from_its_beginning(effect, fault):
    world, log = a_world("X", "Y"), ActionLog()
    log.fail(effect, fault)
    world.run(Attempt(log=log))
    assert world.clock.slept == [0.2]
    assert [fact.attempt for fact in world.telemetry.of(Retried)] == [1]
    assert log.texts().count("lake.refresh") >= 2
    assert len(rows(world, "events")) == 2


def test_a_start_waits_longer_each_time():
    world, log = a_world("X"), ActionLog()
    for nth in range(1, 11):
        log.fail("lake.refresh", "error before", nth=nth)
    world.run(Attempt(log=log))
    assert world.clock.slept == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert len(rows(world, "events")) == 1


def test_a_consumer_that_was_fenced_throws_its_batch_away_and_waits_for_the_other_to_stand_still():
    world, log = a_world("X", "Y", "Z"), ActionLog()
    rival = Attempt(batch_events=1, per_read=1, max_batches=1)
    log.when("lake.commit", lambda: world.run(rival))
    receipts = world.run(Attempt(log=log))
    assert [(r.ranges[0].start, r.ranges[0].end) for r in receipts] == [("1", "3")]
    assert "lake.discard" in log.texts()
    assert len(world.telemetry.of(StoodBy)) == 1
    assert sum(world.clock.slept) == 30.0
    assert sorted(row["sequence"] for row in rows(world, "events")) == ["0", "1", "2"]
    assert rows(world, "duplicates") == []


def test_standing_by_lasts_for_as_long_as_the_other_moves():
    world, log = a_world("X", "Y", "Z"), ActionLog()
    rival = Attempt(batch_events=1, per_read=1, max_batches=1)
    log.when("lake.commit", lambda: world.run(rival))
    log.when("lake.refresh", lambda: world.run(rival), nth=14)  # in the middle of standing by
    world.run(Attempt(log=log))
    assert 30.0 < sum(world.clock.slept) < 60.0
    assert len(rows(world, "events")) == 3


def test_two_writers_at_the_limit_of_event_types_judge_again_and_reject():
    world, log = a_world(names=["b"]), ActionLog()
    other = World(
        Stream(shards={"c": [record("C", "c")]}), world.storage, "parquet", world._open_claims, prefix="other"
    )
    log.when("lake.commit", lambda: other.run(Attempt(max_event_types=1)))
    world.run(Attempt(max_event_types=1, log=log))
    assert world.ledger().event_types == ("c",)
    assert [row["reason"] for row in rows(world, "rejected")] == ["event_type_limit"]
    assert [row["event_uuid"] for row in rows(world, "events")] == ["C"]


def test_a_consumer_that_is_told_to_stop_commits_what_it_read():
    world = a_world("X", "Y", "Z")
    receipts = world.run(Attempt(batch_events=1, per_read=1, max_batches=1))
    assert [r.counts.received for r in receipts] == [1]
    assert [entry.kind for entry in entries(world.storage)] == ["note", "batch"]


@dataclass
class ScriptedLease:
    """Free after so many tries."""

    free_after: int
    tries: int = 0
    patience_seconds: float = 0.0
    is_held: bool = False
    released: list[bool] = field(default_factory=list)

    def try_acquire(self):
        self.tries += 1
        self.is_held = self.tries > self.free_after
        return self.is_held

    def holder(self):
        return "pid 1"

    def release(self):
        self.released.append(self.is_held)


class Opened(Exception):
    """Something was opened."""


def leased(lease, *, standby=True, stop=lambda: False):
    def open_claims():
        raise Opened

    class NoLake:
        def refresh(self):
            raise Opened

    clock, telemetry = VirtualClock(), FactList()
    parts = Parts(
        lake=NoLake(),
        lease=lease,
        open_claims=open_claims,
        source=MemorySource(Stream()),
        pipeline=lambda source, claims: pytest.fail("not reached"),
        started=lambda source, claims, state: None,
    )
    consumer = Consumer(parts, clock=clock, telemetry=telemetry, standby=standby, takeover_seconds=30, stop=stop)
    return consumer, clock, telemetry


def test_nothing_is_opened_before_the_lease_is_held_and_it_is_given_back():
    lease = ScriptedLease(free_after=3)
    consumer, clock, telemetry = leased(lease)
    with pytest.raises(Opened):
        list(consumer.run())
    assert clock.slept == [POLL_SECONDS] * 3
    assert lease.released == [True]
    assert len(telemetry.of(StoodBy)) == 1
    assert len(telemetry.of(Noticed)) == 1


def test_without_standby_a_lake_in_use_is_an_error():
    lease = ScriptedLease(free_after=1)
    with pytest.raises(PermanentError, match="pid 1"):
        list(leased(lease, standby=False)[0].run())
    assert lease.released == []


def test_a_consumer_that_is_stopped_while_it_waits_ends_quietly():
    lease = ScriptedLease(free_after=10)
    assert list(leased(lease, stop=lambda: lease.tries > 2)[0].run()) == []
    assert lease.released == []
