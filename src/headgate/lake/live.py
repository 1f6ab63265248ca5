"""The live files of a Delta table: what one version of its log shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headgate.errors import PermanentError, TransientError
from headgate.lake.delta_log import one_line, open_table
from headgate.lake.storage import Storage

_WRITER_VERSION = 4  # protocol; the last one that asks nothing of a writer who only moves rows between files
_FEATURES_VERSION = 7  # from here on features have names
#: Table features that ask nothing of a writer who only moves rows between files.
_HARMLESS = {
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "generatedColumns",
    "invariants",
    "timestampNtz",
    "v2Checkpoint",
}


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One file of a table.

    Attributes:
        name: as the log writes it: relative to the table's folder, URL-encoded.
        path: relative to the lake.
        partition: partition columns to values as the log writes them.
        size: bytes.
        rows: None where the log does not say.
        modified_ms: when it was written, milliseconds since 1970 UTC.
    """

    name: str
    path: str
    partition: tuple[tuple[str, str | None], ...]
    size: int
    rows: int | None
    modified_ms: int


@dataclass(frozen=True, slots=True)
class LiveFiles:
    """All files of a table at one version of its log.

    Attributes:
        table: its folder, relative to the lake.
        version: of the log.
        files: in no order.
        unknown: features of the table that forbid joining its files here; empty where there are none.
    """

    table: str
    version: int
    files: Sequence[LiveFile]
    unknown: Sequence[str]

    @property
    def paths(self) -> set[str]:
        """Where they lie, relative to the lake."""
        return {file.path for file in self.files}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def read_live(storage: Storage, table: str) -> LiveFiles:
    """The files of the newest version.

    Args:
        storage: of the lake.
        table: folder of the table, relative to the lake.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: there is no such table, it cannot be read, or it is partitioned by a type that is unknown here.
    """
    try:
        opened = open_table(storage, table)
        found = pa.table(opened.get_add_actions(flatten=True))
        columns, unknown = opened.metadata().partition_columns, _unknown_features(opened)
    except TableNotFoundError as error:
        raise PermanentError(
            f"{storage.root}/{table} is no Delta table: restore its _delta_log from a backup"
        ) from error
    except (DeltaError, OSError) as error:
        raise TransientError(f"cannot read the Delta table {storage.root}/{table}: {one_line(error)}") from error
    partitions = [[_text(value, table) for value in found[f"partition.{c}"].to_pylist()] for c in columns]
    files = [
        LiveFile(
            name,
            f"{table}/{unquote(name)}",
            tuple((column, values[i]) for column, values in zip(columns, partitions, strict=True)),
            size,
            rows,
            modified_ms,
        )
        for i, (name, size, rows, modified_ms) in enumerate(
            zip(
                *(found[c].to_pylist() for c in ("path", "size_bytes", "num_records", "modification_time")), strict=True
            )
        )
    ]
    return LiveFiles(table, opened.version(), files, unknown)


def _unknown_features(opened: DeltaTable) -> Sequence[str]:
    """Features of a table that forbid joining its files here."""
    protocol = opened.protocol()
    if protocol.min_writer_version >= _FEATURES_VERSION:
        return sorted({*(protocol.writer_features or ()), *(protocol.reader_features or ())} - _HARMLESS)
    if protocol.min_writer_version > _WRITER_VERSION:
        return [f"writer version {protocol.min_writer_version}"]
    return []


def _text(value: object, table: str) -> str | None:
    """A partition value as the log writes it."""
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str):
        return value
    raise PermanentError(f"{table} is partitioned by a {type(value).__name__}: only texts and dates can be joined")


def partition_of(file: LiveFile) -> Mapping[str, str | None]:
    """The partition values of a file by column."""
    return dict(file.partition)
