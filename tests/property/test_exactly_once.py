"""Whatever happens, every promise holds: worlds full of copies, killed and started again until they come to rest."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.lake.storage import LocalStorage
from headgate.testing.laws import accepted_places, check_laws, entries, first_wins
from headgate.testing.memory_source import Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.strategies import attempts, calm, shards
from headgate.testing.world import Attempt, World


def in_memory(stream, table_format, open_claims):
    return World(stream, MemoryStorage(), table_format, open_claims)


def shared_store():
    store = MemoryClaimStore(is_embedded=False)
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
    before = entries(world.storage)
    assert world.run(calm(last)) == []
    assert entries(world.storage) == before


SCRIPTS = st.lists(attempts(is_changing=False), max_size=4)
CHANGING = st.lists(attempts(is_changing=True), max_size=4)
REVEAL = st.one_of(st.none(), st.integers(0, 4))


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=40)
@given(world=shards(), script=CHANGING, reveal=REVEAL)
def test_an_embedded_store_that_outlives_its_process(table_format, world, script, reveal):
    (held, sent), store = world, MemoryClaimStore()
    world = in_memory(Stream(), table_format, lambda: store)
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)


@settings(max_examples=40)
@given(world=shards(), script=CHANGING, reveal=REVEAL)
def test_an_embedded_store_that_is_new_in_every_process(world, script, reveal):
    held, sent = world
    world = in_memory(Stream(), "parquet", MemoryClaimStore)
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=40)
@given(world=shards(), script=SCRIPTS, reveal=REVEAL)
def test_a_shared_store_that_outlives_all(table_format, world, script, reveal):
    held, sent = world
    world = in_memory(Stream(), table_format, shared_store()[1])
    last = run_through(world, script, held, reveal)
    check_laws(world, sent)
    check_rest(world, last)
