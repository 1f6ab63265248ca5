"""Rows taken out of a lake's tables by hand, recorded as an erasure records them: for tests of what must know of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from headgate.core.erased import ERASED, digests_of
from headgate.core.keys import keys_of
from headgate.lake import parquet
from headgate.lake.erase_receipt import write_receipt
from headgate.lake.erasures import secret_of, write_rows
from headgate.lake.read import delta_dataset
from headgate.lake.storage import Storage

Row = Mapping[str, Any]
Wanted = Callable[[Row], bool]


def record_rows(storage: Storage, table: str, wanted: Wanted, *, erasure: str = "e1", is_open: bool = True) -> int:
    """Write the record of an erasure of one table; nothing is removed. Returns the number of rows.

    Args:
        storage: of the lake.
        table: `events`, `duplicates` or `rejected`.
        wanted: which rows.
        erasure: its id; what it recorded before stays.
        is_open: whether the windows of events are open.
    """
    rows = [row for row in _rows(storage, table) if wanted(row)]
    found = [{"table": table} | {n: row.get(n) for n in ERASED.names[1:-1]} | {"digest": None} for row in rows]
    if rows and table == "events" and is_open:
        keys = keys_of(pa.array([str(row["event_uuid"]) for row in rows], pa.string()))
        digests = digests_of(np.ascontiguousarray(keys), secret_of(storage, is_made=True))
        found = [row | {"digest": digests[i].tobytes()} for i, row in enumerate(found)]
    write_rows(storage, f"{erasure}-{table}", pa.Table.from_pylist(found, schema=ERASED))
    return len(rows)


def remove_rows(storage: Storage, table: str, wanted: Wanted) -> None:
    """Take rows out of a table: files are written anew under their names, a Delta table gets a version."""
    if storage.exists(f"{table}/_delta_log/00000000000000000000.json"):
        _remove_from_delta(storage, table, wanted)
        return
    for path in sorted(storage.list(f"{table}/")):
        content = storage.get(path) or b""
        rows = _read(path, content)
        if not any(map(wanted, rows)):
            continue
        kept = np.array([not wanted(row) for row in rows], dtype=np.bool_)
        if path.endswith(parquet.SUFFIX):
            storage.put(path, memoryview(parquet.encode(_parquet(content).filter(pa.array(kept)))))
            continue
        lines = (gzip.decompress(content) if path.endswith(".gz") else content).splitlines(keepends=True)
        left = b"".join(line for line, is_kept in zip(lines, kept, strict=True) if is_kept)
        storage.put(path, gzip.compress(left) if path.endswith(".gz") else left)


def erase_rows(storage: Storage, table: str, wanted: Wanted, *, erasure: str = "e1", is_open: bool = True) -> int:
    """Record rows, remove them, and say so in a receipt. Returns how many."""
    count = record_rows(storage, table, wanted, erasure=erasure, is_open=is_open)
    remove_rows(storage, table, wanted)
    finish(storage, f"{erasure}-{table}")
    return count


def finish(storage: Storage, erasure: str, *, continues: Sequence[str] = ()) -> None:
    """Write a receipt: the erasure has ended, and so have those that it continued."""
    finished = datetime.now(UTC).isoformat()
    content = {"id": erasure, "finished": finished, "window_us": 7 * 86_400_000_000, "continues": list(continues)}
    write_receipt(storage, erasure, content)


def _remove_from_delta(storage: Storage, table: str, wanted: Wanted) -> None:
    opened = DeltaTable(f"{storage.root}/{table}")
    before = set(opened.file_uris())
    by_shard: dict[str, list[str]] = {}
    for row in filter(wanted, _rows(storage, table)):
        by_shard.setdefault(row["shard"], []).append(f"'{row['sequence']}'")
    for shard, sequences in by_shard.items():
        name = shard.replace("'", "''")
        opened.delete(f"shard = '{name}' AND sequence IN ({', '.join(sequences)})")
    for uri in before - set(opened.file_uris()):
        storage.delete(uri.removeprefix("file://").removeprefix(f"{storage.root}/"))


def _rows(storage: Storage, table: str) -> list[Row]:
    if storage.exists(f"{table}/_delta_log/00000000000000000000.json"):
        opened = DeltaTable(f"{storage.root}/{table}")
        return list(delta_dataset(storage, opened, table).to_table().to_pylist())
    return [row for path in sorted(storage.list(f"{table}/")) for row in _read(path, storage.get(path) or b"")]


def _read(path: str, content: bytes) -> list[Row]:
    if path.endswith(parquet.SUFFIX):
        return list(_parquet(content).to_pylist())
    lines = (gzip.decompress(content) if path.endswith(".gz") else content).splitlines()
    found = [row | row.get("_headgate", {}) for row in map(json.loads, lines)]
    return [row | {"arrived_at": datetime.fromisoformat(row["arrived_at"])} for row in found]


def _parquet(content: bytes) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(content)).read()
