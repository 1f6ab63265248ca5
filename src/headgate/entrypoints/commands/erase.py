"""`headgate erase`: one person's rows taken out of a lake."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from headgate.config import environment, resolve
from headgate.core.erase_predicate import Predicate
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, progress, seconds
from headgate.errors import ConfigError
from headgate.jobs.erase_found import Found, Watch
from headgate.lake.erase_receipt import receipt_path
from headgate.memory import keep_memory_bounded
from headgate.wiring.erase import opened_erasure, settings_of
from headgate.wiring.telemetry import log_lines

EXIT_DECLINED = 1


@click.command(
    epilog="""\b
Examples:
  headgate erase lake/ --where "payload->>'account_id' = '42'" --dry-run
  headgate erase lake/ --where "payload->>'account_id' = '42'" --contains '"account_id":"42"'
  headgate erase s3://bucket/lake --where "event_uuid = 'a1'" --yes --json

\b
What goes, what stays and why: docs/erasure.md.
"""
)
@click.argument("lake")
@click.option("--where", metavar="PREDICATE", help="SQL over the columns of events: rows for which it holds go.")
@click.option("--contains", metavar="TEXT", default="", help="Rejects go whose bytes hold this text.")
@click.option("--dry-run", is_flag=True, help="Count what would go; write nothing.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask on a terminal.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file of the runs.")
@common_options
def command(
    lake: str,
    where: str | None,
    contains: str,
    dry_run: bool,
    is_sure: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Remove one person's rows from every table, and keep a receipt.

    From events, duplicates, rejected, the typed tables and old versions, with what ledger and logs say of them. A
    duplicate goes with its original; rejects go by --contains, or where they are an object for which --where holds.
    Works beside runs. Safe to repeat and to kill: the next erasure finishes what was interrupted.
    """
    if where is None and not contains:
        raise ConfigError("nothing to look for: give --where, --contains or both")
    if where is not None:
        Predicate(where)  # a wrong one is told before anything is opened
    keep_memory_bounded()
    config = resolve(config_path, environment(), {}).config
    settings = settings_of(config, where, contains)
    logs = log_lines(config, sys.stderr, level="warning")
    began = time.monotonic()
    receipt: Mapping[str, object] | None = None
    with opened_erasure(lake, config, settings, logs, is_dry=dry_run) as erasure:
        with progress("search", None, is_shown=not as_json) as bar:
            found = erasure.find(Watch(advance=bar.advance, describe=bar.describe))
        if not as_json:
            _show_found(found, is_dry=dry_run)
        if not (dry_run or found.is_nothing):
            if not is_sure:
                _ask()
            with progress("erase", None, is_shown=not as_json) as bar:
                receipt = erasure.remove(found, Watch(advance=bar.advance, describe=bar.describe))
    took = time.monotonic() - began
    if as_json:
        known = {"rows": found.rows, "hidden_files": len(found.hidden), "continues": list(found.continues)}
        whole = {"lake": lake, "dry_run": dry_run, "found": known, "receipt": receipt, "seconds": round(took, 3)}
        print_json(whole)
    elif receipt is not None:
        _show_receipt(receipt, took)


def _ask() -> None:
    """On a terminal nothing goes without a yes."""
    is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if is_terminal and not click.confirm("Remove these rows for good?", err=True):
        click.echo("nothing was removed", err=True)
        raise click.exceptions.Exit(EXIT_DECLINED)


def _show_found(found: Found, *, is_dry: bool) -> None:
    if found.is_nothing:
        click.echo("nothing matches")
        return
    print_table(("table", "rows found"), list(found.rows.items()))
    lines: dict[str, object] = {}
    if found.hidden:
        lines["hidden"] = f"{number(len(found.hidden))} files that no reader sees hold such rows"
    if found.continues:
        lines["continues"] = ", ".join(found.continues)
    if is_dry:
        lines["dry run"] = "nothing was written or deleted"
    print_pairs(lines)


def _show_receipt(receipt: Mapping[str, object], took: float) -> None:
    tables, left = receipt["tables"], receipt["left"]
    assert isinstance(tables, dict)  # noqa: S101
    assert isinstance(left, list)  # noqa: S101
    rows = [
        (
            name,
            of["rows"],
            of["rewritten"],
            of["deleted"],
            "" if of["version_from"] is None else f"{of['version_from']} → {of['version_to']}",
        )
        for name, of in tables.items()
    ]
    click.echo()
    print_table(("table", "rows erased", "files rewritten", "files deleted", "version"), rows)
    lines: dict[str, object] = {"receipt": receipt_path(str(receipt["id"])), "checksum": receipt["checksum"]}
    if left:
        lines["left"] = f"{number(len(left))} files that a run may be about to commit: erase again once it has ended"
        lines[""] = "\n    ".join(map(str, left))
    print_pairs({**lines, "took": seconds(took)})
