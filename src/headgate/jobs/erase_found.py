"""What an erasure finds in a lake before anything is touched: rows by table, and files that no reader sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headgate.core.erase_match import Match, Places
from headgate.core.erase_predicate import Mask, Predicate
from headgate.core.filing import TABLES
from headgate.core.limits import Limits
from headgate.core.schema import SETTLED
from headgate.jobs.existing import ExistingLake
from headgate.jobs.transform import FIREHOSE
from headgate.lake.erase_files import DataFile, LakeFiles, find_files
from headgate.lake.erase_read import Hits, search
from headgate.lake.settled import may_be_settled, replays, settled_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseSettings:
    """What is to be erased.

    Attributes:
        where: SQL over the columns of `events`, as given; None for none.
        contains: bytes that a reject must hold; empty for none.
        window_us: of de-duplication, microseconds.
        limits: on inflated records.
    """

    where: str | None
    contains: bytes
    window_us: int
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What an erasure tells while it works.

    Attributes:
        advance: is told the number of files as they are done with.
        describe: is told what goes on.
    """

    advance: Callable[[float], None] = lambda _: None
    describe: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found.

    Attributes:
        files: of the lake.
        tables: rows that readers see, by table.
        hidden: files that readers do not see and that hold such rows.
        kept: rows that a transformation kept and that no table has yet, by table.
        continues: erasures that were interrupted, which this one finishes.
        erased: positions of events that are erased, now or before.
    """

    files: LakeFiles
    tables: Mapping[str, Hits]
    hidden: Sequence[DataFile]
    kept: Mapping[str, Hits]
    continues: Sequence[str]
    erased: Places

    @property
    def rows(self) -> dict[str, int]:
        """How many rows of each table; kept ones as `kept`."""
        counts = {table: _count(hits) for table, hits in self.tables.items()}
        kept = sum(map(_count, self.kept.values()))
        shown = {table: count for table, count in counts.items() if count or table in TABLES}
        return {**shown, **({"kept": kept} if kept else {})}

    @property
    def is_nothing(self) -> bool:
        """True where there is nothing to do."""
        return not (any(self.rows.values()) or self.hidden or self.continues)

    def positions(self, table: str) -> pa.Table:
        """Of the rows that readers see in a table; with the columns of ERASED that it has, and `event_uuid`."""
        return joined(self.tables[table].rows)


def find(
    lake: ExistingLake,
    settings: EraseSettings,
    recorded: pa.Table,
    continues: Sequence[str],
    number: int,
    watch: Watch,
) -> Found:
    """Look through all files.

    Args:
        lake: all of whose entries up to `number` are published.
        settings: what is to be erased.
        recorded: ERASED of earlier erasures.
        continues: those that were interrupted.
        number: of a ledger entry.
        watch: progress.

    Raises:
        ConfigError: the predicate is none, or fails on an event.
        PermanentError: a file is gone or damaged, or a table uses an unknown feature.
        TransientError: the storage did not answer.
    """
    predicate = None if settings.where is None else Predicate(settings.where)
    match = Match(predicate, settings.contains, recorded, _settled(lake), settings.limits)
    files = find_files(lake.storage, lake.about.format, number, FIREHOSE)
    masks: dict[str, Callable[[pa.Table], Mask]] = {name: getattr(match, name) for name in TABLES}
    tables: dict[str, Hits] = {}
    for table in files.files:  # events first: what else goes depends on them
        watch.describe(table)
        live = [file for file in files.files[table] if file.state == "live"]
        tables[table] = search(lake.storage, live, masks.get(table, match.typed), watch.advance)
        if table in ("events", "duplicates"):
            match.found(table, joined(tables[table].rows))
    hidden: list[DataFile] = []
    for table, some in files.files.items():
        others = [file for file in some if file.state != "live"]
        found = search(lake.storage, others, masks.get(table, match.typed), watch.advance)
        hidden += [file for file, _ in found.files]
    kept = {
        name: search(lake.storage, [file for file in files.kept if file.table == name], masks[name], watch.advance)
        for name in TABLES
    }
    return Found(files=files, tables=tables, hidden=hidden, kept=kept, continues=continues, erased=match.events_erased)


def joined(rows: Sequence[pa.Table]) -> pa.Table:
    """Positions of hits as one table; without hits there are still the columns of a position."""
    empty = pa.table({name: pa.array([], pa.string()) for name in ("source", "shard", "sequence")})
    return pa.concat_tables(rows) if rows else empty


def _count(hits: Hits) -> int:
    return sum(count for _, count in hits.files)


def _settled(lake: ExistingLake) -> pa.Table:
    """SETTLED of all replays, as far as something came of the row."""
    if not may_be_settled(lake.storage):
        return SETTLED.empty_table()
    return settled_rows(lake.storage, replays(lake.entry, lake.state().replayed_at)).to_table()
