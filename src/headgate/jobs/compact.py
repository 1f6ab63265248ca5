"""`compact`: small files of a Delta lake joined to large ones, removed versions and orphans deleted.

Law: runs beside consumers and never holds them up; whoever commits first wins. Killed anywhere, the lake is as before
or as after a commit, and files that were written for nothing are orphans, which a later run deletes.

Order matters: files are joined, then a checkpoint is written, then removed files are deleted, then orphans. Digests of
erased ids whose window has passed are dropped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from headgate.consumer import Lease
from headgate.core.schema import TABLES
from headgate.errors import CommitConflict, ConfigError, TransientError
from headgate.jobs.exclusive import held
from headgate.jobs.existing import ExistingLake
from headgate.lake.bins import Bin, plan
from headgate.lake.delta_log import write_checkpoint
from headgate.lake.erase_receipt import drop_digests
from headgate.lake.join import FileTaken, join, new_path_beside
from headgate.lake.live import LiveFiles, read_live
from headgate.lake.rewrite import Joined, RewriteLog
from headgate.lake.storage import Storage
from headgate.lake.vacuum import Vacuum, cutoff_us, old_files, sweep_unfinished

MOST_PLANS = 5  # of one table in one run, each after somebody else won
_COMMIT_FILES = 5_000  # files replaced by one commit at most, and
_COMMIT_BYTES = 1 << 30  # bytes
_ANALYTICS = "analytics/"
_REFUSAL = "the lake is being compacted by {holder}: let it finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactSettings:
    """What a compaction is told.

    Attributes:
        target_file_bytes: a file of this size is large enough.
        retention_us: how long removed files are kept, in microseconds.
        is_dry_run: count only; nothing is written or deleted.
        with_orphans: look for files that nobody names; lists every file of the lake.
    """

    target_file_bytes: int
    retention_us: int
    is_dry_run: bool = False
    with_orphans: bool = True


@dataclass(kw_only=True)
class TableCompacted:
    """What was done to one table.

    Attributes:
        files_before: live files; `files_after`, once joined (of a dry run: about).
        bytes_before: of these files; `bytes_after`, once joined (of a dry run: the same).
        joined: files that were replaced by larger ones.
        commits: versions of the log that were written.
        vacuumed: removed files that were deleted, and `vacuumed_bytes`.
        orphans: files that nobody names, deleted.
        left: why the table was left alone; empty where it was not.
    """

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    joined: int = 0
    commits: int = 0
    vacuumed: int = 0
    vacuumed_bytes: int = 0
    orphans: int = 0
    left: str = ""


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What a compaction did: each table by its folder, and unfinished files that were deleted."""

    tables: dict[str, TableCompacted] = field(default_factory=dict)
    unfinished: int = 0


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a compaction tells and asks while it works.

    Attributes:
        advance: is told the number of files as they are done with.
        describe: is told what goes on.
        stop: says that nothing new shall be begun.
    """

    advance: Callable[[float], None] = lambda _: None
    describe: Callable[[str], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False


def compact(
    lake: ExistingLake,
    lease: Lease,
    settings: CompactSettings,
    *,
    now_us: Callable[[], int],
    watch: Watch | None = None,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    sleep: Callable[[float], None] = time.sleep,
) -> Compacted:
    """Compact every table.

    Args:
        lake: of format delta.
        lease: of compactions of this lake; saves double work, correctness does not depend on it.
        settings: see CompactSettings.
        now_us: wall clock in microseconds since 1970 UTC.
        watch: progress, and whether to stop.
        new_id: makes names, never the same twice.
        sleep: waits seconds.

    Raises:
        ConfigError: the lake is of another format.
        PermanentError: another compaction is under way, or a file is damaged.
        TransientError: the storage did not answer, or others won each time; run it again.
    """
    if lake.about.format != "delta":
        raise ConfigError(
            f"{lake.path} is of format {lake.about.format}, whose folders are read as they are, so that no file can be "
            "exchanged unseen: only lakes of format delta are compacted (`headgate run SOURCE LAKE --format delta`)"
        )
    watch = watch or Watch()
    with held(None if settings.is_dry_run else lease, _REFUSAL, sleep=sleep):
        done = Compacted(
            unfinished=sweep_unfinished(lake.storage, now_us(), is_dry_run=settings.is_dry_run)
            if settings.with_orphans
            else 0
        )
        if not settings.is_dry_run:
            drop_digests(lake.storage, now_us())
        for table in tables_of(lake.storage):
            if watch.stop():
                break
            compaction = _Compaction(lake.storage, table, settings, watch, now_us=now_us, new_id=new_id, sleep=sleep)
            done.tables[table] = compaction.run()
    return done


def tables_of(storage: Storage) -> Sequence[str]:
    """The folders of all Delta tables of a lake, relative to it."""
    logs = "/_delta_log/"
    analytics = {path.partition(logs)[0] for path in storage.list(_ANALYTICS) if logs in path}
    return [*TABLES, *sorted(table for table in analytics if table.count("/") == 1)]


class _Compaction:
    """Of one table."""

    def __init__(
        self,
        storage: Storage,
        table: str,
        settings: CompactSettings,
        watch: Watch,
        *,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        sleep: Callable[[float], None],
    ) -> None:
        self._storage, self._table, self._settings, self._watch = storage, table, settings, watch
        self._now_us, self._new_id, self._sleep = now_us, new_id, sleep
        self._done = TableCompacted()
        self._is_whole = True

    def run(self) -> TableCompacted:
        """Join, write a checkpoint, delete what is not needed any more."""
        done = self._done
        self._watch.describe(self._table)
        live = read_live(self._storage, self._table)
        done.files_before = done.files_after = len(live.files)
        done.bytes_before = done.bytes_after = live.size
        if live.unknown:
            done.left = f"it uses {', '.join(live.unknown)}"
            return done
        self._join_all(live)
        if done.commits:
            write_checkpoint(self._storage, self._table)
        if not self._watch.stop():
            self._vacuum()
        return done

    def _join_all(self, live: LiveFiles) -> None:
        """Plan and join until nobody is in the way."""
        for _ in range(MOST_PLANS):
            bins = plan(live.files, self._settings.target_file_bytes, self._today())
            if self._settings.is_dry_run:
                self._count(bins)
                return
            self._is_whole = True
            try:
                self._join(live, bins)
            except CommitConflict:
                self._is_whole = False
            if self._is_whole:
                return
            live = read_live(self._storage, self._table)
        raise TransientError(
            f"{self._storage.root}/{self._table}: another process took files away that were to be joined, "
            f"{MOST_PLANS} times: run compact again"
        )

    def _join(self, live: LiveFiles, bins: Sequence[Bin]) -> None:
        """Join all bins but those of which others take files away. What an error leaves behind are orphans."""
        log = RewriteLog(self._storage, live, now_us=self._now_us, new_id=self._new_id, sleep=self._sleep)
        waiting: list[Joined] = []
        for b in bins:
            if self._watch.stop():
                break
            made = join(
                self._storage,
                b.files,
                self._settings.target_file_bytes,
                new_path=partial(new_path_beside, b.files[0], self._new_id),
                now_us=self._now_us,
                is_gone=log.is_gone,
            )
            try:
                for joined in made:
                    waiting.append(joined)
                    if _is_full(waiting):
                        self._commit(log, waiting)
                        waiting = []
            except FileTaken:
                self._is_whole = False
            self._watch.advance(len(b.files))
        if waiting:
            self._commit(log, waiting)

    def _commit(self, log: RewriteLog, waiting: Sequence[Joined]) -> None:
        """Put them in place, but for those of which others took files away."""
        committed = log.commit(waiting)
        replaced = [file for joined in committed for file in joined.files]
        self._done.joined += len(replaced)
        self._done.files_after += len(committed) - len(replaced)
        self._done.bytes_after += sum(j.size for j in committed) - sum(file.size for file in replaced)
        self._done.commits += bool(committed)
        self._is_whole = self._is_whole and len(committed) == len(waiting)

    def _count(self, bins: Sequence[Bin]) -> None:
        """What joining would do."""
        made = sum(-(-b.size // self._settings.target_file_bytes) for b in bins)
        self._done.joined = sum(len(b.files) for b in bins)
        self._done.files_after += made - self._done.joined

    def _vacuum(self) -> None:
        settings, now_us = self._settings, self._now_us()
        listed = old_files(self._storage, self._table, now_us) if settings.with_orphans else set()
        live = read_live(self._storage, self._table)  # after the listing: what came into the table meanwhile stays
        vacuum = Vacuum(self._storage, live, now_us=now_us, is_dry_run=settings.is_dry_run)
        cutoff = cutoff_us(self._storage, self._table, now_us, settings.retention_us)
        self._done.vacuumed, self._done.vacuumed_bytes = vacuum.delete_removed(cutoff, self._watch.advance)
        self._done.orphans = vacuum.delete_orphans(listed)

    def _today(self) -> str:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._now_us())).date().isoformat()


def _is_full(waiting: Sequence[Joined]) -> bool:
    return sum(len(j.files) for j in waiting) >= _COMMIT_FILES or sum(j.size for j in waiting) >= _COMMIT_BYTES
