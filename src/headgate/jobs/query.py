"""SQL over a lake's tables by DuckDB in this process. Law: nothing can be written, and nothing else be read.

The tables are registered first, as Arrow data that is read for DuckDB; then its own access to files and its
configuration are locked for good. That is what holds: DuckDB takes `WITH x AS (COPY …) SELECT` for a SELECT. Only
one statement of that kind is run, in a database in memory without tables of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError

from headgate.core.schema import PARTITIONS, TABLES
from headgate.errors import ConfigError, TransientError
from headgate.jobs.existing import ExistingLake
from headgate.lake import read
from headgate.lake.delta import open_table
from headgate.lake.storage import Storage

BLOCK_ROWS = 10_000  # rows handed over at a time

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


@contextmanager
def answer(lake: ExistingLake, sql: str, as_of: str | None, limit: int | None) -> Iterator[pa.RecordBatchReader]:
    """Ask a lake.

    Args:
        lake: whose tables are the views `events`, `duplicates`, `rejected` and `quality`.
        sql: one SELECT statement.
        as_of: an ISO 8601 time with an offset; None for now. Delta only.
        limit: no more rows than this; None for all.

    Yields:
        The rows, in blocks; column names are unique.

    Raises:
        ConfigError: the statement is no SELECT, or DuckDB refuses it.
        TransientError: a remote storage did not answer.
    """
    moment = None if as_of is None else _moment(as_of, lake)
    with TemporaryDirectory(prefix="headgate-query-") as spill, duckdb.connect(config=_LOCKED) as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SET enable_progress_bar=false")
        connection.execute("SET temp_directory=?", [spill])
        for table in TABLES:
            _show(connection, lake, table, moment)
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        _check(connection, sql)
        try:
            rows = connection.sql(sql)
            if rows is None:
                raise ConfigError("the statement has no answer: give a SELECT")
            rows = rows if limit is None else rows.limit(limit)
            yield _renamed(rows.to_arrow_reader(BLOCK_ROWS))
        except duckdb.Error as error:
            if read.is_of_network(error):
                raise TransientError(f"the lake cannot be read now: {error}") from error
            raise ConfigError(f"{error}; views are {', '.join(TABLES)}") from error


def _moment(as_of: str, lake: ExistingLake) -> datetime:
    if lake.about.format != "delta":
        raise ConfigError(
            f"--as-of needs a lake of format delta, which keeps its history; {lake.path} is {lake.about.format}"
        )
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--as-of {as_of!r}: expected a time with an offset such as 2026-11-20T00:00:00Z")
    return moment


def _show(connection: duckdb.DuckDBPyConnection, lake: ExistingLake, table: str, moment: datetime | None) -> None:
    """Register one table under its name.

    Lines are read for DuckDB and not by it, because a folder that it may read it may also write to.
    """
    if moment is not None:
        connection.register(table, _as_of(lake.storage, table, moment))
    elif lake.about.format == "json":
        connection.register(f"_{table}", read.json_lines(lake.storage, table))
        connection.execute(f"CREATE VIEW {table} AS SELECT {read.json_columns(table)} FROM _{table}")  # noqa: S608
    else:
        connection.register(table, read.dataset(lake.storage, table))


def _as_of(storage: Storage, table: str, moment: datetime) -> ds.Dataset:
    """A Delta table as it was; empty where it was not yet made."""
    schema = TABLES[table]
    opened = open_table(storage, table)
    made_ms = min(entry["timestamp"] for entry in opened.history())
    if moment.timestamp() * 1000 < made_ms:
        raise ConfigError(
            f"--as-of {moment.isoformat()}: {table} is known from "
            f"{datetime.fromtimestamp(made_ms / 1000, tz=moment.tzinfo).isoformat()} on"
        )
    try:
        opened.load_as_version(moment)
    except DeltaError as error:
        raise ConfigError(f"--as-of {moment.isoformat()}: {table} cannot be shown as it was then: {error}") from error
    partitions = pa.schema([schema.field(column) for column in PARTITIONS[table]])
    return opened.to_pyarrow_dataset(
        schema=pa.schema([field for field in schema if field.name not in PARTITIONS[table]] + list(partitions))
    )


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse everything but one SELECT."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise ConfigError(str(error)) from error
    if len(statements) != 1:
        raise ConfigError(f"expected one statement, found {len(statements)}: give a single SELECT")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise ConfigError(f"{kind} is refused: `query` only reads; give a single SELECT (or DESCRIBE, SUMMARIZE)")


def _renamed(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows under unique names."""
    names: list[str] = []
    for name in reader.schema.names:
        unique, n = name, 1
        while unique in names:
            n += 1
            unique = f"{name}_{n}"
        names.append(unique)
    if names == reader.schema.names:
        return reader
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)
