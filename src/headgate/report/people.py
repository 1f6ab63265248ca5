"""Numbers, times and shares as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from headgate.core import words
from headgate.core.slo import percent as percent
from headgate.core.slo import seconds as seconds


def number(count: float | None) -> str:
    """`1,234,567`; a dash for what is not known."""
    return "–" if count is None else f"{count:,.0f}"


def short(count: float) -> str:
    """A number in little room: `950`, `12.3k`, `4.56M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def size(count: float | None) -> str:
    """Bytes: `512 B`, `1.5 MiB`."""
    return "–" if count is None else words.size(count)


def moment(us: float | None, *, is_exact: bool = False) -> str:
    """A time with its zone: `2026-11-20 13:05 UTC`."""
    if us is None or us != us:  # NaN
        return "–"
    return datetime.fromtimestamp(us / 1e6, tz=UTC).strftime(f"%Y-%m-%d %H:%M{':%S' if is_exact else ''} UTC")


def stamp(us: float | None) -> str:
    """A time under a heading that names its zone: `2026-11-20 13:05`."""
    return moment(us).removesuffix(" UTC")


def machine_time(us: float | None) -> str | None:
    """A time for machines, ISO 8601."""
    if us is None or us != us:  # NaN
        return None
    return datetime.fromtimestamp(us / 1e6, tz=UTC).isoformat(timespec="seconds")


def share(count: float, of: float) -> str:
    """`2.5 %`; a dash of nothing."""
    return percent(count / of) if of else "–"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
