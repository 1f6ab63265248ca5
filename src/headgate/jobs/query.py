"""SQL over a lake's tables by DuckDB in this process. Law: nothing can be written, and nothing else be read.

The tables are registered first, as Arrow data that is read for DuckDB; then its own access to files and its
configuration are locked for good. That is what holds: DuckDB takes `WITH x AS (COPY …) SELECT` for a SELECT. Only
one statement of that kind is run, in a database in memory without tables of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headgate.core.schema import PARTITIONS, TABLES
from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError
from headgate.jobs.existing import ExistingLake, is_published
from headgate.lake import analytics_read, read
from headgate.lake.analytics_read import ANALYTICS
from headgate.lake.delta import open_table
from headgate.lake.settled import may_be_settled, replays, settled_rows, unsettled
from headgate.lake.storage import Storage

BLOCK_ROWS = 10_000  # rows handed over at a time
_GONE = ("not found", "No such file", "NO_SUCH_KEY")  # said of a file, depending on where it lay
_OF_FILES = (
    "reading the stream registered",
    "reading the Arrow source",
    "IO Error",
    "Malformed JSON",
)  # DuckDB's words
_LISTING = re.compile(r"information_schema|duckdb_|\bshow\b")  # of a statement that asks which views there are
SETTLING = ("duplicates", "rejected")  # tables with rows that a replay may settle
VIEWS = (*TABLES, *(f"{table}_all" for table in SETTLING))

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


@contextmanager
def answer(lake: ExistingLake, sql: str, as_of: str | None, limit: int | None) -> Iterator[pa.RecordBatchReader]:
    """Ask a lake.

    Args:
        lake: whose tables are the views `events`, `duplicates`, `rejected` and `quality`; `duplicates_all` and
            `rejected_all` also hold the rows that replays have settled. The typed tables are in the schema
            `analytics`, by the names of their folders.
        sql: one SELECT statement.
        as_of: an ISO 8601 time with an offset; None for now. Delta only.
        limit: no more rows than this; None for all.

    Yields:
        The rows, in blocks; column names are unique.

    Raises:
        ConfigError: the statement is no SELECT, or DuckDB refuses it; a row may be what it fails at.
        TransientError: a remote storage did not answer.
        PermanentError: a file is gone or cannot be read.
    """
    moment = None if as_of is None else _moment(as_of, lake)
    with TemporaryDirectory(prefix="headgate-query-") as spill, duckdb.connect(config=_LOCKED) as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SET enable_progress_bar=false")
        connection.execute("SET temp_directory=?", [spill])
        settling = _show_settled(connection, lake, moment)
        for table in TABLES:
            _show(connection, lake, table, moment, settling if table in SETTLING else None)
        _show_analytics(connection, lake.storage, sql, moment)
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        _check(connection, sql)
        try:
            rows = connection.sql(sql)
            if rows is None:
                raise ConfigError("the statement has no answer: give a SELECT")
            rows = rows if limit is None else rows.limit(limit)
            reader = rows.to_arrow_reader(BLOCK_ROWS)
        except duckdb.Error as error:
            raise _named(error, lake, as_of) from error
        yield _renamed(reader, lambda error: _named(error, lake, as_of))


def _named(error: Exception, lake: ExistingLake, as_of: str | None) -> HeadgateError:
    """What went wrong: the network, a file, or the statement; DuckDB's errors are OSErrors once rows come."""
    said = " ".join(str(error).split()).partition(". Detail: Python exception")[0]
    if read.is_of_network(error):
        return TransientError(f"the lake cannot be read now: {said}")
    if as_of is not None and any(gone in said for gone in _GONE):
        return ConfigError(
            f"--as-of {as_of}: files of that time were deleted since: `compact` keeps them for its retention, "
            "`erase` does not keep them"
        )
    if any(mark in said for mark in _OF_FILES):
        return PermanentError(
            f"{lake.path} cannot be read: {said}; `headgate verify` names what is gone or damaged: restore it from a "
            "backup"
        )
    return ConfigError(f"{error}; views are {', '.join(VIEWS)} and {ANALYTICS}.*")


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


def _show_settled(connection: duckdb.DuckDBPyConnection, lake: ExistingLake, moment: datetime | None) -> bool:
    """Register what published replays have settled; False where there is nothing."""
    if not may_be_settled(lake.storage):
        return False
    found = [
        entry
        for entry in replays(lake.entry, lake.state().replayed_at)
        if is_published(lake, entry) and (moment is None or entry.committed_us <= moment.timestamp() * 1_000_000)
    ]
    connection.register("_settled", settled_rows(lake.storage, found))
    return bool(found)


def _show(
    connection: duckdb.DuckDBPyConnection,
    lake: ExistingLake,
    table: str,
    moment: datetime | None,
    settling: bool | None,
) -> None:
    """Register one table under its name; where rows of it may be settled, all of it under another name, too."""
    if settling is None:
        _register(connection, lake, table, table, moment)
        return
    _register(connection, lake, table, f"{table}_all", moment)
    rows = unsettled(table, f"{table}_all", "_settled") if settling else f"SELECT * FROM {table}_all"  # noqa: S608
    connection.execute(f"CREATE VIEW {table} AS {rows}")


def _register(
    connection: duckdb.DuckDBPyConnection, lake: ExistingLake, table: str, name: str, moment: datetime | None
) -> None:
    """Register one table.

    Lines are read for DuckDB and not by it, because a folder that it may read it may also write to.
    """
    if moment is not None:
        opened = open_table(lake.storage, table)
        _set_back(opened, table, moment)
        connection.register(name, read.of_log(lake.storage, opened, table, TABLES[table], PARTITIONS[table]))
    elif lake.about.format == "json":
        connection.register(f"_{table}", read.json_lines(lake.storage, table))
        connection.execute(f"CREATE VIEW {name} AS SELECT {read.json_columns(table)} FROM _{table}")  # noqa: S608
    else:
        connection.register(name, read.dataset(lake.storage, table))


def _show_analytics(connection: duckdb.DuckDBPyConnection, storage: Storage, sql: str, moment: datetime | None) -> None:
    """Register the typed tables that a statement names as views of the schema `analytics`, or all for a list of views.

    Opening a table takes some milliseconds, and there may be a thousand.
    """
    connection.execute(f"CREATE SCHEMA {ANALYTICS}")
    asked = sql.lower()
    if ANALYTICS not in asked and not _LISTING.search(asked):
        return
    is_list = _LISTING.search(asked) is not None
    for number, folder in enumerate(analytics_read.folders(storage)):
        if not is_list and folder.lower() not in asked:
            continue
        table, name = f"{ANALYTICS}/{folder}", folder.replace('"', '""')
        opened = open_table(storage, table)
        if moment is not None:
            _set_back(opened, table, moment)
        connection.register(f"_{ANALYTICS}_{number}", analytics_read.dataset(storage, table, opened))
        connection.execute(f'CREATE VIEW {ANALYTICS}."{name}" AS SELECT * FROM _{ANALYTICS}_{number}')  # noqa: S608


def _set_back(opened: DeltaTable, table: str, moment: datetime) -> None:
    """Turn a table to the version that was shown at a moment, by what the versions say of themselves.

    delta-rs goes by when their files were last written, and an erasure writes some anew.
    """
    moment_ms = moment.timestamp() * 1000
    versions = sorted((entry["version"], entry["timestamp"]) for entry in opened.history())
    made_ms = list(accumulate((ms for _, ms in versions), max))  # no version is older than the one before
    shown = bisect_right(made_ms, moment_ms) - 1
    if shown < 0:
        first = datetime.fromtimestamp(made_ms[0] / 1000, tz=moment.tzinfo)
        raise ConfigError(f"--as-of {moment.isoformat()}: {table} is known from {first.isoformat()} on")
    try:
        opened.load_as_version(versions[shown][0])
    except DeltaError as error:
        raise ConfigError(f"--as-of {moment.isoformat()}: {table} cannot be shown as it was then: {error}") from error


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


def _renamed(reader: pa.RecordBatchReader, named: Callable[[Exception], HeadgateError]) -> pa.RecordBatchReader:
    """The same rows under unique names, and errors by reaction."""
    names: list[str] = []
    for name in reader.schema.names:
        unique, n = name, 1
        while unique in names:
            n += 1
            unique = f"{name}_{n}"
        names.append(unique)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    return pa.RecordBatchReader.from_batches(schema, _batches(reader, schema, named))


def _batches(
    reader: pa.RecordBatchReader, schema: pa.Schema, named: Callable[[Exception], HeadgateError]
) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            raise named(error) from error
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
