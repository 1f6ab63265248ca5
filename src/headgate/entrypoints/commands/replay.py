"""`headgate replay`: rejects judged anew."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from headgate.config import environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_table, progress, seconds
from headgate.errors import ConfigError
from headgate.jobs.old_rows import Selection
from headgate.jobs.replay import Replayed
from headgate.wiring.existing import existing_lake
from headgate.wiring.replay import replay
from headgate.wiring.telemetry import log_lines

VERDICTS = ("accepted", "duplicate", "rejected", "none", "left")


@click.command(
    epilog="""\b
Examples:
  headgate replay lake/ --config headgate.toml --dry-run
  headgate replay lake/ --config headgate.toml --reason rule:amount
  headgate replay lake/ --since 2026-11-20T00:00:00Z --source /data/events
  headgate replay lake/ --orphans
"""
)
@click.argument("lake")
@click.option("--reason", help="Only rejects with this reason, such as rule:amount.")
@click.option("--since", metavar="TIME", help="Only what arrived then or later.")
@click.option("--until", metavar="TIME", help="Only what arrived before then.")
@click.option("--source", metavar="NAME", help="Only of this source, by its name in positions.")
@click.option("--orphans", is_flag=True, help="Duplicates whose original is not in events, instead of rejects.")
@click.option("--dry-run", is_flag=True, help="Count what would happen; write nothing.")
@click.option("--dedup", help="The lake's claim store, where its address needs a password.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file with the rules of today.")
@common_options
def command(
    lake: str,
    reason: str | None,
    since: str | None,
    until: str | None,
    source: str | None,
    orphans: bool,
    dry_run: bool,
    dedup: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Judge rejected records anew, with the rules and limits of today.

    What is accepted now goes to events (or duplicates) with its old position and arrival; its row in rejected is
    settled and shows in the view rejected_all only. What is rejected again stays as it is. Doing it twice changes
    nothing.

    With the default claim store no run may be under way; with a shared one runs go on.
    """
    if orphans and reason is not None:
        raise ConfigError("--orphans and --reason: duplicates have no reason; give one of them")
    selection = Selection(
        reason=reason,
        since_us=_time("--since", since),
        until_us=_time("--until", until),
        source=source,
        orphans=orphans,
    )
    config = resolve(config_path, environment(), {"dedup.store": dedup}).config
    existing_lake(lake, config)
    logs = log_lines(config, sys.stderr, level="warning")
    began = time.monotonic()
    with progress("replay", None, is_shown=not as_json) as bar:
        done = replay(lake, config, selection, logs, is_dry=dry_run, advance=bar.advance)
    took = time.monotonic() - began
    if as_json:
        print_json({"lake": lake, "dry_run": dry_run, **_answer(done), "seconds": round(took, 3)})
        return
    _show(done, is_dry=dry_run, took=took)


def _time(option: str, text: str | None) -> int | None:
    """Microseconds since 1970 UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"{option} {text!r}: expected a time with an offset such as 2026-11-20T00:00:00Z")
    return round(moment.timestamp() * 1_000_000)


def _answer(done: Replayed) -> dict[str, object]:
    reasons: dict[str, dict[str, int]] = {}
    for (reason, verdict), count in sorted(done.tally.items()):
        reasons.setdefault(reason, dict.fromkeys(VERDICTS, 0))[verdict] = count
    sums = {verdict: sum(of[verdict] for of in reasons.values()) for verdict in VERDICTS}
    return {**sums, "reasons": reasons, "entries": done.entries}


def _show(done: Replayed, *, is_dry: bool, took: float) -> None:
    answer = _answer(done)
    reasons = answer["reasons"]
    assert isinstance(reasons, dict)  # noqa: S101
    if not reasons:
        click.echo("nothing to replay")
        return
    print_table(["reason", *VERDICTS], [[reason, *of.values()] for reason, of in reasons.items()])
    if answer["left"]:
        click.echo("left: what the lake keeps of these is not the whole record, or their original may still come")
    what = "would settle" if is_dry else f"ledger entries {len(done.entries)};"
    settled = sum(count for (_, verdict), count in done.tally.items() if verdict in ("accepted", "duplicate", "none"))
    click.echo(f"{what} {number(settled)} events, {seconds(took)}")
