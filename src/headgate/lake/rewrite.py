"""Replacing files of a Delta table by others that hold the same rows, or fewer of them.

Law: every version of the log after the one that was planned on is read before the next one is written, by
put-if-absent. Whoever took a file away meanwhile has won: what was made of it is left out. Commits that only add
(the consumer's) are no conflict and are never waited for. Format: the Delta transaction protocol, actions
`commitInfo`, `remove` and `add`, with `dataChange` false where the rows are the same, so that no reader of changes sees
a row again; `txn` actions of earlier versions stay in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from headgate.errors import CommitConflict, CommitUnknown, TransientError
from headgate.lake.delta_log import version_path
from headgate.lake.live import LiveFile, LiveFiles, partition_of
from headgate.lake.storage import Storage

MOST_TRIES = 200  # to be the next version, beside writers that are quicker
MOST_FAILURES = 5  # answers of the storage that are waited for
FIRST_WAIT_SECONDS = 0.1
STALE_US = 12 * 3_600_000_000  # age of a written file at which it is not committed any more; orphans go after a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A file that was written and is in no log yet, and those whose rows it holds.

    Attributes:
        path: relative to the lake; empty where no row of the files is left, so that nothing was written.
        size: bytes.
        rows: number of rows.
        stats: Delta statistics.
        files: what it replaces; all of one partition.
        written_us: when.
    """

    path: str
    size: int
    rows: int
    stats: Mapping[str, Any]
    files: Sequence[LiveFile]
    written_us: int


class _Path(msgspec.Struct):
    path: str


class _Info(msgspec.Struct):
    rewrite: str = ""


class _Action(msgspec.Struct, rename={"info": "commitInfo", "metadata": "metaData"}):
    """One line of the log, as far as it matters here."""

    remove: _Path | None = None
    info: _Info | None = None
    protocol: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


_ACTION = msgspec.json.Decoder(_Action)


class RewriteLog:
    """Extends one table's log from the version that was planned on. One instance belongs to one thread."""

    def __init__(
        self,
        storage: Storage,
        live: LiveFiles,
        *,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        sleep: Callable[[float], None],
        is_data_changed: bool = False,
    ) -> None:
        """Keep where to begin; nothing is read yet.

        Args:
            storage: of the lake.
            live: what was planned on.
            now_us: wall clock in microseconds since 1970 UTC.
            new_id: makes names, never the same twice.
            sleep: waits seconds before a storage that did not answer is asked again.
            is_data_changed: rows are taken out.
        """
        self._storage, self._table, self._version = storage, live.table, live.version
        self._is_data_changed = is_data_changed
        self._now_us, self._new_id, self._sleep = now_us, new_id, sleep
        self._gone: set[str] = set()
        self._seen: set[str] = set()
        self._is_changed = False

    def commit(self, joined: Sequence[Joined]) -> Sequence[Joined]:
        """Put files in the place of others, in one version of the log.

        Args:
            joined: files that were written and belong to no version yet.

        Returns:
            Those that were committed; the others are deleted, because somebody took away a file that they replace.

        Raises:
            CommitConflict: the table itself changed (its schema, its features): plan anew.
            TransientError: other writers were quicker each time, or the storage did not answer.
            CommitUnknown: no answer, and none to the question. Nothing was deleted.
        """
        name, failures = self._new_id(), 0
        for _ in range(MOST_TRIES):
            self._advance()
            if name in self._seen:
                return joined
            if self._is_changed:
                raise CommitConflict(f"{self._table}: its schema or its features changed meanwhile")
            joined = self._without_lost(joined)
            if not joined:
                return ()
            try:
                if self._put(self._content(name, joined)):
                    self._version += 1
                    return joined
            except TransientError:
                failures += 1
                if failures == MOST_FAILURES:
                    raise
                self._sleep(FIRST_WAIT_SECONDS * 2**failures)
        raise TransientError(
            f"{self._table}: other writers were quicker {MOST_TRIES} times; the next run goes on from here"
        )

    def discard(self, joined: Sequence[Joined]) -> None:
        """Delete files that certainly are in no version."""
        for file in joined:
            if file.path:
                self._storage.delete(file.path)

    @property
    def version(self) -> int:
        """The last one that was read or written."""
        return self._version

    def is_gone(self, file: LiveFile) -> bool:
        """True where somebody took the file away since the version that was planned on; reads on first."""
        self._advance()
        return file.name in self._gone

    def _put(self, content: bytes) -> bool:
        """Write the next version; False where somebody else did, or where nobody can tell: it is read then."""
        path = version_path(self._table, self._version + 1)
        try:
            return self._storage.put_if_absent(path, content)
        except TransientError as error:
            try:
                is_there = self._storage.exists(path)
            except TransientError as second:
                raise CommitUnknown(f"{path}: no answer to the commit, and none to the question: {second}") from error
            if not is_there:
                raise
            return False

    def _without_lost(self, joined: Sequence[Joined]) -> Sequence[Joined]:
        oldest_us = self._now_us() - STALE_US
        lost = [j for j in joined if j.written_us < oldest_us or any(file.name in self._gone for file in j.files)]
        if lost:
            self.discard(lost)
        return [j for j in joined if j not in lost]

    def _advance(self) -> None:
        """Read every version after the last one read."""
        if not self._storage.exists(version_path(self._table, self._version)):
            raise CommitConflict(f"{self._table}: its log was cleaned up meanwhile")
        while (content := self._storage.get(version_path(self._table, self._version + 1))) is not None:
            for line in content.splitlines():
                action = _ACTION.decode(line)
                if action.remove is not None:
                    self._gone.add(action.remove.path)
                elif action.info is not None:
                    self._seen.add(action.info.rewrite)
                elif action.protocol is not None or action.metadata is not None:
                    self._is_changed = True
            self._version += 1

    def _content(self, name: str, joined: Sequence[Joined]) -> bytes:
        """The lines of one log version."""
        now_ms = self._now_us() // 1_000
        actions: list[Mapping[str, Any]] = [
            {
                "commitInfo": {
                    "timestamp": now_ms,
                    "operation": "DELETE" if self._is_data_changed else "OPTIMIZE",
                    "operationParameters": {"predicate": "[]"},
                    "isBlindAppend": False,
                    "engineInfo": "headgate",
                    "rewrite": name,
                }
            }
        ]
        actions += [{"remove": self._remove(file, now_ms)} for j in joined for file in j.files]
        actions += [{"add": self._add(j, now_ms)} for j in joined if j.path]
        return b"".join(msgspec.json.encode(action) + b"\n" for action in actions)

    def _add(self, joined: Joined, now_ms: int) -> Mapping[str, Any]:
        return {
            "path": quote(joined.path.removeprefix(f"{self._table}/"), safe="/="),
            "partitionValues": partition_of(joined.files[0]),
            "size": joined.size,
            "modificationTime": now_ms,
            "dataChange": self._is_data_changed,
            "stats": msgspec.json.encode(joined.stats).decode(),
        }

    def _remove(self, file: LiveFile, now_ms: int) -> Mapping[str, Any]:
        return {
            "path": file.name,
            "deletionTimestamp": now_ms,
            "dataChange": self._is_data_changed,
            "extendedFileMetadata": True,
            "partitionValues": partition_of(file),
            "size": file.size,
        }
