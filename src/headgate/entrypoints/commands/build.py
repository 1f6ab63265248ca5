"""`headgate build`: typed analytical tables."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from headgate.clock import SystemClock
from headgate.config import Config, environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, progress, seconds
from headgate.errors import TransientError
from headgate.jobs.build import Built, build, combined
from headgate.jobs.filing import Filed
from headgate.lake.analytics_build import TableReport
from headgate.lake.published import published_number
from headgate.wiring.build import build_settings
from headgate.wiring.existing import existing_lake
from headgate.wiring.filing import file_deliveries
from headgate.wiring.job import Job
from headgate.wiring.lake import build_lease, open_lake_for_writing
from headgate.wiring.telemetry import log_lines

Done = TypeVar("Done")

SHOWN = 20  # lines of columns and of drift; --json shows all
TRIES = 6  # of a storage that does not answer; with the pauses between them about a minute
FIRST_PAUSE_SECONDS = 2.0


@click.command(
    epilog="""\b
Examples:
  headgate build lake/
  headgate build lake/ --preview
  headgate build s3://bucket/lake --date 2026-11-20
  headgate build lake/ --config headgate.toml --json

\b
Safe to run at any time, twice, beside a running consumer, and to be interrupted.
"""
)
@click.argument("lake")
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Build this created_date anew, after all that is new."
)
@click.option("--preview", is_flag=True, help="Show what would change; write nothing.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file; see [analytics].")
@common_options
def command(lake: str, day: datetime | None, preview: bool, config_path: Path | None, as_json: bool) -> None:
    """Build typed analytical tables from the events.

    For each event name a Delta table under analytics/ with one column a field of the payload, partitioned by
    created_date. Only events that came since the last run are read. What does not fit its column is kept as it was
    sent in the column _rescued, counted and reported. What Firehose delivered is filed into the lake's tables first.
    """
    began = time.monotonic()
    config = resolve(config_path, environment(), {}).config
    built, filed = _build(lake, config, day, is_preview=preview, is_shown=not as_json)
    took = time.monotonic() - began
    tables = combined(built.tables)
    if as_json:
        rate = round(built.rows / took, 1)
        head = {"lake": lake, "preview": preview, "published": built.published, "rows": built.rows}
        head["filed"] = asdict(filed) | {"counts": filed.counts._asdict()}
        print_json({**head, "seconds": round(took, 3), "rate": rate, "tables": [asdict(t) for t in tables]})
        return
    if filed.entries:
        print_pairs(
            {
                "filed": f"{number(filed.counts.received)} rows of {number(filed.objects)} objects from Firehose",
                "redelivered": f"{number(filed.redelivered)} lines that were there already",
            }
        )
    _show(built, tables, took, is_preview=preview)


def _build(lake: str, config: Config, day: datetime | None, *, is_preview: bool, is_shown: bool) -> tuple[Built, Filed]:
    clock = SystemClock()
    found = existing_lake(lake, config)
    settings = build_settings(config, is_preview=is_preview)
    opened = None if is_preview else open_lake_for_writing(Job(source="", lake=lake), config, clock)
    try:
        filed = Filed()
        if opened is not None:
            logs, writer = log_lines(config, sys.stderr, level="warning"), opened
            filed = _answered(lambda: file_deliveries(writer, config, clock=clock, telemetry=logs), clock)
        with progress("build", None, is_shown=is_shown) as bar:
            built = _answered(
                lambda: build(
                    found,
                    settings,
                    (lambda: published_number(found.storage)) if opened is None else opened.publish,
                    None if is_preview else build_lease(found.storage, clock),
                    now_us=clock.now_us,
                    new_id=lambda: uuid.uuid4().hex,
                    created_date=None if day is None else day.date(),
                    advance=bar.advance,
                ),
                clock,
            )
        return built, filed
    finally:
        if opened is not None:
            opened.close()


def _answered(run: Callable[[], Done], clock: SystemClock) -> Done:
    """Run it again where the storage did not answer; what is done already is left out."""
    for attempt in range(TRIES - 1):
        try:
            return run()
        except TransientError as error:
            pause = FIRST_PAUSE_SECONDS * 2**attempt
            click.echo(f"waiting {seconds(pause)}: {error}", err=True)
            clock.sleep(pause)
    return run()


def _show(built: Built, tables: list[TableReport], took: float, *, is_preview: bool) -> None:
    new = sum(table.is_new for table in tables)
    print_pairs(
        {
            "tables": f"{number(len(tables))} {'would be ' if is_preview else ''}changed, {number(new)} of them new",
            "rows": built.rows,
            "files": sum(table.files for table in tables),
            "took": f"{seconds(took)}, {number(round(built.rows / took))} rows/s",
        }
    )
    columns = [(t.event_name, name, kind) for t in tables if not t.is_new or is_preview for name, kind in t.new_columns]
    changed = [(t.event_name, name, f"{old} -> {new}") for t in tables for name, old, new in t.changed_columns]
    drift = [(t.event_name, *line) for t in tables for line in t.drift]
    _list("new columns", ("table", "column", "type"), columns)
    _list("changed columns", ("table", "column", "type"), changed)
    _list("values that fit no column, kept in _rescued", ("table", "field", "expected", "found", "count"), drift)


def _list(title: str, head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    if not rows:
        return
    click.echo(f"\n{title}:")
    shown = [[_plain(cell) if isinstance(cell, str) else cell for cell in row] for row in rows[:SHOWN]]
    print_table(head, shown)
    if len(rows) > SHOWN:
        click.echo(f"... and {number(len(rows) - SHOWN)} more; --json shows all")


def _plain(text: str) -> str:
    """A name from the data, harmless on a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
