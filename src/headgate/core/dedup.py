"""Which copy of an id is the original. Pure: the claim store is a port that is passed in.

Law: an event is accepted if and only if the owner of its id is its own position. So a record that is read
again finds its own claim, and no retry, crash or other cut of a batch changes a verdict. The verdicts are
those of asking the store for one event after the other; the store is asked once for all first copies
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headgate.core.keys import mixed
from headgate.ports import ClaimStore
from headgate.records import OWNER, SEQUENCE_BYTES, Claims

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Owners = npt.NDArray[np.void]

WHOLE_OWNER = np.dtype(f"V{OWNER.itemsize}")  # an OWNER as bytes without fields
POSITION_WORDS = 4  # 64-bit words at the head of an OWNER that hold shard, sequence and sub


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of each event of a batch.

    Attributes:
        accepted: (n,) True where the event owns its id.
        owner: (n,) OWNER, who owns the event's id; the event's own claim where accepted.
        conflict: (n,) True where the event is a duplicate and its bytes differ from its owner's.
    """

    accepted: Mask
    owner: Owners
    conflict: Mask


@dataclass(slots=True)
class Progress:
    """How far a judgement came. One that failed goes on from it: an id that was claimed again for a copy beyond the
    window has lost its first owner, so that a judgement from the start would be another one.

    Attributes:
        found: (n,) OWNER, the owners as far as they are known.
        rows: rows that are still to be asked for.
    """

    found: Owners
    rows: Rows

    @classmethod
    def of(cls, n: int) -> Progress:
        """At the start, for n events."""
        return cls(found=np.zeros(n, OWNER), rows=np.arange(n, dtype=np.int64))


def judge(
    keys: npt.NDArray[np.uint8],
    owners: Owners,
    store: ClaimStore,
    window_us: int,
    abandoned: Mapping[int, int | None],
    progress: Progress | None = None,
) -> Judgement:
    """Claim the ids of a batch and decide each event.

    Args:
        keys: (n, 16) uint8, the events' keys; copies may stand in one batch.
        owners: (n,) OWNER, the events' own positions, arrivals and fingerprints, in the order of the flow.
        store: who saw an id first.
        window_us: window of de-duplication in microseconds.
        abandoned: by the store's shard number the position from which on claims belong to nobody any more
            (None: from the start). A position that stands in this batch is being read: not abandoned.
        progress: of an earlier call with the same arguments that failed; moved on.

    Returns:
        The judgement, row by row. Claims made are durable once the store's `sync` has returned.

    Raises:
        TransientError: the store did not answer; judging again is safe, and with `progress` gives the same verdicts.
    """
    progress = progress or Progress.of(len(owners))
    found = progress.found
    while len(rows := progress.rows):
        first = rows[first_copies(keys.take(rows, axis=0))]
        asked = rows[first == rows]
        claims = Claims(keys=keys.take(asked, axis=0), owners=rows_of(owners, asked))
        put_rows(found, asked, store.claim(claims, window_us))
        _take_over(asked, keys, owners, found, store, abandoned)
        is_later = first != rows
        put_rows(found, rows[is_later], rows_of(found, first[is_later]))
        progress.rows = _claim_again(rows, first, owners, found, window_us)
    accepted = is_same_position(owners, found)
    conflict = ~accepted & (owners["fingerprint"] != found["fingerprint"])
    return Judgement(accepted=accepted, owner=found, conflict=conflict)


def first_copies(keys: npt.NDArray[np.uint8]) -> Rows:
    """For each key the index of its first copy; its own index where it is the first.

    Args:
        keys: (n, 16) uint8.

    Returns:
        (n,) int64.
    """
    first = np.arange(len(keys), dtype=np.int64)
    hashes = mixed(keys)
    order = np.argsort(hashes)
    in_order = hashes[order]
    is_next = in_order[1:] == in_order[:-1]
    if not is_next.any():
        return first
    is_shared = np.zeros(len(keys), bool)
    is_shared[:-1] |= is_next
    is_shared[1:] |= is_next
    shared = np.sort(order[is_shared])
    halves = np.ascontiguousarray(keys[shared]).view(np.uint64)
    by_key = np.lexsort((shared, halves[:, 1], halves[:, 0]))
    halves, shared = halves[by_key], shared[by_key]
    starts = np.ones(len(shared), bool)
    starts[1:] = (halves[1:] != halves[:-1]).any(axis=1)
    first[shared] = shared[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return first


def is_same_position(left: Owners, right: Owners) -> Mask:
    """True where shard, sequence and sub are equal; arrival and fingerprint do not count.

    Args:
        left: (n,) OWNER.
        right: (n,) OWNER.

    Returns:
        (n,) bool.
    """
    words = [np.ascontiguousarray(side).view(np.uint64).reshape(-1, OWNER.itemsize // 8) for side in (left, right)]
    same = words[0][:, 0] == words[1][:, 0]
    for column in range(1, POSITION_WORDS):
        same &= words[0][:, column] == words[1][:, column]
    return np.asarray(same)


def is_abandoned(owners: Owners, abandoned: Mapping[int, int | None]) -> Mask:
    """True where an owner's range was given up: its shard is named, its sequence not below the position.

    Args:
        owners: (n,) OWNER.
        abandoned: see `judge`.

    Returns:
        (n,) bool.
    """
    given_up = np.zeros(len(owners), bool)
    if not abandoned:
        return given_up
    shards = owners["shard"]
    for number, position in abandoned.items():
        rows = np.flatnonzero(shards == number)
        if position is None or not len(rows):
            given_up[rows] = True
            continue
        bound = position.to_bytes(SEQUENCE_BYTES, "big")
        given_up[rows] = [sequence >= bound for sequence in owners["sequence"][rows].tolist()]
    return given_up


def rows_of(owners: Owners, rows: Rows) -> Owners:
    """The owners of some rows; nine times as fast as indexing, which copies field by field.

    Args:
        owners: (n,) OWNER.
        rows: (m,) indices.

    Returns:
        (m,) OWNER.
    """
    return np.ascontiguousarray(owners).view(WHOLE_OWNER).take(rows).view(OWNER)


def put_rows(owners: Owners, rows: Rows, values: Owners) -> None:
    """Enter values at some rows, in place; the counterpart of `rows_of`.

    Args:
        owners: (n,) OWNER, contiguous.
        rows: (m,) indices.
        values: (m,) OWNER.
    """
    owners.view(WHOLE_OWNER)[rows] = np.ascontiguousarray(values).view(WHOLE_OWNER)


def _claim_again(rows: Rows, first: Rows, owners: Owners, found: Owners, window_us: int) -> Rows:
    """The rows that claim again: in each group the first that is later than the window, and all behind it."""
    is_late = owners["arrived"][rows].astype(np.int64) > found["arrived"][rows].astype(np.int64) + window_us
    if is_late.any():
        is_late &= ~is_same_position(rows_of(owners, rows), rows_of(found, rows))
    if not is_late.any():
        return rows[:0]
    begin = np.full(int(rows[-1]) + 1, np.iinfo(np.int64).max)
    np.minimum.at(begin, first[is_late], rows[is_late])
    return np.asarray(rows[rows >= begin[first]])


def _take_over(
    asked: Rows,
    keys: npt.NDArray[np.uint8],
    owners: Owners,
    found: Owners,
    store: ClaimStore,
    abandoned: Mapping[int, int | None],
) -> None:
    """Where the owner's range was given up, become the owner by compare-and-swap; updates `found`."""
    rows = asked
    while abandoned and len(rows):
        held = rows_of(found, rows)
        rows = rows[is_abandoned(held, abandoned) & ~_is_read_now(held, owners, abandoned)]
        claims = Claims(keys=keys[rows], owners=rows_of(owners, rows))
        put_rows(found, rows, store.take_over(claims, rows_of(found, rows)))


def _is_read_now(found: Owners, owners: Owners, abandoned: Mapping[int, int | None]) -> Mask:
    """True where the owner is a position of this very batch."""
    positions = {owner.tobytes()[: POSITION_WORDS * 8] for owner in owners[np.isin(owners["shard"], list(abandoned))]}
    return np.fromiter((owner.tobytes()[: POSITION_WORDS * 8] in positions for owner in found), bool, len(found))
