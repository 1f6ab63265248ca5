"""What is measured of parts beside their verdicts, by group: fields, rules, units of time, latency. Pure, columnar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.histogram import BUCKETS, Spread, spread
from headgate.core.missing import COMMON, PREFIX, REASON_OF
from headgate.core.reasons import NUMERIC_TEXT, RULE_PREFIX, Warn
from headgate.core.schema import COUNTS
from headgate.core.tally import map_of, negative

Rows = npt.NDArray[np.int64]

#: How `created_at` was sent: a number of one of these units, an ISO 8601 text, or a number in quotes of any unit.
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds", "text", "numeric_text")
_UNIT_BITS = (
    (Warn.CREATED_AT_UNIT_MS, 1),
    (Warn.CREATED_AT_UNIT_US, 2),
    (Warn.CREATED_AT_UNIT_NS, 3),
    (Warn.CREATED_AT_TEXT, 4),
    (NUMERIC_TEXT, 5),
)

CREATED_TO_ARRIVED = "created_to_arrived"
ARRIVED_TO_STAGED = "arrived_to_staged"

Columns = dict[str, pa.Array]


def measures(parts: pa.Table, events: Rows, group: Rows, size: int) -> Columns:
    """Measure parts by group.

    Args:
        parts: enriched DECODED with the columns of `core.missing` and `core.rules` (n).
        events: row numbers of those that are events.
        group: (n,) which group each part belongs to, below `size`.
        size: number of groups.

    Returns:
        (size) the columns of QUALITY from `missing` to `created_to_arrived_max`.
    """
    passes, failures = _rules(parts, group, size)
    created = np.asarray(pc.fill_null(parts["created_us"], 0))[events]
    arrived = np.asarray(parts["arrived_at"].cast(pa.int64()))[events]
    return {
        "missing": _missing(parts, events, group, size),
        "rule_passes": passes,
        "rule_failures": failures,
        "units": _units(np.asarray(parts["warnings"])[events], group[events], size),
        **latency(CREATED_TO_ARRIVED, arrived - created, group[events], size),
    }


def latency(name: str, durations_us: Rows, group: Rows, size: int) -> Columns:
    """A histogram of durations with its sum and maximum, by group.

    Args:
        name: of the histogram's column; the others are called after it.
        durations_us: (n,) microseconds.
        group: (n,) which group each belongs to, below `size`.
        size: number of groups.
    """
    return spread_columns(name, spread(durations_us, group, size))


def spread_columns(name: str, found: Spread) -> Columns:
    """A histogram, its sum and its maximum as columns of QUALITY."""
    return {
        name: map_of(found.counts, BUCKETS),
        f"{name}_sum": pa.array(found.sums),
        f"{name}_max": pa.array(found.maxima, mask=np.isnan(found.maxima)),
    }


def withdrawn(parts: pa.Table, group: Rows, reasons: pa.MapArray, size: int) -> Columns:
    """What is taken back of parts that a replay judges anew: the columns of `measures` in negative numbers.

    Args:
        parts: of duplicates, decoded anew: they were events whatever they are now (n).
        group: (n,) which group each belongs to, below `size`.
        reasons: (size) map of what the rejects of each group were rejected for.
        size: number of groups.
    """
    found = measures(parts, np.arange(len(group)), group, size)
    failures = [
        (group, name.removeprefix(RULE_PREFIX), count)
        for group, name, count in _told(reasons)
        if name.startswith(RULE_PREFIX)
    ]
    return {
        "missing": negative(_with(found["missing"], _fields(reasons))),
        "rule_passes": negative(found["rule_passes"]),
        "rule_failures": negative(_with(found["rule_failures"], failures)),
        "units": negative(found["units"]),
        CREATED_TO_ARRIVED: negative(found[CREATED_TO_ARRIVED]),
        f"{CREATED_TO_ARRIVED}_sum": pc.subtract(pa.scalar(0.0), found[f"{CREATED_TO_ARRIVED}_sum"]),
    }


def missing_of(reasons: pa.MapArray, size: int) -> pa.Array:
    """`missing` as far as the reject reasons of each group tell it."""
    return _with(pa.nulls(size, COUNTS), _fields(reasons))


def _told(reasons: pa.MapArray) -> list[tuple[int, str, int]]:
    """Group, reason and count."""
    groups = np.repeat(np.arange(len(reasons)), np.diff(np.asarray(reasons.offsets)))
    return list(zip(groups.tolist(), reasons.keys.to_pylist(), reasons.items.to_pylist(), strict=True))


def _fields(reasons: pa.MapArray) -> list[tuple[int, str, int]]:
    """Group, common field and count, of the rejects that lacked it."""
    field_of = {str(reason): field for field, reason in REASON_OF.items()}
    return [(group, field_of[name], count) for group, name, count in _told(reasons) if name in field_of]


def _with(maps: pa.MapArray, more: Sequence[tuple[int, str, int]]) -> pa.MapArray:
    """Counts by group and name added to maps; a map that is null begins empty."""
    by_group = [dict(one or ()) for one in maps.to_pylist()]
    for group, name, count in more:
        by_group[group][name] = by_group[group].get(name, 0) + count
    return pa.array([list(counts.items()) for counts in by_group], COUNTS)


def _missing(parts: pa.Table, events: Rows, group: Rows, size: int) -> pa.Array:
    """A configured field that no event lacks is entered with 0 where there are events: it was looked at."""
    names = [name for name in parts.column_names if name.startswith(PREFIX)]
    if not names:
        return pa.nulls(size, COUNTS)
    counts = np.zeros((size, len(names)), dtype=np.int64)
    kept = np.zeros(counts.shape, dtype=np.bool_)
    has_events = np.bincount(group[events], minlength=size) > 0
    for i, name in enumerate(names):
        lacks = np.asarray(pc.fill_null(parts[name], False))
        if name.removeprefix(PREFIX) in COMMON:
            rows = np.flatnonzero(lacks)
        else:
            rows, kept[:, i] = events[lacks[events]], has_events
        counts[:, i] = np.bincount(group[rows], minlength=size)
    return map_of(counts, [name.removeprefix(PREFIX) for name in names], kept)


def _rules(parts: pa.Table, group: Rows, size: int) -> tuple[pa.Array, pa.Array]:
    names = [name for name in parts.column_names if name.startswith(RULE_PREFIX)]
    found = []
    for is_kept in (True, False):
        counts = np.zeros((size, len(names)), dtype=np.int64)
        for i, name in enumerate(names):
            column = parts[name] if is_kept else pc.invert(parts[name])
            counts[:, i] = np.bincount(group[np.asarray(pc.fill_null(column, False))], minlength=size)
        found.append(map_of(counts, pa.array([name.removeprefix(RULE_PREFIX) for name in names], pa.string())))
    return found[0], found[1]


def _units(warnings: npt.NDArray[np.uint16], group: Rows, size: int) -> pa.Array:
    unit = np.zeros(len(warnings), dtype=np.int64)
    if warnings.any():
        for bit, number in _UNIT_BITS:
            unit[(warnings & int(bit)) != 0] = number
    width = len(UNITS)
    counts = np.bincount(group * width + unit, minlength=size * width).reshape(size, width)
    return map_of(counts, UNITS)
