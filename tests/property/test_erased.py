"""An erased event stays what it was: accepted once, with every copy within the window its duplicate, whoever judges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.redis import RedisClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.lake.local import LocalStorage
from headgate.testing.erasure import erase_rows, record_rows
from headgate.testing.laws import accepted_places, check_laws, first_wins, heirs_of, rows
from headgate.testing.memory_source import Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.server_valkey import valkey
from headgate.testing.strategies import attempts, calm, shards
from headgate.testing.world import WINDOW_US, Attempt, World

BUCKET_US = WINDOW_US // 3  # narrow, so that buckets expire

SCRIPTS = st.lists(attempts(is_changing=False), max_size=3)
PICKS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


def new_store():
    return MemoryClaimStore(bucket_us=BUCKET_US)


def place(row):
    return row["shard"], row["sequence"]


def erase_some(world, picks, erasure, *, is_removed=True):
    """Erase some of the events; gives their rows. Killed before the removal, an erasure leaves them there."""
    places = sorted(accepted_places(world))
    chosen = {places[pick % len(places)] for pick in picks} if places else set()
    gone = [row for row in rows(world, "events") if place(row) in chosen]
    act = erase_rows if is_removed else record_rows
    assert act(world.storage, "events", lambda row: place(row) in chosen, erasure=erasure) == len(gone)
    return gone


def live(world, held, scripts, picks, *, forget=lambda: None, is_removed=True):
    """Read a part, erase some of it, lose the store, read the rest: killed on the way. Gives the recorded rows."""
    gone, longest = [], max(map(len, held.values()))
    for i, script in enumerate(scripts):
        reach = longest * (i + 1) // len(scripts)
        world.stream.shards = {name: some[:reach] for name, some in held.items()}
        for attempt in script:
            world.run(attempt)
        assert world.run(calm(script[-1]) if script else Attempt()) is not None
        gone += erase_some(world, picks, f"e{i}", is_removed=is_removed)
        forget()
    assert world.run(Attempt()) == []
    return gone


def check(world, sent, gone, *, is_one_shard, is_removed=True, is_shared=False):
    recorded, heirs = {place(row) for row in gone}, heirs_of(sent) if is_shared else set()
    may_be_orphan = heirs.__contains__
    check_laws(world, sent, erased=gone if is_removed else (), recorded=recorded, may_be_orphan=may_be_orphan)
    if is_one_shard:
        assert accepted_places(world) | recorded == first_wins(sent)


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=10)
@given(world=shards(max_shards=2, max_records=10), scripts=st.tuples(SCRIPTS, SCRIPTS, SCRIPTS), picks=PICKS)
def test_an_embedded_store_that_is_made_anew_by_every_process(table_format, world, scripts, picks):
    held, sent = world
    world = World(Stream(), MemoryStorage(), table_format, new_store)
    gone = live(world, held, scripts, picks)
    check(world, sent, gone, is_one_shard=len(held) == 1)


@settings(max_examples=10)
@given(world=shards(max_shards=1, max_records=16), scripts=st.tuples(SCRIPTS, SCRIPTS), picks=PICKS)
def test_a_store_that_still_knows_the_id_gives_the_same_verdicts(world, scripts, picks):
    (held, sent), store = world, new_store()
    world = World(Stream(), MemoryStorage(), "parquet", lambda: store)
    gone = live(world, held, scripts, picks)
    check(world, sent, gone, is_one_shard=True)


@settings(max_examples=10)
@given(
    world=shards(max_shards=2, max_records=10),
    scripts=st.tuples(SCRIPTS, SCRIPTS, SCRIPTS),
    picks=PICKS,
    losses=st.lists(st.integers(0, 40), max_size=2),
)
def test_a_shared_store_that_loses_its_data_after_and_during_the_runs(world, scripts, picks, losses):
    held, sent = world
    store = MemoryClaimStore(is_embedded=False, bucket_us=BUCKET_US)
    world = World(Stream(), MemoryStorage(), "parquet", lambda: store)
    for script in scripts:
        for attempt in script:
            attempt.log.hooks.update(dict.fromkeys(losses, store.renew))
    gone = live(world, held, scripts, picks, forget=store.renew)
    check(world, sent, gone, is_one_shard=len(held) == 1, is_shared=True)


@settings(max_examples=10)
@given(world=shards(max_shards=1, max_records=12), scripts=st.tuples(SCRIPTS, SCRIPTS), picks=PICKS)
def test_rows_that_a_killed_erasure_recorded_and_left_are_ordinary(world, scripts, picks):
    held, sent = world
    world = World(Stream(), MemoryStorage(), "parquet", new_store)
    left = live(world, held, scripts, picks, is_removed=False)
    check(world, sent, left, is_one_shard=True, is_removed=False)


@settings(max_examples=4)
@given(world=shards(max_shards=1, max_records=8), scripts=st.tuples(SCRIPTS, SCRIPTS), picks=PICKS)
def test_delta_tables_and_claims_on_disk(tmp_path_factory, world, scripts, picks):
    held, sent = world
    folder, names = tmp_path_factory.mktemp("lake"), iter(range(100))
    current = [folder / "claims"]

    def forget():
        current[0] = folder / f"claims{next(names)}"

    storage = LocalStorage(folder / "lake")
    world = World(Stream(), storage, "delta", lambda: RocksDbClaimStore(current[0], bucket_us=BUCKET_US))
    gone = live(world, held, scripts, picks, forget=forget)
    check(world, sent, gone, is_one_shard=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as started:
        yield started


@settings(max_examples=6)
@given(world=shards(max_shards=2, max_records=8), scripts=st.tuples(SCRIPTS, SCRIPTS), picks=PICKS, name=st.uuids())
def test_claims_in_valkey_that_are_flushed_after_the_erasure(server, world, scripts, picks, name):
    (held, sent), ttl_us = world, 400 * 86_400_000_000
    world = World(
        Stream(),
        MemoryStorage(),
        "parquet",
        lambda: RedisClaimStore(server.uri, lake_id=str(name), ttl_us=ttl_us),
    )
    gone = live(world, held, scripts, picks, forget=lambda: server.do("FLUSHALL"))
    check(world, sent, gone, is_one_shard=len(held) == 1, is_shared=True)
