"""`erase`: one person's rows taken out of every table and every file, with a receipt.

Order matters: rows are recorded before the first one goes, so that each is in its table or in a record; the tables come
first, then files that no reader sees, then what ledger and logs say of files that are gone; the receipt is last.
Killed anywhere, the record without a receipt tells the next erasure to finish it, whatever that one looks for.

Consumers only add and are never waited for. What they stage meanwhile is looked at by the next erasure.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from headgate.consumer import POLL_SECONDS, Lease
from headgate.core.erase_match import Places
from headgate.core.erased import ERASED, erased_of
from headgate.core.filing import TABLES
from headgate.jobs.erase_found import EraseSettings, Found, Watch, find, joined
from headgate.jobs.erase_receipt import Done, receipt_of
from headgate.jobs.existing import ExistingLake
from headgate.lake.erase_files import uncommitted
from headgate.lake.erase_ledger import Left, clean_entries
from headgate.lake.erase_log import clean_versions, renew_checkpoint
from headgate.lake.erase_receipt import drop_digests, interrupted, record, write_receipt
from headgate.lake.erase_tables import DeltaRemoval, remove_in_place
from headgate.lake.erasures import erased_rows, secret_of, write_rows
from headgate.lake.live import read_live
from headgate.lake.vacuum import ORPHAN_US, sweep_unfinished

_ID_BYTES = 4


class Erasure:
    """One run."""

    def __init__(
        self,
        lake: ExistingLake,
        settings: EraseSettings,
        number: int,
        *,
        writers: Lease | None,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep all of it; nothing is read yet.

        Args:
            lake: all of whose entries up to `number` are published, and built where `build` has run.
            settings: what is to be erased.
            number: of the ledger entry up to which is looked.
            writers: the lease of an embedded claim store: whoever has it knows that nobody stages a batch; None for a
                shared store.
            now_us: wall clock in microseconds since 1970 UTC.
            new_id: makes names, never the same twice.
            sleep: waits seconds.
        """
        self._lake, self._storage, self._settings, self._number = lake, lake.storage, settings, number
        self._writers, self._now_us, self._new_id, self._sleep = writers, now_us, new_id, sleep
        self._began_us = now_us()
        self._done = Done()

    def find(self, watch: Watch | None = None) -> Found:
        """Look what there is to erase; nothing is written.

        Args:
            watch: progress.

        Raises:
            ConfigError: the predicate is none, or fails on an event.
            PermanentError: a file is gone or damaged.
            TransientError: the storage did not answer.
        """
        return find(
            self._lake,
            self._settings,
            erased_rows(self._storage),
            interrupted(self._storage),
            self._number,
            watch or Watch(),
        )

    def remove(self, found: Found, watch: Watch | None = None) -> Mapping[str, object]:
        """Erase what was found, under the leases of compaction and build.

        Args:
            found: by `find`.
            watch: progress.

        Returns:
            The receipt.

        Raises:
            PermanentError: a file is gone or damaged.
            TransientError: the storage did not answer, or others were in the way each time; run it again.
            CommitUnknown: likewise.
        """
        erasure = f"{self._text(self._began_us):%Y%m%dT%H%M%SZ}-{secrets.token_hex(_ID_BYTES)}"
        rows = self._record(erasure, found)
        watch = watch or Watch()
        self._remove_rows(found, rows, watch)
        self._delete_hidden(found)
        watch.describe("ledger and logs")
        self._clean(found)
        content = receipt_of(
            erasure,
            found,
            self._done,
            self._settings,
            secret_of(self._storage),
            rows=rows,
            before=[record(self._storage, name) for name in found.continues],
            number=self._number,
            times=(self._text(self._began_us), self._text(self._now_us())),
        )
        return write_receipt(self._storage, erasure, content)

    def _record(self, erasure: str, found: Found) -> pa.Table:
        """Write down which rows go."""
        secret = secret_of(self._storage, is_made=True)
        rows = pa.concat_tables(erased_of(table, _with_columns(found.positions(table)), secret) for table in TABLES)
        write_rows(self._storage, erasure, rows)
        return rows

    def _remove_rows(self, found: Found, rows: pa.Table, watch: Watch) -> None:
        """Take the rows out of the tables, and of what was kept beside them."""
        for table, hits in found.tables.items():
            watch.describe(table)
            goes = Places().plus(rows.filter(pc.equal(rows["table"], table))) if table in TABLES else found.erased
            files = [file for file, _ in hits.files]
            live = found.files.live.get(table)
            if live is None:
                self._done.removed[table] = remove_in_place(self._storage, files, goes, watch.advance)
                continue
            removal = DeltaRemoval(
                self._storage,
                live,
                goes,
                now_us=self._now_us,
                new_id=self._new_id,
                sleep=self._sleep,
                advance=watch.advance,
            )
            self._done.removed[table] = removal.run([file.live for file in files if file.live is not None])
        for hits in found.kept.values():
            goes = Places().plus(joined(hits.rows))
            done = remove_in_place(self._storage, [file for file, _ in hits.files], goes, watch.advance)
            for path in [path for path, left in done.left.items() if not left.rows]:
                self._storage.delete(path)

    def _delete_hidden(self, found: Found) -> None:
        """Delete files that no reader sees: those of writers under way only where surely none is."""
        oldest_us = self._began_us - ORPHAN_US
        staged = {file.path: file.modified_us for file in found.hidden if file.state == "staged"}
        is_alone = self._is_alone(has_patience=any(us >= oldest_us for us in staged.values()))
        try:
            # Asked now: a run that has ended since the files were listed may have committed them.
            free = {path for path in uncommitted(self._storage, staged) if is_alone or staged[path] < oldest_us}
            shown = {path for table in found.files.live for path in read_live(self._storage, table).paths}
            gone = {file.path for file in found.hidden if file.state == "old"} - shown | free
            for path in sorted(gone):
                self._storage.delete(path)
            if is_alone and not self._storage.is_remote:
                self._storage.sweep()
            else:
                sweep_unfinished(self._storage, self._began_us, is_dry_run=False)
        finally:
            if is_alone and self._writers is not None:
                self._writers.release()
        self._done.hidden, self._done.left = len(gone), sorted(staged.keys() - free)

    def _is_alone(self, *, has_patience: bool) -> bool:
        """Take the lease of writers; a holder that was killed far away is waited for where it matters."""
        if self._writers is None:
            return False
        began = time.monotonic()
        while not self._writers.try_acquire():
            if not has_patience or time.monotonic() - began >= self._writers.patience_seconds:
                return False
            self._sleep(POLL_SECONDS)
        return True

    def _clean(self, found: Found) -> None:
        """Take what says something of removed files out of ledger, logs and records."""
        shown: dict[str, set[str]] = {}
        for table in found.files.live:
            is_touched = self._done.removed[table].left or any(file.table == table for file in found.hidden)
            if not (is_touched or found.continues):
                continue
            live = read_live(self._storage, table)
            shown[table] = live.paths
            changed = clean_versions(self._storage, table, {file.name for file in live.files})
            self._done.cleaned[table] = changed, renew_checkpoint(self._storage, table)
        left = self._left(found)
        self._done.entries = clean_entries(self._storage, left, shown, self._number)
        # Only now: whoever goes by an entry finds the file that it names.
        for path in [path for path, rest in left.items() if not rest.rows and self._is_plain(path)]:
            self._storage.delete(path)
        for removed in self._done.removed.values():
            for path in removed.replaced:
                self._storage.delete(path)
        self._done.records = drop_digests(self._storage, self._now_us(), self._settings.window_us)

    def _left(self, found: Found) -> dict[str, Left]:
        """What is left of files; where an erasure was interrupted, of all plain ones."""
        left: dict[str, Left] = {}
        for table in TABLES:
            if found.continues and table not in found.files.live:
                sizes = {file.path: file.size for file in found.files.files[table]}
                left |= {
                    path: Left(path=path, size=sizes[path], rows=count, stats={})
                    for path, count in found.tables[table].counts.items()
                }
            left |= self._done.removed[table].left
        return left

    def _is_plain(self, path: str) -> bool:
        return self._lake.about.format != "delta" and path.partition("/")[0] in TABLES

    def _text(self, us: int) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _with_columns(rows: pa.Table) -> pa.Table:
    """Positions with all columns that a record takes from a table."""
    for name in ("arrived_at", "event_uuid"):
        if name not in rows.column_names:
            kind = ERASED.field(name).type if name in ERASED.names else pa.string()
            rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
    return rows
