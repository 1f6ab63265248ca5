"""Redis claims while connections break, rights are missing, scripts are gone, and at the ends of number ranges."""

import uuid
from contextlib import ExitStack, closing

import pytest
from redis_claims import Cut, claim, many, opened

from headgate.claims.redis import names_of
from headgate.errors import ConfigError, TransientError
from headgate.records import Claims
from headgate.testing.claim_store_suite import DAY_US, WINDOW_US, A, B, owner
from headgate.testing.server_valkey import valkey


@pytest.fixture
def server(tmp_path):
    with valkey(tmp_path / "server") as started:
        yield started


@pytest.fixture
def lake_id():
    return uuid.uuid4().hex


def test_a_claim_whose_arrival_lies_in_the_future_lives_from_then_on(server, lake_id):
    with closing(opened(server, lake_id, ttl_us=1_000)) as store:
        shard = store.shard_number(A)
        seconds, micros = server.do("TIME")
        arrived = seconds * 1_000_000 + micros + DAY_US
        claim(store, (1, owner(shard, 1, arrived=arrived)))
        key = next(key for key in server.do("KEYS", "*") if len(key) > len(names_of(lake_id).marker))
        assert 0.9 * DAY_US < server.do("PTTL", key) * 1_000 <= DAY_US + 1_000


def test_arrivals_beyond_the_precision_of_lua_are_compared_exactly(server, lake_id):
    with closing(opened(server, lake_id)) as store:
        shard, year_9999 = store.shard_number(A), 253_402_300_799_999_999 - WINDOW_US - 1
        held = owner(shard, 1, arrived=year_9999)
        within, beyond = (owner(shard, 2 + n, arrived=year_9999 + WINDOW_US + n) for n in (0, 1))
        assert claim(store, (1, held)) == [held]
        assert claim(store, (1, within)) == [held]
        assert claim(store, (1, beyond)) == [beyond]


@pytest.mark.parametrize("after_bytes", [0, 1, 700, 2_000])
def test_a_connection_that_is_cut_in_the_middle_of_a_claim_changes_no_verdict(server, lake_id, after_bytes):
    with closing(Cut(server.port)) as cut, ExitStack() as open_stores:
        store = open_stores.enter_context(closing(opened(server, lake_id, uri=cut.uri)))
        other = open_stores.enter_context(closing(opened(server, lake_id)))
        theirs = many(other.shard_number(B))
        early = Claims(keys=theirs.keys[::3], owners=theirs.owners[::3])
        other.claim(early, WINDOW_US)
        mine = many(store.shard_number(A))
        cut.left = after_bytes
        with pytest.raises(TransientError, match=r"no connection|no answer"):
            store.claim(mine, WINDOW_US)
        cut.left = None
        answer = store.claim(mine, WINDOW_US)
        expected = mine.owners.copy()
        expected[::3] = early.owners
        assert answer.tobytes() == expected.tobytes()
        assert other.claim(theirs, WINDOW_US).tobytes() == expected.tobytes()


def test_a_server_that_forgot_the_scripts_gets_them_again(server, lake_id):
    with closing(opened(server, lake_id)) as store:
        held = owner(store.shard_number(A), 1)
        server.do("SCRIPT", "FLUSH")
        assert claim(store, (1, held)) == [held]


def test_a_server_that_knows_no_command_for_many_keys_gets_them_one_by_one(tmp_path, lake_id):
    # As every Redis before 8.4 and every Valkey before 9.1.
    with valkey(tmp_path, "--rename-command", "MSETEX", "") as server, closing(opened(server, lake_id)) as store:
        mine = many(store.shard_number(A))
        assert store.claim(mine, WINDOW_US).tobytes() == mine.owners.tobytes()
        assert store.claim(many(store.shard_number(B)), WINDOW_US).tobytes() == mine.owners.tobytes()
        key = next(key for key in server.do("KEYS", "*") if len(key) > len(names_of(lake_id).marker))
        assert server.do("PTTL", key) > 0


def test_a_wrong_or_missing_password_is_refused_at_the_start_and_waited_for_later(server, lake_id):
    right = server.uri.replace("redis://", "redis://default:s3cret@")
    server.do("CONFIG", "SET", "requirepass", "s3cret")
    with closing(opened(server, lake_id, uri=right)) as store:
        for wrong in (server.uri, right.replace("s3cret", "wr0ng")):
            with pytest.raises(ConfigError) as refused:
                opened(server, lake_id, uri=wrong)
            assert "wr0ng" not in str(refused.value)
        store._server._client.execute_command("CONFIG", "SET", "requirepass", "an0ther")
        store._server._client.connection_pool.disconnect()
        with pytest.raises(TransientError, match="refuses user or password") as failed:
            claim(store, (1, owner(1, 1)))
        assert "s3cret" not in str(failed.value)


def test_a_user_without_rights_is_told_which_ones(server, lake_id):
    server.do("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+hello", "+client")
    with pytest.raises(ConfigError, match="allow EVALSHA"):
        opened(server, lake_id, uri=server.uri.replace("redis://", "redis://reader:pw@"))


def test_a_server_that_does_not_answer_in_time_is_waited_for(server, lake_id):
    with closing(opened(server, lake_id, uri=f"{server.uri}?socket_timeout=0.2")) as store:
        server.do("CLIENT", "PAUSE", "60000", "ALL")
        with pytest.raises(TransientError, match="no answer in time"):
            claim(store, (1, owner(1, 1)))


def test_lakes_on_one_server_know_nothing_of_each_other(server):
    with ExitStack() as open_stores:
        first, second = (open_stores.enter_context(closing(opened(server, name))) for name in ("lake-1", "lake-2"))
        held, other = owner(first.shard_number(A), 1), owner(second.shard_number(B), 2)
        assert claim(first, (1, held)) == [held]
        assert claim(second, (1, other)) == [other]
        first.mark_seen(7, {})
        first.renew()
        assert (first.seen, second.seen) == (0, 0)
        assert claim(second, (1, held)) == [other]
