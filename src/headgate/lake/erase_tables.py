"""Taking recorded rows out of tables: of Delta tables by a version of the log, of plain files in place.

Law: which rows go was recorded before, and nothing else goes. In a Delta table the rows that stay are written beside,
and one version of the log exchanges the files; whoever took a file away meanwhile has won, and what is there then is
looked at anew. A plain file is replaced under its own name by one put; one without rows stays there, empty, until the
ledger says that nothing is left of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from headgate.core.erase_match import Places
from headgate.core.filing import places
from headgate.errors import CommitConflict, PermanentError, TransientError
from headgate.lake.erase_files import DataFile
from headgate.lake.erase_ledger import Left
from headgate.lake.erase_read import rows_of_file, search
from headgate.lake.join import FileTaken, filtered, new_path_beside
from headgate.lake.lines import lines_of
from headgate.lake.live import LiveFile, LiveFiles, read_live
from headgate.lake.parquet import SUFFIX as PARQUET
from headgate.lake.rewrite import Joined, RewriteLog
from headgate.lake.storage import Storage

MOST_PLANS = 5  # of one table, each after somebody else won
_COMMIT_FILES, _COMMIT_BYTES = 1_000, 1 << 30  # that one commit exchanges at most


@dataclass(kw_only=True)
class Removed:
    """What was done to one table.

    Attributes:
        rewritten: files of which rows are left; `deleted`: those of which none is.
        version_from: of the log before; None for a plain table.
        version_to: of the log afterwards.
        left: what is left of each file that was looked at, by its old path.
        replaced: paths of files that the newest version of a log does not show any more, to be deleted.
    """

    rewritten: int = 0
    deleted: int = 0
    version_from: int | None = None
    version_to: int | None = None
    left: dict[str, Left] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def add(self, path: str, left: Left) -> None:
        """Enter one more file."""
        self.left[path] = left
        self.rewritten += left.rows > 0
        self.deleted += not left.rows


class DeltaRemoval:
    """Takes rows out of one Delta table."""

    def __init__(
        self,
        storage: Storage,
        live: LiveFiles,
        goes: Places,
        *,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        sleep: Callable[[float], None],
        advance: Callable[[float], None],
    ) -> None:
        """Nothing is done yet.

        Args:
            storage: of the lake.
            live: the version that was looked at.
            goes: positions of the rows that go.
            now_us: wall clock in microseconds since 1970 UTC.
            new_id: makes names, never the same twice.
            sleep: waits seconds.
            advance: is told the number of files as they are done with.
        """
        self._storage, self._live, self._goes = storage, live, goes
        self._now_us, self._new_id, self._sleep, self._advance = now_us, new_id, sleep, advance
        self._done = Removed(version_from=live.version, version_to=live.version)

    def run(self, files: Sequence[LiveFile]) -> Removed:
        """Commit until no row is left that goes.

        Args:
            files: those that hold such rows.

        Raises:
            TransientError: the storage did not answer, or others won each time; run it again.
            PermanentError: a file is gone or damaged.
        """
        lost: set[str] = set()
        for _ in range(MOST_PLANS):
            if not files or self._is_done(files):
                self._delete_lost(lost)
                return self._done
            lost |= {file.path for file in files}
            self._live = read_live(self._storage, self._live.table)
            found = search(self._storage, _data_files(self._live), self._holds, lambda _: None)
            files = [file.live for file, _ in found.files if file.live is not None]
        raise TransientError(
            f"{self._storage.root}/{self._live.table}: another process took files away whose rows were to be erased, "
            f"{MOST_PLANS} times: run erase again"
        )

    def _delete_lost(self, paths: set[str]) -> None:
        """Delete files that others took out of the table, and that hold rows that go."""
        if paths:
            for path in sorted(paths - read_live(self._storage, self._live.table).paths):
                self._storage.delete(path)

    def _is_done(self, files: Sequence[LiveFile]) -> bool:
        """One try; False where somebody was in the way."""
        log = RewriteLog(
            self._storage,
            self._live,
            now_us=self._now_us,
            new_id=self._new_id,
            sleep=self._sleep,
            is_data_changed=True,
        )
        waiting: list[Joined] = []
        is_whole = True
        try:
            for file in files:
                try:
                    waiting.append(self._rest(log, file))
                except FileTaken:
                    is_whole = False
                self._advance(1)
                if len(waiting) >= _COMMIT_FILES or sum(joined.size for joined in waiting) >= _COMMIT_BYTES:
                    is_whole = self._commit(log, waiting) and is_whole
                    waiting = []
            return self._commit(log, waiting) and is_whole
        except CommitConflict:
            return False

    def _rest(self, log: RewriteLog, file: LiveFile) -> Joined:
        """The rows of a file that stay, written beside it."""
        content = self._storage.get(file.path)
        if content is None:
            if log.is_gone(file):
                raise FileTaken(f"{file.path} was taken away meanwhile")
            where = f"{self._storage.root}/{file.path}"
            raise PermanentError(f"{where} is in the table's log and gone: restore it from a backup")
        made = filtered(f"{self._storage.root}/{file.path}", content, self._stays)
        path = new_path_beside(file, self._new_id) if made.rows else ""
        if path:
            self._storage.put(path, made.content)
        return Joined(
            path=path,
            size=len(made.content) if path else 0,
            rows=made.rows,
            stats=made.stats,
            files=(file,),
            written_us=self._now_us(),
        )

    def _commit(self, log: RewriteLog, waiting: Sequence[Joined]) -> bool:
        """Exchange the files; False where some were taken away."""
        if not waiting:
            return True
        committed = log.commit(waiting)
        self._done.version_to = log.version
        for joined in committed:
            for file in joined.files:
                left = Left(path=joined.path or file.path, size=joined.size, rows=joined.rows, stats=joined.stats)
                self._done.add(file.path, left)
                self._done.replaced.append(file.path)
        return len(committed) == len(waiting)

    def _holds(self, rows: pa.Table) -> np.ndarray:
        return self._goes.holds(places(rows))

    def _stays(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        return pa.array(~self._goes.holds(places(pa.Table.from_batches([batch]))))


def remove_in_place(
    storage: Storage, files: Iterable[DataFile], goes: Places, advance: Callable[[float], None]
) -> Removed:
    """Take rows out of plain files.

    Args:
        storage: of the lake.
        files: those that hold such rows.
        goes: positions of the rows that go.
        advance: is told the number of files as they are done with.

    Raises:
        PermanentError: a file cannot be read.
        TransientError: the storage did not answer; run it again.
    """
    done = Removed()
    for file in files:
        content = storage.get(file.path)
        if content is not None:
            rest, rows = _rest_of(storage, file, content, goes)
            storage.put(file.path, rest)
            done.add(file.path, Left(path=file.path, size=len(rest), rows=rows, stats={}))
        advance(1)
    return done


def _rest_of(storage: Storage, file: DataFile, content: bytes, goes: Places) -> tuple[bytes | memoryview, int]:
    if file.path.endswith(PARQUET):
        made = filtered(
            f"{storage.root}/{file.path}",
            content,
            lambda batch: pa.array(~goes.holds(places(pa.Table.from_batches([batch])))),
        )
        return made.content, made.rows
    masks = [goes.holds(places(rows)) for rows in rows_of_file(file, content)]
    is_gone = np.concatenate(masks) if masks else np.zeros(0, dtype=np.bool_)
    kept = [line + b"\n" for line, gone in zip(lines_of(content), is_gone, strict=True) if not gone]
    rest = b"".join(kept)
    return (gzip.compress(rest, 1, mtime=0) if file.path.endswith(".gz") else rest), len(kept)


def _data_files(live: LiveFiles) -> list[DataFile]:
    return [DataFile(table=live.table, path=f.path, size=f.size, state="live", live=f) for f in live.files]
