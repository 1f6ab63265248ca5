"""What a Delta table's log says of files that it no longer shows: bounds of values, in versions and checkpoints.

Law: every version stays under its number, because writers count on finding it, and keeps all actions; only the
statistics of files that the newest version does not show are taken out. A version is replaced whole by one put. Readers
start from a new checkpoint before older ones are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import msgspec
from deltalake.exceptions import DeltaError

from headgate.errors import TransientError
from headgate.lake.delta_log import one_line, open_table
from headgate.lake.erase_ledger import put_all
from headgate.lake.storage import Storage

_VERSION = re.compile(r"/_delta_log/(\d{20})\.json$")
_CHECKPOINT = re.compile(r"/_delta_log/(\d{20})\.checkpoint\..*parquet$")
_AT_ONCE = 16  # versions read side by side on a remote storage
_OF_FILES = ("add", "remove", "cdc")
_STATISTICS = ("stats", "stats_parsed")

_Action = dict[str, msgspec.Raw]
_ACTION = msgspec.json.Decoder(_Action)


def clean_versions(storage: Storage, table: str, shown: Collection[str]) -> int:
    """Take statistics of files that are not shown out of all versions; how many were changed.

    Args:
        storage: of the lake.
        table: its folder.
        shown: names of its files, as the log writes them.

    Raises:
        TransientError: the storage did not answer; doing it again is safe.
    """
    paths = sorted(path for path in storage.list(f"{table}/_delta_log/") if _VERSION.search(path))
    changed = 0
    with ThreadPoolExecutor(_AT_ONCE if storage.is_remote else 1) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            found = zip(some, pool.map(storage.get, some), strict=True)
            waiting = [
                (path, cleaned)
                for path, content in found
                if content is not None and (cleaned := _cleaned(content, shown)) != content
            ]
            put_all(storage, waiting)
            changed += len(waiting)
    return changed


def renew_checkpoint(storage: Storage, table: str) -> int:
    """Write a checkpoint of the newest version and delete all older ones; how many were deleted.

    Raises:
        TransientError: it could not be written; doing it again is safe.
    """
    try:
        opened = open_table(storage, table)
        opened.create_checkpoint()
        version = opened.version()
    except (DeltaError, OSError) as error:
        raise TransientError(
            f"cannot write a checkpoint of {storage.root}/{table} ({one_line(error)}): run erase again"
        ) from error
    found = ((path, _CHECKPOINT.search(path)) for path in storage.list(f"{table}/_delta_log/"))
    older = [path for path, match in found if match and int(match[1]) < version]
    for path in older:
        storage.delete(path)
    return len(older)


def _cleaned(content: bytes, shown: Collection[str]) -> bytes:
    """A version without statistics of files that are not shown."""
    return b"".join(_cleaned_line(line, shown) for line in content.splitlines(keepends=True))


def _cleaned_line(line: bytes, shown: Collection[str]) -> bytes:
    if b'"stats' not in line:
        return line
    action = _ACTION.decode(line)
    for kind in _OF_FILES:
        if kind not in action:
            continue
        of_file = _ACTION.decode(action[kind])
        path = msgspec.json.decode(of_file.get("path", b'""'))
        if path not in shown and any(name in of_file for name in _STATISTICS):
            kept = {name: value for name, value in of_file.items() if name not in _STATISTICS}
            return msgspec.json.encode({**action, kind: msgspec.Raw(msgspec.json.encode(kept))}) + b"\n"
    return line
