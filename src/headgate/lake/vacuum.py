"""Deleting files that a commit took out of a Delta table, and files that never came into it.

Law: a file goes only where a `remove` in the log names it, or where nobody does. A file that the newest version shows
stays, whatever else is said of it.

How far the log was read, and which of its versions hold removals that are not due yet, is kept in
`_headgate/compaction/<table>/removed.json`: checkpoints forget removals after a week. The file may be lost; the log is
read from its start then. Two that write it at once do no harm, because each state of it is true by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from headgate.errors import PermanentError
from headgate.lake.built import built_number
from headgate.lake.delta_log import version_path
from headgate.lake.entry import decode_entry, decode_head, entry_path
from headgate.lake.ledger import Ledger
from headgate.lake.ledger_files import following
from headgate.lake.live import LiveFiles
from headgate.lake.storage import TEMPORARY, Storage

HOUR_US = 3_600_000_000
LEAST_RETENTION_US = HOUR_US  # whatever is configured: queries that are under way read removed files
ORPHAN_US = 24 * HOUR_US  # age of a file that nobody names; younger ones may be under way
_CLOCKS_US = HOUR_US  # by which clocks of two machines may differ
_AT_ONCE = 16  # requests to a remote storage


class _Pending(msgspec.Struct):
    """What is kept: `version`: the log is read up to it; `due`: version and time (ms) of removals not yet deleted."""

    version: int = -1
    due: list[tuple[int, int]] = []


class _Remove(msgspec.Struct):
    path: str
    deletionTimestamp: int | None = None  # noqa: N815  the protocol's spelling
    size: int | None = None


class _Action(msgspec.Struct):
    remove: _Remove | None = None


_ACTION = msgspec.json.Decoder(_Action)

_Answer = TypeVar("_Answer")


class Vacuum:
    """Deletes what one table needs no more."""

    def __init__(self, storage: Storage, live: LiveFiles, *, now_us: int, is_dry_run: bool) -> None:
        """Read on in the log.

        Args:
            storage: of the lake.
            live: the newest version, just read.
            now_us: wall clock in microseconds since 1970 UTC.
            is_dry_run: count only.
        """
        self._storage, self._live, self._now_us, self._is_dry_run = storage, live, now_us, is_dry_run
        self._path = f"_headgate/compaction/{live.table}/removed.json"
        self._known = self._read_pending()
        self._pending = _Pending(live.version, list(self._known.due))
        for version, removed in self._removed(range(self._known.version + 1, live.version + 1)):
            if removed:
                times = [r.deletionTimestamp for r in removed if r.deletionTimestamp is not None]
                last_ms = max(times) if len(times) == len(removed) else now_us // 1_000
                self._pending.due.append((version, last_ms))
        self._removals = [version for version, _ in self._pending.due]

    def delete_removed(self, cutoff_us: int, advance: Callable[[float], None]) -> tuple[int, int]:
        """Delete files that were removed at or before a time; how many, and their bytes."""
        due = [version for version, removed_ms in self._pending.due if removed_ms * 1_000 <= cutoff_us]
        live, count, size = self._live.paths, 0, 0
        for _, removed in self._removed(due):
            files = {f"{self._live.table}/{unquote(r.path)}": r.size or 0 for r in removed}
            gone = [path for path in files if path not in live]
            self._delete(gone)
            count, size = count + len(gone), size + sum(files[path] for path in gone)
            advance(len(gone))
        self._pending.due = [kept for kept in self._pending.due if kept[0] not in set(due)]
        if self._pending != self._known and not self._is_dry_run:
            self._storage.put(self._path, msgspec.json.encode(self._pending))
        return count, size

    def delete_orphans(self, listed: set[str]) -> int:
        """Delete files that neither log nor ledger names; how many.

        Args:
            listed: what `old_files` found before the newest version was read.

        Raises:
            PermanentError: the ledger cannot be read to its end; nothing was deleted.
        """
        found = listed - self._live.paths
        for _, removed in self._removed(self._removals):
            found -= {f"{self._live.table}/{unquote(r.path)}" for r in removed}
        if found:
            found -= self._of_ledger(found)
        self._delete(sorted(found))
        return len(found)

    def _of_ledger(self, paths: set[str]) -> set[str]:
        """Those of the paths that an entry of the ledger names."""
        named: set[str] = set()
        last = Ledger(self._storage, max_event_types=0).refresh().number
        read = 0
        for content in following(self._storage, 0):
            named |= paths.intersection(file.published for file in decode_entry(content).files)
            read += 1
        if read < last:
            raise PermanentError(f"{self._storage.root}/{entry_path(read + 1)} is gone: restore it from a backup")
        return named

    def _removed(self, versions: Iterable[int]) -> Iterator[tuple[int, list[_Remove]]]:
        """What each version removed; nothing for one that was cleaned up."""
        rest = iter(versions)
        while numbers := list(islice(rest, _AT_ONCE)):
            paths = [version_path(self._live.table, number) for number in numbers]
            for number, content in zip(numbers, self._each(self._storage.get, paths), strict=True):
                lines = (content or b"").splitlines()
                yield number, [r for line in lines if b'"remove"' in line and (r := _ACTION.decode(line).remove)]

    def _each(self, ask: Callable[[str], _Answer], paths: list[str]) -> list[_Answer]:
        if not self._storage.is_remote:
            return list(map(ask, paths))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(ask, paths))

    def _delete(self, paths: list[str]) -> None:
        if not self._is_dry_run:
            self._each(self._storage.delete, paths)

    def _read_pending(self) -> _Pending:
        content = self._storage.get(self._path)
        try:
            known = _Pending() if content is None else msgspec.json.decode(content, type=_Pending)
        except msgspec.DecodeError:
            known = _Pending()
        return known if known.version <= self._live.version else _Pending()  # else: of a table that was restored


def cutoff_us(storage: Storage, table: str, now_us: int, retention_us: int) -> int:
    """The time at or before which a file must have been removed to be deleted.

    Args:
        storage: of the lake.
        table: its folder; only `events` is read by `build`.
        now_us: wall clock in microseconds since 1970 UTC.
        retention_us: how long removed files are kept.

    Returns:
        Microseconds since 1970 UTC.
    """
    cutoff = now_us - max(retention_us, LEAST_RETENTION_US)
    built = built_number(storage) if table == "events" else None
    following_entry = None if built is None else storage.get(entry_path(built + 1))
    if following_entry is None:
        return cutoff  # a first build reads the table as it is
    # What `build` has not read was committed with this entry or later, and removed later still.
    return min(cutoff, decode_head(following_entry).committed_us - _CLOCKS_US)


def old_files(storage: Storage, table: str, now_us: int) -> set[str]:
    """Data files of a table that are older than a day."""
    return {
        path
        for path, modified_us in storage.modified(f"{table}/")
        if modified_us < now_us - ORPHAN_US and _is_data(path.removeprefix(f"{table}/"))
    }


def sweep_unfinished(storage: Storage, now_us: int, *, is_dry_run: bool) -> int:
    """Delete unfinished files older than a day that killed writers left behind; how many."""
    old = [path for path, modified_us in storage.modified(f"{TEMPORARY}/") if modified_us < now_us - ORPHAN_US]
    for path in old:
        if not is_dry_run:
            storage.delete(path)
    return len(old)


def _is_data(name: str) -> bool:
    """True for a Parquet file that is no part of the log."""
    return name.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in name.split("/"))
