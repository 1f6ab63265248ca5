"""`headgate run`: the main job, from a source into a lake."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click

from headgate.config import Config, environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import Progress, number, print_json, print_pairs, progress, seconds
from headgate.memory import keep_memory_bounded
from headgate.records import Counts
from headgate.telemetry.facts import BatchCommitted, Noticed, Retried, RunStarted, StageTimed, StoodBy
from headgate.telemetry.tee import Tee
from headgate.wiring.auto_compact import AutoCompaction
from headgate.wiring.consumer import make_consumer
from headgate.wiring.job import Job
from headgate.wiring.telemetry import log_lines, telemetry_of


@dataclass(kw_only=True)
class Summary:
    """What a run did; a Telemetry that adds up.

    Attributes:
        counts: sums over its commits.
        warnings: sums by name.
        stages: CPU and wall seconds by stage.
    """

    counts: Counts = field(default_factory=Counts)
    commits: int = 0
    files: int = 0
    retries: int = 0
    warnings: dict[str, int] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    last_number: int = 0
    started: float | None = None  # monotonic seconds at which the first attempt began to read

    def emit(self, fact: object) -> None:
        """Add a fact."""
        if isinstance(fact, BatchCommitted):
            self.counts += fact.counts
            self.commits += 1
            self.files += fact.files
            self.last_number = fact.number
            for name, count in fact.warnings.items():
                self.warnings[name] = self.warnings.get(name, 0) + count
        elif isinstance(fact, RunStarted) and self.started is None:
            self.started = time.monotonic()
        elif isinstance(fact, StageTimed):
            sums = self.stages.setdefault(fact.stage, [0.0, 0.0])
            sums[0] += fact.wall_seconds
            sums[1] += fact.cpu_seconds
        elif isinstance(fact, Retried):
            self.retries += 1


class Bar:
    """Shows the run on a terminal: events/s, duplicates, rejects, lag; warnings as lines above it."""

    def __init__(self, bar: Progress, summary: Summary, lag: Callable[[], Mapping[str, float]]) -> None:
        """Keep where to show what."""
        self._bar, self._summary, self._lag, self._began = bar, summary, lag, time.monotonic()

    def emit(self, fact: object) -> None:
        """Move on with every commit."""
        if isinstance(fact, BatchCommitted):
            self._bar.advance(fact.counts.received)
            counts = self._summary.counts
            rate = counts.received / max(1e-9, time.monotonic() - self._began)
            lag = ", ".join(f"{number(round(v))} {unit}" for unit, v in self._lag().items())
            self._bar.describe(
                f"{number(round(rate))} events/s  {number(counts.duplicates)} duplicates  "
                f"{number(counts.rejected)} rejects  lag {lag or '-'}"
            )
        elif isinstance(fact, StoodBy | Retried | Noticed):
            self._bar.describe(_sentence(fact))


def _sentence(fact: StoodBy | Retried | Noticed) -> str:
    if isinstance(fact, StoodBy):
        return f"standing by: {fact.reason}"
    if isinstance(fact, Noticed):
        return fact.what
    return f"{fact.stage}: {fact.error} (try {fact.attempt}, again in {fact.wait_seconds:.1f} s)"


@click.command(
    epilog="""\b
Examples:
  headgate run events.jsonl lake/
  headgate run 'logs/**/*.jsonl.gz' lake/ --format parquet
  headgate run incoming/ lake/ --follow
  zcat old.gz | headgate run - lake/ --source-name backfill
  headgate run s3://bucket/incoming/ lake/
  headgate run 's3://bucket/logs/**/*.jsonl.gz' s3://bucket/lake --follow
  headgate run kinesis://events s3://bucket/lake --dedup redis://cache:6379/0
  headgate run incoming/ lake/ --follow --metrics 9464
"""
)
@click.argument("source")
@click.argument("lake")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file; see headgate init.")
@click.option("--format", "table_format", type=click.Choice(["delta", "parquet", "json"]), help="Of a new lake.")
@click.option(
    "--dedup",
    help="Claim store: rocksdb:PATH, redis://host:port/db, dynamodb://table, s3://bucket/prefix or memory:.  "
    "[default: RocksDB inside the lake]",
)
@click.option("--once/--follow", default=None, help="End when drained (default), or wait for more.")
@click.option("--start", help="earliest, latest or a time; only where the lake has no position.")
@click.option("--source-name", help="Name in positions.  [default: absolute path or URI]")
@click.option("--batch-events", type=int, help="Events in a batch.")
@click.option("--batch-bytes", type=int, help="Bytes of records in a batch.")
@click.option("--flush-seconds", type=float, help="Commit at least so often.")
@click.option("--accept-gap", is_flag=True, help="Go on where records of a stream expired unread.")
@click.option("--metrics", help="Serve /metrics, /healthz and /readyz at HOST:PORT, or at PORT of the loopback.")
@click.option("--no-standby", is_flag=True, help="Exit 1 instead of waiting while another consumer works.")
@common_options
def command(source: str, lake: str, as_json: bool, **options: Any) -> None:
    """Admit the events of a source into a lake.

    SOURCE is a file, folder or glob of .json, .jsonl, .ndjson (.gz, .zst), the same on S3 (s3://bucket/prefix),
    kinesis://STREAM, or - for standard input. LAKE is a folder or s3://bucket/prefix; it is made when it is not
    there. A run that was interrupted, in whatever way, goes on where it was.
    """
    resolved = resolve(options["config_path"], environment(), _overrides(options))
    config = resolved.config
    job = Job(source=source, lake=lake, once=options["once"], format=resolved.lake_format)
    run_job(job, config, as_json=as_json)


def run_job(job: Job, config: Config, *, as_json: bool, title: str = "run", quiet: bool = False) -> Summary:
    """Run, show progress, print the summary.

    Args:
        job: source and lake.
        config: all settings.
        as_json: for machines.
        title: beside the progress bar.
        quiet: print no summary.
    """
    keep_memory_bounded()
    summary, stop = Summary(), Stop()
    began = time.monotonic()
    is_shown = not as_json and sys.stderr.isatty()
    # On a terminal the bar says what goes on; only what is wrong interrupts it.
    is_bar_enough = is_shown and config.log.level == "info"
    tee = Tee(summary, log_lines(config, sys.stderr, level="warning" if is_bar_enough else None))
    auto = AutoCompaction(job.lake, config, tee)
    tee.add(auto)
    with stop, telemetry_of(config, tee, stop) as telemetry, progress(title, None, is_shown=is_shown) as bar, auto:
        consumer = make_consumer(job, config, telemetry, stop)
        tee.add(Bar(bar, summary, consumer.lag))
        for _ in consumer.run():
            pass
    if not quiet:
        print_summary(summary, job.lake, began, as_json=as_json, is_stopped=stop())
    return summary


class Stop:
    """True once SIGTERM or SIGINT came; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._is_set = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """True once the run shall drain and end."""
        return self._is_set

    def __enter__(self) -> Stop:
        """Listen."""
        for number_ in (signal.SIGTERM, signal.SIGINT):
            self._before[number_] = signal.signal(number_, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for number_, handler in self._before.items():
            signal.signal(number_, handler)

    def _set(self, number_: int, frame: FrameType | None) -> None:
        if self._is_set and number_ == signal.SIGINT:
            raise KeyboardInterrupt
        self._is_set = True


def print_summary(summary: Summary, lake: str, began: float, *, as_json: bool, is_stopped: bool) -> None:
    """Say what the run did.

    Args:
        summary: of the run.
        lake: as the user named it.
        began: monotonic seconds at the start of the command.
        as_json: for machines.
        is_stopped: a signal ended it.
    """
    counts = summary.counts
    took = time.monotonic() - began
    flow = time.monotonic() - (summary.started or began)
    result = {
        "lake": lake,
        **counts._asdict(),
        "conserved": counts.is_conserved,
        "commits": summary.commits,
        "files": summary.files,
        "ledger_number": summary.last_number,
        "warnings": dict(sorted(summary.warnings.items())),
        "retries": summary.retries,
        "seconds": round(took, 3),
        "flow_seconds": round(flow, 3),
        "stopped_by_signal": is_stopped,
    }
    if as_json:
        stages = {k: {"wall_seconds": round(v[0], 3), "cpu_seconds": round(v[1], 3)} for k, v in summary.stages.items()}
        print_json({**result, "stages": stages})
        return
    sign = "=" if counts.is_conserved else "≠"
    click.echo(
        f"{number(counts.received)} received {sign} {number(counts.accepted)} accepted + "
        f"{number(counts.duplicates)} duplicates + {number(counts.rejected)} rejected"
    )
    lines: dict[str, object] = {
        "lake": lake,
        "commits": f"{number(summary.commits)} with {number(summary.files)} files",
        "took": f"{seconds(took)}; {number(round(counts.received / max(flow, 1e-9)))} events/s once started",
    }
    if summary.warnings:
        lines["warnings"] = ", ".join(f"{k} {number(v)}" for k, v in sorted(summary.warnings.items()))
    if summary.retries:
        lines["retries"] = summary.retries
    if is_stopped:
        lines["stopped"] = "by a signal; the next run goes on from here"
    print_pairs(lines)


def _overrides(options: Mapping[str, Any]) -> dict[str, object]:
    flags: dict[str, object] = {
        "lake.format": options["table_format"],
        "dedup.store": options["dedup"],
        "source.start": options["start"],
        "source.name": options["source_name"],
        "batch.max_events": options["batch_events"],
        "batch.max_bytes": options["batch_bytes"],
        "batch.flush_seconds": options["flush_seconds"],
        "telemetry.metrics": options["metrics"],
        "standby.enabled": False if options["no_standby"] else None,
        "source.accept_gap": True if options["accept_gap"] else None,
    }
    return {key: value for key, value in flags.items() if value is not None}
