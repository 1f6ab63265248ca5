"""Histograms of durations: the bounds that every histogram here has, what falls between them, and quantiles. Pure.

Histograms of the same bounds are merged by adding up their buckets, so that the quantile of many batches is known as
well as that of one: it lies between two neighbouring bounds, however many histograms were merged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

AHEAD = 0.0  # name of the bucket of durations below 0: a clock was ahead of the other
REST = math.inf  # name of the bucket of what lies above every bound

#: Upper bounds of the buckets in seconds, inclusive: Prometheus' usual steps, and on up to a week for late files.
BOUNDS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0,
)  # fmt: skip

#: Names of all buckets in their order: below 0, up to each bound, above the last.
BUCKETS = (AHEAD, *BOUNDS, REST)

_BOUNDS_US = np.array([round(bound * 1_000_000) for bound in BOUNDS], dtype=np.int64)
_SECOND_US = 1_000_000.0


class Spread(NamedTuple):
    """Durations by group: `counts` is (groups, buckets); `sums` and `maxima` are seconds and leave out those below 0.

    `maxima` is NaN for a group without a duration of 0 or more.
    """

    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    maxima: npt.NDArray[np.float64]


def spread(durations_us: npt.NDArray[np.int64], group: npt.NDArray[np.int64], size: int) -> Spread:
    """Sort durations into buckets.

    Args:
        durations_us: (n,) microseconds.
        group: (n,) which group each belongs to, below `size`.
        size: number of groups.
    """
    buckets = np.searchsorted(_BOUNDS_US, durations_us) + 1
    is_ahead = durations_us < 0
    maxima = np.full(size, -1, dtype=np.int64)
    if is_ahead.any():
        buckets[is_ahead] = 0
        durations_us = np.where(is_ahead, 0, durations_us)
        np.maximum.at(maxima, group[~is_ahead], durations_us[~is_ahead])
    else:
        np.maximum.at(maxima, group, durations_us)
    width = len(BUCKETS)
    counts = np.bincount(group * width + buckets, minlength=size * width).reshape(size, width)
    sums = np.bincount(group, weights=durations_us, minlength=size) / _SECOND_US
    return Spread(counts, sums, np.where(maxima < 0, np.nan, maxima / _SECOND_US))


class Quantile(NamedTuple):
    """A quantile of a histogram in seconds: what it is between, and the best guess."""

    seconds: float
    above: float
    upto: float


def quantile(buckets: Mapping[float, int], q: float, greatest: float | None = None) -> Quantile | None:
    """The smallest duration that at least the share `q` does not exceed, as far as the buckets tell.

    The guess lies between the bounds by the count, as in Prometheus; it exceeds a bound exactly where the quantile
    does. What is below 0 counts as 0.

    Args:
        buckets: name of the bucket, one of BUCKETS, to count; what is not positive does not count.
        q: from 0 to 1.
        greatest: the greatest of all durations, where it is known.

    Returns:
        None where nothing was counted.
    """
    counts = {name: buckets[name] for name in sorted(buckets) if buckets[name] > 0}
    total = sum(counts.values())
    if not total:
        return None
    rank, seen = max(1, math.ceil(q * total - 1e-9)), 0
    name = AHEAD
    for name, count in counts.items():  # noqa: B007 - the bucket that is found is used below
        if seen + count >= rank:
            break
        seen += count
    if name == AHEAD:
        return Quantile(0.0, -math.inf, 0.0)
    above = BUCKETS[BUCKETS.index(name) - 1]
    upto = name if greatest is None or greatest < above else min(name, greatest)
    if math.isinf(upto):
        return Quantile(above, above, upto)
    return Quantile(above + (upto - above) * (rank - seen) / counts[name], above, upto)
