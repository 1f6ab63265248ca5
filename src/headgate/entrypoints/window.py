"""`--since` and `--window`: the time that a command looks at."""

from __future__ import annotations

from datetime import datetime

from headgate.config import duration_us
from headgate.errors import ConfigError


def window_of(since: str | None, window: str, is_given: bool, now_us: int) -> tuple[int, int]:
    """Start and end, microseconds since 1970 UTC: the window up to now, or from `since` on.

    Args:
        since: ISO 8601 with an offset; None for none.
        window: a duration.
        is_given: whether the user said how long; what begins at `since` ends now otherwise.
        now_us: wall clock.

    Raises:
        ConfigError: either cannot be read, or lies in the future.
    """
    try:
        length = duration_us(window)
    except ValueError as error:
        raise ConfigError(f"--window: {error}") from error
    if length <= 0:
        raise ConfigError("--window: expected more than 0s")
    if since is None:
        return now_us - length, now_us
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--since {since!r}: expected a time with an offset such as 2026-11-20T00:00:00Z")
    start_us = round(moment.timestamp() * 1_000_000)
    if start_us >= now_us:
        raise ConfigError(f"--since {since}: lies in the future")
    return start_us, start_us + length if is_given else now_us
