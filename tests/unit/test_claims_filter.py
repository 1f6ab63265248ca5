"""The filter never forgets an id that was entered, and stays within its memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headgate.claims.filter import SeenFilter, Segment

RNG_SEED = 7


def hashes(count: int, seed: int = RNG_SEED) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 2)), max_size=12))
def test_whatever_was_entered_leaves_a_trace_in_its_bucket(calls: list[tuple[int, int]]) -> None:
    seen = SeenFilter(first_capacity=8)
    for seed, (count, bucket) in enumerate(calls):
        seen.add(hashes(count, seed), bucket)
    for seed, (count, bucket) in enumerate(calls):
        assert seen.traces(hashes(count, seed)).in_bucket(bucket).all()


def test_an_id_never_seen_leaves_next_to_no_trace() -> None:
    seen = SeenFilter(first_capacity=1 << 16)
    assert seen.add(hashes(1 << 16), 0).is_full
    strange = seen.traces(hashes(100_000, RNG_SEED + 1)).in_bucket(0)
    assert strange.mean() < 0.01
    assert not seen.traces(hashes(100, RNG_SEED)).in_bucket(1).any()


def test_segments_double_and_keep_their_order() -> None:
    seen = SeenFilter(first_capacity=8)
    segments = [seen.add(hashes(8, seed), 0) for seed in range(7)]
    assert [segment.number for segment in segments] == [1, 2, 2, 3, 3, 3, 3]
    assert seen.memory_bytes == 2 * (8 + 16 + 32)


def test_the_oldest_segments_go_and_their_buckets_are_always_looked_up() -> None:
    seen = SeenFilter(first_capacity=8, max_bytes=100)
    for bucket, count in enumerate([8, 16, 32]):
        seen.add(hashes(count, bucket), bucket)
    assert seen.memory_bytes <= 100
    strange = seen.traces(hashes(50, 99))
    assert strange.in_bucket(0).all()
    assert not strange.in_bucket(2).all()
    seen.drop_buckets({0})
    assert not seen.traces(hashes(50, 99)).in_bucket(0).any()


def test_a_segment_goes_with_its_last_bucket() -> None:
    seen = SeenFilter(first_capacity=8)
    seen.add(hashes(4, 1), 1)
    seen.add(hashes(4, 2), 2)
    seen.add(hashes(4, 3), 3)
    assert seen.drop_buckets({1}) == []
    assert seen.drop_buckets({2}) == [1]
    assert not seen.traces(hashes(4, 1)).in_bucket(1).any()
    assert seen.traces(hashes(4, 3)).in_bucket(3).all()
    assert seen.num_ids == 4


def test_a_restored_segment_answers_as_before_and_takes_no_more() -> None:
    old = SeenFilter(first_capacity=8)
    full = old.add(hashes(8), 5)
    seen = SeenFilter(first_capacity=8)
    seen.restore(Segment(number=full.number, words=full.words, count=full.count, buckets={5}))
    assert seen.add(hashes(1, 2), 6).number == full.number + 1
    assert seen.traces(hashes(8)).in_bucket(5).all()
