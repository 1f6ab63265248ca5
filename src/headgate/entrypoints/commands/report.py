"""`headgate report`: the quality of a lake as one HTML file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from headgate.clock import SystemClock
from headgate.config import environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json, size
from headgate.entrypoints.output import progress as progress_bar
from headgate.entrypoints.whole_file import whole_file
from headgate.entrypoints.window import window_of
from headgate.errors import ConfigError
from headgate.report.collect import Report, Told, collect
from headgate.report.findings import verdict
from headgate.report.machine import for_machines
from headgate.report.page import render
from headgate.wiring.existing import existing_lake

DEFAULT_OUT = "headgate-report.html"
STANDARD_OUT = "-"


@click.command(
    epilog="""\b
Examples:
  headgate report lake/
  headgate report lake/ --out quality.html --window 1d
  headgate report s3://bucket/lake --since 2026-11-20T00:00:00Z --out - > today.html
  headgate report lake/ --json | jq .findings
"""
)
@click.argument("lake")
@click.option(
    "--out", default=DEFAULT_OUT, show_default=True, metavar="FILE", help="Where to write the page; - prints it."
)
@click.option("--since", metavar="TIME", help="Only what was committed from then on, up to now or for --window.")
@click.option(
    "--window", metavar="DURATION", help="Only what was committed in this time, up to now or from --since on."
)
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with the settings of storage."
)
@common_options
def command(
    lake: str, out: str, since: str | None, window: str | None, config_path: Path | None, as_json: bool
) -> None:
    """Write the quality of a lake as one HTML page.

    One file that needs no network: totals and their proof, what stands out and what to do about it, rates over
    time, event types, rejects and duplicates with samples, latency, what changed, shards and files. May be used while
    a run is under way; it writes nothing into the lake. The samples show bytes of events: give the page to those who
    may see them.
    """
    config = resolve(config_path, environment(), {}).config
    now_us = SystemClock().now_us()
    start_us: int | None = None
    end_us: int | None = None
    if since is not None or window is not None:
        start_us, end_us = window_of(since, window or "1h", window is not None, now_us)
        end_us = None if end_us >= now_us else end_us
    if not as_json and out != STANDARD_OUT:
        _check_folder(Path(out))
    with _told(is_shown=not as_json) as told:
        found = collect(existing_lake(lake, config), now_us=now_us, since_us=start_us, until_us=end_us, told=told)
    if as_json:
        print_json(for_machines(found))
        return
    page = render(found).encode()
    if out == STANDARD_OUT:
        sys.stdout.buffer.write(page)
        return
    with whole_file(Path(out)) as file:
        file.write(page)
    click.echo(f"{out}  {size(len(page))}")
    _print(found)


@contextmanager
def _told(*, is_shown: bool) -> Iterator[Told]:
    """Progress on a terminal: of what is read, how much is done."""
    with progress_bar("reading", None, is_shown=is_shown) as shown:
        done_of: dict[str, int] = {}

        def told(what: str, done: int, of: int) -> None:
            shown.advance(max(0, done - done_of.get(what, 0)))
            done_of[what] = done
            shown.describe(f"{what} {done:,} of {of:,}" if of > 1 else what)

        yield told


def _print(report: Report) -> None:
    colours = {"good": "green", "warn": "yellow", "bad": "red"}
    words = {"good": "nothing to act on", "warn": "worth a look", "bad": "to act on"}
    for finding in report.findings:
        if finding.level != "note":
            click.echo(click.style(f"{finding.level:<5}", fg=colours[finding.level], bold=True) + finding.sentence)
    level = verdict(report.findings)
    click.echo(click.style(words[level], fg=colours[level], bold=True))


def _check_folder(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file in it")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.absolute().parent}; make it first")
