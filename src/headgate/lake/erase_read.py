"""Rows of a lake's files of any format, block by block, and which of them are to be erased.

Memory holds the files that are read ahead, one block of rows, and the positions of the hits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headgate.core.erase_predicate import Mask
from headgate.core.schema import POSITION_FIELDS, TABLES
from headgate.errors import PermanentError
from headgate.lake.erase_files import DataFile
from headgate.lake.join import contents
from headgate.lake.lines import lines_of, rows_of
from headgate.lake.parquet import SUFFIX as PARQUET
from headgate.lake.storage import Storage

READ_ROWS = 1_024  # rows of a file decoded at a time; one may have megabytes
BLOCK_ROWS, BLOCK_BYTES = 65_536, 32 << 20  # rows, and bytes of them, that are looked at together
_TYPED = pa.schema([f for f in POSITION_FIELDS if f.name != "arrived_at"])
_KEPT_COLUMNS = ("source", "shard", "sequence", "original_shard", "original_sequence", "arrived_at", "event_uuid")


@dataclass(kw_only=True)
class Hits:
    """What was found in some files.

    Attributes:
        rows: positions of the hits, with the columns of ERASED that the table has, and `event_uuid`.
        files: those with hits, each with their number.
        counts: rows of every file that was read, by path.
    """

    rows: list[pa.Table] = field(default_factory=list)
    files: list[tuple[DataFile, int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def search(
    storage: Storage, files: Iterable[DataFile], mask: Callable[[pa.Table], Mask], advance: Callable[[float], None]
) -> Hits:
    """Look through files of one table.

    Args:
        storage: of the lake.
        files: which; one that is gone by now has no rows.
        mask: tells of a block of rows which are hits.
        advance: is told the number of files as they are done with.

    Raises:
        PermanentError: a file that readers see cannot be read.
        ConfigError: the predicate fails on a row.
    """
    hits = Hits()
    waiting: list[tuple[DataFile, pa.Table]] = []
    num_rows = num_bytes = 0
    for file, content in contents(storage, files):
        advance(1)
        if content is None:
            _check_gone(storage.root, file)
            continue
        hits.counts[file.path] = 0
        for rows in _readable(storage.root, file, content):
            hits.counts[file.path] += rows.num_rows
            waiting.append((file, rows))
            num_rows, num_bytes = num_rows + rows.num_rows, num_bytes + rows.nbytes
            if num_rows >= BLOCK_ROWS or num_bytes >= BLOCK_BYTES:
                _look(waiting, mask, hits)
                waiting, num_rows, num_bytes = [], 0, 0
    _look(waiting, mask, hits)
    return hits


def rows_of_file(file: DataFile, content: bytes) -> Iterator[pa.Table]:
    """The rows of a file in the schema of its table, block by block; of a typed table their positions only.

    Args:
        file: which.
        content: its bytes.
    """
    schema = TABLES.get(file.table, _TYPED)
    if not file.path.endswith(PARQUET):
        lines = lines_of(content)
        for start in range(0, len(lines), READ_ROWS):
            yield rows_of(lines[start : start + READ_ROWS], file.table, is_original=True)
        return
    opened = pq.ParquetFile(pa.BufferReader(content))
    names = [column for column in schema.names if column in opened.schema_arrow.names]
    for batch in opened.iter_batches(READ_ROWS, columns=names):
        yield with_schema(pa.Table.from_batches([batch]), schema, file.partition)


def with_schema(rows: pa.Table, schema: pa.Schema, partition: Mapping[str, str | None]) -> pa.Table:
    """Rows with all columns of a schema: of a partition where the file lacks them, else null."""
    columns = []
    for column in schema:
        if column.name in rows.column_names:
            columns.append(rows[column.name].cast(column.type))
        elif column.name in partition:
            value = pa.array([partition[column.name]], pa.string()).cast(column.type)[0]
            columns.append(pa.repeat(value, rows.num_rows))
        else:
            columns.append(_derived(rows, column))
    return pa.Table.from_arrays(columns, schema=schema)


def _derived(rows: pa.Table, column: pa.Field) -> pa.Array | pa.ChunkedArray:
    """A partition column of a staged file, whose name does not tell it."""
    if column.name == "event_type" and "event_name" in rows.column_names:
        return pc.utf8_trim_whitespace(pc.replace_substring_regex(rows["event_name"].cast(pa.string()), ":.*$", ""))
    if column.name == "created_date" and "created_datetime" in rows.column_names:
        return rows["created_datetime"].cast(pa.timestamp("us")).cast(pa.date32())
    return pa.nulls(rows.num_rows, column.type)


def _check_gone(root: str, file: DataFile) -> None:
    """A file that a log shows must be there; any other may have gone meanwhile."""
    if file.live is not None:
        raise PermanentError(f"{root}/{file.path} is in the table's log and gone: restore it from a backup")


def _readable(root: str, file: DataFile, content: bytes) -> Iterator[pa.Table]:
    try:
        yield from rows_of_file(file, content)
    except (pa.ArrowException, OSError, EOFError, duckdb.Error) as error:
        if file.state == "staged":
            return  # nobody's, and not whole: what a killed writer left
        said = " ".join(str(error).split())
        raise PermanentError(f"{root}/{file.path} cannot be read: {said}; restore it from a backup") from error


def _look(waiting: list[tuple[DataFile, pa.Table]], mask: Callable[[pa.Table], Mask], hits: Hits) -> None:
    """Look at what waits, as one block."""
    if not waiting:
        return
    found = mask(pa.concat_tables([rows for _, rows in waiting]))
    start = 0
    for file, rows in waiting:
        some = found[start : start + rows.num_rows]
        start += rows.num_rows
        if not (count := int(np.count_nonzero(some))):
            continue
        names = [name for name in _KEPT_COLUMNS if name in rows.column_names]
        hits.rows.append(rows.select(names).filter(pa.array(some)))
        if hits.files and hits.files[-1][0] is file:
            hits.files[-1] = file, hits.files[-1][1] + count
        else:
            hits.files.append((file, count))
