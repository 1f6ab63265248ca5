"""What claim stores have in common whose service takes one id a request: many requests at once, shard numbers.

Law: every request is conditional, so that the service decides and a request may be made again. A call that fails in
the middle leaves claims of its own behind, which the repeated call finds.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from headgate.claims.shared import POSITION_BYTES, SharedClaimStore, cut, key_bytes, owner_bytes, shard_from, shard_text
from headgate.errors import HeadgateError
from headgate.records import OWNER, Claims, Shard

NUMBER_BYTES = 4  # bytes of a shard number in an OWNER
ARRIVED = slice(POSITION_BYTES, POSITION_BYTES + 8)  # of an OWNER: microseconds since 1970 UTC, signed
T = TypeVar("T")
U = TypeVar("U")


def position_of(owner: bytes) -> bytes:
    """Shard, sequence and sub of an OWNER: who it is."""
    return owner[:POSITION_BYTES]


def arrived_of(owner: bytes) -> int:
    """When the record of an OWNER arrived, in microseconds since 1970 UTC."""
    return int.from_bytes(owner[ARRIVED], "big", signed=True)


def pairs_of(claims: Claims) -> list[tuple[bytes, bytes]]:
    """Key and owner of each claim."""
    keys, owners = cut(key_bytes(claims), 16), cut(owner_bytes(claims.owners), 48)
    return list(zip(keys, owners, strict=True))


class SinglyClaimStore(SharedClaimStore):
    """A shared store whose ids are claimed one by one, by many threads.

    A shard's number is a digest of its name, moved on where another shard has it already: clients need no counter,
    and a shard gets the same number again after the store was emptied.
    """

    def __init__(self, *, lake_id: str, ttl_us: int, workers: int) -> None:
        """Remember whose claims these are.

        Args:
            lake_id: see SharedClaimStore.
            ttl_us: see SharedClaimStore.
            workers: requests at once.
        """
        super().__init__(lake_id=lake_id, ttl_us=ttl_us)
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="claims")

    @abstractmethod
    def _claim_one(self, key: bytes, owner: bytes, window_us: int) -> bytes:
        """Claim a key; the owner afterwards."""

    @abstractmethod
    def _take_over_one(self, key: bytes, owner: bytes, expected: bytes) -> bytes:
        """Become the owner where the position of `expected`, or nobody, is it; the owner afterwards."""

    @abstractmethod
    def _release_one(self, key: bytes, owner: bytes) -> bool:
        """Give up a key where the position of `owner` holds it; whether it did."""

    @abstractmethod
    def _load_one(self, key: bytes, owner: bytes) -> None:
        """Enter an owner unless the present one arrived later."""

    @abstractmethod
    def _occupy(self, number: int, text: str) -> str:
        """Give a number to a shard where nobody has it; who has it afterwards."""

    @abstractmethod
    def _occupant(self, number: int) -> str | None:
        """The shard that has a number."""

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """See the port. Also raises CommitConflict where the generation is no longer in force."""
        return _owners(self._each(pairs_of(claims), lambda row: self._claim_one(*row, window_us)))

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """See the port; a key that nobody owns any more is claimed. Raises CommitConflict as `claim` does."""
        rows = list(zip(pairs_of(claims), cut(owner_bytes(expected), 48), strict=True))
        return _owners(self._each(rows, lambda row: self._take_over_one(*row[0], row[1])))

    def release(self, claims: Claims) -> int:
        """See the port. A release whose answer was lost is not counted."""
        return sum(self._each(pairs_of(claims), lambda row: self._release_one(*row)))

    def load(self, claims: Claims) -> None:
        """See the port; an owner that arrived later than the one to be entered is left. Raises CommitConflict."""
        self._each(pairs_of(claims), lambda row: self._load_one(*row))

    def close(self) -> None:
        """Wait for the requests that are under way. May be called twice."""
        self._threads.shutdown()

    def _each(self, rows: Sequence[T], step: Callable[[T], U]) -> list[U]:
        """The answers of all rows, from threads; after the first error nothing new is begun."""
        if not rows:
            return []
        self._look_mine()
        answers: dict[int, U] = {}
        is_failed = Event()

        def work(first: int) -> None:
            for at in range(first, len(rows), self._workers):
                if is_failed.is_set():
                    return
                try:
                    answers[at] = step(rows[at])
                except HeadgateError:
                    is_failed.set()
                    raise

        futures = [self._threads.submit(work, first) for first in range(min(self._workers, len(rows)))]
        wait(futures)
        for future in futures:
            future.result()
        self._look_mine()
        return [answers[at] for at in range(len(rows))]

    def _assign(self, shard: Shard) -> int:
        """See SharedClaimStore."""
        text = shard_text(shard)
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=NUMBER_BYTES).digest(), "big")
        while self._occupy(number, text) != text:
            number = (number + 1) % 256**NUMBER_BYTES
        self._look_mine()
        return number

    def _find(self, number: int) -> Shard | None:
        """See SharedClaimStore."""
        text = self._occupant(number)
        self._look_mine()
        return None if text is None else shard_from(text)


def _owners(rows: Sequence[bytes]) -> npt.NDArray[np.void]:
    return np.frombuffer(b"".join(rows), OWNER).copy()
