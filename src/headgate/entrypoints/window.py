"""`--since` and `--window`: the time that a command looks at."""

from __future__ import annotations

from datetime import datetime

from headgate.config import duration_us
from headgate.errors import ConfigError

DAY_US = 86_400_000_000
LONGEST_US = 36_500 * DAY_US


def window_of(since: str | None, window: str, is_given: bool, now_us: int) -> tuple[int, int]:
    """Start and end, microseconds since 1970 UTC: the window up to now, or from `since` on.

    Args:
        since: ISO 8601 with an offset; None for none.
        window: a duration.
        is_given: whether the user said how long; what begins at `since` ends now otherwise.
        now_us: wall clock.

    Raises:
        ConfigError: either cannot be read, is longer than any lake is old, or lies in the future.
    """
    try:
        length = duration_us(window)
    except ValueError as error:
        raise ConfigError(f"--window: {error}") from error
    if not 0 < length <= LONGEST_US:
        raise ConfigError(f"--window {window}: expected more than 0s and at most {LONGEST_US // DAY_US}d")
    if since is None:
        return now_us - length, now_us
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--since {since!r}: expected a time with an offset such as 2026-11-20T00:00:00Z")
    start_us = round(moment.timestamp() * 1_000_000)
    if not 0 <= start_us < now_us:
        raise ConfigError(f"--since {since}: lies {'before 1970' if start_us < 0 else 'in the future'}")
    return start_us, min(start_us + length, now_us) if is_given else now_us
