"""The files of one table of a lake, newest first, and their rows from the last to the first, in bounded memory."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple
from urllib.parse import unquote

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from headgate.core.schema import TABLES, TIMESTAMP
from headgate.errors import PermanentError, TransientError
from headgate.jobs.existing import ExistingLake
from headgate.lake import read
from headgate.lake.delta import open_table
from headgate.lake.lines import rows_of

MAX_JSON_BYTES = 64 << 20  # of a file of lines that is looked into, stored and inflated; it has to be read whole
ALWAYS_US = 1 << 62  # where nothing says how new a row may be
_GZIP = b"\x1f\x8b"  # no line begins so
_READ_ROWS = 1_024  # rows whose large columns are in memory at a time
_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)


class TooLarge(PermanentError):
    """A file of lines that is not looked into."""


Mask = Callable[[pa.Table], npt.NDArray[np.bool_]]


class TableFile(NamedTuple):
    """A file of a table.

    Attributes:
        path: within the lake.
        oldest_us: no row arrived before, microseconds since 1970.
        newest_us: no row arrived after; ALWAYS_US where that is not known.
        written_us: when it was written.
        partition: values of the partition columns.
    """

    path: str
    oldest_us: int
    newest_us: int
    written_us: int
    partition: dict[str, object]


class Found(NamedTuple):
    """Rows of a file.

    Attributes:
        numbers: of the rows in the file, from the last to the first.
        rows: their columns.
        below: rows of lower numbers were not looked at; 0 where none is left.
    """

    numbers: list[int]
    rows: pa.Table
    below: int


@contextmanager
def reading(lake: ExistingLake, table: str) -> Iterator[None]:
    """Errors of readers as one sentence, inside the context."""
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException, duckdb.Error, DeltaError) as error:
        said = " ".join(str(error).split())
        if read.is_of_network(error):
            raise TransientError(f"{table} cannot be read now: {said}") from error
        raise PermanentError(f"{table} of {lake.path} cannot be read: {said}") from error


def files_of(lake: ExistingLake, table: str) -> list[TableFile]:
    """The published files of a table, those with the newest arrivals first.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: the table cannot be read.
    """
    with reading(lake, table):
        found = _of_log(lake, table) if lake.about.format == "delta" else _of_folder(lake, table)
    return sorted(found, key=lambda file: (file.newest_us, file.written_us, file.path), reverse=True)


def _of_log(lake: ExistingLake, table: str) -> list[TableFile]:
    actions = pa.table(open_table(lake.storage, table).get_add_actions(flatten=True))
    if not actions.num_rows:
        return []
    never, always = pa.nulls(actions.num_rows, pa.int64()), actions.column_names
    bounds = [
        (actions[name].cast(TIMESTAMP).cast(pa.int64()) if name in always else never).to_pylist()
        for name in ("min.arrived_at", "max.arrived_at")
    ]
    written = actions["modification_time"].cast(pa.int64()).to_pylist()
    names = [name for name in actions.column_names if name.startswith("partition.")]
    values = [actions[name].to_pylist() for name in names]
    found = []
    for i, path in enumerate(actions["path"].to_pylist()):
        partition = {name.removeprefix("partition."): value[i] for name, value in zip(names, values, strict=True)}
        day = partition.get("arrival_date")
        least, most = _day(day) if isinstance(day, date) else (0, ALWAYS_US)
        low, high = (column[i] for column in bounds)
        found.append(
            TableFile(
                f"{table}/{unquote(path)}",
                least if low is None else low - 1_000,  # other writers cut their statistics to milliseconds
                most if high is None else high + 1_000,
                written[i] * 1_000,
                partition,
            )
        )
    return found


def _of_folder(lake: ExistingLake, table: str) -> list[TableFile]:
    found = []
    for path, written_us in lake.storage.modified(f"{table}/"):
        if not path.endswith((".parquet", ".jsonl", ".jsonl.gz")):
            continue
        folders = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
        partition: dict[str, object] = {name: unquote(value) for name, value in folders.items()}
        low, high = 0, ALWAYS_US
        if "arrival_date" in folders:
            low, high = _day(date.fromisoformat(folders["arrival_date"]))
        found.append(TableFile(path, low, high, written_us, partition))
    return found


def _day(day: date) -> tuple[int, int]:
    start = (day - _EPOCH).days * _DAY_US
    return start, start + _DAY_US - 1


def last_rows(
    lake: ExistingLake,
    table: str,
    file: TableFile,
    mask: Mask,
    *,
    large: Sequence[str],
    before: int | None,
    count: int,
    until: float,
) -> Found:
    """Rows of a file that are wanted, from the last one on.

    However late it is, one row group is read, so that whoever goes on with `below` comes to the end.

    Args:
        lake: whose file.
        table: whose file.
        file: one of `files_of`.
        mask: which rows are wanted, by their small columns.
        large: columns that are only read of the rows that are handed out.
        before: rows of lower numbers only; None for all.
        count: at most so many.
        until: of the monotonic clock, after which no other row group is read.

    Raises:
        TooLarge: it is a file of lines that is not looked into.
        TransientError: the storage did not answer.
        PermanentError: the file is gone or cannot be read.
    """
    with reading(lake, table):
        if lake.about.format == "json":
            return _of_lines(lake, table, file, mask, before, count)
        return _of_parquet(lake, table, file, mask, large, before, count, until)


def _of_lines(lake: ExistingLake, table: str, file: TableFile, mask: Mask, before: int | None, count: int) -> Found:
    rows = rows_of(_content(lake, file).splitlines(), table)
    numbers = _wanted(mask(rows), 0, before, count)
    return Found(numbers, rows.take(pa.array(numbers, pa.int64())), numbers[-1] if len(numbers) == count else 0)


def _content(lake: ExistingLake, file: TableFile) -> bytes:
    """The lines of a file, inflated, as far as they are not too large."""
    size = lake.storage.size(file.path)
    content = b"" if size is None or size > MAX_JSON_BYTES else lake.storage.get(file.path)
    if size is None or content is None:
        raise PermanentError(f"{file.path} is gone: `compact` or `erase` was faster, open the page anew")
    if content.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            content = packed.read(MAX_JSON_BYTES + 1)
    if max(size, len(content)) > MAX_JSON_BYTES:
        raise TooLarge(f"{file.path} is too large to be looked into here: use headgate query")
    return content


def _of_parquet(
    lake: ExistingLake,
    table: str,
    file: TableFile,
    mask: Mask,
    large: Sequence[str],
    before: int | None,
    count: int,
    until: float,
) -> Found:
    schema = TABLES[table]
    numbers: list[int] = []
    parts = [schema.empty_table()]
    with lake.storage.arrow_files().open_input_file(file.path) as opened:
        parquet = pq.ParquetFile(opened)
        end = below = parquet.metadata.num_rows
        for group in reversed(range(parquet.num_row_groups)):
            start = end - parquet.metadata.row_group(group).num_rows
            if before is None or start < before:
                small = [name for name in schema.names if name not in large]
                rows = _shaped(parquet.read_row_group(group, _there(parquet, small), use_threads=False), file, schema)
                found = _wanted(mask(rows), start, before, count - len(numbers))
                if found:
                    parts.append(_with_large(parquet, group, rows, [n - start for n in found], large, schema))
                    numbers += found
                below = numbers[-1] if len(numbers) >= count else start
                if len(numbers) >= count or time.monotonic() > until:
                    break
            end = start
    return Found(numbers, pa.concat_tables(parts), below)


def _with_large(
    parquet: pq.ParquetFile, group: int, rows: pa.Table, wanted: list[int], large: Sequence[str], schema: pa.Schema
) -> pa.Table:
    """These rows of a row group with all their columns."""
    order = np.array(wanted, dtype=np.int64)
    parts, start = [], 0
    batches = parquet.iter_batches(_READ_ROWS, row_groups=[group], columns=list(large), use_threads=False)
    for batch in batches:
        inside = np.sort(order[(order >= start) & (order < start + batch.num_rows)])
        parts.append(pa.Table.from_batches([batch.take(pa.array(inside - start))]))
        start += batch.num_rows
        if start > order.max():
            break
    heavy = pa.concat_tables(parts).take(pa.array(np.argsort(np.argsort(order))))
    taken = rows.take(pa.array(order))
    for name in large:
        taken = taken.set_column(
            taken.column_names.index(name), schema.field(name), heavy[name].cast(schema.field(name).type)
        )
    return taken


def _wanted(mask: npt.NDArray[np.bool_], start: int, before: int | None, count: int) -> list[int]:
    numbers = np.flatnonzero(mask) + start
    if before is not None:
        numbers = numbers[numbers < before]
    return [int(number) for number in numbers[::-1][:count]]


def _there(parquet: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    known = set(parquet.schema_arrow.names)
    return [name for name in names if name in known]


def _shaped(rows: pa.Table, file: TableFile, schema: pa.Schema) -> pa.Table:
    """All columns of the schema: partition values from the path, null for what the file lacks."""
    columns = []
    for field in schema:
        if field.name in rows.column_names:
            columns.append(rows[field.name].cast(field.type))
        elif field.name in file.partition:
            value = pa.scalar(file.partition[field.name]).cast(field.type)
            columns.append(pa.chunked_array([pa.repeat(value, rows.num_rows)]))
        else:
            columns.append(pa.chunked_array([pa.nulls(rows.num_rows, field.type)]))
    return pa.Table.from_arrays(columns, schema=schema)


def arrived_us(rows: pa.Table) -> pa.ChunkedArray:
    """When the rows arrived, microseconds since 1970."""
    return pc.fill_null(rows["arrived_at"].cast(pa.int64()), 0)
