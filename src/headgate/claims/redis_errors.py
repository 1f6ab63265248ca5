"""What Redis' answers and the client's exceptions mean to a claim store: wait, stop, or mend the configuration."""

from __future__ import annotations

from redis import exceptions

from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError

#: By the first word of the server's error: what is raised when the store is opened, what is raised later, and what to
#: do about it. Rights that are taken away later may be given back: Headgate waits for that.
REACTIONS: dict[str, tuple[type[HeadgateError], type[HeadgateError], str]] = {
    "OOM": (
        TransientError,
        TransientError,
        "the server is out of memory: raise maxmemory, or shorten [dedup] window",
    ),
    "LOADING": (TransientError, TransientError, "the server is reading its data set; Headgate waits"),
    "READONLY": (TransientError, TransientError, "the server is a replica; Headgate waits for a master"),
    "MASTERDOWN": (TransientError, TransientError, "the server lost its master; Headgate waits"),
    "BUSY": (TransientError, TransientError, "the server is busy with another script; Headgate waits"),
    "TRYAGAIN": (TransientError, TransientError, "the cluster moves its keys; Headgate waits"),
    "CLUSTERDOWN": (TransientError, TransientError, "the cluster is down; Headgate waits"),
    "MISCONF": (
        TransientError,
        TransientError,
        "the server cannot write to its disk and refuses claims: look at its log",
    ),
    "NOREPLICAS": (
        TransientError,
        TransientError,
        "too few replicas answer, so that the server refuses claims: look at them",
    ),
    "NOSCRIPT": (TransientError, TransientError, "the server forgot its scripts; Headgate sends them again"),
    "NOAUTH": (ConfigError, TransientError, "the server wants a password: redis://user:password@host:port/db"),
    "WRONGPASS": (ConfigError, TransientError, "the server refuses user or password"),
    "NOPERM": (
        ConfigError,
        TransientError,
        "the user may not do this: allow EVALSHA, SCRIPT LOAD, INFO, TIME, DBSIZE, and reading and writing keys",
    ),
    "MOVED": (
        ConfigError,
        PermanentError,
        "the server is one of several shards of a cluster: name a server that holds all keys",
    ),
}

#: Exceptions whose first word the client library has taken away.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.NoScriptError, "NOSCRIPT"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.AskError, "MOVED"),
    (exceptions.ClusterCrossSlotError, "MOVED"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "WRONGPASS"),
)


def redis_error(error: Exception, where: str, *, is_opening: bool = False) -> HeadgateError:
    """The one place where a Redis client's exceptions become Headgate's.

    Args:
        error: redis.RedisError or OSError.
        where: the server's URI without its password.
        is_opening: True before anything was done, so that what is wrong lies in the configuration.
    """
    word = _word(error)
    if word is not None:
        opening, later, advice = REACTIONS[word]
        return (opening if is_opening else later)(f"{where}: {advice}")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return TransientError(f"{where}: no answer in time; Headgate tries again")
    if isinstance(error, exceptions.ConnectionError | OSError):
        return TransientError(f"{where}: no connection ({_reason(error)}); Headgate tries again")
    kind = ConfigError if is_opening else PermanentError
    if isinstance(error, exceptions.ResponseError):
        return kind(f"{where}: the server refuses a command ({error}): a Redis 6.0 or newer is needed")
    return kind(f"{where}: this is no answer of a Redis server ({type(error).__name__})")


def _word(error: Exception) -> str | None:
    """The error's first word where it is known. Before version 7 a script's own text stands around it."""
    for kind, word in _WORDS:
        if isinstance(error, kind):
            return word
    text = str(error)
    if isinstance(error, exceptions.AuthenticationError):
        return "NOAUTH" if "required" in text else "WRONGPASS"
    words = set(text.replace(":", " ").replace("-", " ").split())
    return next((word for word in REACTIONS if word in words), None)


def _reason(error: Exception) -> str:
    """The system's words where there are some: the client's own text quotes the address."""
    cause = error if isinstance(error, OSError) else error.__context__
    return (cause.strerror if isinstance(cause, OSError) else None) or type(error).__name__
