"""Redis: what its errors mean, what its URIs may be, and what no message says."""

import pytest
from redis import exceptions

from headgate.claims.redis import RedisClaimStore, names_of
from headgate.claims.redis_errors import REACTIONS, redis_error
from headgate.claims.redis_scripts import ALL
from headgate.errors import ConfigError, PermanentError, TransientError

ALL_ERRORS = sorted(
    {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, exceptions.RedisError) and kind is not exceptions.RedisError
    },
    key=lambda kind: kind.__name__,
)
MOVED = "3999 127.0.0.1:6381"


def raised(kind):
    is_redirect = issubclass(kind, exceptions.AskError | exceptions.ClusterDownError)
    return kind(MOVED) if is_redirect else kind("something")


@pytest.mark.parametrize("kind", ALL_ERRORS)
@pytest.mark.parametrize("is_opening", [True, False])
def test_every_exception_of_the_client_has_a_reaction(kind, is_opening):
    mapped = redis_error(raised(kind), "redis://host", is_opening=is_opening)
    assert isinstance(mapped, ConfigError | TransientError | PermanentError)
    assert str(mapped).startswith("redis://host: ")


@pytest.mark.parametrize("word", sorted(REACTIONS))
def test_an_error_is_known_by_its_first_word_and_inside_a_script_of_an_old_server(word):
    opening, later, advice = REACTIONS[word]
    for text in (f"{word} says the server", f"Error running script (call to f_1): @user_script:12: {word} says so"):
        for is_opening, kind in ((True, opening), (False, later)):
            mapped = redis_error(exceptions.ResponseError(text), "redis://host", is_opening=is_opening)
            assert type(mapped) is kind
            assert advice in str(mapped)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (exceptions.OutOfMemoryError("command not allowed"), TransientError, "raise maxmemory"),
        (exceptions.BusyLoadingError("Redis is loading"), TransientError, "reading its data set"),
        (exceptions.ReadOnlyError("You can't write"), TransientError, "replica"),
        (exceptions.AuthenticationError("Authentication required."), TransientError, "wants a password"),
        (exceptions.AuthenticationError("invalid password"), TransientError, "refuses user or password"),
        (exceptions.NoPermissionError("no permissions"), TransientError, "allow EVALSHA"),
        (exceptions.MovedError(MOVED), PermanentError, "several shards"),
        (exceptions.TimeoutError("Timeout reading from socket"), TransientError, "no answer in time"),
        (ConnectionResetError(104, "Connection reset by peer"), TransientError, "Connection reset by peer"),
        (exceptions.ResponseError("unknown command"), PermanentError, "6.0 or newer"),
    ],
)
def test_what_a_running_store_does_about_an_error(error, kind, text):
    mapped = redis_error(error, "redis://host")
    assert type(mapped) is kind
    assert text in str(mapped)


@pytest.mark.parametrize(
    "uri",
    [
        "redis://user:s3cret/x@host:6379/0",
        "redis://user:s3cret#x@host:6379/0",
        "redis://user:s3cret@host:s3cret/0",
        "redis://user:s3cret@host:6379/s3cret",
        "http://user:s3cret@host:6379/0",
        "redis://user:s3cret@/0",
        "redis://user:s3cret@host:6379/0?no_such_parameter=s3cret",
        "redis://user:s3cret@host:6379/0?socket_timeout=s3cret",
    ],
)
def test_a_wrong_uri_is_refused_without_its_secrets(uri):
    with pytest.raises(ConfigError) as refused:
        RedisClaimStore(uri, lake_id="lake", ttl_us=1_000_000)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_server_that_is_not_there_is_waited_for_and_its_password_is_not_told():
    with pytest.raises(TransientError) as failed:
        RedisClaimStore("redis://user:s3cret@127.0.0.1:1/0", lake_id="lake", ttl_us=1_000_000)
    assert "redis://user:***@127.0.0.1:1/0: no connection (Connection refused)" in str(failed.value)
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize(("lake_id", "ttl_us"), [("", 1), ("a}b", 1), ("a b", 1), ("lake", 0), ("lake", -5)])
def test_a_lake_without_a_usable_name_or_time_is_refused_before_anything_is_asked(lake_id, ttl_us):
    with pytest.raises(ConfigError):
        RedisClaimStore("redis://127.0.0.1:1/0", lake_id=lake_id, ttl_us=ttl_us)


def test_all_names_of_a_lake_lie_on_one_server_of_a_cluster_and_no_two_lakes_share_one():
    names = names_of("lake-a")
    tags = {name[: name.index("}") + 1] for name in names}
    assert tags == {"{" + name.partition("{")[2].partition("}")[0] + "}" for name in names}
    assert len(tags) == 1
    assert not set(names) & set(names_of("lake-b"))


def test_every_script_looks_at_the_generation_or_at_the_server():
    assert all("is_in_force() then return nil" in script or "identity()" in script for script in ALL)
