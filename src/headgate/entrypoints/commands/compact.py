"""`headgate compact`: small files into large ones, old versions vacuumed."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from headgate.clock import SystemClock
from headgate.config import environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.commands.run import Stop
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, progress, seconds, size
from headgate.jobs.compact import Compacted, CompactSettings, Watch, compact
from headgate.memory import keep_memory_bounded
from headgate.wiring.existing import existing_lake
from headgate.wiring.lake import compaction_lease


@click.command(
    epilog="""\b
Examples:
  headgate compact lake/
  headgate compact lake/ --dry-run
  headgate compact s3://bucket/lake --retention 2d --json
"""
)
@click.argument("lake")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file of the runs.")
@click.option("--retention", help="Keep removed files so long, at least an hour.  [default: 7d]")
@click.option("--target-bytes", type=int, help="Size at which a file is large enough.  [default: 128 MiB]")
@click.option("--skip-orphans", is_flag=True, help="Do not look for files that nobody names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@common_options
def command(
    lake: str,
    config_path: Path | None,
    retention: str | None,
    target_bytes: int | None,
    skip_orphans: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Join small files to large ones and delete what nobody needs.

    Works beside runs, on lakes of format delta. Safe to repeat and to kill. Files that were replaced are deleted when
    they are older than the retention and `build` has read them; files that nobody names when they are older than a day.
    """
    keep_memory_bounded()
    began = time.monotonic()
    flags = {"compaction.retention": retention, "compaction.target_file_bytes": target_bytes}
    config = resolve(config_path, environment(), flags).config
    found, clock = existing_lake(lake, config), SystemClock()
    settings = CompactSettings(
        target_file_bytes=config.compaction.target_file_bytes,
        retention_us=config.compaction.retention_us,
        is_dry_run=dry_run,
        with_orphans=not skip_orphans,
    )
    with progress("compact", None, is_shown=not as_json) as bar, Stop() as stop:
        done = compact(
            found,
            compaction_lease(found.storage, clock),
            settings,
            now_us=clock.now_us,
            watch=Watch(advance=bar.advance, describe=bar.describe, stop=stop),
        )
    took = time.monotonic() - began
    if as_json:
        result = {**asdict(done), "dry_run": dry_run, "stopped_by_signal": stop(), "seconds": round(took, 3)}
        print_json({"lake": lake, **result})
        return
    _print(done, took, is_dry_run=dry_run, is_stopped=stop())


def _print(done: Compacted, took: float, *, is_dry_run: bool, is_stopped: bool) -> None:
    rows = [
        (
            name,
            f"{number(table.files_before)} → {number(table.files_after)}",
            f"{size(table.bytes_before)} → {size(table.bytes_after)}",
            f"{number(table.vacuumed)} ({size(table.vacuumed_bytes)})",
            table.orphans,
        )
        for name, table in done.tables.items()
        if not table.left
    ]
    print_table(("table", "files", "size", "vacuumed", "orphans"), rows)
    lines: dict[str, object] = {f"{name} left": t.left for name, t in done.tables.items() if t.left}
    if done.unfinished:
        lines["unfinished"] = f"{number(done.unfinished)} files of killed writers deleted"
    if is_dry_run:
        lines["dry run"] = "nothing was written or deleted; the files that would be are a guess"
    if is_stopped:
        lines["stopped"] = "by a signal; the next compaction goes on from here"
    print_pairs({**lines, "took": seconds(took)})
