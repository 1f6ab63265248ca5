"""Reading a lake's tables alike in all formats: typed columns, published rows only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from operator import and_
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import FileType

from headgate.core.schema import PARTITIONS, TABLES
from headgate.errors import ConfigError, TransientError
from headgate.lake.delta import open_table
from headgate.lake.layout import read_format
from headgate.lake.storage import Storage

_NO_VALUE = ""  # pyarrow takes this folder value for null; the empty text is no partition value
_LARGEST_LINE = 256 << 20  # bytes; a rejected record of 64 MiB as base64, and room; allocating it takes 60 ms a file
_LEAST_BLOCK = 1 << 20  # bytes of JSON read at a time; a block must hold the longest line
_ASK_AT_ONCE = 16  # files of a remote lake whose inflated size is asked for side by side

_TIME = "CAST({0} AS TIMESTAMPTZ)"
_CASTS = {
    pa.string(): "{0}",
    pa.float64(): "CAST({0} AS DOUBLE)",
    pa.int64(): "CAST({0} AS BIGINT)",
    pa.bool_(): "CAST({0} AS BOOLEAN)",
    pa.date32(): "CAST({0} AS DATE)",
    pa.binary(): "from_base64({0})",
    pa.timestamp("us", tz="UTC"): _TIME,
    pa.map_(pa.string(), pa.int64()): "CAST(CAST({0} AS JSON) AS MAP(VARCHAR, BIGINT))",
    pa.map_(pa.string(), pa.float64()): "CAST(CAST({0} AS JSON) AS MAP(VARCHAR, DOUBLE))",
    pa.map_(pa.float64(), pa.int64()): "CAST(CAST({0} AS JSON) AS MAP(DOUBLE, BIGINT))",
}
_REMOTE_ERROR = "AWS Error"  # in every message of pyarrow's S3 client
_GONE = ("NO_SUCH_KEY", "RESOURCE_NOT_FOUND")
_ROUNDED_US = 1_000  # microseconds; statistics of other writers are cut to milliseconds
_IN_HEADGATE = ("arrived_at", "source", "shard", "sequence")


def dataset(storage: Storage, table: str, *, arrived_us: tuple[int, int] | None = None) -> ds.Dataset:
    """A table of a delta or parquet lake, with the columns of core/schema.py in their order.

    Args:
        storage: of the lake.
        table: `events`, `duplicates`, `rejected` or `quality`.
        arrived_us: leave out files of a delta lake without a row that arrived between these, microseconds.

    Raises:
        ConfigError: there is no lake, or it is of format json (see `relation`).
        TransientError: the storage did not answer.
    """
    table_format = _format(storage)
    schema = TABLES[table]
    if table_format == "json":
        raise ConfigError(f"{storage.root} is of format json, which pyarrow does not read as a dataset: use `relation`")
    if table_format == "delta":
        return delta_dataset(storage, open_table(storage, table), table, arrived_us)
    files = storage.arrow_files()
    with waiting_for(storage, table):
        if files.get_file_info(table).type == FileType.NotFound:
            return ds.dataset(schema.empty_table())
    partitioning = ds.HivePartitioning(
        pa.schema([schema.field(column) for column in PARTITIONS[table]]),
        null_fallback=_NO_VALUE,
        segment_encoding="uri",
    )
    with waiting_for(storage, table):
        return ds.dataset(table, schema=schema, format="parquet", partitioning=partitioning, filesystem=files)


def relation(connection: duckdb.DuckDBPyConnection, storage: Storage, table: str) -> duckdb.DuckDBPyRelation:
    """A table of a lake of any format, with the columns of core/schema.py in their order.

    Of a json lake `payload` is the whole line: the original fields and ours. Set the connection's time zone
    to UTC to see times as UTC.
    """
    if _format(storage) != "json":
        return connection.from_arrow(dataset(storage, table))
    if storage.is_remote:
        return connection.from_arrow(json_lines(storage, table)).project(json_columns(table))
    folder = os.path.join(storage.root, table)
    if not any(path.endswith((".jsonl", ".jsonl.gz")) for path in storage.list(f"{table}/")):
        return connection.from_arrow(TABLES[table].empty_table())
    pattern = os.path.join(_literal_glob(folder), "**", "*.jsonl*").replace("'", "''")
    limit = f", maximum_object_size={_LARGEST_LINE}" if table == "rejected" else ""
    return connection.sql(f"SELECT {json_columns(table)} FROM read_ndjson_objects('{pattern}'{limit})")  # noqa: S608  own names


def json_lines(storage: Storage, table: str) -> ds.Dataset:
    """The lines of all files of a table of a json lake as one column, `json`, read by pyarrow.

    A line of JSON holds no control character, so that one as the delimiter makes the line one field.
    """
    sizes = [(path, size) for path, size in storage.sizes(f"{table}/") if path.endswith((".jsonl", ".jsonl.gz"))]
    with ThreadPoolExecutor(_ASK_AT_ONCE if storage.is_remote else 1) as pool:
        longest = max(pool.map(lambda found: _inflated_bytes(storage, *found), sizes), default=0) + 1
    text = csv.ReadOptions(column_names=["json"], block_size=min(max(longest, _LEAST_BLOCK), _LARGEST_LINE))
    plain = csv.ParseOptions(delimiter="\x01", quote_char=False, double_quote=False, ignore_empty_lines=True)
    as_text = csv.ConvertOptions(column_types={"json": pa.large_string()})
    with waiting_for(storage, table):
        return ds.dataset(
            [path for path, _ in sizes],
            schema=pa.schema([pa.field("json", pa.large_string())]),
            format=ds.CsvFileFormat(plain, read_options=text, convert_options=as_text),
            filesystem=storage.arrow_files(),
        )


def is_of_network(error: Exception) -> bool:
    """True for an error of a reader of `dataset` or `relation` that says nothing about the lake: ask again."""
    return _REMOTE_ERROR in str(error) and not any(code in str(error) for code in _GONE)


@contextmanager
def waiting_for(storage: Storage, table: str) -> Iterator[None]:
    """Errors of the network become transient ones, inside the context."""
    try:
        yield
    except OSError as error:
        if is_of_network(error):
            raise TransientError(f"{storage.root}/{table} cannot be read now: {error}") from error
        raise


def _inflated_bytes(storage: Storage, path: str, size: int) -> int:
    """Size of a file's content; RFC 1952 ends a gzip file with it."""
    if not path.endswith(".gz") or size == 0:
        return size
    return int.from_bytes(storage.tail(path, 4) or b"", "little")


def json_columns(table: str) -> str:
    """SQL that makes a table's columns, in the order of core/schema.py, of a line in the column `json`."""
    return ", ".join(f'{_expression(table, field)} AS "{field.name}"' for field in TABLES[table])


def delta_dataset(
    storage: Storage,
    opened: DeltaTable,
    table: str,
    arrived_us: tuple[int, int] | None = None,
    time: str = "arrived_at",
) -> ds.FileSystemDataset:
    """A table of the lake at the version that was opened, see `of_log`."""
    return of_log(storage, opened, table, TABLES[table], PARTITIONS[table], arrived_us, time)


def of_log(
    storage: Storage,
    opened: DeltaTable,
    table: str,
    schema: pa.Schema,
    partitions: Sequence[str],
    arrived_us: tuple[int, int] | None = None,
    time: str = "arrived_at",
) -> ds.FileSystemDataset:
    """The files of a Delta table's version; deltalake's own dataset takes ten times longer to make.

    Args:
        storage: of the lake.
        opened: the table at the version that is to be shown.
        table: path of the table.
        schema: of the columns that are shown; a file that lacks one has nulls there.
        partitions: columns that are in the log and not in the files; a query about them opens only their files.
        arrived_us: leave out files without a row that arrived between these, microseconds since 1970 UTC.
        time: another column that `arrived_us` is about.
    """
    filesystem, files = storage.arrow_files(), live_files(opened, arrived_us, time)
    parquet = ds.ParquetFileFormat()
    known: dict[tuple[object, ...], ds.Expression] = {}
    fragments = []
    values = [files[f"partition.{column}"].to_pylist() for column in partitions] if files.num_rows else []
    for i, path in enumerate(files["path"].to_pylist()):
        partition = tuple(column[i] for column in values)
        if partition and partition not in known:
            known[partition] = reduce(
                and_,
                (ds.field(c) == pa.scalar(v, schema.field(c).type) for c, v in zip(partitions, partition, strict=True)),
            )
        fragments.append(parquet.make_fragment(f"{table}/{unquote(path)}", filesystem, known.get(partition)))
    return ds.FileSystemDataset(fragments, schema, parquet, filesystem)


def live_files(opened: DeltaTable, between_us: tuple[int, int] | None, time: str) -> pa.Table:
    """The files of a version, as its log writes them; without those that hold no row of a time, if one is given.

    Args:
        opened: the table at that version.
        between_us: microseconds since 1970.
        time: the column that is about.
    """
    files = pa.table(opened.get_add_actions(flatten=True))
    return files if between_us is None else _arrived(files, *between_us, time)


def _arrived(files: pa.Table, low_us: int, high_us: int, time: str) -> pa.Table:
    """The files that may hold a row that arrived between; one without statistics may."""
    for name, is_beyond, bound in (("max", pc.less, low_us - _ROUNDED_US), ("min", pc.greater, high_us + _ROUNDED_US)):
        column = f"{name}.{time}"
        if column in files.column_names:
            us = files[column].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
            files = files.filter(pc.invert(is_beyond(us, bound)).fill_null(True))
    return files


def _format(storage: Storage) -> str:
    about = read_format(storage)
    if about is None:
        raise ConfigError(f"{storage.root} is no lake: there is no _headgate/format.json in it")
    return about.format


def _expression(table: str, field: pa.Field) -> str:
    """How a column is read from a line."""
    if table in ("events", "duplicates"):
        if field.name == "payload":
            return "CAST(json AS VARCHAR)"
        if field.name == "arrival_date":
            return "CAST(CAST(json->'_headgate'->>'arrived_at' AS TIMESTAMP) AS DATE)"
        if field.name in _IN_HEADGATE:
            return _CASTS[field.type].format(f"(json->'_headgate'->>'{field.name}')")
    return _CASTS[field.type].format(f"(json->>'{field.name}')")


def _literal_glob(path: str) -> str:
    """The path with the characters escaped that DuckDB takes for wildcards."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)
