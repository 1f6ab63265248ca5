"""Islands: which records are done with, what becomes of islands, and what the ledger refuses."""

from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.ranges import aged, are_members, members_of, outside, overlapping, pending
from headgate.errors import CommitConflict
from headgate.lake.entry import Entry, Range
from headgate.lake.ledger import Ledger, fold
from headgate.ports import LedgerState
from headgate.records import SEQUENCE_BYTES, Island, Shard, ShardState
from headgate.source.event_records import EventRecord, batch_of
from headgate.testing.memory_storage import MemoryStorage

KINESIS = 49590338271490256608559692538361571095921575989136588898  # a real sequence number: 186 bits
SHARD = Shard("kinesis://stream", "shardId-000000000000")
HOUR_US = 3600 * 1_000_000
NAMES = count()


def sequences(values):
    return np.frombuffer(b"".join(v.to_bytes(SEQUENCE_BYTES, "big") for v in values), dtype=np.uint8).reshape(
        -1, SEQUENCE_BYTES
    )


def batch(values, shard=SHARD):
    return batch_of([EventRecord(shard, v, b"%d" % v, 0) for v in values])


def islands(*spans, committed_us=0, number=1):
    return tuple(Island(start, end, committed_us, number) for start, end in spans)


@st.composite
def disjoint(draw):
    bounds = sorted(draw(st.lists(st.integers(0, 300), unique=True, max_size=12)))
    return islands(*zip(bounds[::2], bounds[1::2], strict=False))


@given(
    held=disjoint(),
    floor=st.none() | st.integers(0, 300),
    values=st.lists(st.integers(0, 310)),
    scale=st.integers(0, 180),
)
def test_a_record_is_outside_where_no_island_and_no_floor_covers_it(held, floor, values, scale):
    held = tuple(i._replace(start=i.start << scale, end=i.end << scale) for i in held)
    values = [v << scale for v in values]
    floor = None if floor is None else floor << scale

    mask = outside(held, floor, sequences(values))

    naive = [not any(i.start <= v < i.end for i in held) and (floor is None or v >= floor) for v in values]
    assert mask.tolist() == naive


@given(held=disjoint(), values=st.sets(st.integers(0, 310), min_size=1))
def test_what_is_pending_makes_islands_that_fit_between_those_committed(held, values):
    state = ShardState(islands=held, islands_at=1)

    rest = pending(batch(values), {SHARD: state})

    open_ = sorted(v for v in values if not any(i.start <= v < i.end for i in held))
    assert rest.skipped == len(values) - len(open_)
    if not open_:
        assert rest.batch is None
        return
    rows = rest.batch.table.to_pylist()
    assert [int.from_bytes(r["sequence"], "big") for r in rows] == open_
    spans = [(int(r.start), int(r.end)) for r in rest.batch.ranges]
    assert spans == sorted(spans)
    assert all(overlapping(held, *span) is None for span in spans)
    assert all(spans[r["shard"]][0] <= v < spans[r["shard"]][1] for r, v in zip(rows, open_, strict=True))
    for index, moved in enumerate(rest.batch.ranges):
        own = [v for r, v in zip(rows, open_, strict=True) if r["shard"] == index]
        assert are_members(moved.members, sequences(own)).all()


def test_several_shards_in_one_batch_each_have_their_islands():
    other = Shard("kinesis://stream", "shardId-000000000001")
    both = batch_of([EventRecord(SHARD, 7, b"a", 0), EventRecord(other, 3, b"b", 0), EventRecord(SHARD, 5, b"c", 0)])

    rest = pending(both, {SHARD: ShardState(islands=islands((5, 6)))})

    assert [(r.shard, r.start, r.end) for r in rest.batch.ranges] == [(SHARD, "7", "8"), (other, "3", "4")]
    assert rest.skipped == 1


@given(st.sets(st.integers(0, 1 << 186), min_size=1, max_size=200))
def test_a_filter_holds_all_its_members(values):
    some = sequences(sorted(values))
    assert are_members(members_of(some), some).all()


def test_a_filter_lets_few_strangers_pass():
    own = sequences([KINESIS + 2 * i for i in range(1000)])
    strangers = sequences([KINESIS + 2 * i + 1 for i in range(1000)])
    assert are_members(members_of(own), strangers).mean() < 0.005


def test_old_islands_become_the_position_from_the_first_on():
    held = (*islands((1, 2), committed_us=1), *islands((5, 6), committed_us=9), *islands((8, 9), committed_us=1))
    assert aged(held, None, 5) == (held[1:], "2")
    assert aged(held, None, 10) == ((), "9")


def entry(number, *ranges, committed_us=0, **more):
    return Entry(
        number=number, entry_id=f"e{next(NAMES)}", kind="batch", committed_us=committed_us, committed_at="",
        ranges=list(ranges), **more,
    )  # fmt: skip


def island(start, end, **meta):
    return Range(SHARD.source, SHARD.name, str(end), str(start), meta=meta, is_island=True)


def run_range(start, end, **more):
    return Range(SHARD.source, SHARD.name, str(end), None if start is None else str(start), **more)


def ledger(storage=None, **more):
    return Ledger(storage or MemoryStorage(), max_event_types=10, **more)


def test_islands_are_taken_in_any_order_and_kept_apart():
    book = ledger()
    for start, end in ((KINESIS, KINESIS + 9), (5, 8), (20, 30)):
        book.append(entry(0, island(start, end)))

    state = book.refresh().shards[SHARD]

    assert [(i.start, i.end, i.number) for i in state.islands] == [(5, 8, 2), (20, 30, 3), (KINESIS, KINESIS + 9, 1)]
    assert (state.position, state.islands_at, state.reach) == (None, 3, str(KINESIS + 9))


@pytest.mark.parametrize("span", [(0, 6), (5, 6), (6, 7), (7, 20), (0, 100), (5, 8)])
def test_an_island_that_overlaps_another_is_refused(span):
    book = ledger()
    book.append(entry(0, island(5, 8)))
    with pytest.raises(CommitConflict):
        book.append(entry(0, island(*span)))


def test_an_island_below_the_position_is_refused():
    book = ledger()
    book.append(entry(0, run_range(None, 10)))
    with pytest.raises(CommitConflict, match="done with"):
        book.append(entry(0, island(9, 12)))


def test_islands_older_than_the_retention_are_merged_into_the_position():
    day = 24 * HOUR_US
    heads = [
        entry(1, island(1, 5, retention_us=day), committed_us=0),
        entry(2, island(7, 9, retention_us=day), committed_us=HOUR_US),
        entry(3, island(11, 12, retention_us=day), committed_us=day + 1),
    ]

    state = fold(LedgerState(), heads).shards[SHARD]

    assert state.position == "5"
    assert [i.start for i in state.islands] == [7, 11]


def test_a_run_may_pass_islands_only_when_it_knows_them():
    book = ledger()
    book.append(entry(0, run_range(None, 3)))
    book.append(entry(1, island(5, 8)))
    ignorant = entry(8, run_range(3, 20))
    with pytest.raises(CommitConflict, match="another consumer committed"):
        book.append(ignorant)

    book.append(entry(9, run_range(3, 7, islands_at=2)))
    state = book.refresh().shards[SHARD]
    assert (state.position, [(i.start, i.end) for i in state.islands]) == ("7", [(7, 8)])

    book.append(entry(10, run_range(7, 20, islands_at=2)))
    assert book.refresh().shards[SHARD].islands == ()


def test_a_run_that_ends_before_the_islands_need_not_know_them():
    book = ledger()
    book.append(entry(0, island(50, 80)))
    book.append(entry(1, run_range(None, 50)))
    assert [i.start for i in book.refresh().shards[SHARD].islands] == [50]


def test_an_island_leaves_what_a_reader_of_the_whole_shard_keeps():
    heads = [entry(1, run_range(None, 3, meta={"stream": "arn"})), entry(2, island(5, 8, retention_us=7))]
    assert fold(LedgerState(), heads).shards[SHARD].meta == {"stream": "arn", "retention_us": 7}


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 5), st.integers(0, 40)), max_size=25))
def test_a_ledger_opened_at_a_snapshot_says_the_same(spans):
    storage = MemoryStorage()
    book = ledger(storage, snapshot_every=3)
    at = 0
    for number, (start, length, later) in enumerate(spans):
        at += later
        moved = Range(
            SHARD.source, SHARD.name, str(start + length), str(start), meta={"retention_us": 60}, is_island=True
        )
        one = Entry(number=0, entry_id=f"e{number}", kind="batch", committed_us=at, committed_at="", ranges=[moved])
        try:
            book.append(one)
        except CommitConflict:
            continue
    state = book.refresh()
    anew = ledger(storage).refresh()
    assert (anew.number, dict(anew.shards), anew.counts) == (state.number, dict(state.shards), state.counts)
    held = state.shards.get(SHARD, ShardState()).islands
    assert all(a.end <= b.start for a, b in pairwise(held))
