"""Publication in Delta tables: one log commit a table carries the files of one or more ledger entries.

The log is written here, not by delta-rs, which loads the list of all files before each commit (120 ms at 40,000
files; this is one small file whatever the size of the table); see delta_log.py for what makes that safe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from headgate.core.schema import PARTITIONS, TABLES
from headgate.lake.delta_log import DeltaLog, add, commit_info, open_table, partition_by, txn, version_path
from headgate.lake.entry import Entry
from headgate.lake.storage import Storage

__all__ = ["APP_ID", "CHECKPOINT_EVERY", "DeltaTables", "first_version", "open_table"]

APP_ID = "headgate"  # of our `txn` actions; their version is the ledger number
CHECKPOINT_EVERY = 100  # commits; costs about 0.5 s at 40,000 files


class DeltaTables:
    """The four tables of a lake as Delta tables. One instance belongs to one thread at a time."""

    def __init__(self, storage: Storage, now_us: Callable[[], int]) -> None:
        """Keep the storage; no table is opened before it is needed."""
        self._storage = storage
        self._now_us = now_us
        self._logs: dict[str, DeltaLog] = {}

    def create(self) -> None:
        """Make the tables that are missing, with the schemas of core/schema.py. Safe to race.

        delta-rs writes the first version elsewhere, and put-if-absent brings it here: two creators at once
        would otherwise leave a table with two first versions.
        """
        for table, schema in TABLES.items():
            if self._storage.exists(version_path(table, 0)):
                continue  # else: its log may have been cleaned up since
            if not any(path.endswith((".json", ".parquet")) for path in self._storage.list(f"{table}/_delta_log/")):
                self._storage.put_if_absent(version_path(table, 0), first_version(table, schema))

    def publish(self, entries: Sequence[Entry]) -> None:
        """Show the rows of the entries, in order; what a table already shows is left out.

        Raises:
            TransientError: the storage did not answer; calling again is safe.
            PermanentError: the table needs a feature that this version cannot write.
        """
        wanted = {table: [e for e in entries if any(f.table == table for f in e.files)] for table in TABLES}
        if not self._storage.is_remote:
            for table, some in wanted.items():
                self._publish_table(table, some)
            return
        with ThreadPoolExecutor(len(TABLES)) as pool:  # each takes three round trips
            futures = [pool.submit(self._publish_table, table, some) for table, some in wanted.items()]
        for future in futures:
            future.result()

    def _publish_table(self, table: str, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        log = self._logs.get(table) or self._open(table)
        while True:
            if log.advance() is None:
                log = self._open(table)
                continue
            missing = [entry for entry in entries if entry.number > log.number]
            if not missing or log.extend(self._actions(table, missing), missing[-1].number):
                break
        if missing:
            log.checkpoint(CHECKPOINT_EVERY)

    def _open(self, table: str) -> DeltaLog:
        log = self._logs[table] = DeltaLog.open(self._storage, table, APP_ID)
        return log

    def _actions(self, table: str, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """The lines of one log version."""
        now_ms = self._now_us() // 1_000
        first, last = entries[0].number, entries[-1].number
        parameters = {"mode": "Append", "partitionBy": partition_by(PARTITIONS[table])}
        files = [file for entry in entries for file in entry.files if file.table == table]
        return [
            commit_info(now_ms, "WRITE", parameters, is_append=True, headgate=f"{first}..{last}"),
            txn(APP_ID, last, now_ms),
            *(add(f.path.removeprefix(f"{table}/"), f.partition, f.size, f.stats, now_ms) for f in files),
        ]


def first_version(table: str, schema: pa.Schema) -> bytes:
    """Protocol and metadata of an empty table."""
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    with tempfile.TemporaryDirectory() as folder:
        DeltaTable.create(
            folder,
            schema,
            partition_by=list(PARTITIONS[table]),
            name=table,
            configuration={
                "delta.checkpointInterval": str(CHECKPOINT_EVERY),
                "delta.dataSkippingStatsColumns": ",".join(times),
            },
        )
        return (Path(folder) / "_delta_log" / f"{0:020d}.json").read_bytes()
