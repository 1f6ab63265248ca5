"""A connection to one Redis or Valkey server: what it must be, and scripts run on it, one or many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from headgate.claims.redis_errors import redis_error
from headgate.claims.redis_scripts import ALL
from headgate.config.mask import mask_uri
from headgate.config.redis_uri import check_redis_uri
from headgate.errors import ConfigError

MIN_VERSION: Final = (6, 0)  # its scripts are replicated by their effects and may ask for time and role
ANSWER_SECONDS: Final = 20.0  # s; of patience with one answer; a script of 500 keys takes about 1 ms
CONNECT_SECONDS: Final = 5.0  # s

Argument = bytes | str | int
T = TypeVar("T")


class RedisServer:
    """Runs the scripts of redis_scripts.py. Every failure is one of Headgate's errors, without the password."""

    def __init__(self, uri: str) -> None:
        """Nothing is connected yet.

        Args:
            uri: `redis://[user:password@]host:port/db`, or `rediss://` for TLS. Parameters of the client library may
                follow (`?ssl_ca_certs=/etc/ca.pem`).

        Raises:
            ConfigError: it is no such URI.
        """
        self.where = _checked(uri)
        self._is_opening = True
        try:
            self._client = redis.Redis.from_url(
                uri,
                protocol=2,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),  # the flow tries again, and says so
            )
            self._client.connection_pool.make_connection()  # takes all parameters, connects to nobody
        except (ValueError, TypeError):
            raise ConfigError(f"{self.where}: the client library refuses a parameter of this URI") from None

    def open(self) -> Mapping[str, Any]:
        """Look whether claims are safe on this server, and send it the scripts. Returns what INFO says.

        Raises:
            ConfigError: it evicts keys, is too old, or refuses the user.
            TransientError: it does not answer.
        """
        facts = self.facts()
        version = str(facts.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
            raise ConfigError(f"{self.where}: version {version} is too old; Redis 6.0 or any Valkey is needed")
        policy = facts.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            raise ConfigError(
                f"{self.where}: its maxmemory-policy is {policy}, so that it may drop claims and let duplicates pass: "
                "set it to noeviction"
            )
        self._send_scripts()
        self._is_opening = False
        return facts

    def facts(self) -> Mapping[str, Any]:
        """What INFO says."""
        return self._do(lambda: dict(self._client.info()))

    def size(self) -> int:
        """Number of keys of all lakes and of whoever else uses this database."""
        return self._do(lambda: int(self._client.dbsize()))

    def run(self, script: str, keys: Sequence[str], *args: Argument) -> Any:
        """The answer of one script.

        Raises:
            TransientError: no answer; the script may have run.
            PermanentError: the server does not understand.
        """
        return self.run_all(script, keys, [args])[0]

    def run_all(self, script: str, keys: Sequence[str], calls: Sequence[Sequence[Argument]]) -> list[Any]:
        """The answers of many runs of one script: all are sent before the first answer is read.

        Raises:
            TransientError: no answer; some of the calls may have run.
            PermanentError: the server does not understand.
        """
        answers = self._do(lambda: self._send(script, keys, calls))
        if any(isinstance(answer, NoScriptError) for answer in answers):
            self._send_scripts()
            answers = self._do(lambda: self._send(script, keys, calls))
        for answer in answers:
            if isinstance(answer, Exception):
                raise redis_error(answer, self.where, is_opening=self._is_opening) from answer
        return answers

    def close(self) -> None:
        """Hang up. May be called twice."""
        self._client.close()

    def _send(self, script: str, keys: Sequence[str], calls: Sequence[Sequence[Argument]]) -> list[Any]:
        name = sha1(script.encode(), usedforsecurity=False).hexdigest()
        with self._client.pipeline(transaction=False) as pipeline:
            for args in calls:
                pipeline.execute_command(  # type: ignore[no-untyped-call]
                    "EVALSHA", name, len(keys), *keys, *args
                )
            return list(pipeline.execute(raise_on_error=False))  # its own errors would quote all arguments

    def _send_scripts(self) -> None:
        for script in ALL:
            self._do(lambda script=script: self._client.script_load(script))  # type: ignore[misc]

    def _do(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (redis.RedisError, OSError) as error:
            raise redis_error(error, self.where, is_opening=self._is_opening) from error


def _checked(uri: str) -> str:
    """The URI for messages, without password and parameters. Raises ConfigError that quotes nothing secret."""
    try:
        check_redis_uri(uri)
    except ValueError as error:
        raise ConfigError(f"the claim store's URI: {error}") from None
    return mask_uri(uri).partition("?")[0]
