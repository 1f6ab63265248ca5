"""Counts as people write them: `1000`, `250k`, `1M`, `1.5B`."""

from __future__ import annotations

import re

UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_COUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([kmb]?)")


def count_of(text: str) -> float:
    """Read a count.

    Args:
        text: a number above 0, which may end in k (thousand), M (million) or B (billion), in any case, and may have
            underscores or commas between its digits.

    Raises:
        ValueError: the text is no such number.
    """
    found = _COUNT.fullmatch(text.strip().lower().replace("_", "").replace(",", ""))
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if value <= 0:
        raise ValueError(f"{text!r} is no count above 0: write 1000, 250k, 1M or 1.5B")
    return value
