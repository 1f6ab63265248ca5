"""Writing a batch's files where nobody reads them: one file a partition, encoded and synced by threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from headgate.core.partition import folder, split
from headgate.core.schema import PARTITIONS
from headgate.lake import jsonl, parquet
from headgate.lake.layout import Format
from headgate.lake.plain import STAGING
from headgate.lake.storage import Bytes, Storage
from headgate.records import StagedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonStyle:
    """How `--format json` writes its lines.

    Attributes:
        is_gzip: compress the files (level 1).
        is_own_envelope: the events' own fields are named `event_uuid`, `event_name` and `created_at`.
    """

    is_gzip: bool = True
    is_own_envelope: bool = True


class Stager:
    """Writes the files of batches. Called by one thread at a time."""

    def __init__(self, storage: Storage, table_format: Format, json_style: JsonStyle, threads: int) -> None:
        """Start the threads."""
        self._storage = storage
        self._format = table_format
        self._json = json_style
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="stage")

    def write(self, entry_id: str, tables: dict[str, pa.Table]) -> list[StagedFile]:
        """Write every partition of every table; durable when this returns.

        Raises:
            TransientError: what was already written is deleted, as far as the storage answers.
        """
        files: list[StagedFile] = []
        for table, rows in tables.items():
            futures = [self._pool.submit(write) for write in self._writes(entry_id, table, rows)]
            wait(futures)
            files += [future.result() for future in futures if future.exception() is None]
            failed = next((error for future in futures if (error := future.exception()) is not None), None)
            if failed is not None:
                for file in files:
                    self._storage.delete(file.path)
                raise failed
        self._storage.sync_folders([file.path for file in files])
        return files

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _writes(self, entry_id: str, table: str, rows: pa.Table) -> Iterator[Callable[[], StagedFile]]:
        """One call for each file."""
        if rows.num_rows == 0:
            return
        columns = PARTITIONS[table]
        if self._format == "json":
            suffix = jsonl.SUFFIX + (".gz" if self._json.is_gzip else "")
            ordered, parts = split(self._lines(table, rows), columns)
            statistics: list[dict[str, Any]] = [{} for _ in parts]
        else:
            suffix = parquet.SUFFIX
            ordered, parts = split(parquet.prepare(rows), columns)
            statistics = parquet.time_statistics(ordered, parts)
        for k, (part, stats) in enumerate(zip(parts, statistics, strict=True)):
            target = "/".join(filter(None, (table, folder(columns, part.values), f"{entry_id}-{k}{suffix}")))
            staged = StagedFile(
                table=table,
                path=target if self._format == "delta" else f"{STAGING}{entry_id}/{table}-{k}{suffix}",
                target=target,
                size=0,
                rows=part.length,
                partition=dict(zip(columns, part.values, strict=True)),
                stats=stats,
            )
            yield partial(self._write, staged, ordered.slice(part.start, part.length))

    def _write(self, staged: StagedFile, rows: pa.Table) -> StagedFile:
        """Encode and put one file."""
        if self._format == "json":
            content: Bytes = jsonl.encode(rows.column("line").combine_chunks(), is_gzip=self._json.is_gzip)
        else:
            content = memoryview(parquet.encode(rows))
        self._storage.put(staged.path, content, is_folder_synced=False)
        return StagedFile(
            table=staged.table,
            path=staged.path,
            target=staged.target,
            size=len(content),
            rows=staged.rows,
            partition=staged.partition,
            stats=staged.stats,
        )

    def _lines(self, table: str, rows: pa.Table) -> pa.Table:
        """The lines of a table beside its partition columns."""
        if table in ("events", "duplicates"):
            lines = jsonl.event_lines(rows, is_own_envelope=self._json.is_own_envelope)
        else:
            lines = jsonl.plain_lines(rows)
        return rows.select(list(PARTITIONS[table])).append_column("line", lines)
