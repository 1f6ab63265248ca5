"""Data files of typed tables: one Parquet file a date, zstd level 1, with statistics of times only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.analytics.align import align
from headgate.core.analytics.kinds import Member
from headgate.core.partition import folder, split
from headgate.errors import PermanentError
from headgate.lake.delta_log import open_table
from headgate.lake.parquet import SUFFIX, time_statistics
from headgate.lake.storage import Storage

PARTITION = ("created_date",)
_TIMES = ["created_datetime", "arrived_at"]
_MIN_DICTIONARY = 1_000  # rows below which nothing is dictionary-encoded: the dictionary is as large as the column


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of a typed table.

    Attributes:
        path: within the table, not encoded.
        size: bytes.
        rows: how many; 0 where it is not known.
        partition: `created_date` as ISO text.
        stats: Delta statistics.
    """

    path: str
    size: int
    rows: int
    partition: Mapping[str, str]
    stats: Mapping[str, Any]


def write_files(storage: Storage, table: str, name: str, rows: pa.Table) -> list[DataFile]:
    """Write rows where nobody reads them yet, a file a date; durable when this returns.

    Args:
        storage: of the lake.
        table: folder in the lake.
        name: never the same twice.
        rows: the table's columns, `created_date` among them.

    Raises:
        TransientError: the storage did not answer or is full.
    """
    ordered, parts = split(rows, PARTITION)
    files = []
    for part, stats in zip(parts, time_statistics(ordered, parts), strict=True):
        path = f"{folder(PARTITION, part.values)}/{name}{SUFFIX}"
        content = memoryview(_encode(ordered.slice(part.start, part.length)))
        storage.put(f"{table}/{path}", content, is_folder_synced=False)
        partition = dict(zip(PARTITION, part.values, strict=True))
        files.append(DataFile(path=path, size=len(content), rows=part.length, partition=partition, stats=stats))
    storage.sync_folders([f"{table}/{file.path}" for file in files])
    return files


def active_files(storage: Storage, table: str, version: int, created_date: str | None = None) -> list[DataFile]:
    """The files of a version of a table, of one date or all; without statistics."""
    files = pa.table(open_table(storage, table, version).get_add_actions(flatten=True))
    columns = [files[name].to_pylist() for name in ("path", "size_bytes", "partition.created_date")]
    return [
        DataFile(path=unquote(path), size=size, rows=0, partition={"created_date": day.isoformat()}, stats={})
        for path, size, day in zip(*columns, strict=True)
        if created_date in (None, day.isoformat())
    ]


def rewrite(storage: Storage, table: str, name: str, file: DataFile, members: Sequence[Member]) -> DataFile:
    """The rows of a file in the types of a later shape, in a new file.

    Raises:
        PermanentError: the file is gone.
    """
    content = storage.get(f"{table}/{file.path}")
    if content is None:
        raise PermanentError(f"{storage.root}/{table}/{file.path} is gone: restore it from a backup")
    rows = align(pq.read_table(pa.BufferReader(content)), members)
    day = pa.array([file.partition["created_date"]], pa.string()).cast(pa.date32())[0]
    return write_files(storage, table, name, rows.append_column("created_date", pa.repeat(day, rows.num_rows)))[0]


def _encode(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=rows.num_rows >= _MIN_DICTIONARY,
        write_statistics=_TIMES,
        store_schema=False,
    )
    return sink.getvalue()
