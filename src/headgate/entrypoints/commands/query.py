"""`headgate query`: SQL over a lake, without a chance to change it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import click
import pyarrow as pa

from headgate.entrypoints.answers import write_csv, write_json, write_parquet, write_table
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number
from headgate.entrypoints.whole_file import whole_file
from headgate.errors import ConfigError
from headgate.jobs.query import answer
from headgate.lake.counted import CountedFiles
from headgate.wiring.existing import existing_lake

SHOWN_ROWS = 100  # of a table where no --limit is given

_WRITERS: dict[str, Callable[[pa.RecordBatchReader, IO[bytes]], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}


@click.command(
    epilog="""\b
Examples:
  headgate query lake/ "SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC"
  headgate query lake/ "SELECT payload->>'user_id' AS user FROM events" --limit 10
  headgate query lake/ "FROM rejected" --output csv --out rejected.csv
  headgate query lake/ "SELECT * FROM analytics.payment_order_completed LIMIT 10"
  headgate query lake/ "SELECT count(*) FROM events" --as-of 2026-11-20T12:00:00Z
  headgate query lake/ "FROM events WHERE created_date = '2026-11-20'" --files

\b
A table shows control characters escaped and cuts long cells; csv, json and parquet
hold every value exactly. A csv cell may begin with = + - @: it is data.
"""
)
@click.argument("lake")
@click.argument("sql")
@click.option("--as-of", metavar="TIME", help="The tables as they were then (format delta).")
@click.option("--output", type=click.Choice(["table", *_WRITERS]), help="[default: table]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File instead of standard output.")
@click.option("--limit", type=click.IntRange(0), help=f"Rows at most.  [default: all; a table {SHOWN_ROWS}]")
@click.option("--files", "shows_files", is_flag=True, help="Say on standard error how many files were read.")
@common_options
def command(
    lake: str,
    sql: str,
    as_json: bool,
    as_of: str | None,
    output: str | None,
    out: Path | None,
    limit: int | None,
    shows_files: bool,
) -> None:
    """Ask a lake in SQL.

    SQL is one SELECT in DuckDB's dialect over the views events, duplicates, rejected and quality, and over the typed
    tables as analytics.NAME, where NAME is the folder under analytics/ (in quotes where it is no plain word).
    duplicates_all and rejected_all also hold what replays have settled. Nothing can be written through it, and no
    other file be read. Conditions on event_type, created_date and arrival_date leave out files of all others, but in a
    lake of format json.
    """
    if as_json and output not in (None, "json"):
        raise ConfigError(f"--json and --output {output}: give one of them")
    kind = "json" if as_json else output or "table"
    if kind == "parquet" and out is None and sys.stdout.isatty():
        raise ConfigError("--output parquet is not for terminals: give --out FILE")
    found = existing_lake(lake)
    counted = CountedFiles(found.storage)
    if shows_files:
        found = replace(found, storage=counted.storage)
    with answer(found, sql, as_of, limit) as reader, _opened(out) as file:
        if kind == "table":
            text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="\n", write_through=True)
            if write_table(reader, text, SHOWN_ROWS if limit is None else limit):
                click.echo(f"more than {number(SHOWN_ROWS)} rows; --limit N shows more, --output csv all", err=True)
            text.detach()
        else:
            _WRITERS[kind](reader, file)
    if shows_files:
        for table in counted.tables:
            click.echo(f"{table}: {number(counted.number(table))} files read", err=True)


@contextmanager
def _opened(out: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that appears under its name once it is whole."""
    if out is None:
        yield sys.stdout.buffer
        return
    with whole_file(out) as file:
        yield file
