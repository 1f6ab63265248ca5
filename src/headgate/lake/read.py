"""Reading a lake's tables alike in all formats: typed columns, published rows only."""

from __future__ import annotations

import os
from functools import reduce
from operator import and_
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
from deltalake import DeltaTable

from headgate.core.schema import PARTITIONS, TABLES
from headgate.errors import ConfigError
from headgate.lake.layout import read_format
from headgate.lake.storage import open_storage

_NO_VALUE = ""  # pyarrow takes this folder value for null; the empty text is no partition value
_LARGEST_LINE = 256 << 20  # bytes; a rejected record of 64 MiB as base64, and room

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
}
_IN_HEADGATE = ("arrived_at", "source", "shard", "sequence")


def dataset(lake: str, table: str) -> ds.Dataset:
    """A table of a delta or parquet lake, with the columns of core/schema.py in their order.

    Args:
        lake: folder of the lake.
        table: `events`, `duplicates`, `rejected` or `quality`.

    Raises:
        ConfigError: there is no lake, or it is of format json (see `relation`).
    """
    table_format = _format(lake)
    schema = TABLES[table]
    folder = os.path.join(open_storage(lake).root, table)
    if table_format == "json":
        raise ConfigError(f"{lake} is of format json, which pyarrow does not read as a dataset: use `relation`")
    if table_format == "delta":
        return _delta(folder, table)
    if not os.path.isdir(folder):
        return ds.dataset(schema.empty_table())
    partitioning = ds.HivePartitioning(
        pa.schema([schema.field(column) for column in PARTITIONS[table]]),
        null_fallback=_NO_VALUE,
        segment_encoding="uri",
    )
    return ds.dataset(folder, schema=schema, format="parquet", partitioning=partitioning)


def relation(connection: duckdb.DuckDBPyConnection, lake: str, table: str) -> duckdb.DuckDBPyRelation:
    """A table of a lake of any format, with the columns of core/schema.py in their order.

    Of a json lake `payload` is the whole line: the original fields and ours. Set the connection's time zone
    to UTC to see times as UTC.
    """
    if _format(lake) != "json":
        return connection.from_arrow(dataset(lake, table))
    folder = os.path.join(open_storage(lake).root, table)
    if not os.path.isdir(folder):
        return connection.from_arrow(TABLES[table].empty_table())
    pattern = os.path.join(_literal_glob(folder), "**", "*.jsonl*").replace("'", "''")
    limit = f", maximum_object_size={_LARGEST_LINE}" if table == "rejected" else ""
    return connection.sql(f"SELECT {json_columns(table)} FROM read_ndjson_objects('{pattern}'{limit})")  # noqa: S608  own names


def json_columns(table: str) -> str:
    """SQL that makes a table's columns, in the order of core/schema.py, of a line in the column `json`."""
    return ", ".join(f'{_expression(table, field)} AS "{field.name}"' for field in TABLES[table])


def _delta(folder: str, table: str) -> ds.Dataset:
    """The files of the log's last version; deltalake's own dataset takes ten times longer to make."""
    files = pa.table(DeltaTable(folder).get_add_actions(flatten=True))
    columns, schema = PARTITIONS[table], TABLES[table]
    local, parquet = fs.SubTreeFileSystem(folder, fs.LocalFileSystem()), ds.ParquetFileFormat()
    known: dict[tuple[object, ...], ds.Expression] = {}
    fragments = []
    partitions = [files[f"partition.{column}"].to_pylist() for column in columns]
    for i, path in enumerate(files["path"].to_pylist()):
        partition = tuple(values[i] for values in partitions)
        if partition and partition not in known:
            known[partition] = reduce(
                and_,
                (ds.field(c) == pa.scalar(v, schema.field(c).type) for c, v in zip(columns, partition, strict=True)),
            )
        fragments.append(parquet.make_fragment(unquote(path), local, known.get(partition)))
    return ds.FileSystemDataset(fragments, schema, parquet, local)


def _format(lake: str) -> str:
    about = read_format(open_storage(lake))
    if about is None:
        raise ConfigError(f"{lake} is no lake: there is no _headgate/format.json in it")
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
