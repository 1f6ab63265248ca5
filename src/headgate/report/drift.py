"""What changed in the course of a history: units of time, event types that came or went, hours of late events. Pure.

Each is told by counts of whole steps, so that the same history always gives the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headgate.core.measures import UNITS
from headgate.report.history import HOUR_US, History, Numbers, Span

LATE_SECONDS = 3_600.0  # a bound of the histogram: events that took longer to arrive are late
_LATE_SHARE = 0.1  # of the events of an hour, from which on it is a late hour
_LEAST_EVENTS = 20  # expected of a type by its share before it is missed, and late ones of an hour
_LEAST_SHARE = 0.01  # of the events since, from which on a new unit is told
_LONGER = 1.5  # times the longest silence that a type had before
_FINE_STEPS = 3_000  # minutes or longer that are looked at apart; a table of a thousand types has 24 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSwitch:
    """A type whose `created_at` came in another unit from some time on.

    Attributes:
        event_type: which.
        unit: the new one, as in `units` of QUALITY.
        before: the unit of most of its events until then.
        began_us: the step in which the first ones were staged, microseconds since 1970.
        events: in the new unit.
        share: of its events since then.
    """

    event_type: str
    unit: str
    before: str
    began_us: int
    events: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A type that stopped or began.

    Attributes:
        event_type: which.
        at_us: of one that stopped the end of the last step that had it, of a new one the start of the first.
        events: of it in all.
        expected: how many of it were to be expected in the rest of the time, by its share in its own time.
    """

    event_type: str
    at_us: int
    events: int
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LateHour:
    """A step in which many events of a type had been created more than an hour before they arrived.

    Attributes:
        event_type: which.
        staged_us: when the step begins.
        late: events that took longer than LATE_SECONDS.
        events: of the type in the step.
        created_min_us: the earliest and the latest time that its events name; None where there is none.
        created_max_us: see above.
    """

    event_type: str
    staged_us: int
    late: int
    events: int
    created_min_us: int | None
    created_max_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All of it, the weightiest first."""

    switches: Sequence[UnitSwitch] = ()
    stopped: Sequence[Turn] = ()
    begun: Sequence[Turn] = ()
    late: Sequence[LateHour] = ()


def drift_of(history: History) -> Drift:
    """Look for what changed."""
    if history.first_us is None:
        return Drift()
    fine = history.span(_FINE_STEPS, is_even=False)
    start = fine.start_us - fine.start_us % HOUR_US
    hours = Span(start, max(HOUR_US, fine.step_us), 0)
    hours = hours._replace(steps=-(-(fine.end_us - start) // hours.step_us))
    seen = {name: counts for name, counts in _events(history, fine).items() if name is not None}
    return Drift(
        switches=_switches(history, fine),
        stopped=_stopped(seen, fine),
        begun=_begun(seen, fine),
        late=_late(history, hours),
    )


def _events(history: History, span: Span) -> dict[str | None, Numbers]:
    accepted, copies = history.grid("accepted", span), history.grid("duplicates", span)
    return {name: counts + copies[name] for name, counts in accepted.items()}


def _switches(history: History, span: Span) -> list[UnitSwitch]:
    by_type: defaultdict[str | None, dict[str, Numbers]] = defaultdict(dict)
    for (name, unit), counts in history.named("units", span).items():
        by_type[name][unit] = counts
    found = []
    for name, units in by_type.items():
        for unit in UNITS:
            if name is not None and unit in units and (switch := _switch(name, unit, units, span)):
                found.append(switch)
    return sorted(found, key=lambda one: (-one.events, one.event_type))


def _switch(name: str, unit: str, units: Mapping[str, Numbers], span: Span) -> UnitSwitch | None:
    """None where the unit was there from the first, or where there is hardly any of it."""
    there = np.flatnonzero(units[unit] > 0)
    if not len(there):
        return None
    others = {other: counts for other, counts in units.items() if other != unit}
    first = int(there[0])
    sums = {other: int(counts[:first].sum()) for other, counts in others.items()}
    earlier = {other: count for other, count in sums.items() if count > 0}
    if not earlier:
        return None
    events = int(units[unit][first:].sum())
    since = events + sum(int(counts[first:].sum()) for counts in others.values())
    if events < _LEAST_SHARE * since or (events < _LEAST_EVENTS and events * 2 < since):
        return None
    return UnitSwitch(
        event_type=name,
        unit=unit,
        before=max(earlier, key=lambda other: earlier[other]),
        began_us=span.times[first],
        events=events,
        share=events / since,
    )


def _stopped(seen: Mapping[str, Numbers], span: Span) -> list[Turn]:
    total = sum(seen.values(), np.zeros(span.steps, dtype=np.int64))
    found = []
    for name, counts in seen.items():
        there = np.flatnonzero(counts > 0)
        if not len(there):
            continue
        last = int(there[-1]) + 1
        own, all_then, since = int(counts.sum()), int(total[:last].sum()), int(total[last:].sum())
        expected = since * own / max(1, all_then - own) if all_then > own else 0.0
        busy = np.flatnonzero(total > 0)
        silent = int(busy[-1]) + 1 - last
        longest = int(np.diff(there).max(initial=0))
        if expected >= _LEAST_EVENTS and silent > _LONGER * longest:
            found.append(
                Turn(event_type=name, at_us=span.start_us + last * span.step_us, events=own, expected=round(expected))
            )
    return sorted(found, key=lambda one: (-one.expected, one.event_type))


def _begun(seen: Mapping[str, Numbers], span: Span) -> list[Turn]:
    total = sum(seen.values(), np.zeros(span.steps, dtype=np.int64))
    found = []
    for name, counts in seen.items():
        there = np.flatnonzero(counts > 0)
        if not len(there):
            continue
        first = int(there[0])
        own, all_since, before = int(counts.sum()), int(total[first:].sum()), int(total[:first].sum())
        expected = before * own / max(1, all_since - own) if all_since > own else 0.0
        if expected >= _LEAST_EVENTS:
            found.append(Turn(event_type=name, at_us=span.times[first], events=own, expected=round(expected)))
    return sorted(found, key=lambda one: (-one.events, one.event_type))


def _late(history: History, span: Span) -> list[LateHour]:
    above = history.above("created_to_arrived", LATE_SECONDS, span)
    late = {name: counts for name, counts in above.items() if name is not None}
    if not late:
        return []
    events = _events(history, span)
    least, greatest = history.extremes("created_min", span), history.extremes("created_max", span)
    found = [
        LateHour(
            event_type=name,
            staged_us=span.times[i],
            late=int(counts[i]),
            events=int(events[name][i]),
            created_min_us=_known(least[name][i]),
            created_max_us=_known(greatest[name][i]),
        )
        for name, counts in late.items()
        for i in np.flatnonzero(counts >= _LEAST_EVENTS).tolist()
        if counts[i] >= _LATE_SHARE * events[name][i]
    ]
    return sorted(found, key=lambda one: (-one.late, one.staged_us, one.event_type))


def _known(us: float) -> int | None:
    return None if np.isnan(us) else int(us)
