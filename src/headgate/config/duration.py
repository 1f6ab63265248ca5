"""Durations as people write them: `90s`, `15m`, `12h`, `7d`, `1d12h`."""

from __future__ import annotations

import re

UNIT_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def duration_us(text: str) -> int:
    """Read a duration.

    Args:
        text: numbers, each with a unit: ms, s, m, h or d; `0s` is allowed, a bare number is not.

    Returns:
        Microseconds.

    Raises:
        ValueError: the text is no duration.
    """
    compact = text.replace(" ", "").lower()
    if not _WHOLE.fullmatch(compact):
        raise ValueError(f"{text!r} is no duration: write a number and a unit such as 90s, 15m, 12h or 7d")
    return sum(round(float(number) * UNIT_US[unit]) for number, unit in _PART.findall(compact))
