"""Whatever happens, every promise holds: worlds full of copies, killed and started again until they come to rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.lake.local import LocalStorage
from headgate.records import Shard
from headgate.testing.laws import accepted_places, check_laws, entries, first_wins, heirs_of, rows
from headgate.testing.memory_source import Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.strategies import attempts, calm, shards
from headgate.testing.world import WINDOW_US, Attempt, World

BUCKET_US = WINDOW_US // 3  # narrow, so that buckets expire


def in_memory(stream, table_format, open_claims):
    return World(stream, MemoryStorage(), table_format, open_claims)


def shared_store():
    store = MemoryClaimStore(is_embedded=False, bucket_us=BUCKET_US)
    return store, lambda: store


def run_through(world, script, held, reveal=None):
    """Every attempt of the script, then a calm one to the end; the first sees only a part of the records."""
    for i, attempt in enumerate(script):
        if i == 0 and reveal is not None:
            world.stream.shards = {name: some[:reveal] for name, some in held.items()}
        else:
            world.stream.shards = held
        world.run(attempt)
    world.stream.shards = held
    last = calm(script[-1]) if script else Attempt()
    assert world.run(last) is not None
    return last


def check_rest(world, last):
    """Running again changes nothing."""
    before = batches(world)
    assert world.run(calm(last)) == []
    assert batches(world) == before


def batches(world):
    return [entry for entry in entries(world.storage) if entry.kind == "batch"]


SCRIPTS = st.lists(attempts(is_changing=False), max_size=4)
CHANGING = st.lists(attempts(is_changing=True), max_size=4)
REVEAL = st.one_of(st.none(), st.integers(0, 4))


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=20)
@given(world=shards(), script=CHANGING, reveal=REVEAL)
def test_an_embedded_store_that_outlives_its_process(table_format, world, script, reveal):
    (held, sent), store = world, MemoryClaimStore(bucket_us=BUCKET_US)
    world = in_memory(Stream(), table_format, lambda: store)
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)


@settings(max_examples=20)
@given(world=shards(), script=CHANGING, reveal=REVEAL)
def test_an_embedded_store_that_is_new_in_every_process(world, script, reveal):
    held, sent = world
    world = in_memory(Stream(), "parquet", MemoryClaimStore)
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=20)
@given(world=shards(), script=SCRIPTS, reveal=REVEAL)
def test_a_shared_store_that_outlives_all(table_format, world, script, reveal):
    held, sent = world
    world = in_memory(Stream(), table_format, shared_store()[1])
    last = run_through(world, script, held, reveal)
    heirs = heirs_of(sent)
    check_laws(world, sent, may_be_orphan=lambda place: place in heirs)
    check_rest(world, last)


@settings(max_examples=15)
@given(world=shards(max_shards=1, max_records=16), script=SCRIPTS, reveal=REVEAL, is_new=st.booleans())
def test_in_one_shard_the_first_by_position_wins(world, script, reveal, is_new):
    (held, sent), store = world, MemoryClaimStore(bucket_us=BUCKET_US)
    world = in_memory(Stream(), "parquet", MemoryClaimStore if is_new else lambda: store)
    run_through(world, script, held, reveal)
    check_laws(world, sent)
    assert accepted_places(world) == first_wins(sent)


@settings(max_examples=15)
@given(world=shards(), script=CHANGING)
def test_a_shared_store_whose_rules_change_leaves_only_orphans_of_rejects(world, script):
    held, sent = world
    world = in_memory(Stream(), "parquet", shared_store()[1])
    last = run_through(world, script, held)
    rejected = {(row["shard"], row["sequence"]) for row in rows(world, "rejected")}
    may_be_orphans = rejected | heirs_of(sent)
    check_laws(world, sent, may_be_orphan=lambda place: place in may_be_orphans)
    check_rest(world, last)


@settings(max_examples=15)
@given(world=shards(), script=st.lists(attempts(is_changing=False, max_depth=1), min_size=1, max_size=3))
def test_stages_that_work_ahead_keep_the_promises(world, script):
    (held, sent), store = world, MemoryClaimStore(bucket_us=BUCKET_US)
    world = in_memory(Stream(), "parquet", lambda: store)
    run_through(world, script, held)
    check_laws(world, sent)


@settings(max_examples=15)
@given(world=shards(), script=SCRIPTS, losses=st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_a_shared_store_may_lose_its_data_at_any_effect(world, script, losses):
    held, sent = world
    store, open_claims = shared_store()
    world = in_memory(Stream(), "parquet", open_claims)
    for attempt in script:
        for number in losses:
            attempt.log.hooks[number] = store.renew
    last = run_through(world, script, held)
    heirs = heirs_of(sent)
    check_laws(world, sent, may_be_orphan=lambda place: place in heirs)
    store.renew()
    check_rest(world, last)


@settings(max_examples=15)
@given(world=shards(), script=SCRIPTS, other=attempts(is_changing=False), at=st.integers(5, 40))
def test_a_second_consumer_is_fenced(world, script, other, at):
    held, sent = world
    world = in_memory(Stream(), "parquet", shared_store()[1])
    script = [*script, Attempt(batch_events=2, per_read=2)]
    for attempt in script:
        rival = Attempt(batch_events=other.batch_events, order=other.order, max_batches=2)
        attempt.log.hooks[at] = lambda rival=rival: world.run(rival)
    last = run_through(world, script, held)
    heirs = heirs_of(sent)
    check_laws(world, sent, may_be_orphan=lambda place: place in heirs)
    check_rest(world, last)


@settings(max_examples=20)
@given(world=shards(), script=SCRIPTS, lost=st.sampled_from("abc"), is_shared=st.booleans())
def test_a_lost_shard_leaves_only_orphans_of_what_it_still_held(world, script, lost, is_shared):
    held, sent = world
    store = MemoryClaimStore(is_embedded=not is_shared, bucket_us=BUCKET_US)
    world = in_memory(Stream(), "parquet", lambda: store)
    world.stream.shards = held
    for attempt in script:
        world.run(attempt)
    world.stream.lost.add(lost)
    last = calm(script[-1]) if script else Attempt()
    assert world.run(last) is not None
    state = world.ledger().shards.get(Shard("stream", lost))
    position = int(state.position) if state and state.position else 0
    gone = {part.place for part in sent if part.shard == lost and part.sequence >= position}
    rest = [part for part in sent if part.place not in gone]
    check_laws(world, rest, may_be_orphan=lambda place: is_shared and place in gone)
    world.stream.lost.clear()
    assert world.run(calm(last)) is not None
    came_back = [] if is_shared and position else sorted(gone)
    check_laws(
        world,
        [*rest, *(part for part in sent if part.place in came_back)],
        may_be_orphan=lambda place: is_shared and place in gone,
    )


@settings(max_examples=6)
@given(world=shards(), script=CHANGING, reveal=REVEAL)
def test_claims_on_disk(tmp_path_factory, world, script, reveal):
    held, sent = world
    folder = tmp_path_factory.mktemp("claims")
    world = in_memory(Stream(), "parquet", lambda: RocksDbClaimStore(folder / "claims", bucket_us=BUCKET_US))
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)


@settings(max_examples=4)
@given(world=shards(max_records=5), script=st.lists(attempts(is_changing=True), max_size=2))
def test_delta_tables_on_disk(tmp_path_factory, world, script):
    (held, sent), store = world, MemoryClaimStore(bucket_us=BUCKET_US)
    storage = LocalStorage(tmp_path_factory.mktemp("lake"))
    world = World(Stream(), storage, "delta", lambda: store)
    last = run_through(world, script, held)
    check_laws(world, sent)
    check_rest(world, last)


class SteppedStorage(MemoryStorage):
    """Its lake's wall clock is set to another time at every second write: in the middle of batches."""

    def __init__(self, steps):
        super().__init__()
        self._steps, self._writes, self.clock = steps, 0, None

    def put(self, *arguments, **options):
        self._writes += 1
        if self.clock is not None and self._steps and self._writes % 2:
            self.clock.step(self._steps[self._writes // 2 % len(self._steps)])
        super().put(*arguments, **options)


@settings(max_examples=15)
@given(
    world=shards(max_shards=1, max_records=16),
    script=SCRIPTS,
    steps=st.lists(st.sampled_from([-864_000.0, -3_600.0, -1.0, 1.0, 3_600.0, 864_000.0]), min_size=1, max_size=6),
)
def test_steps_of_the_wall_clock_change_no_verdict(world, script, steps):
    held, sent = world
    storage = SteppedStorage(steps)
    store = MemoryClaimStore(bucket_us=BUCKET_US)
    stepped = World(Stream(), storage, "parquet", lambda: store)
    storage.clock = stepped.clock
    last = run_through(stepped, script, held)
    check_laws(stepped, sent)
    check_rest(stepped, last)
    assert accepted_places(stepped) == first_wins(sent)
