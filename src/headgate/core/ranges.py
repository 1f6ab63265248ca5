"""Committed islands of a shard: which records lie outside them, and what becomes of them with time. Pure.

An event source mapping hands over batches in any order, and sequence numbers have gaps, so that nobody can tell
whether two batches touch. Each batch is therefore an island of its own, from its first sequence to its last.

Law: islands are sorted and disjoint, and none begins below the position. A record inside an island or below the
position is done with; any other is still to be judged, however late it comes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.core.columns import one_array
from headgate.core.enrich import sequence_bytes
from headgate.records import RECORDS, SEQUENCE_BYTES, Island, RecordBatch, Shard, ShardRange, ShardState

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

RETENTION_US = 24 * 3600 * 1_000_000  # microseconds; Kinesis keeps records for a day unless told otherwise
_TEXT = f"S{SEQUENCE_BYTES}"  # numpy compares it byte by byte, as integers of one width compare
_BITS_A_RECORD = 16  # of a filter: 1 of 2,000 strangers passes
_HASHES = 11
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd constants that mix the three words


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What of a batch is still to be judged.

    Attributes:
        batch: the records outside all islands and the islands that they make; None where there are none.
        skipped: records that are done with.
        inside: per entry number and shard the (n, 24) sequences that lie inside islands of that entry.
    """

    batch: RecordBatch | None
    skipped: int
    inside: Mapping[tuple[int, Shard], Bytes]


def outside(islands: Sequence[Island], floor: int | None, sequences: Bytes) -> Mask:
    """Which records are not done with.

    Args:
        islands: of the shard, sorted and disjoint.
        floor: the shard's position; None where it has none.
        sequences: (n, 24) uint8, big-endian integers, in any order.

    Returns:
        (n,) bool.
    """
    values = _texts(sequences)
    is_open = np.ones(len(values), dtype=bool)
    if floor is not None:
        is_open &= values >= _text(floor)
    return is_open & (_island_of(_near(islands, values), values) < 0)


def pending(batch: RecordBatch, shards: Mapping[Shard, ShardState], retention_us: int = RETENTION_US) -> Pending:
    """Leave out what is done with; what is left becomes islands.

    Args:
        batch: records of any shards, sorted by shard and sequence; its ranges name the shards.
        shards: as the ledger knows them.
        retention_us: how long islands are to be kept apart: at least as long as the stream keeps its records.
    """
    table = batch.table
    indices = np.asarray(one_array(table["shard"]))
    sequences = sequence_bytes(table["sequence"])
    values = _texts(sequences)
    keep = np.zeros(len(values), dtype=bool)
    numbers = np.zeros(len(values), dtype=np.int32)
    ranges: list[ShardRange] = []
    inside: dict[tuple[int, Shard], Bytes] = {}
    for index, given in enumerate(batch.ranges):
        rows = np.flatnonzero(indices == index)
        state = shards.get(given.shard, ShardState())
        floor = None if state.position is None else int(state.position)
        islands = _near(state.islands, values[rows])
        is_open = outside(islands, floor, sequences[rows])
        held = _island_of(islands, values[rows])
        for number in {islands[i].number for i in np.unique(held[held >= 0]).tolist()}:
            of_entry = [i for i, island in enumerate(islands) if island.number == number]
            inside[number, given.shard] = sequences[rows[np.isin(held, of_entry)]]
        keep[rows] = is_open
        rows = rows[is_open]
        before = np.searchsorted(_column(i.start for i in islands), values[rows], "right")
        for some in np.split(rows, np.flatnonzero(np.diff(before)) + 1):
            if len(some):
                numbers[some] = len(ranges)
                ranges.append(_island(given.shard, sequences[some], retention_us))
    if not ranges:
        return Pending(batch=None, skipped=len(values), inside=inside)
    rest = table.set_column(1, RECORDS.field("shard"), pa.array(numbers)).filter(pa.array(keep))
    return Pending(batch=RecordBatch(table=rest, ranges=ranges), skipped=int((~keep).sum()), inside=inside)


def added(state: ShardState, new: Island) -> tuple[Island, ...]:
    """The shard's islands with one more."""
    at = bisect_left(state.islands, new)
    return (*state.islands[:at], new, *state.islands[at:])


def aged(islands: tuple[Island, ...], position: str | None, horizon_us: int) -> tuple[tuple[Island, ...], str | None]:
    """Islands and position, once the first islands are so old that nothing before them can come any more.

    Args:
        islands: sorted and disjoint.
        position: decimal text, or None.
        horizon_us: islands committed before this become part of the position.
    """
    old = 0
    while old < len(islands) and islands[old].committed_us < horizon_us:
        old += 1
    return (islands[old:], str(islands[old - 1].end)) if old else (islands, position)


def beyond(islands: tuple[Island, ...], position: int) -> tuple[Island, ...]:
    """What of the islands lies at or beyond a position that an unbroken run has reached."""
    return tuple(i._replace(start=max(i.start, position)) for i in islands if i.end > position)


def overlapping(islands: Sequence[Island], start: int, end: int) -> Island | None:
    """The first island that shares a sequence with [start, end)."""
    at = max(0, bisect_left(islands, (start,)) - 1)
    return next((i for i in islands[at : at + 2] if i.start < end and start < i.end), None)


def members_of(sequences: Bytes) -> bytes:
    """A Bloom filter of records: two bytes a record.

    Args:
        sequences: (n, 24) uint8.
    """
    bits = np.zeros(max(len(sequences), 1) * _BITS_A_RECORD, dtype=bool)
    for places in _places(sequences, len(bits)):
        bits[places] = True
    return np.packbits(bits).tobytes()


def are_members(members: bytes, sequences: Bytes) -> Mask:
    """Which records a filter holds: True for all of its own, and for 1 of 2,000 strangers.

    Args:
        members: of `members_of`.
        sequences: (n, 24) uint8.
    """
    bits = np.unpackbits(np.frombuffer(members, dtype=np.uint8)).astype(bool)
    found = np.ones(len(sequences), dtype=bool)
    for places in _places(sequences, len(bits)):
        found &= bits[places]
    return found


def _places(sequences: Bytes, size: int) -> list[npt.NDArray[np.uint64]]:
    words = np.ascontiguousarray(sequences).view(np.dtype("<u8")).reshape(-1, SEQUENCE_BYTES // 8).astype(np.uint64)
    mixed = np.zeros(len(words), dtype=np.uint64)
    for column, odd in enumerate(_ODD):
        mixed = (mixed ^ words[:, column]) * np.uint64(odd)
        mixed ^= mixed >> np.uint64(29)
    mixed = _spread(mixed)  # sequence numbers lie close together: without this their places would, too
    step = _spread(mixed + np.uint64(_ODD[0])) | np.uint64(1)
    return [(mixed + np.uint64(i) * step) % np.uint64(size) for i in range(_HASHES)]


def _spread(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of the answer hangs on every bit of the word (the finalizer of SplitMix64, Steele and others 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _island(shard: Shard, sequences: Bytes, retention_us: int) -> ShardRange:
    first, last = (int.from_bytes(sequences[i].tobytes(), "big") for i in (0, -1))
    return ShardRange(
        shard=shard,
        start=str(first),
        end=str(last + 1),
        meta={"retention_us": retention_us},
        is_island=True,
        members=members_of(sequences),
    )


def _near(islands: Sequence[Island], values: npt.NDArray[np.bytes_]) -> Sequence[Island]:
    """The islands that may hold one of the records: few of the thousands that a day brings."""
    if not len(values) or not islands:
        return ()
    ordered = np.sort(values)
    first, last = (int.from_bytes(value.ljust(SEQUENCE_BYTES, b"\0"), "big") for value in ordered[[0, -1]].tolist())
    return islands[max(0, bisect_left(islands, (first,)) - 1) : bisect_left(islands, (last + 1,))]


def _island_of(islands: Sequence[Island], values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int64]:
    """The number of the island that each record lies in; -1 where there is none."""
    if not islands:
        return np.full(len(values), -1, dtype=np.int64)
    at = np.searchsorted(_column(i.start for i in islands), values, "right") - 1
    return np.where((at >= 0) & (values < _column(i.end for i in islands)[at]), at, -1)


def _column(values: Iterable[int]) -> npt.NDArray[np.bytes_]:
    return np.array([_text(value) for value in values], dtype=_TEXT)


def _texts(sequences: Bytes) -> npt.NDArray[np.bytes_]:
    return np.ascontiguousarray(sequences).view(_TEXT).ravel()


def _text(value: int) -> bytes:
    return value.to_bytes(SEQUENCE_BYTES, "big")
