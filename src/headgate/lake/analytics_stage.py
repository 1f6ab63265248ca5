"""The tables of one pass over some files: rows are told apart by event name, and each table is committed once.

One thread reads and types; others write files and commit tables, while the rows of the next type are typed already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from headgate.core.analytics.kinds import label
from headgate.core.analytics.names import OTHER
from headgate.core.analytics.policy import Contract
from headgate.errors import CommitConflict, PermanentError
from headgate.lake.analytics_build import TableBuild, TableReport, Writes, missing_rows
from headgate.lake.analytics_names import TableNames
from headgate.lake.analytics_registry import DriftCount, Registry, TableFacts, add_drift
from headgate.lake.analytics_table import TypedTable, drift_since, open_typed
from headgate.lake.storage import Storage

MAX_WAITING_BYTES = 256 << 20  # bytes of typed rows held back by all tables of a type together
_WRITERS = 2  # threads that encode files, one a core of a small machine
_LOCAL_COMMITS, _REMOTE_COMMITS = 2, 16  # threads that open and commit tables; a remote one waits for answers


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How tables are built.

    Attributes:
        contract: what may become of fields.
        envelope: top fields of an event that are no columns, because the common columns hold them.
        max_tables: tables of their own that event names may have.
        is_preview: True where nothing may be written.
    """

    contract: Contract
    envelope: Collection[str] = ("event_uuid", "event_name", "created_at")
    max_tables: int = 1_000
    is_preview: bool = False


class Stage:
    """One pass. Called by one thread."""

    def __init__(
        self,
        storage: Storage,
        settings: BuildSettings,
        *,
        upto: int,
        rebuilt: date | None,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """Start the threads.

        Args:
            storage: of the lake.
            settings: how tables are built.
            upto: the ledger number that every table has reached with this pass.
            rebuilt: the date whose rows are replaced; None where only rows are added that a table does not have.
            now_us: wall clock.
            new_id: never the same twice.
        """
        self._storage, self._settings, self._upto, self._rebuilt = storage, settings, upto, rebuilt
        self._now_us, self._new_id, self._run_id = now_us, new_id, new_id()
        self._names = TableNames(storage, settings.max_tables)
        self._writes = Writes(None if settings.is_preview else ThreadPoolExecutor(_WRITERS, "build-write"))
        self._pool = ThreadPoolExecutor(_REMOTE_COMMITS if storage.is_remote else _LOCAL_COMMITS, "build-commit")
        self._open: dict[str, TableBuild] = {}  # by folder; of the type at work, and `_other`
        self._begun: set[str] = set()  # folders: each is opened, and committed, once in a pass
        self._ending: list[tuple[TableBuild, Future[TableReport | None]]] = []
        self._done: dict[str, tuple[TypedTable, TableReport | None]] = {}

    def add(self, block: pa.Table) -> None:
        """Take some rows, BLOCK of one event type."""
        parts = _by_name(block)
        folders = self._names.settle([name for name, _ in parts], is_written=not self._settings.is_preview)
        self._begin([(name, folders[name]) for name, _ in parts])
        for event_name, rows in parts:
            build = self._open[folders[event_name]]
            build.add(rows if self._rebuilt else missing_rows(rows, build.table))
        while sum(build.waiting_bytes for build in self._open.values()) > MAX_WAITING_BYTES:
            max(self._open.values(), key=lambda build: build.waiting_bytes).flush()

    def end_type(self) -> Iterator[TableReport]:
        """Begin to commit the tables of the type; `_other` takes rows of the next one too.

        Yields:
            What was committed meanwhile.
        """
        self._finish([folder for folder in self._open if folder != OTHER])
        yield from self._ended()

    def end(self) -> Iterator[TableReport]:
        """Commit all that is left.

        Raises:
            CommitConflict, TransientError, PermanentError: of the first table that could not be committed, after
                all others were.
        """
        if self._rebuilt:  # a table may hold rows of the date that `events` no longer has
            known = self._names.folders.items()
            self._begin([(name, folder) for name, folder in known if folder not in self._begun])
        self._finish(list(self._open))
        wait([future for _, future in self._ending])
        yield from self._ended()

    def note(self, registry: Registry) -> None:
        """Enter in the registry what the tables looked at are now."""
        for folder, (table, report) in self._done.items():
            facts = registry.tables.setdefault(table.event_name, TableFacts(folder=folder))
            add_drift(facts, (DriftCount(*line) for line in drift_since(table, facts.version)))
            facts.version = table.log.version
            facts.fields = {m.column: (m.field, label(m.kind)) for m in table.members}
            if report is not None:
                facts.untyped = report.untyped

    def close(self) -> None:
        """End the threads, after what they are about."""
        self._pool.shutdown(cancel_futures=True)
        if self._writes.pool is not None:
            self._writes.pool.shutdown(cancel_futures=True)

    def _begin(self, tables: Collection[tuple[str, str]]) -> None:
        """Open those of the tables (event name, folder) that are not open yet, side by side."""
        wanted = {folder: OTHER if folder == OTHER else name for name, folder in tables if folder not in self._open}
        opened = self._pool.map(lambda item: open_typed(self._storage, item[1], item[0]), wanted.items())
        for table in opened:
            if table.folder in self._begun:  # what came first is committed: these rows would be taken for old ones
                raise PermanentError(
                    f"{self._storage.root}/events holds rows of {table.event_name!r} under two event types: "
                    "`headgate verify` names what is wrong"
                )
            self._begun.add(table.folder)
            if self._rebuilt and table.log.number > self._upto:
                raise CommitConflict(f"{table.path}: another build has gone on meanwhile")
            settings = self._settings
            self._open[table.folder] = TableBuild(
                table, settings.contract, settings.envelope, self._writes, self._run_id
            )

    def _finish(self, folders: Collection[str]) -> None:
        rebuilt = None if self._rebuilt is None else self._rebuilt.isoformat()
        for folder in folders:
            build = self._open.pop(folder)
            build.flush()
            now_ms = self._now_us() // 1_000
            self._ending.append((build, self._pool.submit(build.finish, self._upto, self._new_id(), now_ms, rebuilt)))

    def _ended(self) -> Iterator[TableReport]:
        """Reports of tables whose commit is done, in order; an error is raised once all before it were told."""
        while self._ending and self._ending[0][1].done():
            build, future = self._ending.pop(0)
            report = future.result()
            if report is not None:
                build.table.members = build.members
                yield report
            self._done[build.table.folder] = (build.table, report)


def _by_name(block: pa.Table) -> list[tuple[str, pa.Table]]:
    """A block's rows by their event name, each in their order."""
    encoded = block["event_name"].combine_chunks().dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    if len(names) == 1:
        return [(names[0], block)]
    ordered = block.take(pa.array(np.argsort(codes, kind="stable")))
    ends = np.cumsum(np.bincount(codes, minlength=len(names))).tolist()
    return [
        (name, ordered.slice(start, end - start)) for name, start, end in zip(names, [0, *ends], ends, strict=False)
    ]
