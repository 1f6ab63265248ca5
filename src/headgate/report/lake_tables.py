"""The tables of the report page about the lake itself: state, shards, files, typed tables. Pure."""

from __future__ import annotations

from collections.abc import Callable

from headgate.core.shown import cut
from headgate.jobs.status import ShardStatus
from headgate.report.charts import bar
from headgate.report.collect import Report
from headgate.report.lags import told_lags
from headgate.report.people import moment, number, plural, seconds, share, size
from headgate.report.tables import LONG, MOST, Head, Row, Table

_MOST_SHARDS = 20
_MOST_DIGITS = 15  # of a position that is grouped by thousands; one of Kinesis has 56


def typed_table(report: Report) -> Table:
    """Typed tables whose events have drifted from their columns."""
    facts = report.facts
    if facts.built is None:
        return Table(caption="Typed tables were not built yet: headgate build makes them.")
    drifted = [
        (table.name, field, expected, found, count)
        for table in facts.typed
        for (field, expected, found), count in table.drift.items()
    ]
    about = f"{plural(len(facts.typed), 'table')}, built up to entry {number(facts.built)}"
    if not drifted:
        return Table(caption=f"{about}; every value fits its column.")
    rows = [
        Row([cut(name, LONG), cut(field, LONG), cut(f"{expected} → {found}", LONG), number(count)])
        for name, field, expected, found, count in sorted(drifted, key=lambda one: -one[4])[:MOST]
    ]
    head = [Head("table"), Head("field"), Head("expected → found"), Head("values", "n")]
    return Table(head, rows, f"{about}; values that are in no column")


def shards_table(report: Report) -> Table:
    """Where each shard stands, those that are behind first; no lag where another source has a shard of its name."""
    lags = told_lags(report.history.lags, (shard.shard for shard in report.facts.status.shards))

    def behind(shard: ShardStatus) -> tuple[float, float]:
        return (shard.lag_bytes or 0, lags[shard.shard].seconds if shard.shard in lags else 0.0)

    shards = sorted(report.facts.status.shards, key=behind, reverse=True)
    rows = [
        Row(
            [
                cut(shard.shard, LONG),
                _position(shard.position),
                "closed" if shard.is_closed else "–" if shard.lag_bytes is None else size(shard.lag_bytes),
                seconds(lags[shard.shard].seconds) if shard.shard in lags else "–",
            ]
        )
        for shard in shards[:_MOST_SHARDS]
    ]
    more = f", {_MOST_SHARDS} of them shown" if len(shards) > _MOST_SHARDS else ""
    head = [
        Head("shard"),
        Head("position", "n less"),
        Head("not read yet", "n"),
        Head("behind", "n"),
    ]
    return Table(head, rows, f"{plural(len(shards), 'shard')}{more}; those furthest behind at their last commit first")


def files_table(report: Report) -> Table:
    """How each table is laid out."""
    rows = [
        Row(
            [
                table.table,
                number(table.rows),
                number(table.files),
                size(table.size_bytes),
                size(table.mean_bytes) if table.files else "–",
                number(table.small_files),
                number(table.joinable),
                number(table.partitions),
                f"{table.skew:,.1f}×" if table.partitions > 1 else "–",
            ]
        )
        for table in report.facts.tables
    ]
    head = [
        Head("table"), Head("rows", "n"), Head("files", "n"), Head("size", "n"), Head("mean file", "n less"),
        Head("below 8 MiB", "n less"), Head("needless", "n"), Head("partitions", "n less"), Head("skew", "n less"),
    ]  # fmt: skip
    about = (
        "Needless files are small ones that compact would join. Skew is the largest partition against a middling one."
    )
    return Table(head, rows, about)


def biggest_table(report: Report) -> Table:
    """The event types that take the most room."""
    events = report.facts.tables[0]
    rows = [
        Row(
            [
                cut(name, LONG),
                size(count),
                share(count, events.size_bytes),
                bar(count / max(1, events.size_bytes), "share"),
            ]
        )
        for name, count in events.by_type.items()
    ]
    return (
        Table([Head("type"), Head("size", "n"), Head("of all events", "n"), Head("", "less")], rows)
        if rows
        else Table()
    )


def state_table(report: Report) -> Table:
    """What the lake is."""
    status = report.facts.status
    claims = status.claims
    rows = [
        ("format", f"{status.format}, layout {status.layout}"),
        ("ledger", f"entry {number(status.number)}, {moment(status.committed_us)}" if status.number else "empty"),
        ("event types", number(status.event_types)),
        ("claim store", "none yet" if claims.kind is None else f"{claims.kind}: {claims.identity}"),
        ("not published", plural(len(status.unpublished), "entry", "entries") if status.unpublished else "nothing"),
        (
            "lease",
            "held"
            if status.lease and not status.is_lease_stale
            else "left by a dead process"
            if status.lease
            else "free",
        ),
        ("erasures", number(status.erasures.number)),
    ]
    return Table([Head("what"), Head("is", "wide")], [Row(row) for row in rows])


def _position(position: str | None) -> str:
    if position is None:
        return "–"
    return number(int(position)) if position.isdigit() and len(position) <= _MOST_DIGITS else position


LAKE_TABLES: dict[str, Callable[[Report], Table]] = {
    "state": state_table,
    "shards": shards_table,
    "files": files_table,
    "biggest": biggest_table,
    "typed": typed_table,
}
