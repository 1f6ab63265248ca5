"""The reference claim store: a dictionary. For tests, for `memory:`, and to say what the others must do."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Set

import numpy as np
import numpy.typing as npt

from headgate.records import KEY_BYTES, OWNER, SEQUENCE_BYTES, Claims, Shard

BUCKET_US = 24 * 3600 * 1_000_000  # µs; a seventh of the default window
POSITION_BYTES = 4 + SEQUENCE_BYTES + 4  # shard, sequence and sub stand at the head of an OWNER


class MemoryClaimStore:
    """A ClaimStore that lasts as long as the object; one object may serve several simulated processes."""

    def __init__(self, *, is_embedded: bool = True, bucket_us: int = BUCKET_US) -> None:
        """Begin empty.

        Args:
            is_embedded: whether it behaves as a store for one process.
            bucket_us: width of a time bucket in microseconds.
        """
        self.is_embedded = is_embedded
        self._bucket_us = bucket_us
        self.renew()

    def renew(self) -> None:
        """Forget everything and begin a new generation; what a store does whose data is gone."""
        self._generation = f"memory-{uuid.uuid4().hex}"
        self._seen = 0
        self._expired_us = 0
        self._owners: dict[bytes, bytes] = {}
        self._shards: list[Shard] = []
        self._committed: dict[Shard, str | None] = {}
        self._replaced: dict[bytes, list[bytes | None]] = {}  # owners before, since the last commit

    @property
    def generation(self) -> str:
        """Another one after `renew`."""
        return self._generation

    @property
    def seen(self) -> int:
        """The last ledger number that `mark_seen` was told."""
        return self._seen

    def shard_number(self, shard: Shard) -> int:
        """The number of a shard."""
        if shard not in self._shards:
            self._shards.append(shard)
        return self._shards.index(shard)

    def shard_of(self, number: int) -> Shard:
        """The shard behind a number."""
        if not 0 <= number < len(self._shards):
            raise KeyError(f"shard number {number} was never assigned")
        return self._shards[number]

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """See the port."""
        answer = []
        for key, owner in _rows(claims):
            held = self._owners.get(key)
            if held is None or _arrived(owner) > _arrived(held) + window_us:
                self._enter(key, owner)
            answer.append(self._owners[key])
        return np.frombuffer(b"".join(answer), OWNER).copy()

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """See the port; a key that nobody owns any more is claimed."""
        answer = []
        for (key, owner), before in zip(_rows(claims), expected, strict=True):
            held = self._owners.get(key)
            if held is None or _position(held) == _position(before.tobytes()):
                self._enter(key, owner)
            answer.append(self._owners[key])
        return np.frombuffer(b"".join(answer), OWNER).copy()

    def release(self, claims: Claims) -> int:
        """See the port."""
        released = 0
        for key, owner in _rows(claims):
            held = self._owners.get(key)
            if held is not None and _position(held) == _position(owner):
                del self._owners[key]
                self._replaced.pop(key, None)
                released += 1
        return released

    def load(self, claims: Claims) -> None:
        """See the port; where several load at once, an owner that arrived later stays."""
        for key, owner in _rows(claims):
            held = self._owners.get(key)
            if not self.is_embedded and held is not None and _arrived(held) > _arrived(owner):
                continue
            self._owners[key] = owner
            self._replaced.pop(key, None)

    def withdraw(self, positions: Mapping[Shard, str | None]) -> int:
        """See the port."""
        if not self.is_embedded:
            return 0
        withdrawn = 0
        for key, before in self._replaced.items():
            held = self._owners.pop(key, None)
            while held is not None and not self._is_committed(held, positions):
                held = before.pop()
                withdrawn += 1
            if held is not None:
                self._owners[key] = held
        self._replaced.clear()
        return withdrawn

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See the port."""
        self._seen = number
        self._committed.update(positions)
        done = {key for key in self._replaced if self._is_committed(self._owners[key], self._committed)}
        self._forget(done)

    @property
    def expired_us(self) -> int:
        """See the port."""
        return self._expired_us

    def expire(self, before_us: int) -> None:
        """See the port; a bucket is `bucket_us` wide."""
        gone = {
            key
            for key, owner in self._owners.items()
            if (_arrived(owner) // self._bucket_us + 1) * self._bucket_us <= before_us
        }
        if gone:
            newest = max(_arrived(self._owners[key]) // self._bucket_us for key in gone)
            self._expired_us = max(self._expired_us, (newest + 1) * self._bucket_us)
        for key in gone:
            del self._owners[key]
        self._forget(gone & self._replaced.keys())

    def sync(self) -> None:
        """Nothing survives a kill here."""

    def statistics(self) -> Mapping[str, float]:
        """Number of claims."""
        return {"claims": float(len(self._owners))}

    def close(self) -> None:
        """Nothing to let go."""

    def _enter(self, key: bytes, owner: bytes) -> None:
        """Make somebody the owner, and remember who was it before."""
        self._replaced.setdefault(key, []).append(self._owners.get(key))
        self._owners[key] = owner

    def _forget(self, keys: Set[bytes]) -> None:
        """These keys need no withdrawal any more."""
        for key in keys:
            del self._replaced[key]

    def _is_committed(self, owner: bytes, positions: Mapping[Shard, str | None]) -> bool:
        """True where the owner's sequence is below its shard's position."""
        position = positions.get(self.shard_of(int.from_bytes(owner[:4], "big")))
        return position is not None and int.from_bytes(owner[4 : 4 + SEQUENCE_BYTES], "big") < int(position)


def _rows(claims: Claims) -> zip[tuple[bytes, bytes]]:
    """Key and owner of each claim as bytes."""
    keys, owners = claims.keys.tobytes(), claims.owners.tobytes()
    return zip(
        [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)],
        [owners[at : at + OWNER.itemsize] for at in range(0, len(owners), OWNER.itemsize)],
        strict=True,
    )


def _position(owner: bytes) -> bytes:
    """Shard, sequence and sub."""
    return owner[:POSITION_BYTES]


def _arrived(owner: bytes) -> int:
    """Arrival in microseconds."""
    return int.from_bytes(owner[POSITION_BYTES : POSITION_BYTES + 8], "big", signed=True)
