"""One table's share of a run: rows in, typed and held back in memory, written in few files, committed once.

Rows are fitted by the caller's thread and written by others, so that two cores work; what waits in memory is bounded
by whoever owns the tables of a run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.analytics.align import COMMON, align, arrow_schema
from headgate.core.analytics.fit import Drift, fit
from headgate.core.analytics.kinds import Kind, Member, is_widened, label
from headgate.core.analytics.policy import Contract
from headgate.core.analytics.shape import begin
from headgate.core.schema import EVENTS
from headgate.lake.analytics_files import DataFile, active_files, rewrite, write_files
from headgate.lake.analytics_input import NUMBER
from headgate.lake.analytics_table import Change, TypedTable

MAX_FILE_ROWS = 1_000_000  # rows that one table holds back
MAX_FILE_BYTES = 128 << 20  # bytes in memory that one table holds back; a file of these takes about a fifth
MAX_WRITING_BYTES = 256 << 20  # bytes in memory of what is being written
PIECE_ROWS = 10_000  # rows fitted together: one that does not fit sends all of them the slower way
MAX_PATIENCE = 31  # pieces that go the slower way at once, after others went it in vain
MAX_DRIFT = 200  # kinds of drift that a commit tells apart; the rest is one line
_OTHER_SCHEMA = pa.schema([*COMMON, EVENTS.field("payload")])


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """What a run did to one table, or would do.

    Attributes:
        event_name: whose table.
        folder: below `analytics/`.
        rows: new ones.
        files: written, rewritten ones among them.
        is_new: True where the table was made.
        new_columns: name and type.
        changed_columns: name, type before and after.
        untyped: fields of which nothing but empty arrays and nulls is known.
        drift: values without a column, by field, what was expected and what was found.
    """

    event_name: str
    folder: str
    rows: int
    files: int
    is_new: bool
    new_columns: list[tuple[str, str]]
    changed_columns: list[tuple[str, str, str]]
    untyped: list[str]
    drift: list[tuple[str, str, str, int]]


@dataclass(slots=True)
class Writes:
    """Threads that write files; None writes nothing at all (a preview)."""

    pool: ThreadPoolExecutor | None
    under_way: deque[tuple[Future[list[DataFile]], int]] = field(default_factory=deque)

    def submit(self, write: partial[list[DataFile]], num_bytes: int) -> Future[list[DataFile]] | None:
        """Write, once not too much else is under way."""
        if self.pool is None:
            return None
        while self.under_way and sum(size for _, size in self.under_way) + num_bytes > MAX_WRITING_BYTES:
            wait([self.under_way.popleft()[0]])  # whoever owns it asks for its result
        future = self.pool.submit(write)
        self.under_way.append((future, num_bytes))
        return future


class TableBuild:
    """Rows of one table on their way.

    Attributes:
        table: as it was found.
        waiting_bytes: of rows held back.
    """

    def __init__(
        self, table: TypedTable, contract: Contract, envelope: Collection[str], writes: Writes, run_id: str
    ) -> None:
        """Begin with the table's own columns.

        Args:
            table: as it was found.
            contract: policies.
            envelope: top fields of an event that are no columns.
            writes: where files are written.
            run_id: never the same twice; a part of the names of files.
        """
        self.table = table
        self.waiting_bytes = 0
        self._contract, self._envelope, self._writes = contract, envelope, writes
        self._name = f"{run_id}-{table.log.version + 1}"
        self._shape = begin(table.event_name, table.members, contract)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._files: list[tuple[tuple[Member, ...], Future[list[DataFile]]]] = []
        self._rows = 0
        self._drift: Counter[Drift] = Counter()
        self._in_vain = self._patience = 0  # pieces that go the slower way at once: still, and last time

    @property
    def members(self) -> tuple[Member, ...]:
        """The columns made of fields, as far as they are known by now."""
        return self._shape.members

    def add(self, rows: pa.Table) -> None:
        """Take rows that the table does not have yet; BLOCK of one event name (any, for `_other`)."""
        for start in range(0, rows.num_rows, PIECE_ROWS):
            self._add(rows.slice(start, PIECE_ROWS))

    def _add(self, rows: pa.Table) -> None:
        self._rows += rows.num_rows
        if self.table.is_other:
            typed = rows.select(_OTHER_SCHEMA.names)
        else:
            typed = self._fitted(rows)
        if self._writes.pool is None:
            return
        self._waiting.append(typed)
        self._waiting_rows += typed.num_rows
        self.waiting_bytes += typed.nbytes
        if self._waiting_rows >= MAX_FILE_ROWS or self.waiting_bytes >= MAX_FILE_BYTES:
            self.flush()

    def _fitted(self, rows: pa.Table) -> pa.Table:
        """Rows in the columns of the table; its shape grows."""
        payloads = rows["payload"].combine_chunks()
        tries_at_once = self._in_vain == 0
        fitted = fit(payloads, self._shape, self._contract, self._envelope, tries_at_once=tries_at_once)
        if tries_at_once and not fitted.is_at_once:
            self._patience = min(2 * self._patience + 1, MAX_PATIENCE)
            self._in_vain = self._patience
        else:
            self._in_vain = max(0, self._in_vain - 1)
        self._shape = fitted.shape
        self._drift += fitted.drift
        columns = [*(rows[name] for name in COMMON.names), *fitted.columns]
        return pa.Table.from_arrays(columns, schema=arrow_schema(fitted.shape.members))

    def flush(self) -> None:
        """Begin to write what is held back."""
        if not self._waiting:
            return
        members, waiting = self.members, self._waiting
        name = f"{self._name}-{len(self._files)}"
        future = self._writes.submit(partial(_write, self.table, name, waiting, members), self.waiting_bytes)
        self._waiting, self._waiting_rows, self.waiting_bytes = [], 0, 0
        if future is not None:
            self._files.append((members, future))

    def finish(self, number: int, table_id: str, now_ms: int, rebuilt: str | None = None) -> TableReport | None:
        """Write the rest and commit.

        Args:
            number: the ledger number that the table has reached with these rows.
            table_id: for a table that is made.
            now_ms: time of the commit.
            rebuilt: ISO date whose earlier rows go.

        Returns:
            What was done, or would be; None where there was nothing to do, or another build has done it.

        Raises:
            CommitConflict, TransientError, PermanentError: see TypedTable.commit.
        """
        self.flush()
        replaced: list[DataFile] = []
        if rebuilt is not None and self.table.meta is not None:
            replaced = active_files(self.table.log.storage, self.table.path, self.table.log.version, rebuilt)
        if not self._rows and not replaced:
            return None
        if self._writes.pool is None:
            return self._report(0)
        added = [file for written in self._own_files() for file in written]
        gone = {file.path for file in replaced}
        change = Change(
            number=number,
            members=None if self.table.is_other else self.members,
            added=added,
            replaced=replaced,
            rewritten=self._rewritten(gone),
            drift=[] if rebuilt else self._drift_lines(),
            table_id=table_id,
            is_rebuilt=rebuilt is not None,
        )
        report = self._report(len(added) + len(change.rewritten))
        return report if self.table.commit(change, now_ms) else None

    def _own_files(self) -> list[list[DataFile]]:
        """The files of this run; those written before a column became a double are written again."""
        found = []
        for i, (members, future) in enumerate(self._files):
            files = future.result()
            if _widened(members, self.members):
                table = self.table
                files = [
                    rewrite(table.log.storage, table.path, f"{self._name}-{i}-{k}-wide", file, self.members)
                    for k, file in enumerate(files)
                ]
            found.append(files)
        return found

    def _rewritten(self, gone: Collection[str]) -> list[tuple[DataFile, DataFile]]:
        """The files that the table had before a column became a double, each with the one in its place."""
        table = self.table
        if table.meta is None or not _widened(table.members, self.members):
            return []
        files = [f for f in active_files(table.log.storage, table.path, table.log.version) if f.path not in gone]
        return [
            (file, rewrite(table.log.storage, table.path, f"{self._name}-wide-{i}", file, self.members))
            for i, file in enumerate(files)
        ]

    def _drift_lines(self) -> list[tuple[str, str, str, int]]:
        most = self._drift.most_common(MAX_DRIFT)
        rest = self._drift.total() - sum(count for _, count in most)
        return [(*drift, count) for drift, count in most] + ([("*", "*", "*", rest)] if rest else [])

    def _report(self, num_files: int) -> TableReport:
        before = {member.field: member for member in self.table.members}
        new = [(m.column, label(m.kind)) for m in self.members if m.field not in before]
        changed = [
            (m.column, label(before[m.field].kind), label(m.kind))
            for m in self.members
            if m.field in before and label(before[m.field].kind) != label(m.kind)
        ]
        return TableReport(
            event_name=self.table.event_name,
            folder=self.table.folder,
            rows=self._rows,
            files=num_files,
            is_new=self.table.meta is None,
            new_columns=new,
            changed_columns=changed,
            untyped=[name for name, why in self._shape.aside if why == "untyped"],
            drift=self._drift_lines(),
        )


def missing_rows(rows: pa.Table, table: TypedTable) -> pa.Table:
    """Those of a block's rows that were committed after what the table holds."""
    if table.log.number == 0:
        return rows
    return rows.filter(pc.greater(rows[NUMBER], table.log.number))


def _widened(before: tuple[Member, ...], after: tuple[Member, ...]) -> bool:
    kinds: dict[str, Kind] = {member.field: member.kind for member in after}
    return any(is_widened(member.kind, kinds[member.field]) for member in before)


def _write(table: TypedTable, name: str, waiting: list[pa.Table], members: tuple[Member, ...]) -> list[DataFile]:
    if not table.is_other:
        waiting = [align(rows, members) for rows in waiting]
    return write_files(table.log.storage, table.path, name, pa.concat_tables(waiting))
