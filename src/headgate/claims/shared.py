"""What claim stores for several clients have in common: generations, shard numbers, time to live.

Everything of a lake lives under its id and a *generation*, the name of one unbroken history. One marker in the store
names the generation in force, when it began, and up to which ledger number it is filled (`seen`). Law: a client is
bound to the generation it was opened with, or renewed to; a call that finds the marker gone or naming another one
changes nothing and raises CommitConflict, so that the lake fills what was lost before anybody judges again.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from headgate.errors import CommitConflict, ConfigError
from headgate.ports import ClaimStore
from headgate.records import KEY_BYTES, OWNER, Claims, Shard

POSITION_BYTES = 32  # bytes; shard, sequence and sub stand at the head of an OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What the store says of the generation in force.

    Attributes:
        generation: its name.
        created_us: when it began, by the store's clock, in microseconds since 1970 UTC.
        seen: the ledger number up to which it is filled; 0 until somebody filled it for the first time.
        now_us: the store's clock when this was read.
    """

    generation: str
    created_us: int
    seen: int
    now_us: int


class SharedClaimStore(ClaimStore, ABC):
    """The part of the ClaimStore port that is the same for every store on a server.

    A store adds `claim`, `take_over`, `release`, `load`, `mark_seen`, `statistics`, `close` and the four hooks below,
    and calls `_bind(self._begin(None))` at the end of its opening.
    """

    def __init__(self, *, lake_id: str, ttl_us: int) -> None:
        """Remember whose claims these are.

        Args:
            lake_id: the lake's identity, part of every name in the store.
            ttl_us: how long a claim is kept, in microseconds: the window and the source's retention together.

        Raises:
            ConfigError: the identity cannot be part of a name, or the time is not positive.
        """
        if not lake_id or not lake_id.isascii() or not lake_id.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"the lake's id {lake_id!r} must consist of letters, digits, hyphens and underscores")
        if ttl_us <= 0:
            raise ConfigError(f"claims must be kept for some time, not {ttl_us} µs: set [dedup] window")
        self._lake_id, self._ttl_us = lake_id, ttl_us
        self._generation = ""
        self._numbers: dict[Shard, int] = {}
        self._shards: dict[int, Shard] = {}

    @abstractmethod
    def _look(self) -> Marker | None:
        """The marker as it stands; None where it is gone or where the server may have lost data since it was made."""

    @abstractmethod
    def _begin(self, previous: str | None) -> Marker:
        """Begin a new generation by compare-and-swap.

        Args:
            previous: the generation to be replaced; None to begin one only where `_look` would give None.

        Returns:
            The marker in force afterwards: the new one; or another client's where the marker no longer names
            `previous`; or the present one where it was never filled (`seen` is 0). The latter lets the
            clients that find a lake's store empty at the same time fill one generation together; each that began its
            own would throw the others' away, without end.
        """

    @abstractmethod
    def _assign(self, shard: Shard) -> int:
        """The number of a shard in this generation, assigned atomically at first sight. Raises CommitConflict."""

    @abstractmethod
    def _find(self, number: int) -> Shard | None:
        """The shard behind a number of this generation. Raises CommitConflict."""

    @property
    def generation(self) -> str:
        """The bound generation while it is in force; else another name. Asks the store."""
        marker = self._look()
        return f"{self._generation} (lost)" if marker is None else marker.generation

    @property
    def is_embedded(self) -> Literal[False]:
        """Many clients may use the store at once."""
        return False

    @property
    def seen(self) -> int:
        """The last ledger number that any client marked in this generation. Raises CommitConflict."""
        return self._look_mine().seen

    @property
    def expired_us(self) -> int:
        """Claims live for `ttl_us` after they were made, which is not before they arrived. Raises CommitConflict."""
        marker = self._look_mine()
        if marker.now_us - marker.created_us < self._ttl_us:
            return 0
        return max(0, marker.now_us - self._ttl_us)

    def shard_number(self, shard: Shard) -> int:
        """The number of a shard, asked for once a generation."""
        if shard not in self._numbers:
            self._remember(shard, self._assign(shard))
        return self._numbers[shard]

    def shard_of(self, number: int) -> Shard:
        """The shard behind a number, asked for once a generation. Raises KeyError for an unknown one."""
        if number not in self._shards:
            shard = self._find(number)
            if shard is None:
                raise KeyError(f"shard number {number} was never assigned")
            self._remember(shard, number)
        return self._shards[number]

    def withdraw(self, positions: Mapping[Shard, str | None]) -> int:
        """Nothing: other clients' claims are on their way into the ledger."""
        return 0

    def expire(self, before_us: int) -> None:
        """Nothing: claims go by their time to live."""

    def sync(self) -> None:
        """Nothing: what was answered stands, or the store's loss of it begins a new generation."""

    def renew(self) -> None:
        """Begin a new generation; of several clients that renew at once all get the same one.

        A generation that was never filled (`seen` is 0) is kept: it holds nothing but what the lake said.
        """
        self._bind(self._begin(self._generation))

    def _bind(self, marker: Marker) -> None:
        """Work in this generation from now on."""
        self._generation = marker.generation
        self._numbers.clear()
        self._shards.clear()

    def _look_mine(self) -> Marker:
        """The marker of the bound generation. Raises CommitConflict."""
        marker = self._look()
        if marker is None or marker.generation != self._generation:
            raise self._lost()
        return marker

    def _lost(self) -> CommitConflict:
        """The error of every call that finds its generation no longer in force."""
        return CommitConflict("the claim store began a new generation (it was emptied, restarted or renewed)")

    def _remember(self, shard: Shard, number: int) -> None:
        self._numbers[shard], self._shards[number] = number, shard


def new_generation(kind: str) -> str:
    """A name that no generation had before: 48 random bits are plenty for the few that a lake sees.

    Args:
        kind: of the store, for people who read the ledger.
    """
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def shard_text(shard: Shard) -> str:
    """A shard's full name as text, the same for the same shard."""
    return json.dumps([shard.source, shard.name])


def shard_from(text: str | bytes) -> Shard:
    """The counterpart of `shard_text`."""
    source, name = json.loads(text)
    return Shard(source, name)


def chunks(claims: Claims, size: int) -> Iterator[slice]:
    """Runs of at most `size` rows, in order."""
    return (slice(at, min(at + size, len(claims))) for at in range(0, len(claims), size))


def key_bytes(claims: Claims) -> bytes:
    """All keys, 16 bytes each, in order."""
    return np.ascontiguousarray(claims.keys).tobytes()


def owner_bytes(owners: npt.NDArray[np.void]) -> bytes:
    """All owners, 48 bytes each, in order and as OWNER whatever the byte order was."""
    return np.ascontiguousarray(owners.astype(OWNER, copy=False)).tobytes()


def cut(blob: bytes, width: Literal[16, 48]) -> list[bytes]:
    """A blob of keys (16) or owners (48) as single rows."""
    assert width in (KEY_BYTES, OWNER.itemsize)  # noqa: S101
    return [blob[at : at + width] for at in range(0, len(blob), width)]
