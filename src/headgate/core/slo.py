"""Whether figures of quality keep to what is allowed: one sentence for each breach. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.figures import ByType, Figures, total
from headgate.core.histogram import quantile

ALL = "all types"
DAY_US = 86_400_000_000  # microseconds

RATES: dict[str, tuple[str, Callable[[Figures], int]]] = {
    "max_duplicate_rate": ("duplicates", lambda figures: figures.duplicates),
    "max_conflict_rate": ("conflicting duplicates", lambda figures: figures.conflicts),
    "max_reject_rate": ("rejects", lambda figures: figures.rejected),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What is allowed; None, or no entry, is not looked at. Rates are shares from 0 to 1.

    Attributes:
        rates: by the names of RATES.
        missing: by field; None stands for every field that is counted and not named.
        freshness_seconds: since the newest accepted event arrived.
        latency_seconds: within which 95 % arrive after they were created.
        volume_ratio: accepted now / accepted in the window that it is compared with.
        is_day_before: compared with the same window a day before, not with the one right before.
        events: accepted in all.
        sample: events from which on rates, latency, volume and freshness of a type are judged.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str | None, float] = field(default_factory=dict)
    freshness_seconds: float | None = None
    latency_seconds: float | None = None
    volume_ratio: float | None = None
    is_day_before: bool = False
    events: int | None = None
    sample: int = 100

    @property
    def checks(self) -> list[str]:
        """Names of the thresholds that are given."""
        others = {
            "max_missing_rate": self.missing or None,
            "max_freshness": self.freshness_seconds,
            "max_latency_p95": self.latency_seconds,
            "min_volume_ratio": self.volume_ratio,
            "min_events": self.events,
        }
        return [*self.rates, *(name for name, value in others.items() if value is not None)]


#: What is allowed where nobody says anything: what is broken rather than unusual.
DEFAULT_RATES = {"max_duplicate_rate": 0.1, "max_conflict_rate": 0.05, "max_reject_rate": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: the threshold's name.
        event_type: None for all of them together.
        field: of `max_missing_rate`.
        found: a share, seconds, a ratio or a number; None where there is nothing.
        allowed: the same.
        is_breach: whether it is not kept.
        sentence: what, where, found, allowed.
    """

    check: str
    event_type: str | None
    found: float | None
    allowed: float
    is_breach: bool
    sentence: str
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is judged: figures of a window, of the one before, and what arrived lately.

    Attributes:
        now: by type, of the window.
        before: of the window that it is compared with.
        arrivals: by type events accepted lately, and when the latest arrived, microseconds since 1970.
        end_us: end of the window.
        types: that alone is looked at; empty for all.
    """

    now: ByType
    before: ByType
    arrivals: Mapping[str | None, tuple[int, int]]
    end_us: int
    types: Sequence[str] = ()


def judge_quality(seen: Observed, allowed: Allowed) -> list[Finding]:
    """Compare what was seen with what is allowed, of all types together and of each.

    Returns:
        Everything that was looked at, in the order of the thresholds, all types first.
    """
    now, before = _groups(seen.now, seen.types), _groups(seen.before, seen.types)
    return [
        *_rates(now, allowed),
        *_missing(now, allowed),
        *_freshness(seen, allowed),
        *_latency(now, allowed),
        *_volume(now, before, allowed),
        *_events(now, allowed, seen.types),
    ]


def _groups(by_type: ByType, types: Sequence[str]) -> dict[str | None, Figures]:
    """Figures of all types under None, and of each; of a single type that is asked for only its own."""
    chosen = {name: figures for name, figures in by_type.items() if not types or name in types}
    if len(types) == 1:
        return {types[0]: total(chosen)}
    groups: dict[str | None, Figures] = {None: total(chosen)}
    groups.update((name, chosen[name]) for name in sorted(n for n in chosen if n is not None))
    return groups


def _rates(now: Mapping[str | None, Figures], allowed: Allowed) -> Iterator[Finding]:
    for check, limit in allowed.rates.items():
        what, count = RATES[check]
        for name, figures in now.items():
            if figures.received >= allowed.sample:
                yield _rate(check, name, what, count(figures), figures.received, limit)


def _rate(
    check: str, name: str | None, what: str, count: int, of: int, limit: float, missing: str | None = None
) -> Finding:
    rate = count / of
    said = f"{what} of {name or ALL}: {percent(rate)} ({count:,} of {of:,}), allowed {percent(limit)}"
    return Finding(
        check=check, event_type=name, found=rate, allowed=limit, is_breach=rate > limit, sentence=said, field=missing
    )


def _missing(now: Mapping[str | None, Figures], allowed: Allowed) -> Iterator[Finding]:
    if not allowed.missing:
        return
    everything = next(iter(now.values()))
    fields = [*{**dict.fromkeys(everything.looked), **{name: None for name in allowed.missing if name is not None}}]
    for missing in fields:
        limit = allowed.missing.get(missing, allowed.missing.get(None))
        if limit is None:
            continue
        if not everything.looked.get(missing) and everything.accepted >= allowed.sample:
            yield Finding(
                check="max_missing_rate",
                event_type=None,
                field=missing,
                found=None,
                allowed=limit,
                is_breach=True,
                sentence=f"missing {missing}: not counted in this window, allowed {percent(limit)}; name it in "
                "[quality] fields of the runs",
            )
        for name, figures in now.items():
            if (of := figures.looked.get(missing, 0)) >= allowed.sample:
                count = figures.missing.get(missing, 0)
                yield _rate("max_missing_rate", name, f"missing {missing}", count, of, limit, missing)


def _freshness(seen: Observed, allowed: Allowed) -> Iterator[Finding]:
    limit = allowed.freshness_seconds
    if limit is None:
        return
    arrived = {n: found for n, found in seen.arrivals.items() if n is not None and (not seen.types or n in seen.types)}
    if len(seen.types) != 1:
        yield _age(None, max((us for _, us in arrived.values()), default=None), seen.end_us, limit)
    for name in seen.types or sorted(arrived):
        count, us = arrived.get(name, (0, None))
        if seen.types or count >= allowed.sample:
            yield _age(name, us, seen.end_us, limit)


def _age(name: str | None, us: int | None, end_us: int, limit: float) -> Finding:
    age = None if us is None else max(0.0, (end_us - us) / 1e6)
    found = "nothing accepted lately" if age is None else f"newest accepted event arrived {seconds(age)} ago"
    return Finding(
        check="max_freshness",
        event_type=name,
        found=age,
        allowed=limit,
        is_breach=age is None or age > limit,
        sentence=f"freshness of {name or ALL}: {found}, allowed {seconds(limit)}",
    )


def _latency(now: Mapping[str | None, Figures], allowed: Allowed) -> Iterator[Finding]:
    limit = allowed.latency_seconds
    for name, figures in now.items() if limit is not None else ():
        found = quantile(figures.latency, 0.95, figures.latency_max)
        if found is None or limit is None or sum(figures.latency.values()) < allowed.sample:
            continue
        between = f" (between {seconds(found.above)} and {seconds(found.upto)})" if found.seconds else ""
        yield Finding(
            check="max_latency_p95",
            event_type=name,
            found=found.seconds,
            allowed=limit,
            is_breach=found.seconds > limit,
            sentence=f"latency of {name or ALL}: 95 % arrive within {seconds(found.seconds)} of their "
            f"creation{between}, allowed {seconds(limit)}",
        )


def _volume(
    now: Mapping[str | None, Figures], before: Mapping[str | None, Figures], allowed: Allowed
) -> Iterator[Finding]:
    limit = allowed.volume_ratio
    then = "the same time a day before" if allowed.is_day_before else "the same time right before"
    for name, figures in before.items() if limit is not None else ():
        if limit is None or figures.accepted < allowed.sample:
            continue
        count = now.get(name, Figures()).accepted
        ratio = count / figures.accepted
        yield Finding(
            check="min_volume_ratio",
            event_type=name,
            found=ratio,
            allowed=limit,
            is_breach=ratio < limit,
            sentence=f"volume of {name or ALL}: {count:,} accepted, {percent(ratio)} of the {figures.accepted:,} in "
            f"{then}, at least {percent(limit)} expected",
        )


def _events(now: Mapping[str | None, Figures], allowed: Allowed, types: Sequence[str]) -> Iterator[Finding]:
    if allowed.events is None:
        return
    count = next(iter(now.values())).accepted
    name = types[0] if len(types) == 1 else None
    yield Finding(
        check="min_events",
        event_type=name,
        found=count,
        allowed=allowed.events,
        is_breach=count < allowed.events,
        sentence=f"volume of {name or ALL}: {count:,} accepted, at least {allowed.events:,} expected",
    )


def percent(share: float) -> str:
    """A share for people: `2.5 %`."""
    return f"{share * 100:.3g} %" if share < 10 else f"{share * 100:,.0f} %"


def seconds(value: float) -> str:
    """A duration for people: `0.25 s`, `90 s`, `2 h`; exact enough to tell it from the limit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"
