"""`History`: rows of `quality` by minute and event type, in little memory however many there are.

Minutes of long ago are joined to hours, and later to days, where there are very many; sums stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.cells import Cells
from headgate.core.figures import ALL_COLUMNS, ByType, by_type, within
from headgate.core.histogram import BUCKETS, quantile
from headgate.report.lags import Lag as Lag
from headgate.report.lags import add_lags

Numbers = npt.NDArray[np.int64]
Seconds = npt.NDArray[np.float64]
ByStep = dict[str | None, Numbers]
Kind = Literal[
    "reasons", "warnings", "missing", "rule_passes", "rule_failures", "units", "created_to_arrived", "arrived_to_staged"
]

#: What `History.add` needs of QUALITY.
COLUMNS = (*ALL_COLUMNS, "staged_at", "shard_lag")

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
MOST_CELLS = 250_000  # times and types, about 60 MB with their counts by name

#: How steps are joined one after the other until there are few enough: age before the newest row, new length.
_LADDER = ((DAY_US, HOUR_US), (3 * HOUR_US, HOUR_US), (30 * DAY_US, DAY_US), (7 * DAY_US, DAY_US), (DAY_US, DAY_US))
#: Lengths of a step that read well on an axis.
STEPS = tuple(n * MINUTE_US for n in (1, 5, 15, 30, 60, 180, 360, 720, 1_440, 4_320, 10_080, 43_200))


class Span(NamedTuple):
    """Steps of time: `steps` of them, `step_us` long each, from `start_us` on."""

    start_us: int
    step_us: int
    steps: int

    @property
    def end_us(self) -> int:
        """Where the last step ends; it is not part of it."""
        return self.start_us + self.step_us * self.steps

    @property
    def times(self) -> list[int]:
        """Where each step begins, microseconds since 1970."""
        return [self.start_us + i * self.step_us for i in range(self.steps)]


@dataclass(frozen=True, slots=True)
class Series:
    """Figures of one event type or of all, a number for each step of a span; a quiet step has 0.

    Attributes:
        span: the steps.
        received: and the others: (steps,) as in `core.figures.Figures`.
    """

    span: Span
    received: Numbers
    accepted: Numbers
    duplicates: Numbers
    conflicts: Numbers
    rejected: Numbers
    payload_bytes: Numbers


class History:
    """Sums of `quality`. One instance belongs to one thread at a time.

    Attributes:
        rows: of `quality` that were added.
        first_us: when the first of them was staged, microseconds since 1970; None where there are none.
        last_us: the last.
        lags: by the name of the shard; shards of several sources may share one.
    """

    def __init__(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        hours_before_us: int = 0,
        most: int = MOST_CELLS,
    ) -> None:
        """Nothing was added yet.

        Args:
            since_us: rows that were staged before are left out; microseconds since 1970.
            until_us: rows that were staged then or later are left out.
            hours_before_us: rows of the hours that ended by then are held by the hour at once, which takes a fifth of
                the time and memory.
            most: times and types that are held apart; beyond that old times are joined.
        """
        self.since_us, self.until_us = since_us, until_us
        self.rows = 0
        self.first_us: int | None = None
        self.last_us: int | None = None
        self.lags: dict[str, Lag] = {}
        self._cells = Cells()
        self._hours_before_us = hours_before_us - hours_before_us % HOUR_US
        self._joined = {HOUR_US: self._hours_before_us}  # length of a step to the time before which rows are held so
        self._most = most
        self._unlooked = 0

    def add(self, block: pa.Table) -> None:
        """Add rows; every row once, in any order.

        Args:
            block: COLUMNS of QUALITY.
        """
        staged = np.asarray(block["staged_at"].cast(pa.int64()))
        low, high = self.since_us, self.until_us
        if low is not None or high is not None:
            kept = (staged >= (staged if low is None else low)) & (True if high is None else staged < high)
            block, staged = block.filter(pa.array(kept)), staged[kept]
        if not len(staged):
            return
        self._cells.add(block, staged - staged % np.where(staged < self._hours_before_us, HOUR_US, MINUTE_US))
        add_lags(self.lags, block, staged)
        first, last = int(staged.min()), int(staged.max())
        self.first_us = first if self.first_us is None else min(first, self.first_us)
        self.last_us = last if self.last_us is None else max(last, self.last_us)
        self.rows += len(staged)
        self._unlooked += len(staged)
        if self._unlooked > self._most // 2:
            self._keep_small(self.last_us)

    @property
    def cells(self) -> int:
        """Times and types that are held apart."""
        return int(self._cells.sums.num_rows)

    def figures(self, start_us: int | None = None, end_us: int | None = None) -> ByType:
        """Sums by type of what was staged from one minute up to, not including, another one.

        Where the first lies in an hour or day whose minutes were joined, all of that is in it.
        """
        return by_type(self._cells, None if start_us is None else self._held_from(start_us), end_us)

    def span(
        self, most_steps: int, start_us: int | None = None, end_us: int | None = None, *, is_even: bool = True
    ) -> Span:
        """Steps that hold a range, by default everything, in at most about so many of a length that reads well.

        Args:
            most_steps: how many, about.
            start_us: the range; where minutes were joined there, it begins with the hour or day that holds this time.
            end_us: not part of it.
            is_even: no step is shorter than rows are held at the start, so that none is empty for that alone.
        """
        start = self._held_from(self.first_us or 0 if start_us is None else start_us)
        end = (self.last_us or 0) + 1 if end_us is None else end_us
        least = self._held_step(start) if is_even else MINUTE_US
        fit = (step for step in STEPS if step >= least and (end - start) <= step * most_steps)
        step = next(fit, STEPS[-1])
        first = start - start % step
        return Span(first, step, max(1, -(-(end - first) // step)))

    def grid(self, column: str, span: Span) -> ByStep:
        """A column of counts, such as `accepted`, by event type and step."""
        sums = within(self._cells.sums, span.start_us, span.end_us)
        slot, code = self._slots(sums, span), np.asarray(sums["type"])
        counts = _spread(code * span.steps + slot, np.asarray(sums[column]), len(self._cells.names.types), span.steps)
        there = np.unique(code).tolist()
        return {self._cells.names.types[i]: counts[i] for i in there}

    def above(self, kind: Literal["created_to_arrived", "arrived_to_staged"], bound: float, span: Span) -> ByStep:
        """Counts of the buckets of a histogram above a bound in seconds, together, by event type and step."""
        parts = self._parts(kind, span, lambda name: name > bound)
        code = np.asarray(parts["type"])
        there, which = np.unique(code, return_inverse=True)
        counts = _spread(
            which * span.steps + self._slots(parts, span), np.asarray(parts["count"]), len(there), span.steps
        )
        return {self._cells.names.types[i]: counts[row] for row, i in enumerate(there.tolist())}

    def named(self, kind: Kind, span: Span) -> dict[tuple[str | None, Any], Numbers]:
        """Counts by event type, name and step: `units`, `reasons`; of a histogram the name is the bucket's."""
        names = self._cells.names
        parts = self._parts(kind, span)
        width = len(names.keys)
        pairs, which = np.unique(np.asarray(parts["type"]) * width + np.asarray(parts["key"]), return_inverse=True)
        counts = _spread(
            which * span.steps + self._slots(parts, span), np.asarray(parts["count"]), len(pairs), span.steps
        )
        return {
            (names.types[pair // width], names.keys[pair % width][1]): counts[i]
            for i, pair in enumerate(pairs.tolist())
        }

    def series(self, span: Span, types: Sequence[str | None] | None = None) -> Series:
        """Figures by step of some event types together; of all by default."""
        sums = self._of_types(within(self._cells.sums, span.start_us, span.end_us), types)
        slot = self._slots(sums, span)
        columns = ("received", "accepted", "duplicates", "conflicts", "rejected", "payload_bytes")
        return Series(span, *(_spread(slot, np.asarray(sums[name]), 1, span.steps)[0] for name in columns))

    def quantiles(
        self, kind: Kind, span: Span, shares: Sequence[float], types: Sequence[str | None] | None = None
    ) -> list[Seconds]:
        """Quantiles of a histogram by step.

        Args:
            kind: `created_to_arrived` or `arrived_to_staged`.
            span: the steps.
            shares: from 0 to 1.
            types: these event types together; all by default.

        Returns:
            For each share (steps,) seconds; NaN where nothing was counted.
        """
        parts = self._of_types(self._parts(kind, span), types)
        buckets = self._cells.names.of_kind(kind)
        place = np.zeros(len(self._cells.names.keys), dtype=np.int64)
        for code, bound in buckets.items():
            place[code] = BUCKETS.index(bound)
        at = self._slots(parts, span) * len(BUCKETS) + place[np.asarray(parts["key"])]
        counts = _spread(at, np.asarray(parts["count"]), span.steps, len(BUCKETS))
        found = np.full((len(shares), span.steps), np.nan)
        for step in np.flatnonzero(counts.sum(axis=1) > 0).tolist():
            histogram = dict(zip(BUCKETS, counts[step].tolist(), strict=True))
            for i, share in enumerate(shares):
                known = quantile(histogram, share)
                found[i, step] = np.nan if known is None else known.seconds
        return list(found)

    def extremes(
        self, column: Literal["created_min", "created_max", "arrived_max"], span: Span
    ) -> Mapping[str | None, Any]:
        """A time by event type and step, microseconds since 1970; NaN where there is none."""
        sums = within(self._cells.sums, span.start_us, span.end_us)
        values = np.asarray(sums[column].cast(pa.float64()).fill_null(np.nan))
        found = np.full((len(self._cells.names.types), span.steps), np.nan)
        choose = np.fmin if column == "created_min" else np.fmax
        code = np.asarray(sums["type"])
        choose.at(found, (code, self._slots(sums, span)), values)
        return {self._cells.names.types[i]: found[i] for i in np.unique(code).tolist()}

    def _held_step(self, us: int) -> int:
        """How long the steps are in which rows of a time are held."""
        return max((step for step, before in self._joined.items() if us < before), default=MINUTE_US)

    def _held_from(self, us: int) -> int:
        """Where the step begins in which rows of a time are held."""
        return us - us % self._held_step(us)

    def _parts(self, kind: Kind, span: Span, is_wanted: Callable[[Any], bool] = lambda name: True) -> pa.Table:
        parts = within(self._cells.parts, span.start_us, span.end_us)
        names = self._cells.names.of_kind(kind)
        wanted = pa.array([code for code, name in names.items() if is_wanted(name)], pa.int64())
        return parts.filter(pc.is_in(parts["key"], value_set=wanted))

    def _of_types(self, table: pa.Table, types: Sequence[str | None] | None) -> pa.Table:
        if types is None:
            return table
        codes = [code for code, name in enumerate(self._cells.names.types) if name in types]
        return table.filter(pc.is_in(table["type"], value_set=pa.array(codes, pa.int64())))

    def _slots(self, table: pa.Table, span: Span) -> Numbers:
        found: Numbers = (np.asarray(table["at"]) - span.start_us) // span.step_us
        return found

    def _keep_small(self, last_us: int) -> None:
        self._unlooked = 0
        for age, step in _LADDER:
            if self.cells <= self._most:
                return
            before = last_us - age
            before -= before % step
            self._cells.coarsen(before, step)
            self._joined[step] = max(before, self._joined.get(step, 0))


def _spread(at: Numbers, values: Numbers, rows: int, columns: int) -> Numbers:
    """Sums at places of a table of rows and columns."""
    found = np.zeros(rows * columns, dtype=np.int64)
    np.add.at(found, at, values)
    return found.reshape(rows, columns)
