"""Numbers, sizes, durations and shares as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headgate.core.words import minutes
from headgate.core.words import size as size

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count(value: float) -> str:
    """`1,234,567`."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """`1.2M`, for axes and narrow places."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            text = f"{value / limit:.1f}" if abs(value) < 100 * limit else f"{value / limit:.0f}"
            return text.removesuffix(".0") + unit
    return f"{value:.0f}" if value == round(value) or abs(value) >= 10 else f"{value:.1f}"


def rate(a_second: float) -> str:
    """`1,000/s`, `12/min` where it is slow."""
    if a_second >= 10:
        return f"{a_second:,.0f}/s"
    if a_second >= 1:
        return f"{a_second:,.1f}/s"
    return f"{a_second * 60:,.0f}/min"


def share(part: float, whole: float) -> str:
    """`5.0%`; a dash where there is nothing."""
    if whole <= 0:
        return "–"
    percent = 100 * part / whole
    if part and percent < 0.01:
        return "<0.01%"
    return f"{percent:.2f}%" if percent < 1 and part else f"{percent:.1f}%"


def seconds(value: float) -> str:
    """`25 ms`, `3.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return minutes(value)


def ago(us: int, now_us: int) -> str:
    """`3 s ago`; whole seconds."""
    passed = max(0, now_us - us) // 1_000_000
    return "just now" if passed < 1 else f"{passed} s ago" if passed < 60 else f"{seconds(passed)} ago"


def iso(us: int) -> str:
    """ISO 8601 with the offset of UTC, whole seconds."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="seconds")


def exact(us: int) -> str:
    """ISO 8601 to the microsecond."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat()


def clock(us: int, *, is_day: bool) -> str:
    """`12:05`, or `20 Nov` for spans of days."""
    moment = _EPOCH + timedelta(microseconds=us)
    return f"{moment.day} {moment:%b}" if is_day else f"{moment:%H:%M}"


def step(num_seconds: float) -> str:
    """A round span as what is counted by it: `minute`, `15 minutes`, `day`."""
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if num_seconds % length == 0:
            many = round(num_seconds / length)
            return unit if many == 1 else f"{many} {unit}s"
    return seconds(num_seconds)


def microseconds(moment: datetime) -> int:
    """Since 1970; a time without an offset is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
