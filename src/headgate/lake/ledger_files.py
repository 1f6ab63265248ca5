"""Entries of the ledger as bytes, read side by side where every read is a round trip.

Of 50 functions that commit every 10 seconds each reads 50 entries of the others before its own: one after the other
that is a second on S3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from headgate.lake.entry import entry_path
from headgate.lake.storage import Storage

MOST_AT_ONCE = 16  # reads; doubled up to here, because those behind the last entry are for nothing


def following(storage: Storage, number: int) -> Iterator[bytes]:
    """The entries after a number, in order, up to the first one that is not there yet.

    Raises:
        TransientError: the storage did not answer.
    """
    at_once = 1
    while True:
        for content in contents(storage, range(number + 1, number + 1 + at_once)):
            if content is None:
                return  # what a later read may have found was written meanwhile
            yield content
        number += at_once
        at_once = min(2 * at_once, MOST_AT_ONCE) if storage.is_remote else 1


def contents(storage: Storage, numbers: Sequence[int]) -> Iterator[bytes | None]:
    """The entries of some numbers; None for one that is not there.

    Raises:
        TransientError: the storage did not answer.
    """
    paths = [entry_path(number) for number in numbers]
    if not storage.is_remote or len(paths) < 2:
        yield from map(storage.get, paths)
        return
    with ThreadPoolExecutor(min(len(paths), MOST_AT_ONCE)) as pool:
        yield from pool.map(storage.get, paths)
