"""What the ledger says of files that an erasure changed, and of files that are no longer there.

Law: nothing that an entry decided changes: positions, counts, types, who wrote it when. Only its files do: path, size
and rows become those of what is left, the rows taken away are counted in `erased`, and the bounds of files that no
table shows any more go. An entry is replaced whole by one put.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from headgate.core.filing import TABLES
from headgate.lake.entry import File, decode_entry, encode, entry_path
from headgate.lake.ledger_files import following
from headgate.lake.storage import Storage

_AT_ONCE = 16  # entries written side by side on a remote storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a file.

    Attributes:
        path: where its rows are now; the old one where there are none.
        size: bytes.
        rows: how many.
        stats: Delta statistics.
    """

    path: str
    size: int
    rows: int
    stats: Mapping[str, Any]


def clean_entries(storage: Storage, left: Mapping[str, Left], shown: Mapping[str, Collection[str]], upto: int) -> int:
    """Bring the files of entries up to date.

    Args:
        storage: of the lake.
        left: what is left of files, by the path that entries name.
        shown: of Delta tables the paths that they show; bounds of other files are taken out of entries.
        upto: entries up to this number are published; of later ones no bounds are taken out.

    Returns:
        How many entries were changed.

    Raises:
        TransientError: the storage did not answer; doing it again is safe.
    """
    waiting: list[tuple[str, bytes]] = []
    changed = 0
    for content in following(storage, 0):
        entry = decode_entry(content)
        files = [_cleaned(file, left, shown if entry.number <= upto else {}) for file in entry.files]
        if files != entry.files:
            waiting.append((entry_path(entry.number), encode(msgspec.structs.replace(entry, files=files))))
            changed += 1
        if len(waiting) >= _AT_ONCE:
            put_all(storage, waiting)
            waiting = []
    put_all(storage, waiting)
    return changed


def put_all(storage: Storage, files: Collection[tuple[str, bytes]]) -> None:
    """Write some files over earlier ones; on a remote storage side by side."""
    if not storage.is_remote or len(files) < 2:
        for path, content in files:
            storage.put(path, content)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda file: storage.put(*file), files))


def _cleaned(file: File, left: Mapping[str, Left], shown: Mapping[str, Collection[str]]) -> File:
    if file.table not in TABLES:
        return file
    rest = left.get(file.published)
    is_moved = rest is not None and rest.path != file.published
    if rest is not None and (is_moved or rest.rows != file.rows):
        return msgspec.structs.replace(
            file,
            path=rest.path if is_moved else file.path,
            target=None if is_moved else file.target,
            size=rest.size,
            rows=rest.rows,
            erased=file.erased + file.rows - rest.rows,
            stats=dict(rest.stats),
        )
    if file.stats and file.table in shown and file.published not in shown[file.table]:
        return msgspec.structs.replace(file, stats={})
    return file
