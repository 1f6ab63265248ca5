"""The live view from the quality rows: the chart, event types, reasons, latency, freshness, and what is odd. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from headgate.core.figures import Figures
from headgate.core.histogram import AHEAD, quantile
from headgate.core.slo import DEFAULT_RATES
from headgate.report.dashboard import words
from headgate.report.dashboard.geometry import bars, nice_top, spark
from headgate.report.dashboard.live import hint
from headgate.report.dashboard.past import MINUTE_US, Window
from headgate.report.dashboard.shown import shell_word
from headgate.report.dashboard.view import Cell, Row, View, number, text
from headgate.report.findings import ENOUGH, MISSING_RATE

SHOWN_TYPES = 12
MOST_TYPES = 1_000
SHOWN_REASONS = 8
NO_TYPE = "(no type could be read)"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_DAY_US = 86_400_000_000
_X_LABELS = 5
_REJECTS, _DUPLICATES = DEFAULT_RATES["max_reject_rate"], DEFAULT_RATES["max_duplicate_rate"]
_CONFLICTS = DEFAULT_RATES["max_conflict_rate"]
_AHEAD = 0.01  # of events, from which on a clock is told of
_SILENT_US = 10 * MINUTE_US
_NAMED = 3  # types that a hint names


def add_window(view: View, window: Window | None, now_us: int, *, is_every_type: bool) -> None:
    """Everything that comes from the history; places are there, and empty, before it is read."""
    view.lists |= {"types": [], "reasons": [], "axis_x": [], "axis_y": [], "missing": []}
    view.paths |= dict.fromkeys(("chart_accepted", "chart_duplicates", "chart_rejected"), "")
    view.texts |= {"more_types": "", "step": "", "chart_says": "The history is being read."}
    view.texts |= {f"{name}_{q}": "–" for name in ("latency", "staging") for q in (*QUANTILES, "max")}
    view.texts["window_lag"] = "–"
    view.times["arrived"] = 0
    if window is None:
        return
    _add_chart(view, window)
    _add_latency(view, window.total)
    _add_types(view, window, is_every_type=is_every_type)
    _add_reasons(view, window.total)
    fresh = [lag.seconds for lag in window.lags.values() if lag.staged_us > now_us - _DAY_US]
    view.texts["window_lag"] = words.seconds(max(fresh)) if fresh else "–"
    view.times["arrived"] = window.total.arrived_us or 0


def _add_chart(view: View, window: Window) -> None:
    series = window.series
    parts = [[max(0, int(n)) for n in column] for column in (series.accepted, series.duplicates, series.rejected)]
    whole = [sum(column) for column in zip(*parts, strict=True)]
    seconds = series.span.step_us / 1e6
    top = nice_top(max(whole, default=0))
    base = [0.0] * len(whole)
    for name, column in zip(("accepted", "duplicates", "rejected"), parts, strict=True):
        view.paths[f"chart_{name}"] = bars(column, base, top)
        base = [low + value for low, value in zip(base, column, strict=True)]
    times = series.span.times
    view.points = list(zip(times, *parts, strict=True))
    view.step_seconds = round(seconds)
    view.lists["axis_y"] = [[number(words.short(top * part))] for part in (1, 0.5, 0)]
    is_day = series.span.step_us * series.span.steps > 2 * _DAY_US
    marks = [
        series.span.start_us + round(i / (_X_LABELS - 1) * series.span.step_us * series.span.steps)
        for i in range(_X_LABELS)
    ]
    view.lists["axis_x"] = [[Cell(text=words.clock(us, is_day=is_day))] for us in marks]
    view.texts["step"] = words.step(seconds)
    first, last = (words.clock(us, is_day=is_day) for us in (marks[0], marks[-1]))
    most, every = words.count(max(whole, default=0)), words.count(sum(whole))
    step = view.texts["step"]
    view.texts["chart_says"] = f"Events per {step}, {first} to {last} UTC: at most {most}, {every} in all."


def _add_latency(view: View, total: Figures) -> None:
    for name, buckets, longest in (
        ("latency", total.latency, total.latency_max),
        ("staging", total.staging, total.staging_max),
    ):
        for label, share in QUANTILES.items():
            found = quantile(buckets, share, longest)
            view.texts[f"{name}_{label}"] = "–" if found is None else words.seconds(found.seconds)
        view.texts[f"{name}_max"] = "–" if longest is None else words.seconds(longest)


def _add_types(view: View, window: Window, *, is_every_type: bool) -> None:
    ranked = sorted(window.figures.items(), key=lambda item: (-item[1].received, item[0] or ""))
    shown = ranked[: MOST_TYPES if is_every_type else SHOWN_TYPES]
    most = max((one.received for _, one in ranked), default=0)
    view.lists["types"] = [_type_row(name, one, window, most) for name, one in shown]
    rest = len(ranked) - len(shown)
    view.texts["more_types"] = f"{words.count(rest)} more types" if rest > 0 else ""


def _type_row(name: str | None, one: Figures, window: Window, most: int) -> Row:
    p95 = quantile(one.latency, QUANTILES["p95"], one.latency_max)
    events = one.accepted + one.duplicates
    filtered = {"untyped": "yes"} if name is None else {"type": name}
    return [
        Cell(text=NO_TYPE, kind="quiet") if name is None else text(name),
        Cell(path=spark(window.sparks.get(name, ()))),
        number(words.count(one.received), bar=round(100 * one.received / most, 1) if most > 0 else 0.0),
        number(words.share(one.duplicates, one.received), kind=_level(one.duplicates, one.received, _DUPLICATES)),
        number(
            words.share(one.rejected, one.received),
            kind=_level(one.rejected, one.received, _REJECTS),
            href="/rejects?" + urlencode(filtered) if one.rejected else "",
        ),
        number("–" if p95 is None else words.seconds(p95.seconds)),
        Cell(us=one.arrived_us or 0, text="" if one.arrived_us else "–", kind="number" if events else "number quiet"),
    ]


def _level(part: int, whole: int, limit: float) -> str:
    if not part:
        return "number quiet"
    return "number warn" if whole >= ENOUGH and part > limit * whole else "number"


def _add_reasons(view: View, total: Figures) -> None:
    ranked = _ranked(total.reasons)
    most = max((count for _, count in ranked), default=1)
    view.lists["reasons"] = [
        [
            text(name, href="/rejects?" + urlencode({"reason": name})),
            number(words.count(count), bar=round(100 * count / most, 1)),
            number(words.share(count, total.received), kind="number quiet"),
        ]
        for name, count in ranked[:SHOWN_REASONS]
    ]
    lacking = [(name, count) for name, count in _ranked(total.missing) if count]
    view.lists["missing"] = [
        [
            text(name),
            number(words.count(count)),
            number(words.share(count, total.looked.get(name, 0)), kind="number quiet"),
        ]
        for name, count in lacking[:SHOWN_REASONS]
    ]


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, n) for name, n in counts.items() if n > 0), key=lambda item: (-item[1], item[0]))


def window_hints(window: Window | None, lake: str) -> list[Row]:
    """What deserves a look, by the figures of the range."""
    if window is None or window.total.received < ENOUGH:
        return []
    total, found = window.total, []
    if total.rejected > _REJECTS * total.received and (worst := _ranked(total.reasons)):
        name, count = worst[0]
        sentence = (
            f"{words.share(total.rejected, total.received)} is rejected, most of it for {name} ({words.count(count)})."
        )
        found.append(
            hint(
                "bad",
                sentence,
                f"headgate replay {lake} --reason {shell_word(name)} --dry-run",
                "/rejects?" + urlencode({"reason": name}),
            )
        )
    if total.duplicates > _DUPLICATES * total.received:
        sentence = (
            f"{words.share(total.duplicates, total.received)} are duplicates: a producer sends again what was taken."
        )
        found.append(hint("bad", sentence, href="/duplicates"))
    if total.conflicts > 0:
        sentence = f"{words.count(total.conflicts)} duplicates differ from their originals: ids stand for two things."
        kind = "bad" if total.conflicts > _CONFLICTS * total.received else "warn"
        found.append(hint(kind, sentence, href="/duplicates?conflict=yes"))
    events = sum(total.latency.values())
    if total.latency.get(AHEAD, 0) > _AHEAD * max(1, events):
        sentence = (
            f"{words.share(total.latency[AHEAD], events)} of events came before they were made: a clock is ahead."
        )
        found.append(hint("warn", sentence))
    for name, count in _ranked(total.missing):
        if count > MISSING_RATE * max(1, total.looked.get(name, 0)):
            found.append(hint("warn", f"{words.share(count, total.looked[name])} of events lack {name}."))
    return found + _silent(window)


def _silent(window: Window) -> list[Row]:
    """Types that came through the range and then stopped, while others went on."""
    newest = window.total.arrived_us
    steady = {
        name: one
        for name, one in window.figures.items()
        if name is not None and one.accepted >= ENOUGH and one.arrived_us is not None
    }
    silent = [name for name, one in steady.items() if newest and newest - (one.arrived_us or 0) > _SILENT_US]
    if not silent or len(silent) == len(steady):
        return []
    named = ", ".join(silent[:_NAMED]) + (f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else "")
    return [hint("warn", f"Arrived no more for 10 minutes, while other types did: {named}.")]
