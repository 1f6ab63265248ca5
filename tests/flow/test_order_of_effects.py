"""The order of effects, whole: claim, stage files, ledger entry, publish, ack; and what is repeated when one fails."""

import json

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.testing.action_log import ActionLog
from headgate.testing.laws import entries, rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, World


def record(event_id):
    event = {"event_uuid": event_id, "event_name": "a:b", "created_at": ARRIVED_US // 1_000_000}
    return Record(data=json.dumps(event).encode())


@pytest.fixture
def world():
    store = MemoryClaimStore()
    stream = Stream(shards={"a": [record("X"), record("Y"), record("X"), record("Z")]})
    return World(stream, MemoryStorage(), "parquet", lambda: store)


START = [
    "lake.refresh",
    "lake.publish",
    "claims.withdraw",
    "lake.note generation",
    "lake.refresh",
    "claims.mark_seen 1",
    "claims.sync",
    "source.resume",
]

BATCH_1 = [
    "source.read",
    "claims.shard_number a",
    "claims.claim 2 ids",
    "claims.sync",
    "lake.stage a:0-2",
    "lake.commit a:0-2",
    "lake.publish",
    "source.ack 2",
]

BATCH_2 = [
    "source.read",
    "claims.mark_seen 2",
    "claims.expire",
    "claims.shard_number a",
    "claims.claim 2 ids",
    "claims.sync",
    "lake.stage a:2-4",
    "lake.commit a:2-4",
    "lake.publish",
    "source.ack 3",
]

END = ["source.read", "claims.mark_seen 3"]


def is_of_a_batch(effect):
    """All but what the stage that claims does when it comes by: how often is a matter of threads."""
    return not effect.startswith(("claims.mark_seen", "claims.expire"))


def test_one_batch_at_a_time_has_exactly_these_effects(world):
    log = ActionLog()
    world.run(Attempt(batch_events=2, per_read=2, log=log))
    assert log.texts() == START + BATCH_1 + BATCH_2 + END


def test_stages_that_work_ahead_keep_the_order_of_each_batch(world):
    log = ActionLog()
    world.run(Attempt(batch_events=2, per_read=2, depth=1, log=log))
    effects = log.texts()
    claims = [i for i, effect in enumerate(effects) if effect == "claims.claim 2 ids"]
    syncs = [i for i, effect in enumerate(effects) if effect == "claims.sync"][1:]
    for number, covered in enumerate(("a:0-2", "a:2-4")):
        order = [
            claims[number],
            syncs[number],
            effects.index(f"lake.stage {covered}"),
            effects.index(f"lake.commit {covered}"),
            effects.index("lake.publish", effects.index(f"lake.commit {covered}")),
            effects.index(f"source.ack {number + 2}"),
        ]
        assert order == sorted(order)
    assert sorted(filter(is_of_a_batch, effects)) == sorted(filter(is_of_a_batch, START + BATCH_1 + BATCH_2 + END))
    assert effects.index("lake.commit a:0-2") < effects.index("lake.commit a:2-4")


@pytest.mark.parametrize(
    "effect",
    ["source.read", "claims.claim", "claims.sync", "lake.stage", "lake.commit", "lake.publish", "source.ack"],
)
@pytest.mark.parametrize("fault", ["error before", "error after"])
def test_a_stage_that_got_no_answer_waits_longer_each_time_and_is_repeated(world, effect, fault):
    log = ActionLog()
    first = 2 if effect in ("claims.sync", "lake.publish") else 1  # the first of these belongs to the start
    for nth in range(first, first + 3):
        log.fail(effect, fault, nth=nth)
    world.run(Attempt(batch_events=2, per_read=2, log=log))
    assert world.clock.slept == [0.2, 0.4, 0.8]
    assert sum(text.startswith(effect) for text in log.texts()) == 3 + sum(
        text.startswith(effect) for text in START + BATCH_1 + BATCH_2 + END
    )
    assert log.texts().count("source.resume") == 1
    assert sorted(row["sequence"] for row in rows(world, "events")) == ["0", "1", "3"]
    assert [entry.kind for entry in entries(world.storage)] == ["note", "batch", "batch"]


def test_waiting_grows_to_half_a_minute_and_no_longer(world):
    log = ActionLog()
    for nth in range(1, 12):
        log.fail("lake.stage", "error before", nth=nth)
    world.run(Attempt(log=log))
    assert world.clock.slept == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


def test_a_commit_whose_answer_was_lost_is_looked_up_and_not_made_twice(world):
    log = ActionLog()
    log.fail("lake.commit", "error after")
    receipts = world.run(Attempt(log=log))
    assert [receipt.number for receipt in receipts] == [2]
    assert log.texts().count("lake.commit a:0-4") == 2
    assert world.ledger().number == 2
    assert len(rows(world, "events")) == 3


def test_nothing_that_may_have_been_committed_is_deleted(world):
    log = ActionLog()
    log.fail("lake.commit", "killed after")
    assert world.run(Attempt(log=log)) is None
    assert "lake.discard" not in log.texts()
    assert world.run(Attempt()) == []
    assert len(rows(world, "events")) == 3


@pytest.mark.parametrize("effect", ["claims.claim", "claims.sync", "lake.stage", "lake.commit"])
@pytest.mark.parametrize("fault", ["killed before", "killed after"])
@pytest.mark.parametrize("depth", [0, 1])
def test_nothing_is_acknowledged_before_it_is_published(world, effect, fault, depth):
    log = ActionLog()
    log.fail(effect, fault, nth=2 if effect == "claims.sync" else 1)
    assert world.run(Attempt(log=log, depth=depth)) is None
    assert not any(text.startswith("source.ack") for text in log.texts())
    assert rows(world, "events") == []
