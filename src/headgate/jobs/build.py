"""`build`: typed analytical tables from the accepted events, incremental, safe to repeat and to race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from headgate.consumer import Lease
from headgate.errors import CommitConflict, PermanentError
from headgate.jobs.exclusive import held
from headgate.jobs.existing import ExistingLake
from headgate.lake.analytics import BuildSettings, TypedTables
from headgate.lake.analytics_build import TableReport
from headgate.lake.ledger import Ledger

MAX_CONFLICTS = 20  # times that another writer is given way before that is an error
_REFUSAL = "{holder} builds already: wait until it has ended"
_READ_ONLY = 0  # event types that a reader of the ledger may add


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a run did.

    Attributes:
        published: the ledger number up to which events were looked at.
        tables: those with new rows; one that was committed twice is named twice.
    """

    published: int
    tables: list[TableReport]

    @property
    def rows(self) -> int:
        """New rows in all tables."""
        return sum(table.rows for table in self.tables)


def build(
    lake: ExistingLake,
    settings: BuildSettings,
    publish: Callable[[], int],
    lease: Lease | None,
    *,
    now_us: Callable[[], int],
    new_id: Callable[[], str],
    created_date: date | None = None,
    advance: Callable[[float], None] = lambda _: None,
) -> Built:
    """Bring the typed tables up to what is published.

    Args:
        lake: whose events are typed.
        settings: policies and limits.
        publish: shows all rows of the ledger and tells up to which entry; for a preview, only tells.
        lease: taken for the time of the run, so that two runs do not do the same work; None: not taken. No promise
            depends on it.
        now_us: wall clock.
        new_id: never the same twice.
        created_date: build this date anew too.
        advance: is told the number of events as they are read.

    Raises:
        PermanentError: another build is at work, or files that it needs are gone.
        TransientError: the storage did not answer; running it again is safe.
    """
    with held(lease, _REFUSAL):
        ledger = Ledger(lake.storage, max_event_types=_READ_ONLY)
        tables = TypedTables(
            lake.storage,
            settings,
            is_delta=lake.about.format == "delta",
            entries=ledger.entries,
            now_us=now_us,
            new_id=new_id,
            advance=advance,
        )
        done: list[TableReport] = []
        for _ in range(MAX_CONFLICTS):
            published = publish()
            try:
                done.extend(_reports(tables, published, created_date))
            except CommitConflict:
                continue  # what was committed stays; the next look leaves it out
            return Built(published=published, tables=done)
        raise PermanentError(
            f"{lake.path}: another tool changes the tables under analytics/ all the time: stop it, then build again"
        )


def _reports(tables: TypedTables, published: int, created_date: date | None) -> Iterator[TableReport]:
    if created_date is None:
        return tables.bring_up(published)
    return tables.rebuild(created_date, published)


def combined(tables: Sequence[TableReport]) -> list[TableReport]:
    """Reports with one for each table: what its commits did together."""
    found: dict[str, TableReport] = {}
    for table in tables:
        before = found.get(table.folder)
        found[table.folder] = table if before is None else _together(before, table)
    return list(found.values())


def _together(first: TableReport, second: TableReport) -> TableReport:
    drift: Counter[tuple[str, str, str]] = Counter()
    for report in (first, second):
        for name, expected, found, count in report.drift:
            drift[name, expected, found] += count
    new = dict(first.new_columns)
    changed = {name: (before, after) for name, before, after in first.changed_columns}
    for name, before, after in second.changed_columns:
        if name in new:
            new[name] = after
        else:
            changed[name] = (changed.get(name, (before, after))[0], after)
    return replace(
        second,
        rows=first.rows + second.rows,
        files=first.files + second.files,
        is_new=first.is_new,
        new_columns=[*new.items(), *(column for column in second.new_columns if column[0] not in new)],
        changed_columns=[(name, *kinds) for name, kinds in changed.items()],
        drift=[(*kind, count) for kind, count in drift.items()],
    )
