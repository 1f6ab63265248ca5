"""The claim store and the ledger brought in step: lost data, old copies, ids that stand twice, abandoned shards."""

import json

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.core.rules import Rule, Rules
from headgate.testing.action_log import ActionLog
from headgate.testing.laws import entries, rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import WINDOW_US, Attempt, World


def record(event_id, *, name="a:b", arrived=0, **fields):
    event = {"event_uuid": event_id, "event_name": name, "created_at": ARRIVED_US // 1_000_000 - 10, **fields}
    return Record(data=json.dumps(event, separators=(",", ":")).encode(), arrived_us=ARRIVED_US + arrived)


def a_world(open_claims, **shards):
    return World(Stream(shards=shards), MemoryStorage(), "parquet", open_claims)


def places(world, table="events"):
    return sorted((row["event_uuid"], row["shard"], row["sequence"]) for row in rows(world, table))


def originals(world):
    return sorted(
        (row["shard"], row["sequence"], row["original_shard"], row["original_sequence"])
        for row in rows(world, "duplicates")
    )


def test_a_rebuilt_store_knows_the_later_owner_of_an_id_that_one_batch_accepted_twice():
    # The files of a batch lie by event type: the later copy stands in the file that is read first.
    twice = [record("first", name="b"), record("X", name="a"), record("X", name="b", arrived=WINDOW_US + 1)]
    world = a_world(MemoryClaimStore, a=list(twice))
    world.run(Attempt())
    world.stream.shards["a"].append(record("X", name="a", arrived=2 * WINDOW_US))
    world.run(Attempt())
    assert places(world) == [("X", "a", "1"), ("X", "a", "2"), ("first", "a", "0")]
    assert originals(world) == [("a", "3", "a", "2")]


def test_a_store_that_lost_its_data_between_two_batches_is_filled_before_it_answers():
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X"), record("Y"), record("X"), record("Y")])
    log = ActionLog()
    log.when("lake.publish", store.renew, nth=2)
    world.run(Attempt(batch_events=2, log=log))
    assert places(world) == [("X", "a", "0"), ("Y", "a", "1")]
    assert originals(world) == [("a", "2", "a", "0"), ("a", "3", "a", "1")]
    notes = [entry.generation for entry in entries(world.storage) if entry.kind == "note"]
    assert len(notes) == len(set(notes)) == 2


@pytest.mark.parametrize(
    "effect",
    ["claims.shard_number", "claims.claim", "claims.sync", "lake.stage", "lake.commit", "claims.mark_seen"],
)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_store_may_lose_its_data_at_any_effect(effect, nth):
    store = MemoryClaimStore(is_embedded=False)
    ids = [record("X"), record("Y"), record("X"), record("Z"), record("Y"), record("Z")]
    world = a_world(lambda: store, b=[record("W")], a=ids)
    log = ActionLog()
    log.when(effect, store.renew, nth=nth)
    world.run(Attempt(batch_events=2, per_read=1, log=log))
    assert {event_id for event_id, _, _ in places(world)} == {"W", "X", "Y", "Z"}
    assert len(places(world)) == 4
    assert len(originals(world)) == 3


@pytest.mark.parametrize("effect", ["lake.claims_since", "claims.load", "claims.withdraw", "lake.note"])
def test_a_store_may_lose_its_data_again_while_it_is_filled(effect):
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X"), record("Y")])
    world.run(Attempt())
    world.stream.shards["a"] += [record("X"), record("Y")]
    store.renew()
    log = ActionLog()
    log.when(effect, store.renew)
    world.run(Attempt(log=log))
    assert places(world) == [("X", "a", "0"), ("Y", "a", "1")]
    assert world.ledger().generation == store.generation


def test_claims_of_a_lost_shard_are_taken_over_and_the_shard_is_closed():
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X"), record("Y")], b=[])
    log = ActionLog()
    log.fail("lake.stage", "killed before", nth=2)
    assert world.run(Attempt(batch_events=1, log=log)) is None  # Y is claimed and not committed
    world.stream.lost.add("a")
    world.stream.shards["b"] = [record("X"), record("Y")]
    world.run(Attempt())
    assert places(world) == [("X", "a", "0"), ("Y", "b", "1")]
    assert originals(world) == [("b", "0", "a", "0")]
    closed = [shard.name for shard, state in world.ledger().shards.items() if state.closed]
    assert closed == ["a"]


def test_a_shard_that_comes_back_is_read_on_where_the_store_withdrew_its_open_claims():
    world = a_world(MemoryClaimStore, a=[record("X"), record("Y")], b=[])
    world.run(Attempt(batch_events=1, max_batches=1, per_read=1))
    world.stream.lost.add("a")
    world.stream.shards["b"] = [record("Y")]
    world.run(Attempt())
    world.stream.lost.clear()
    world.run(Attempt())
    assert places(world) == [("X", "a", "0"), ("Y", "b", "0")]
    assert originals(world) == [("a", "1", "b", "0")]


def test_a_shard_that_comes_back_after_it_was_abandoned_is_not_read_again():
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X"), record("Y")])
    world.run(Attempt(batch_events=1, max_batches=1, per_read=1))
    world.stream.lost.add("a")
    world.run(Attempt())
    world.stream.lost.clear()
    assert world.run(Attempt()) == []
    assert places(world) == [("X", "a", "0")]


def test_a_record_that_a_new_rule_rejects_gives_its_claim_back():
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X", n=5), record("X", n=1)])
    log = ActionLog()
    log.fail("lake.stage", "killed before")
    world.run(Attempt(log=log))
    world.run(Attempt(rules=Rules([Rule(name="few", check="(payload->>'n')::int < 2")])))
    assert places(world) == [("X", "a", "1")]
    assert [row["reason"] for row in rows(world, "rejected")] == ["rule:few"]


def test_claims_of_a_batch_whose_stage_failed_for_good_are_withdrawn(tmp_path):
    world = a_world(lambda: RocksDbClaimStore(tmp_path / "claims"), a=[record("X")], b=[record("X", n=1)])
    log = ActionLog()
    log.fail("lake.stage", "killed before")
    assert world.run(Attempt(batch_events=1, log=log)) is None
    world.stream.shards = {"b": world.stream.shards["b"], "a": world.stream.shards["a"]}
    world.run(Attempt(batch_events=1))
    assert places(world) == [("X", "b", "0")]
    assert originals(world) == [("a", "0", "b", "0")]


def test_an_expired_owner_comes_back_where_its_heir_was_never_committed(tmp_path):
    world = a_world(lambda: RocksDbClaimStore(tmp_path / "claims"), a=[record("X")])
    world.run(Attempt())
    world.stream.shards["a"].append(record("X", arrived=WINDOW_US + 1))
    log = ActionLog()
    log.fail("lake.commit", "killed before")
    assert world.run(Attempt(log=log)) is None  # X belongs to the second now, as far as the store knows
    world.stream.shards["b"] = [record("X", arrived=WINDOW_US)]
    world.run(Attempt(batch_events=1, order=("b", "a")))
    assert places(world) == [("X", "a", "0"), ("X", "a", "1")]
    assert originals(world) == [("b", "0", "a", "0")]


def test_a_lake_that_is_an_older_copy_renews_the_store():
    store = MemoryClaimStore()
    world = a_world(lambda: store, a=[record("X")])
    world.run(Attempt())
    copy = dict(world.storage.files)
    world.stream.shards["a"].append(record("Y"))
    world.run(Attempt())
    world.storage.files = copy
    before = store.generation
    world.run(Attempt())
    assert places(world) == [("X", "a", "0"), ("Y", "a", "1")]
    assert store.generation != before


class Interrupted(MemoryClaimStore):
    """A shared store beside which another consumer does something when it is loaded."""

    between = None

    def load(self, claims):
        super().load(claims)
        if self.between:
            between, self.between = self.between, None
            between()


def test_what_others_commit_under_the_earlier_generation_while_the_store_is_filled_is_filled_too():
    earlier, store = MemoryClaimStore(is_embedded=False), Interrupted(is_embedded=False)
    world = a_world(lambda: earlier, a=[record("X")], b=[])
    world.run(Attempt())
    world.stream.shards["b"].append(record("Y"))
    store.between = lambda: world.run(Attempt())  # with the store that the ledger names so far
    late = World(world.stream, world.storage, "parquet", lambda: store, prefix="d")
    late.run(Attempt())
    assert store.between is None
    world.stream.shards["b"] += [record("X"), record("Y")]
    late.run(Attempt())
    assert places(world) == [("X", "a", "0"), ("Y", "b", "0")]
    assert originals(world) == [("b", "1", "a", "0"), ("b", "2", "b", "0")]


def test_a_store_that_saw_more_than_a_ledger_read_a_moment_ago_is_not_renewed():
    store = MemoryClaimStore(is_embedded=False)
    world = a_world(lambda: store, a=[record("X")], b=[])
    world.run(Attempt())
    generation = store.generation
    world.stream.shards["a"].append(record("Y"))
    other = World(world.stream, world.storage, "parquet", lambda: store, prefix="d")
    log = ActionLog()
    log.when("lake.refresh", lambda: other.run(Attempt()))
    world.run(Attempt(log=log))
    assert store.generation == generation
    assert places(world) == [("X", "a", "0"), ("Y", "a", "1")]
