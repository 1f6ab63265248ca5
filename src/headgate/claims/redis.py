"""Claims in Redis or Valkey: first writer wins and read-back in one round trip, by scripts of some hundred keys.

Law: a claim is answered only by the server, in the role, with the history that the generation began with (see
redis_scripts.py). A server that restarted, changed roles, evicted a key or was emptied may have lost claims: that
begins a new generation, which the lake fills. So nothing waits for replicas or for the server's disk: the answers are
right with any persistence or none.

One key a claim, `{headgate:<digest of the lake's id>}:<generation>:<16 bytes>`, with a time to live; the braces keep
all keys of a lake on one server of a cluster. Keys of earlier generations go by their time to live.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from headgate.claims import redis_scripts as scripts
from headgate.claims.redis_server import Argument, RedisServer
from headgate.claims.shared import (
    Marker,
    SharedClaimStore,
    chunks,
    key_bytes,
    new_generation,
    owner_bytes,
    shard_from,
    shard_text,
)
from headgate.core.dedup import put_rows
from headgate.errors import ConfigError, HeadgateError
from headgate.records import KEY_BYTES, OWNER, Claims, Shard

SCRIPT_KEYS: Final = 500  # keys a script: it holds the server for about a millisecond
SENT_SCRIPTS: Final = 50  # scripts that are sent before the first answer is read: 2 MB
LIMIT_BYTES: Final = 8
KIND: Final = "redis"

#: A row that a script did not enter, and who owns it.
HELD: Final = np.dtype([("row", ">u4"), ("owner", f"V{OWNER.itemsize}")])


class Names(NamedTuple):
    """A lake's names on the server: how each begins, the marker of its generation, its shard numbers."""

    prefix: str
    marker: str
    shards: str


def names_of(lake_id: str) -> Names:
    """The names, with a digest of the lake's id: every byte of a name costs memory a claim."""
    prefix = f"{{headgate:{blake2b(lake_id.encode(), digest_size=8).hexdigest()}}}:"
    return Names(prefix, f"{prefix}generation", f"{prefix}shards")


class RedisClaimStore(SharedClaimStore):
    """A ClaimStore on one Redis or Valkey server, for any number of clients at once.

    Guarantee: as the port says. Cost: one round trip for 25,000 ids and about 180 bytes of the server's memory a claim.
    """

    def __init__(self, uri: str, *, lake_id: str, ttl_us: int) -> None:
        """Connect, and find or begin the lake's generation.

        Args:
            uri: see RedisServer.
            lake_id: the lake's identity.
            ttl_us: how long a claim is kept, in microseconds: the window and the source's retention together.

        Raises:
            ConfigError: the server evicts keys, is a replica, is too old or refuses the user; the URI is none.
            TransientError: it does not answer.
        """
        super().__init__(lake_id=lake_id, ttl_us=ttl_us)
        self._ttl_ms = -(-ttl_us // 1_000)
        self._names = names_of(lake_id)
        self._server = RedisServer(uri)
        try:
            facts = self._server.open()
            if facts.get("role") != "master":
                raise ConfigError(f"{self._server.where}: this is a replica; name its master")
            self._bind(self._begin(None))
        except HeadgateError:
            self._server.close()
            raise

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """See the port. A call that is cut off in the middle is made again with the same claims."""
        limits = (claims.owners["arrived"].astype(np.int64) - window_us).astype(">i8").tobytes()
        return self._owners(scripts.CLAIM, claims, limits, LIMIT_BYTES)

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """See the port; a key that nobody owns any more is claimed."""
        return self._owners(scripts.TAKE_OVER, claims, owner_bytes(expected), OWNER.itemsize)

    def release(self, claims: Claims) -> int:
        """See the port."""
        return sum(answer for _, answer in self._run(scripts.RELEASE, claims, b"", 0))

    def load(self, claims: Claims) -> None:
        """Enter owners from the lake; an owner that arrived later stays, so that several clients may load at once."""
        limits = (claims.owners["arrived"].astype(np.int64) + 1).astype(">i8").tobytes()
        self._owners(scripts.CLAIM, claims, limits, LIMIT_BYTES)

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See the port; for all clients, and it only ever grows."""
        self._ask(scripts.MARK_SEEN, number)

    def statistics(self) -> Mapping[str, float]:
        """Keys of the whole database, which may serve others too, and the server's memory."""
        return {"claims": float(self._server.size()), "memory_bytes": float(self._server.facts()["used_memory"])}

    def close(self) -> None:
        """Hang up."""
        self._server.close()

    def _look(self) -> Marker | None:
        answer = self._server.run(scripts.LOOK, [self._names.marker])
        return None if answer is None else _marker(answer)

    def _begin(self, previous: str | None) -> Marker:
        keys = [self._names.marker, self._names.shards]
        return _marker(self._server.run(scripts.BEGIN, keys, previous or "", new_generation(KIND)))

    def _assign(self, shard: Shard) -> int:
        return int(self._ask(scripts.ASSIGN, shard_text(shard)))

    def _find(self, number: int) -> Shard | None:
        text = self._ask(scripts.FIND, number)
        return shard_from(text) if text else None

    def _ask(self, script: str, argument: Argument) -> Any:
        """One small script in the bound generation. Raises CommitConflict where it is no longer in force."""
        answer = self._server.run(script, [self._names.marker, self._names.shards], self._generation, argument)
        if answer is None:
            raise self._lost()
        return answer

    def _owners(self, script: str, claims: Claims, more: bytes, width: int) -> npt.NDArray[np.void]:
        """Who owns each key after CLAIM or TAKE_OVER: the claimer but for the rows that come back."""
        owners = claims.owners.astype(OWNER)
        for rows, answer in self._run(script, claims, more, width):
            held = np.frombuffer(answer, HELD)
            if len(held):
                put_rows(owners, held["row"].astype(np.int64) + rows.start, np.ascontiguousarray(held["owner"]))
        return owners

    def _run(self, script: str, claims: Claims, more: bytes, width: int) -> list[tuple[slice, Any]]:
        """Run a script over all rows. Raises CommitConflict where the generation ended on the way."""
        keys, owners = key_bytes(claims), owner_bytes(claims.owners)
        prefix = f"{self._names.prefix}{self._generation.removeprefix(KIND)}:"
        latest = claims.owners["arrived"].astype(np.int64) // 1_000
        runs = list(chunks(claims, SCRIPT_KEYS))
        calls: list[tuple[Argument, ...]] = [
            (
                self._generation,
                prefix,
                self._ttl_ms,
                int(latest[rows].max()),
                keys[rows.start * KEY_BYTES : rows.stop * KEY_BYTES],
                owners[rows.start * OWNER.itemsize : rows.stop * OWNER.itemsize],
                more[rows.start * width : rows.stop * width],
            )
            for rows in runs
        ]
        answers: list[Any] = []
        for at in range(0, len(calls), SENT_SCRIPTS):
            answers += self._server.run_all(script, [self._names.marker], calls[at : at + SENT_SCRIPTS])
        if None in answers:
            raise self._lost()
        return list(zip(runs, answers, strict=True))


def _marker(answer: list[bytes]) -> Marker:
    generation, created, seen, now = answer
    return Marker(generation=generation.decode(), created_us=int(created), seen=int(seen), now_us=int(now))
