"""Publication in Delta tables: one log commit a table carries the files of one or more ledger entries.

Law: the log is extended only at the version after the last one read, by put-if-absent, and every version in
between was read for our `txn`. So two commits of the same ledger number are impossible, whoever races; and where
the answer to a write was lost, the next try reads that very version and finds our `txn` in it. The
log is written here, not by delta-rs, which loads the list of all files before each commit (120 ms at 40,000
files; this is one small file whatever the size of the table). delta-rs makes the tables, finds the state on
opening and writes the checkpoints. Format: the Delta transaction protocol, actions `commitInfo`, `txn` and
`add`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headgate.core.schema import PARTITIONS, TABLES
from headgate.errors import PermanentError, TransientError
from headgate.lake.entry import Entry, File
from headgate.lake.storage import Storage

APP_ID = "headgate"  # of our `txn` actions; their version is the ledger number
CHECKPOINT_EVERY = 100  # commits; costs about 0.5 s at 40,000 files
_DECORATION = re.compile(r"\x1b\[\d*m|↳")
_LONGEST_REASON = 300  # characters
_WRITER_VERSION = 2  # protocol; what is written here needs nothing newer


@dataclass(slots=True)
class _Log:
    """How far one table's log was read: its version, and the last ledger number committed to it."""

    version: int
    number: int


class DeltaTables:
    """The four tables of a lake as Delta tables. One instance belongs to one thread at a time."""

    def __init__(self, storage: Storage, now_us: Callable[[], int]) -> None:
        """Keep the storage; no table is opened before it is needed."""
        self._storage = storage
        self._now_us = now_us
        self._logs: dict[str, _Log] = {}

    def create(self) -> None:
        """Make the tables that are missing, with the schemas of core/schema.py. Safe to race.

        delta-rs writes the first version elsewhere, and put-if-absent brings it here: two creators at once
        would otherwise leave a table with two first versions.
        """
        for table, schema in TABLES.items():
            if self._storage.exists(version_path(table, 0)):
                continue  # else: its log may have been cleaned up since
            if not any(path.endswith((".json", ".parquet")) for path in self._storage.list(f"{table}/_delta_log/")):
                self._storage.put_if_absent(version_path(table, 0), _first_version(table, schema))

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
        self._logs[table] = log
        while True:
            if not self._advance(table, log):
                log = self._logs[table] = self._open(table)
                continue
            missing = [entry for entry in entries if entry.number > log.number]
            if not missing:
                return
            files = [f for entry in missing for f in entry.files if f.table == table]
            content = self._commit(table, files, missing[0].number, missing[-1].number)
            if self._storage.put_if_absent(version_path(table, log.version + 1), content):
                log.version += 1
                log.number = missing[-1].number
                break
        if log.version % CHECKPOINT_EVERY == 0:
            write_checkpoint(self._storage, table)

    def _open(self, table: str) -> _Log:
        """The newest state by delta-rs, which finds it from the last checkpoint."""
        try:
            opened = open_table(self._storage, table)
            protocol = opened.protocol()
            log = _Log(opened.version(), opened.transaction_version(APP_ID) or 0)
        except TableNotFoundError as error:
            raise PermanentError(
                f"{self._uri(table)} is no Delta table: restore its _delta_log from a backup"
            ) from error
        except (DeltaError, OSError) as error:
            raise TransientError(f"cannot open the Delta table {self._uri(table)}: {one_line(error)}") from error
        _check_protocol(table, protocol.min_writer_version)
        return log

    def _advance(self, table: str, log: _Log) -> bool:
        """Read every version after the last one read.

        Returns:
            False where the last one read is no longer there: the log was cleaned up meanwhile, open anew.
        """
        if not self._storage.exists(version_path(table, log.version)):
            return False
        while (content := self._storage.get(version_path(table, log.version + 1))) is not None:
            for line in content.splitlines():
                action = _ACTION.decode(line)
                if action.protocol is not None:
                    _check_protocol(table, action.protocol.minWriterVersion)
                if action.txn is not None and action.txn.appId == APP_ID:
                    log.number = max(log.number, action.txn.version)
            log.version += 1
        return True

    def _commit(self, table: str, files: Sequence[File], first: int, last: int) -> bytes:
        """The lines of one log version."""
        now_ms = self._now_us() // 1_000
        actions: list[Mapping[str, Any]] = [
            {
                "commitInfo": {
                    "timestamp": now_ms,
                    "operation": "WRITE",
                    "operationParameters": {
                        "mode": "Append",
                        "partitionBy": msgspec.json.encode(PARTITIONS[table]).decode(),
                    },
                    "isBlindAppend": True,
                    "engineInfo": "headgate",
                    "headgate": f"{first}..{last}",
                }
            },
            {"txn": {"appId": APP_ID, "version": last, "lastUpdated": now_ms}},
        ]
        actions += [{"add": _add(table, file, now_ms)} for file in files]
        return b"".join(msgspec.json.encode(action) + b"\n" for action in actions)

    def _uri(self, table: str) -> str:
        return f"{self._storage.root}/{table}"


class _Transaction(msgspec.Struct):
    appId: str  # noqa: N815  the protocol's spelling
    version: int


class _Protocol(msgspec.Struct):
    minWriterVersion: int  # noqa: N815  the protocol's spelling


class _Action(msgspec.Struct):
    """One line of the log, as far as it matters here."""

    txn: _Transaction | None = None
    protocol: _Protocol | None = None


_ACTION = msgspec.json.Decoder(_Action)


def _first_version(table: str, schema: pa.Schema) -> bytes:
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


def open_table(storage: Storage, table: str) -> DeltaTable:
    """A table of a lake by delta-rs, at its newest version.

    Raises:
        TableNotFoundError: there is none.
        DeltaError, OSError: it cannot be read.
        TransientError: the same of a remote lake, where it mostly is the network.
    """
    uri = f"{storage.root}/{table}"
    try:
        return DeltaTable(uri, storage_options=storage.delta_options)
    except TableNotFoundError:
        raise
    except (DeltaError, OSError) as error:
        if not storage.is_remote:
            raise
        raise TransientError(f"cannot open the Delta table {uri}: {one_line(error)}") from error


def write_checkpoint(storage: Storage, table: str) -> None:
    """Write a checkpoint, so that readers start from it; a failure is no matter, the next follows."""
    try:
        open_table(storage, table).create_checkpoint()
    except (DeltaError, OSError, TransientError):
        return


def one_line(error: Exception) -> str:
    """What delta-rs says over many coloured lines, for a message."""
    return " ".join(_DECORATION.sub(" ", str(error)).split())[:_LONGEST_REASON]


def version_path(table: str, version: int) -> str:
    """Where a version of a table's log lies."""
    return f"{table}/_delta_log/{version:020d}.json"


def _add(table: str, file: File, now_ms: int) -> Mapping[str, Any]:
    """The action that shows a file. Its path is URL-encoded; the partition values stand as they were sent."""
    return {
        "path": quote(file.path.removeprefix(f"{table}/"), safe="/="),
        "partitionValues": file.partition,
        "size": file.size,
        "modificationTime": now_ms,
        "dataChange": True,
        "stats": msgspec.json.encode(file.stats).decode(),
    }


def _check_protocol(table: str, min_writer_version: int) -> None:
    if min_writer_version > _WRITER_VERSION:
        raise PermanentError(
            f"the Delta table {table} asks for writer version {min_writer_version}, Headgate writes version "
            f"{_WRITER_VERSION}: another tool switched a feature on; switch it off or use a newer Headgate"
        )
