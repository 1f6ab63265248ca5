"""The tables of the report page about what came in: figures in, rows of texts and small charts out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headgate.core.figures import Figures
from headgate.core.histogram import quantile
from headgate.core.measures import UNITS
from headgate.core.shown import cut
from headgate.report.charts import bar, spark
from headgate.report.collect import Report
from headgate.report.people import number, percent, plural, seconds, share, stamp

MOST_TYPES = 25  # event types with a row of their own
MOST = 12  # rows of the other tables
LONG = 96  # characters of a name
_NO_TYPE = "no type could be read"
QUANTILES = (("50 %", 0.5), ("95 %", 0.95), ("99 %", 0.99))


class Head(NamedTuple):
    """A column: its name, and the class of its cells: `n` a number, `less` left out on a phone."""

    text: str
    kind: str = ""


class Row(NamedTuple):
    """Texts and charts; `is_rest` stands for several that are joined."""

    cells: Sequence[object]
    is_rest: bool = False


class Table(NamedTuple):
    """A table of the page."""

    head: Sequence[Head] = ()
    rows: Sequence[Row] = ()
    caption: str = ""


def named(name: str | None) -> str:
    """An event type as it is shown."""
    return _NO_TYPE if name is None else cut(name, LONG)


def types_table(report: Report) -> Table:
    """The types with the most events, and the rest joined."""
    order = sorted(report.types, key=lambda name: (-report.types[name].received, name or ""))
    shown, rest = order[:MOST_TYPES], order[MOST_TYPES:]
    grid = report.history.grid("received", report.span)
    quiet = np.zeros(report.span.steps, dtype=np.int64)
    rows = [Row(_type_cells(named(name), report.types[name], grid.get(name, quiet).tolist())) for name in shown]
    if rest:
        joined = sum((report.types[name] for name in rest), Figures())
        values = np.sum([grid.get(name, quiet) for name in rest], axis=0).tolist()
        rows.append(Row(_type_cells(f"{plural(len(rest), 'more type')}", joined, values), is_rest=True))
    head = [
        Head("type"), Head("received over time", "less"), Head("received", "n"), Head("accepted", "n less"),
        Head("duplicates", "n less"), Head("dup. %", "n"), Head("rejected", "n less"), Head("rej. %", "n"),
        Head("95 % arrive within", "n less"), Head("newest arrival (UTC)", "n less"),
    ]  # fmt: skip
    caption = f"{plural(len(order), 'type')}, those with the most events first. What has no type could not be read."
    return Table(head, rows, caption)


def _type_cells(name: str, figures: Figures, values: Sequence[float]) -> list[object]:
    known = quantile(figures.latency, 0.95, figures.latency_max)
    return [
        name,
        spark(values, f"received over time, at most {number(max(values, default=0))} in a step"),
        number(figures.received),
        number(figures.accepted),
        number(figures.duplicates),
        share(figures.duplicates, figures.received),
        number(figures.rejected),
        share(figures.rejected, figures.received),
        "–" if known is None else seconds(known.seconds),
        stamp(figures.arrived_us),
    ]


def reasons_table(report: Report) -> Table:
    """Rejects by reason, with their course."""
    counts = {name: count for name, count in report.total.reasons.items() if count > 0}
    course: dict[str, Any] = {}
    for (_, name), values in report.history.named("reasons", report.span).items():
        course[name] = course[name] + values if name in course else values
    rows = [
        Row(
            [
                cut(name, LONG),
                number(count),
                share(count, report.total.rejected),
                spark(course[name].tolist() if name in course else [], "rejects over time", "rejected"),
            ]
        )
        for name, count in _most(counts)
    ]
    return Table([Head("reason"), Head("rejects", "n"), Head("of all rejects", "n"), Head("over time", "less")], rows)


def duplicates_table(report: Report) -> Table:
    """Natural and conflicting ones, of all types and of those with the most."""
    order = sorted(report.types.items(), key=lambda pair: -pair[1].duplicates)[:MOST]
    groups = [
        ("all types", report.total),
        *((named(name), figures) for name, figures in order if figures.duplicates > 0),
    ]
    rows = [
        Row([name, number(f.duplicates - f.conflicts), number(f.conflicts), share(f.duplicates, f.received)])
        for name, f in groups
    ]
    return Table([Head("type"), Head("natural", "n"), Head("conflicting", "n"), Head("of received", "n")], rows)


def missing_table(report: Report) -> Table:
    """Fields that are missing, by type, the worst first."""
    found = [
        (figures.missing[field] / of, name, field, figures.missing[field], of)
        for name, figures in report.types.items()
        for field, of in figures.looked.items()
        if of > 0 and figures.missing.get(field, 0) > 0
    ]
    rows = [
        Row([cut(field, LONG), named(name), number(count), number(of), percent(rate)])
        for rate, name, field, count, of in sorted(found, key=lambda one: (-one[0], one[2], one[1] or ""))[: 2 * MOST]
    ]
    head = [Head("field"), Head("type"), Head("missing", "n"), Head("looked at", "n less"), Head("share", "n")]
    return Table(head, rows)


def rules_table(report: Report) -> Table:
    """Accuracy by rule."""
    total = report.total
    rules = sorted({*total.rule_passes, *total.rule_failures})
    rows = []
    for rule in rules:
        passes, failures = total.rule_passes.get(rule, 0), total.rule_failures.get(rule, 0)
        if passes + failures > 0:
            cells = [cut(rule, LONG), number(passes), number(failures), share(passes, passes + failures)]
            rows.append(Row(cells))
    return Table([Head("rule"), Head("passes", "n less"), Head("failures", "n"), Head("accuracy", "n")], rows)


def units_table(report: Report) -> Table:
    """How `created_at` is sent."""
    counts = report.total.units
    events = sum(count for count in counts.values() if count > 0)
    rows = []
    for unit in UNITS:
        if (count := counts.get(unit, 0)) > 0:
            types = sum(figures.units.get(unit, 0) > 0 for figures in report.types.values())
            drawn = bar(count / events, share(count, events))
            rows.append(Row([unit.replace("_", " "), number(count), share(count, events), number(types), drawn]))
    return Table(
        [Head("unit"), Head("events", "n"), Head("share", "n"), Head("types", "n less"), Head("of all", "less")], rows
    )


def switches_table(report: Report) -> Table:
    """Producers that went over to another unit."""
    rows = [
        Row([named(s.event_type), f"{s.before} → {s.unit}".replace("_", " "), stamp(s.began_us), percent(s.share)])
        for s in report.drift.switches[:MOST]
    ]
    head = [Head("type"), Head("from → to"), Head("since (UTC)", "n"), Head("of it since", "n less")]
    return Table(head, rows)


def late_table(report: Report) -> Table:
    """Hours of late events."""
    rows = [
        Row(
            [
                named(hour.event_type),
                stamp(hour.staged_us),
                f"{number(hour.late)} of {number(hour.events)}",
                stamp(hour.created_min_us),
            ]
        )
        for hour in report.drift.late[:MOST]
    ]
    return Table([Head("type"), Head("committed (UTC)", "n"), Head("late", "n"), Head("oldest (UTC)", "n less")], rows)


def turns_table(report: Report) -> Table:
    """Types that stopped or began."""
    rows = [
        Row([named(turn.event_type), what, stamp(turn.at_us), number(turn.events), number(turn.expected)])
        for what, turns in (("stopped", report.drift.stopped), ("new", report.drift.begun))
        for turn in turns[:MOST]
    ]
    return Table(
        [Head("type"), Head("what"), Head("when (UTC)", "n"), Head("events", "n"), Head("expected", "n less")], rows
    )


def warnings_table(report: Report) -> Table:
    """Warnings by kind."""
    counts = {name: count for name, count in report.total.warnings.items() if count > 0}
    rows = [Row([name, number(count), share(count, report.total.received)]) for name, count in _most(counts)]
    return Table([Head("warning"), Head("events", "n"), Head("of received", "n")], rows)


def quantiles_table(report: Report) -> Table:
    """Latency of all events."""
    total = report.total
    found: list[tuple[str, Mapping[float, int], float | None]] = [
        ("created to arrived", total.latency, total.latency_max),
        ("arrived to committed", total.staging, total.staging_max),
    ]
    rows = []
    for name, buckets, longest in found:
        known = [quantile(buckets, q, longest) for _, q in QUANTILES]
        cells = ["–" if one is None else seconds(one.seconds) for one in known]
        rows.append(Row([name, *cells, "–" if longest is None else seconds(longest)]))
    return Table([Head("way"), *(Head(name, "n") for name, _ in QUANTILES), Head("longest", "n")], rows)


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]


TABLES: dict[str, Callable[[Report], Table]] = {
    "types": types_table,
    "reasons": reasons_table,
    "duplicates": duplicates_table,
    "missing": missing_table,
    "rules": rules_table,
    "units": units_table,
    "switches": switches_table,
    "late": late_table,
    "turns": turns_table,
    "warnings": warnings_table,
    "quantiles": quantiles_table,
}
