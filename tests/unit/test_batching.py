"""Batches are cut between records, and nothing is lost or moved by it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.batching import Cutter
from headgate.records import RECORDS, RecordBatch, Shard, ShardRange
from headgate.source.lines import positions, records

A, B, C = (Shard("source", name) for name in "abc")


def part(shard: Shard, start: int | None, end: int, **meta: object) -> ShardRange:
    return ShardRange(shard=shard, start=None if start is None else str(start), end=str(end), meta=meta)


def batch(*rows: tuple[int, bytes, int], ranges: list[ShardRange]) -> RecordBatch:
    """Rows are (index of the range, data, start)."""
    starts = np.array([row[2] for row in rows], dtype=np.int64)
    sizes = np.array([len(row[1]) for row in rows], dtype=np.int64)
    table = records(
        pa.array([row[1] for row in rows], pa.large_binary()),
        positions(starts),
        positions(starts + sizes),
        shard=0,
        arrived_us=1,
    )
    shards = pa.array([row[0] for row in rows], pa.int32())
    return RecordBatch(table=table.set_column(1, RECORDS.field("shard"), shards), ranges=ranges)


def cutter(records: int = 1_000, size: int = 1_000_000, age: float = 5.0) -> Cutter:
    return Cutter(max_records=records, max_bytes=size, max_age_seconds=age)


def data(some: RecordBatch) -> list[bytes]:
    return some.table.column("data").to_pylist()


def test_cuts_at_exactly_the_number_of_records() -> None:
    cut = cutter(records=2)
    lines = [(0, b"abc", 3 * i) for i in range(5)]
    full = cut.add(batch(*lines, ranges=[part(A, None, 15)]), 0.0)
    assert [some.num_records for some in full] == [2, 2]
    assert [some.ranges for some in full] == [(part(A, None, 6),), (part(A, 6, 12),)]
    rest = cut.flush()
    assert rest is not None
    assert rest.ranges == (part(A, 12, 15),)
    assert cut.flush() is None


def test_a_batch_that_is_just_full_does_not_wait() -> None:
    cut = cutter(records=2)
    full = cut.add(batch((0, b"a", 0), (0, b"b", 1), ranges=[part(A, None, 2)]), 0.0)
    assert len(full) == 1
    assert cut.flush() is None


def test_cuts_before_the_record_that_would_be_too_much() -> None:
    cut = cutter(size=5)
    full = cut.add(batch((0, b"aa", 0), (0, b"bb", 2), (0, b"cc", 4), ranges=[part(A, None, 6)]), 0.0)
    assert [data(some) for some in full] == [[b"aa", b"bb"]]
    assert cut.pending_bytes == 2


def test_a_record_larger_than_a_batch_travels_alone() -> None:
    cut = cutter(size=3)
    full = cut.add(batch((0, b"a", 0), (0, b"b" * 9, 1), (0, b"c", 10), ranges=[part(A, None, 11)]), 0.0)
    assert [data(some) for some in full] == [[b"a"], [b"b" * 9]]
    assert cut.pending_records == 1


def test_joins_the_ranges_of_a_shard_and_numbers_the_shards_anew() -> None:
    cut = cutter()
    cut.add(batch((0, b"a", 0), ranges=[part(A, None, 1, layout="old")]), 0.0)
    cut.add(batch((0, b"b", 7), (1, b"c", 1), ranges=[part(B, 7, 8), part(A, 1, 2, layout="new")]), 0.0)
    joined = cut.flush()
    assert joined is not None
    assert joined.ranges == (part(A, None, 2, layout="new"), part(B, 7, 8))
    assert joined.table.column("shard").to_pylist() == [0, 1, 0]
    assert data(joined) == [b"a", b"b", b"c"]


def test_ranges_without_records_wait_for_the_next_batch() -> None:
    cut = cutter(records=1)
    full = cut.add(batch((0, b"a", 0), ranges=[part(A, None, 3), part(B, 5, 9)]), 0.0)
    assert [some.ranges for some in full] == [(part(A, None, 3),)]
    (then,) = cut.add(batch((0, b"c", 0), ranges=[part(C, None, 1)]), 1.0)
    assert then.ranges == (part(B, 5, 9), part(C, None, 1))
    assert then.table.column("shard").to_pylist() == [1]


def test_a_range_without_records_alone_can_be_flushed() -> None:
    cut = cutter()
    assert cut.add(RecordBatch(table=RECORDS.empty_table(), ranges=[part(A, 1, 4)]), 2.0) == []
    assert cut.due(7.0)
    moved = cut.flush()
    assert moved is not None
    assert (moved.num_records, moved.ranges) == (0, (part(A, 1, 4),))


def test_is_due_when_its_oldest_record_is_old_enough() -> None:
    cut = cutter(age=5.0)
    assert not cut.due(100.0)
    cut.add(batch((0, b"a", 0), ranges=[part(A, None, 1)]), 10.0)
    cut.add(batch((0, b"b", 1), ranges=[part(A, 1, 2)]), 14.0)
    assert not cut.due(14.9)
    assert cut.due(15.0)
    assert cut.age(15.0) == 5.0
    cut.flush()
    assert not cut.due(99.0)


def test_the_rest_after_a_cut_is_as_old_as_its_own_arrival() -> None:
    cut = cutter(records=2)
    cut.add(batch((0, b"a", 0), ranges=[part(A, None, 1)]), 10.0)
    cut.add(batch((0, b"b", 1), (0, b"c", 2), ranges=[part(A, 1, 3)]), 14.0)
    assert cut.age(15.0) == 1.0


def test_slices_are_views_of_the_block() -> None:
    whole = batch(*[(0, b"abc", 3 * i) for i in range(6)], ranges=[part(A, None, 18)])
    address = whole.table.column("data").chunk(0).buffers()[2].address
    for some in cutter(records=2).add(whole, 0.0):
        assert some.table.column("data").chunk(0).buffers()[2].address == address


def test_a_batch_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="room"):
        cutter(records=0)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=9), max_size=8),
    st.integers(1, 7),
    st.integers(1, 30),
)
def test_any_cut_keeps_every_record_and_joins_every_position(
    feed: list[list[tuple[int, int]]], max_records: int, max_bytes: int
) -> None:
    cut, ends, sent, out = cutter(records=max_records, size=max_bytes), [0, 0, 0], [], []
    for rows in feed:
        before, lines = list(ends), []
        for index, size in rows:
            lines.append((index, bytes([len(sent)]) * size, ends[index]))
            sent.append(lines[-1])
            ends[index] += size
        ranges = [part(s, b or None, e + 1) for s, b, e in zip((A, B, C), before, ends, strict=True)]
        ends = [end + 1 for end in ends]
        out += cut.add(batch(*lines, ranges=ranges), 0.0)
    rest = cut.flush()
    out += [rest] if rest else []
    assert [line for some in out for line in data(some)] == [line[1] for line in sent]
    for some in out:
        assert some.num_records <= max_records
        assert some.num_records == 1 or some.num_bytes <= max_bytes
    for shard, end in zip((A, B, C), ends, strict=True):
        own = [one for some in out for one in some.ranges if one.shard == shard]
        assert all(one.end == two.start for one, two in pairwise(own))
        assert [own[0].start, own[-1].end] == [None, str(end)] if feed else not own
    for some in out:
        where = zip(some.table.column("shard").to_pylist(), some.table.column("sequence").to_pylist(), strict=True)
        for index, sequence in where:
            assert int(some.ranges[index].start or 0) <= int.from_bytes(sequence, "big") < int(some.ranges[index].end)
