"""All files of a lake in which a row may stand: shown by a table, shown once, or staged and never shown.

Law: files are listed before the ledger and the log are read. So a file of a commit that came meanwhile is known for
what it is: one that the ledger names beyond the number that was looked at is left to the next erasure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.filing import TABLES
from headgate.core.partition import unescape
from headgate.errors import PermanentError
from headgate.lake.entry import decode_entry
from headgate.lake.jsonl import SUFFIX as LINES
from headgate.lake.layout import Format
from headgate.lake.ledger_files import following
from headgate.lake.live import LiveFile, LiveFiles, partition_of, read_live
from headgate.lake.parquet import SUFFIX as PARQUET
from headgate.lake.plain import STAGING
from headgate.lake.storage import Storage

#: `live`: readers see its rows; `old`: they did once, or never will; `staged`: a writer may be about to commit it.
State = Literal["live", "old", "staged"]

ANALYTICS = "analytics/"
_SUFFIXES = (PARQUET, LINES, f"{LINES}.gz")
_JOINED = "joined-"  # written by a compaction or an erasure, never staged by a writer


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file with rows.

    Attributes:
        table: whose rows: `events`, `duplicates`, `rejected` or `analytics/<folder>`.
        path: relative to the lake.
        size: bytes.
        state: see State.
        modified_us: when it was written, microseconds since 1970 UTC; 0 where it is not asked.
        partition: values of partition columns that are not in the file.
        live: as the log has it; None for other files and in plain formats.
    """

    table: str
    path: str
    size: int
    state: State
    modified_us: int = 0
    partition: Mapping[str, str | None] = field(default_factory=dict)
    live: LiveFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFiles:
    """The files of a lake.

    Attributes:
        files: of all tables but `quality`, by table.
        live: of each Delta table the version that was looked at.
        kept: what a transformation kept, by table: events, duplicates and rejected that no table has yet.
    """

    files: Mapping[str, list[DataFile]]
    live: Mapping[str, LiveFiles]
    kept: list[DataFile]


def find_files(storage: Storage, table_format: Format, upto: int, kept: str) -> LakeFiles:
    """Find them.

    Args:
        storage: of the lake.
        table_format: of the lake.
        upto: number of a ledger entry; everything up to it is published.
        kept: prefix of what a transformation keeps in the lake.

    Raises:
        PermanentError: a table uses a feature that forbids taking rows out of it here, or the ledger is damaged.
        TransientError: the storage did not answer.
    """
    typed = typed_tables(storage)
    tables = [*(TABLES if table_format == "delta" else ()), *typed]
    listed = {table: _listed(storage, f"{table}/") for table in tables}
    staged = {} if table_format == "delta" else _listed(storage, STAGING)
    live = {table: _live(storage, table) for table in tables}
    others = {table: {path for path in found if path not in live[table].paths} for table, found in listed.items()}
    named = _Named(set().union(*others.values()))
    if staged or any(others.values()):
        named.read(storage)
    files: dict[str, list[DataFile]] = {}
    for table in (*TABLES, *typed):  # events first: what else goes depends on them
        if table in live:
            files[table] = [*_of_log(live[table]), *_others(table, listed[table], others[table], named, upto)]
        else:
            files[table] = [*_plain(storage, table), *_staged(table, staged, named, upto)]
    return LakeFiles(files=files, live=live, kept=_kept(storage, kept))


def typed_tables(storage: Storage) -> list[str]:
    """Folders of the typed tables, relative to the lake."""
    logs = "/_delta_log/"
    found = {path.partition(logs)[0] for path in storage.list(ANALYTICS) if logs in path}
    return sorted(table for table in found if table.count("/") == 1)


def uncommitted(storage: Storage, paths: Collection[str]) -> set[str]:
    """Those of some paths that no entry of the ledger names, wherever its rows are shown; the ledger is read anew."""
    left = set(paths)
    if left:
        for content in following(storage, 0):
            for file in decode_entry(content).files:
                left -= {file.path, file.published}
    return left


class _Named:
    """What the ledger says of some paths and of all entry ids that are staged."""

    def __init__(self, paths: set[str]) -> None:
        self._paths = paths
        self.number_of: dict[str, int] = {}
        self.ids: dict[str, int] = {}

    def read(self, storage: Storage) -> None:
        """Read the whole ledger."""
        for content in following(storage, 0):
            entry = decode_entry(content)
            self.ids[entry.entry_id] = entry.number
            for file in entry.files:
                if file.published in self._paths:
                    self.number_of[file.published] = entry.number


def _live(storage: Storage, table: str) -> LiveFiles:
    live = read_live(storage, table)
    if live.unknown:
        raise PermanentError(
            f"{storage.root}/{table} uses {', '.join(live.unknown)}, so that rows cannot be taken out of it here: "
            "switch the feature off with the tool that switched it on, then erase again"
        )
    return live


def _of_log(live: LiveFiles) -> Iterator[DataFile]:
    for file in live.files:
        yield DataFile(
            table=live.table, path=file.path, size=file.size, state="live", partition=partition_of(file), live=file
        )


def _plain(storage: Storage, table: str) -> Iterator[DataFile]:
    for path, (size, _) in _listed(storage, f"{table}/").items():
        yield DataFile(table=table, path=path, size=size, state="live", partition=_partition(path))


def _others(
    table: str, listed: Mapping[str, tuple[int, int]], paths: set[str], named: _Named, upto: int
) -> Iterator[DataFile]:
    """Files of a Delta table that its log does not show, without those that a later entry will show."""
    for path in sorted(paths):
        number = named.number_of.get(path)
        if number is not None and number > upto:
            continue
        is_ours = path.rpartition("/")[2].startswith(_JOINED) or table.startswith(ANALYTICS)
        size, modified_us = listed[path]
        yield DataFile(
            table=table,
            path=path,
            size=size,
            state="old" if number is not None or is_ours else "staged",
            modified_us=modified_us,
            partition=_partition(path),
        )


def _staged(table: str, listed: Mapping[str, tuple[int, int]], named: _Named, upto: int) -> Iterator[DataFile]:
    """Staged files of a plain format; those that a later entry names are left out."""
    for path, (size, modified_us) in listed.items():
        entry_id, _, name = path.removeprefix(STAGING).partition("/")
        number = named.ids.get(entry_id)
        if name.partition("-")[0] == table and (number is None or number <= upto):
            state: State = "staged" if number is None else "old"
            yield DataFile(table=table, path=path, size=size, state=state, modified_us=modified_us)


def _kept(storage: Storage, prefix: str) -> list[DataFile]:
    found = []
    for path, (size, _) in _listed(storage, prefix).items():
        table = path.rpartition("-")[2].removesuffix(PARQUET)
        if table in TABLES:
            found.append(DataFile(table=table, path=path, size=size, state="live"))
    return found


def _listed(storage: Storage, prefix: str) -> dict[str, tuple[int, int]]:
    """Data files below a prefix: bytes, and when they were written."""
    sizes = dict(storage.sizes(prefix))
    return {
        path: (sizes[path], modified_us)
        for path, modified_us in storage.modified(prefix)
        if path in sizes and _is_data(path.removeprefix(prefix))
    }


def _is_data(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not any(part.startswith(("_", ".")) for part in name.split("/"))


def _partition(path: str) -> dict[str, str | None]:
    """Partition values of a file by its folders."""
    pairs = (part.partition("=") for part in path.split("/")[:-1] if "=" in part)
    return {column: unescape(value) for column, _, value in pairs}
