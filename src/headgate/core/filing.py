"""What becomes of delivered rows: each position once, each id once within the window. Pure, columnar.

Law: what stands in a table stays. Of rows at one position the first counts: an accepted event before a duplicate
before a reject. Of events of one id within the window the one that is in `events` stays, else the one that arrived
first; the others are duplicates of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.dedup import first_copies
from headgate.core.erased import ERASED, digests_of
from headgate.core.keys import keys_of

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

POSITION = ("source", "shard", "sequence")
TABLES = ("events", "duplicates", "rejected")  # in the order in which one of them counts at a position
NONE = -1  # no row

#: Events that are there already or delivered, as far as their id says: the position, arrival and key of each.
KNOWN = pa.schema(
    [
        pa.field("key", pa.binary(16)),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.string()) for name in POSITION),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What becomes of each row; originals are row numbers of `known` with the batch's events behind them.

    Attributes:
        accepted: (events) True where the event is new.
        original: (events) the event whose copy it is; NONE where it is accepted.
        is_filed: (duplicates) False where the row waits for its original.
        mended: (duplicates) the original to name instead of its own; NONE where its own stands.
    """

    accepted: Mask
    original: Rows
    is_filed: Mask
    mended: Rows


def once(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Of rows at one position the first.

    Args:
        tables: rows of TABLES, each with POSITION.

    Returns:
        The same tables with fewer rows.
    """
    texts = pa.chunked_array([c for name in TABLES for c in places(tables[name]).chunks], pa.string())
    codes = np.asarray(one_array(texts).dictionary_encode().indices)
    _, first = np.unique(codes, return_index=True)
    keep = np.zeros(len(codes), dtype=bool)
    keep[first] = True
    start = 0
    found = {}
    for name in TABLES:
        end = start + tables[name].num_rows
        found[name] = tables[name].filter(pa.array(keep[start:end]))
        start = end
    return found


def places(table: pa.Table) -> pa.ChunkedArray:
    """Each row's position as one text."""
    return pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in POSITION), "\0")


def known_of(events: pa.Table) -> pa.Table:
    """Events as KNOWN."""
    keys = keys_of(one_array(events["event_uuid"]))
    key = pa.Array.from_buffers(KNOWN.field("key").type, len(keys), [None, pa.py_buffer(keys.tobytes())])
    return pa.table([key, *(events[name] for name in KNOWN.names[1:])], schema=KNOWN)


def known_of_erased(erased: pa.Table, keys: npt.NDArray[np.uint8], secret: bytes) -> pa.Table:
    """The erased events with some ids as KNOWN, each once.

    Args:
        erased: ERASED.
        keys: (n, 16) uint8 of the ids.
        secret: of the digests.
    """
    digests = pa.array([digest.tobytes() for digest in digests_of(keys, secret)], ERASED.field("digest").type)
    at = pc.index_in(erased["digest"], digests)
    found = erased.filter(pc.is_valid(at))
    key = pa.array([keys[row].tobytes() for row in at.drop_null().to_pylist()], KNOWN.field("key").type)
    return pa.table([key, *(found[name] for name in KNOWN.names[1:])], schema=KNOWN)


def without_erased(rows: pa.Table, erased: pa.Table) -> pa.Table:
    """The rows at whose positions nothing was erased.

    Args:
        rows: with POSITION.
        erased: ERASED.
    """
    if not rows.num_rows or not erased.num_rows:
        return rows
    return rows.filter(pc.invert(pc.is_in(places(rows), one_array(places(erased)))))


def judge(known: pa.Table, events: pa.Table, duplicates: pa.Table, window_us: int, settled_us: int) -> Judged:
    """Decide each row.

    Args:
        known: KNOWN, events of the lake with the ids of the batch; at least those within the window.
        events: EVENTS that were delivered, at positions of which the lake has no row.
        duplicates: DUPLICATES, likewise.
        window_us: of de-duplication, microseconds.
        settled_us: a duplicate that arrived before this is filed also without an original.
    """
    owners = pa.concat_tables([known, known_of(events)])
    copies = known_of(duplicates)
    codes = first_copies(_keys(pa.concat_tables([owners, copies])))
    arrived = np.asarray(pc.cast(one_array(owners["arrived_at"]), pa.int64()))
    accepted = np.zeros(owners.num_rows, dtype=bool)
    accepted[: known.num_rows] = True
    original = np.full(owners.num_rows, NONE, dtype=np.int64)
    rows = np.arange(known.num_rows, owners.num_rows)
    original[rows] = _nearest(codes, arrived, np.arange(known.num_rows), codes[rows], arrived[rows], window_us)
    _first_of_each(codes, arrived, rows[original[rows] == NONE], accepted, original, window_us)
    mine = np.flatnonzero(accepted)
    later = np.asarray(pc.cast(one_array(copies["arrived_at"]), pa.int64()))
    code = codes[owners.num_rows :]
    mended = _nearest(codes, arrived, mine, code, later, window_us)
    has_own = _has_own(owners, mine, codes, duplicates, code)
    is_filed = has_own | (mended != NONE) | (later < settled_us)
    mended[has_own] = NONE
    return Judged(
        accepted=accepted[known.num_rows :], original=original[known.num_rows :], is_filed=is_filed, mended=mended
    )


def _keys(table: pa.Table) -> npt.NDArray[np.uint8]:
    array = one_array(table["key"])
    if not len(array):
        return np.zeros((0, 16), dtype=np.uint8)
    flat = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    return flat[array.offset * 16 : (array.offset + len(array)) * 16].reshape(-1, 16)


def _nearest(codes: Rows, arrived: Rows, owners: Rows, code: Rows, asked: Rows, window_us: int) -> Rows:
    """For each (code, arrival) the owner of this code within the window: the last before, else the first after."""
    found = np.full(len(code), NONE, dtype=np.int64)
    if not len(owners) or not len(code):
        return found
    order = owners[np.lexsort((arrived[owners], codes[owners]))]
    times, ranks = np.unique(np.concatenate([arrived[order], asked]), return_inverse=True)
    width = max(1, len(times).bit_length())  # a code and a rank fit one word: both count rows of a batch
    held = (codes[order].astype(np.int64) << width) | ranks[: len(order)]
    wanted = (code.astype(np.int64) << width) | ranks[len(order) :]
    at = np.searchsorted(held, wanted, "right")
    for beside in (at, at - 1):  # the one before overrules the one after
        is_there = (beside >= 0) & (beside < len(order))
        row = order[np.clip(beside, 0, len(order) - 1)]
        is_near = is_there & (codes[row] == code) & (np.abs(arrived[row] - asked) <= window_us)
        found[is_near] = row[is_near]
    return found


def _first_of_each(codes: Rows, arrived: Rows, rows: Rows, accepted: Mask, original: Rows, window_us: int) -> None:
    """Of the given events accept the first of each code, and the first after each window; in place."""
    rows = rows[np.lexsort((rows, arrived[rows], codes[rows]))]
    while len(rows):
        is_first = np.ones(len(rows), dtype=bool)
        is_first[1:] = codes[rows[1:]] != codes[rows[:-1]]
        first = rows[np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
        accepted[rows[is_first]] = True
        is_copy = ~is_first & (arrived[rows] - arrived[first] <= window_us)
        original[rows[is_copy]] = first[is_copy]
        rows = rows[~is_first & ~is_copy]


def _has_own(owners: pa.Table, mine: Rows, codes: Rows, duplicates: pa.Table, code: Rows) -> Mask:
    """Which duplicates have the original that they name, with their id."""
    there = _named(owners["shard"], owners["sequence"]).take(pa.array(mine))
    asked = _named(duplicates["original_shard"], duplicates["original_sequence"])
    names = np.asarray(
        one_array(pa.chunked_array([*there.chunks, *asked.chunks], pa.string())).dictionary_encode().indices
    )
    pairs = np.concatenate([codes[mine], code]) * (int(names.max(initial=0)) + 1) + names
    return np.isin(pairs[len(mine) :], pairs[: len(mine)])


def _named(shard: pa.ChunkedArray, sequence: pa.ChunkedArray) -> pa.ChunkedArray:
    joined = pc.binary_join_element_wise(shard.cast(pa.string()), sequence.cast(pa.string()), "\0")
    return pa.chunked_array(joined.fill_null("").chunks, pa.string())
