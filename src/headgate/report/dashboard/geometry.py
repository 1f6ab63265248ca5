"""The shapes of charts as paths of SVG in a box of fixed size, which the page stretches. Pure.

Page and script draw the same paths: what a chart looks like is decided here alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 1000, 200  # of a chart's box
_ROUND = (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)
SPARK_WIDTH, SPARK_HEIGHT = 100, 20  # of a small one's


def nice_top(value: float) -> float:
    """The least round number that is not less, with a round half; 1 where there is nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _ROUND if step * power >= value * (1 - 1e-9)), 10 * power)


def bars(values: Sequence[float], base: Sequence[float], top: float) -> str:
    """Bars, one for each value, each standing on its base.

    Args:
        values: heights, 0 or more.
        base: what each stands on.
        top: the value at the upper edge.
    """
    step = WIDTH / max(1, len(values))
    gap = min(step * 0.15, 2.0)
    parts = []
    for i, (value, under) in enumerate(zip(values, base, strict=True)):
        if value <= 0:
            continue
        height = value / top * HEIGHT
        y = HEIGHT - under / top * HEIGHT - height
        parts.append(f"M{_n(i * step + gap / 2)} {_n(y)}h{_n(step - gap)}v{_n(height)}h{_n(gap - step)}z")
    return "".join(parts)


def spark(values: Sequence[float]) -> str:
    """A line from edge to edge; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    top = max(*values, 1e-9)
    step = SPARK_WIDTH / (len(values) - 1)
    points = [f"{_n(i * step)} {_n(1 + (SPARK_HEIGHT - 2) * (1 - value / top))}" for i, value in enumerate(values)]
    return "M" + "L".join(points)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
