"""Lines of a json lake's files as rows of its tables."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache

import duckdb
import pyarrow as pa

from headgate.core.schema import TABLES
from headgate.lake import jsonl
from headgate.lake.read import json_columns

_GZIP = b"\x1f\x8b"  # no line begins so


def lines_of(content: bytes) -> list[bytes]:
    """The lines of a file, plain or gzip."""
    return (gzip.decompress(content) if content.startswith(_GZIP) else content).splitlines()


def rows_of(
    lines: Sequence[bytes], table: str, columns: Sequence[str] | None = None, *, is_original: bool = False
) -> pa.Table:
    """Lines as rows. Thread-safe.

    Args:
        lines: JSON objects (n), as the lake writes them.
        table: of the lake.
        columns: of TABLES, all by default; what is not named costs nothing.
        is_original: `payload` is the event as the producer sent it; else the whole line with our fields.

    Returns:
        (n) with the types of TABLES.

    Raises:
        duckdb.Error: a line is not what the lake writes.
    """
    schema = TABLES[table]
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    texts = pa.table({"json": pa.array(lines, pa.binary()).cast(pa.string())})
    with _database().cursor() as connection:
        connection.execute("SET TimeZone='UTC'")
        parsed = connection.from_arrow(texts).project(json_columns(table))
        rows = parsed.project(", ".join(f'"{name}"' for name in wanted.names)).to_arrow_table().cast(wanted)
    if not is_original or "payload" not in wanted.names:
        return rows
    payload = pa.array([jsonl.original(line) for line in lines], pa.string())
    return rows.set_column(wanted.get_field_index("payload"), wanted.field("payload"), payload)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One a process, without data: to open one takes 40 ms, longer than to read a small file."""
    return duckdb.connect(config={"threads": "1"})
