"""Histograms of durations: exact counts, merged quantiles as good as numpy's within a bucket, and clocks ahead."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.histogram import BOUNDS, BUCKETS, quantile, spread

SECOND = 1_000_000


def buckets(durations_us):
    found = spread(np.array(durations_us, dtype=np.int64), np.zeros(len(durations_us), dtype=np.int64), 1)
    return dict(zip(BUCKETS, found.counts[0].tolist(), strict=True)), found


@pytest.mark.parametrize(
    ("duration_us", "bucket"),
    [
        (-1, 0.0),
        (0, 0.01),
        (10_000, 0.01),
        (10_001, 0.025),
        (SECOND, 1.0),
        (SECOND + 1, 2.5),
        (604_800 * SECOND, 604_800.0),
        (604_800 * SECOND + 1, math.inf),
    ],
)
def test_a_duration_counts_up_to_and_with_its_bound(duration_us, bucket):
    assert {name: count for name, count in buckets([duration_us])[0].items() if count} == {bucket: 1}


def test_sums_and_maxima_leave_out_clocks_that_were_ahead():
    group = np.array([0, 0, 1, 2, 2], dtype=np.int64)
    found = spread(np.array([-5, 2, -7, 3, 4], dtype=np.int64) * SECOND, group, 4)
    assert found.sums.tolist() == [2.0, 0.0, 7.0, 0.0]
    assert [None if math.isnan(value) else value for value in found.maxima] == [2.0, None, 4.0, None]
    assert found.counts.sum(axis=1).tolist() == [2, 1, 2, 0]


def test_the_page_on_quality_names_the_bounds():
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    *first, last = (f"{bound:g}" for bound in BOUNDS)
    assert f"{', '.join(first)} and {last}" in " ".join(page.split())


def test_no_group_at_all():
    assert spread(np.zeros(0, np.int64), np.zeros(0, np.int64), 0).counts.shape == (0, len(BUCKETS))


@given(
    batches=st.lists(st.lists(st.integers(-(10**6), 10**13), min_size=1, max_size=60), min_size=1, max_size=5),
    q=st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_merged_quantiles_are_those_of_numpy_within_the_bucket(batches, q):
    merged = Counter()
    for batch in batches:
        merged.update({name: count for name, count in buckets(batch)[0].items() if count})
    every = np.array([value for batch in batches for value in batch])
    exact = np.quantile(every, q, method="inverted_cdf") / SECOND

    found = quantile(merged, q, max(every.max() / SECOND, 0.0))

    assert found.above <= max(exact, found.above) <= found.upto + 1e-6
    assert found.above < exact <= found.upto + 1e-6 or exact <= found.upto == 0 or exact == found.above == 0
    assert 0 <= found.seconds <= max(found.upto, 0.0)
    for bound in BOUNDS:  # the guess is on the side of each bound on which the quantile is
        assert (found.seconds <= bound) == (exact <= bound)


def test_the_guess_lies_between_the_bounds_by_the_count():
    assert quantile({60.0: 50, 120.0: 50}, 0.75) == (90.0, 60.0, 120.0)
    assert quantile({120.0: 10}, 1.0, 100.0) == (100.0, 60.0, 100.0)


def test_what_was_taken_back_by_a_replay_does_not_count():
    assert quantile({1.0: 3, 2.5: -1, 5.0: 0}, 0.95).upto == 1.0
    assert quantile({1.0: -3}, 0.95) is None
    assert quantile({}, 0.5) is None


def test_beyond_the_last_bound_only_the_longest_tells():
    assert quantile({math.inf: 2}, 0.5) == (604_800.0, 604_800.0, math.inf)
    assert quantile({math.inf: 2}, 0.5, 700_000.0).upto == 700_000.0
