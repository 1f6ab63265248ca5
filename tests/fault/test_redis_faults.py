"""Redis claims while the server restarts, fails over, is full or drops keys."""

import json
import threading
import uuid
from contextlib import ExitStack, closing

import pytest
from redis_claims import claim, many, opened

from headgate.claims import redis_scripts
from headgate.claims.redis import SCRIPT_KEYS, names_of
from headgate.errors import CommitConflict, ConfigError, TransientError
from headgate.records import Claims
from headgate.testing.action_log import ActionLog
from headgate.testing.claim_store_suite import NOON_US, WINDOW_US, A, B, owner
from headgate.testing.laws import rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.processes import wait_until
from headgate.testing.records import ARRIVED_US
from headgate.testing.server_valkey import valkey
from headgate.testing.world import Attempt, World


@pytest.fixture
def server(tmp_path):
    with valkey(tmp_path / "server") as started:
        yield started


@pytest.fixture
def lake_id():
    return uuid.uuid4().hex


@pytest.mark.parametrize("is_emptied", [True, False])
def test_a_restarted_server_begins_a_new_generation_whether_its_data_is_there_or_not(tmp_path, lake_id, is_emptied):
    with valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server, ExitStack() as open_stores:
        store = open_stores.enter_context(closing(opened(server, lake_id)))
        store.mark_seen(1, {})
        held = owner(store.shard_number(A), 1)
        assert claim(store, (1, held)) == [held]
        before = store.generation
        server.restart(is_emptied=is_emptied)
        assert server.do("DBSIZE") == (0 if is_emptied else 3)
        with pytest.raises(CommitConflict):
            claim(store, (1, held))
        assert store.generation != before
        again = open_stores.enter_context(closing(opened(server, lake_id)))
        assert again.generation != before
        assert again.seen == 0
        heir = owner(again.shard_number(B), 2)
        assert claim(again, (1, heir)) == [heir]


def test_a_server_that_is_killed_during_a_claim_answers_the_same_when_the_lake_filled_it_again(tmp_path, lake_id):
    with valkey(tmp_path, "--appendonly", "yes") as server, ExitStack() as open_stores:
        store = open_stores.enter_context(closing(opened(server, lake_id)))
        store.mark_seen(1, {})
        mine = many(store.shard_number(A))
        failed = []

        def work():
            try:
                for _ in range(1_000):
                    store.claim(mine, WINDOW_US)
            except (TransientError, CommitConflict) as error:
                failed.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        wait_until(lambda: server.do("DBSIZE") > SCRIPT_KEYS, "a claim under way")
        server.restart()
        worker.join()
        assert len(failed) == 1
        again = open_stores.enter_context(closing(opened(server, lake_id)))
        mine = many(again.shard_number(A))
        committed = Claims(keys=mine.keys[:1_000], owners=mine.owners[:1_000])
        again.load(committed)
        assert again.claim(mine, WINDOW_US).tobytes() == mine.owners.tobytes()
        theirs = many(again.shard_number(B))
        assert again.claim(theirs, WINDOW_US).tobytes() == mine.owners.tobytes()


def test_data_that_is_lost_in_the_middle_of_a_claim_makes_the_whole_claim_a_conflict(server, lake_id):
    with closing(opened(server, lake_id)) as store:
        mine = many(store.shard_number(A))
        run_all = store._server.run_all
        calls = []

        def losing(script, keys, args):
            calls.append(script)
            if calls.count(redis_scripts.CLAIM) == 2:
                server.do("FLUSHALL")
            return run_all(script, keys, args)

        store._server.run_all = losing
        with pytest.raises(CommitConflict):
            store.claim(mine, WINDOW_US)
        assert server.do("DBSIZE") == 0


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_may_evict_keys_is_refused(server, lake_id, policy):
    server.do("CONFIG", "SET", "maxmemory-policy", policy)
    with pytest.raises(ConfigError, match=rf"maxmemory-policy is {policy}.*noeviction"):
        opened(server, lake_id)


def test_a_server_that_began_to_evict_later_is_noticed_with_the_first_key_it_dropped(server, lake_id):
    with closing(opened(server, lake_id)) as store:
        mine = many(store.shard_number(A))
        store.claim(mine, WINDOW_US)
        server.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        server.do("CONFIG", "SET", "maxmemory", str(int(server.do("INFO", "memory")["used_memory"] * 0.9)))
        wait_until(lambda: server.do("INFO", "stats")["evicted_keys"] > 0, "an eviction")
        with pytest.raises((CommitConflict, TransientError)):
            store.claim(mine, WINDOW_US)
        assert "lost" in store.generation


def test_a_full_server_is_waited_for_and_then_gives_the_same_verdicts(server, lake_id):
    with closing(opened(server, lake_id)) as store:
        mine = many(store.shard_number(A))
        generation = store.generation
        server.do("CONFIG", "SET", "maxmemory", str(server.do("INFO", "memory")["used_memory"] + 6_000_000))
        with pytest.raises(TransientError, match="raise maxmemory"):
            store.claim(mine, WINDOW_US)
        assert server.do("DBSIZE") > SCRIPT_KEYS  # some were claimed before it was full
        server.do("CONFIG", "SET", "maxmemory", "0")
        assert store.claim(mine, WINDOW_US).tobytes() == mine.owners.tobytes()
        assert store.generation == generation


def test_a_replica_is_refused_and_its_promotion_begins_a_new_generation(tmp_path, server, lake_id):
    with valkey(tmp_path / "replica") as replica, ExitStack() as open_stores:
        first = open_stores.enter_context(closing(opened(server, lake_id)))
        first.mark_seen(1, {})
        replica.follow(server)
        with pytest.raises(ConfigError, match="replica"):
            opened(replica, lake_id)
        store = open_stores.enter_context(closing(opened(server, lake_id)))
        generation = store.generation
        store.mark_seen(1, {})
        wait_until(lambda: server.do("WAIT", "1", "100") == 1, "the replica in step")
        replica.lead()
        promoted = open_stores.enter_context(closing(opened(replica, lake_id)))
        assert promoted.generation != generation
        assert promoted.seen == 0


def test_a_master_that_became_a_replica_answers_no_claim(tmp_path, server, lake_id):
    with valkey(tmp_path / "other") as other, closing(opened(server, lake_id)) as store:
        held = (1, owner(store.shard_number(A), 1))
        generation = store.generation
        server.follow(other)
        with pytest.raises((CommitConflict, TransientError)):
            claim(store, held)
        assert store.generation != generation


def test_a_failover_there_and_back_begins_a_new_generation_though_the_server_never_restarted(tmp_path, server, lake_id):
    with valkey(tmp_path / "replica") as replica, ExitStack() as open_stores:
        replica.follow(server)
        store = open_stores.enter_context(closing(opened(server, lake_id)))
        store.mark_seen(1, {})
        generation = store.generation
        wait_until(lambda: server.do("WAIT", "1", "100") == 1, "the replica in step")
        replica.lead()  # a claim that is made on the first server now will be lost
        assert claim(store, (1, owner(store.shard_number(A), 1)))
        server.follow(replica)
        server.lead()
        replica.follow(server)
        with pytest.raises(CommitConflict):
            claim(store, (1, owner(1, 1)))
        again = open_stores.enter_context(closing(opened(server, lake_id)))
        assert again.generation != generation


def test_a_client_that_is_paused_while_its_claims_expire_is_told_who_owns_them_now(server, lake_id):
    with ExitStack() as open_stores:
        store, other = (open_stores.enter_context(closing(opened(server, lake_id, ttl_us=150_000))) for _ in "12")
        mine, theirs = owner(store.shard_number(A), 1, arrived=1), owner(other.shard_number(B), 2, arrived=2)
        assert claim(store, (1, mine)) == [mine]
        assert store.expired_us == 0
        key = f"{names_of(lake_id).prefix}*"
        wait_until(lambda: len(server.do("KEYS", key)) == 2, "the claim's end")  # marker and shard numbers stay
        assert claim(other, (1, theirs)) == [theirs]
        assert claim(store, (1, mine)) == [theirs]
        assert store.expired_us > NOON_US  # by the server's clock
        assert store.shard_of(other.shard_number(B)) == B


def record(event_id):
    event = {"event_uuid": event_id, "event_name": "a:b", "created_at": ARRIVED_US // 1_000_000 - 10}
    return Record(data=json.dumps(event).encode(), arrived_us=ARRIVED_US)


@pytest.mark.parametrize("is_emptied", [True, False])
@pytest.mark.parametrize(
    ("effect", "nth"),
    [
        ("lake.note", 1),
        ("claims.shard_number", 2),
        ("claims.claim", 1),
        ("claims.claim", 3),
        ("claims.sync", 3),
        ("lake.stage", 2),
        ("lake.commit", 2),
        ("claims.mark_seen", 2),
    ],
)
def test_a_server_may_restart_at_any_effect_of_the_flow(tmp_path, lake_id, effect, nth, is_emptied):
    with valkey(tmp_path, "--appendonly", "yes") as server:
        stream = Stream(shards={"b": [record("W")], "a": [record(name) for name in "XYXZYZ"]})
        world = World(stream, MemoryStorage(), "parquet", lambda: opened(server, lake_id))
        run_id = server.do("INFO", "server")["run_id"]
        log = ActionLog()
        log.when(effect, lambda: server.restart(is_emptied=is_emptied), nth=nth)
        world.run(Attempt(batch_events=2, per_read=1, log=log))
        assert server.do("INFO", "server")["run_id"] != run_id
        assert sorted(row["event_uuid"] for row in rows(world, "events")) == ["W", "X", "Y", "Z"]
        assert len(rows(world, "duplicates")) == 3
        with closing(opened(server, lake_id)) as store:
            assert store.generation == world.ledger().generation
