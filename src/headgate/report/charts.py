"""Charts as SVG text: stacked columns and lines over time, sparklines, bars, histograms. Pure; all text is escaped.

Colours come from classes of the page's style sheet, so that a chart is good to read in light, dark and print.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from headgate.core.histogram import AHEAD, BUCKETS, REST
from headgate.core.shown import safe
from headgate.report.history import DAY_US, HOUR_US, Span
from headgate.report.people import number, seconds, short

WIDTH, HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 26
_PLOT_W, _PLOT_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
SPARK_WIDTH, SPARK_HEIGHT = 120, 26
_TICK_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)


class Layer(NamedTuple):
    """Values by step under a name; `tone` is the class of its colour. NaN and, of columns, 0 are gaps."""

    name: str
    tone: str
    values: Sequence[float]


def columns(span: Span, layers: Sequence[Layer], title: str, described: str) -> Markup:
    """Layers on top of each other, a column for each step."""
    totals = [sum(max(0.0, layer.values[i]) for layer in layers) for i in range(span.steps)]
    top, ticks = _scale(max(totals, default=0.0))
    width = _PLOT_W / span.steps
    drawn = []
    floor = [0.0] * span.steps
    for layer in layers:
        boxes = []
        for i, value in enumerate(layer.values):
            if value > 0:
                y, height = _y(floor[i] + value, top), value / top * _PLOT_H
                boxes.append(_box(_LEFT + i * width + 0.08 * width, y, 0.84 * width, height))
                floor[i] += value
        drawn.append(f'<path class="fill {layer.tone}" d="{"".join(boxes)}"/>')
    told = [_told(span, i, layers) for i in range(span.steps)]
    return _svg(title, described, _axes(span, top, ticks, short) + "".join(drawn) + "".join(told))


def lines(span: Span, layers: Sequence[Layer], title: str, described: str) -> Markup:
    """Seconds by step on a logarithmic scale, a line for each layer, broken where there is nothing."""
    known = [value for layer in layers for value in layer.values if not math.isnan(value)]
    low, high = _decades(known)

    def height(value: float) -> float:
        return _TOP + _PLOT_H * (1 - (math.log10(max(value, low)) - math.log10(low)) / math.log10(high / low))

    width = _PLOT_W / span.steps
    drawn = [_grid_line(height(tick), seconds(tick)) for tick in _TICK_SECONDS if low <= tick <= high]
    for layer in layers:
        points = [
            None if math.isnan(value) else (_LEFT + (i + 0.5) * width, height(value))
            for i, value in enumerate(layer.values)
        ]
        for is_gap, run in itertools.groupby(points, key=lambda point: point is None):
            if not is_gap:
                drawn.append(_line([point for point in run if point is not None], layer.tone))
    told = [_told(span, i, layers, seconds) for i in range(span.steps)]
    return _svg(title, described, _time_axis(span) + "".join(drawn) + "".join(told))


def spark(values: Sequence[float], described: str, tone: str = "accepted") -> Markup:
    """A small line; its height is the greatest value."""
    top = max(1.0, *values) if values else 1.0
    step = SPARK_WIDTH / max(1, len(values))
    points = [
        (step * (i + 0.5), SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 5) * max(0.0, v) / top) for i, v in enumerate(values)
    ]
    if not points:
        return _markup("")
    path = _path(points)
    area = f"{path}L{points[-1][0]:.1f} {SPARK_HEIGHT}L{points[0][0]:.1f} {SPARK_HEIGHT}Z"
    return _markup(
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" preserveAspectRatio="none">'
        f'<title>{_safe(described)}</title><path class="area {tone}" d="{area}"/>'
        f'<path class="line {tone}" d="{path}"/></svg>'
    )


def bar(part: float, described: str, tone: str = "accepted") -> Markup:
    """A share from 0 to 1 as a bar."""
    length = max(min(1.0, max(0.0, part)) * 100, 0.6 if part > 0 else 0.0)  # what is there is seen
    return _markup(
        f'<svg class="bar" viewBox="0 0 100 8" role="img" preserveAspectRatio="none"><title>{_safe(described)}</title>'
        f'<rect class="track" width="100" height="8"/><rect class="fill {tone}" width="{length:.2f}" '
        'height="8"/></svg>'
    )


def histogram(buckets: Mapping[float, int], marks: Sequence[tuple[str, float]], title: str, described: str) -> Markup:
    """Events by duration, with quantiles marked.

    Args:
        buckets: of `core.histogram`.
        marks: name and seconds of each quantile.
        title: of the chart.
        described: what it shows, for those who do not see it.
    """
    there = [i for i, bucket in enumerate(BUCKETS) if buckets.get(bucket, 0) > 0]
    if not there:
        return _markup("")
    shown = BUCKETS[max(0, there[0] - 1) : there[-1] + 2]
    top, ticks = _scale(max(buckets.get(bucket, 0) for bucket in shown))
    width = _PLOT_W / len(shown)
    drawn = [_grid_line(_y(tick, top), short(tick)) for tick in ticks]
    every = max(1, math.ceil(len(shown) / 8))
    for i, bucket in enumerate(shown):
        count = max(0, buckets.get(bucket, 0))
        x, y = _LEFT + i * width, _y(count, top)
        name = "ahead" if bucket == AHEAD else "more" if bucket == REST else f"≤ {seconds(bucket)}"
        drawn.append(
            f'<path class="fill accepted" d="{_box(x + 1, y, width - 2, _TOP + _PLOT_H - y)}">'
            f"<title>{_safe(name)}: {number(count)}</title></path>"
        )
        if i % every == 0:
            drawn.append(_text(x + width / 2, HEIGHT - 8, name.removeprefix("≤ "), "middle"))
    places = [_LEFT + width * _place(shown, value) for _, value in marks]
    drawn += [f'<path class="mark" d="M{x:.1f} {_TOP}V{_TOP + _PLOT_H}"/>' for x in places]
    for row, (x, (name, value)) in enumerate(zip(places, marks, strict=True)):
        at, anchor = (x - 4, "end") if x > WIDTH * 0.7 else (x + 4, "start")
        drawn.append(_text(at, _TOP + 12 + 14 * row, f"{name} {seconds(value)}", anchor, "said"))
    return _svg(title, described, "".join(drawn))


def _place(shown: Sequence[float], value: float) -> float:
    """Where a duration lies among buckets, in buckets from the left."""
    for i, bucket in enumerate(shown):
        if value <= bucket:
            below = BUCKETS[BUCKETS.index(bucket) - 1] if bucket != AHEAD else 0.0
            if math.isinf(bucket):
                return i + 0.5
            return i + (max(0.0, value - below) / (bucket - below) if bucket > below else 0.5)
    return float(len(shown))


def _svg(title: str, described: str, content: str) -> Markup:
    return _markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{_safe(title)}</title>'
        f"<desc>{_safe(described)}</desc>{content}</svg>"
    )


def _axes(span: Span, top: float, ticks: Sequence[float], name: Callable[[float], str]) -> str:
    return "".join(_grid_line(_y(tick, top), name(tick)) for tick in ticks) + _time_axis(span)


def _time_axis(span: Span) -> str:
    """Times below at round hours or days."""
    length = span.end_us - span.start_us
    widths = [n * 60_000_000 for n in (1, 5, 10, 30, 60, 120, 180, 360, 720)] + [
        n * DAY_US for n in (1, 2, 7, 14, 30, 91, 365)
    ]
    width = next((w for w in widths if length / w <= 6), widths[-1])
    form = "%H:%M" if width < DAY_US else "%d %b"
    ticks = []
    first = -(-span.start_us // width) * width
    for at in range(first, span.end_us, width):
        x = _LEFT + (at - span.start_us) / length * _PLOT_W
        moment = datetime.fromtimestamp(at / 1e6, tz=UTC)
        is_day = width >= HOUR_US and at % DAY_US == 0
        anchor = "start" if x < _LEFT + 14 else "end" if x > WIDTH - 24 else "middle"
        ticks.append(_text(x, HEIGHT - 8, moment.strftime("%d %b" if is_day else form), anchor))
        ticks.append(f'<path class="tick" d="M{x:.1f} {_TOP + _PLOT_H}v4"/>')
    return f'<path class="axis" d="M{_LEFT} {_TOP + _PLOT_H}H{WIDTH - _RIGHT}"/>' + "".join(ticks)


def _grid_line(y: float, name: str) -> str:
    return f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>' + _text(_LEFT - 6, y + 4, name, "end")


def _told(span: Span, i: int, layers: Sequence[Layer], form: Callable[[float], str] = number) -> str:
    """What a pointer over a step is told."""
    said = ", ".join(f"{layer.name} {form(layer.values[i])}" for layer in layers if not math.isnan(layer.values[i]))
    if not said:
        return ""
    moment = datetime.fromtimestamp(span.times[i] / 1e6, tz=UTC).strftime("%d %b %H:%M UTC")
    width = _PLOT_W / span.steps
    box = _box(_LEFT + i * width, _TOP, width, _PLOT_H)
    return f'<path class="touch" d="{box}"><title>{moment}: {_safe(said)}</title></path>'


def _scale(greatest: float) -> tuple[float, list[float]]:
    """A round top and the lines below it."""
    if greatest <= 0:
        return 1.0, [0.0]
    rough = greatest / 4
    power = 10 ** math.floor(math.log10(rough))
    step = max(next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough), 1.0)
    count = math.ceil(greatest / step)
    return step * count, [step * i for i in range(count + 1)]


def _decades(known: Sequence[float]) -> tuple[float, float]:
    low = min((value for value in known if value > 0), default=0.1)
    high = max(known, default=1.0)
    below = [tick for tick in _TICK_SECONDS if tick <= low]
    above = [tick for tick in _TICK_SECONDS if tick >= high]
    bottom = below[-1] if below else _TICK_SECONDS[0]
    top = above[0] if above else _TICK_SECONDS[-1]
    return bottom, top if top > bottom else bottom * 10


def _y(value: float, top: float) -> float:
    return _TOP + _PLOT_H * (1 - value / top)


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.2f} {y:.2f}h{width:.2f}v{height:.2f}h-{width:.2f}z"


def _line(points: Sequence[tuple[float, float]], tone: str) -> str:
    if len(points) == 1:
        return f'<circle class="dot {tone}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5"/>'
    return f'<path class="line {tone}" d="{_path(points)}"/>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _safe(text: str) -> str:
    return str(escape(safe(text)))


def _markup(text: str) -> Markup:
    """What was put together here: the texts of others in it are escaped."""
    return Markup(text)  # noqa: S704
