"""`headgate generate`: realistic events into a file, standard output or a stream, and the truth about them."""

from __future__ import annotations

import gzip
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

import click
import zstandard

from headgate.clock import SystemClock
from headgate.config import environment, load
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, progress, seconds, size
from headgate.entrypoints.whole_file import whole_file
from headgate.errors import ConfigError
from headgate.testing.generator import DEFAULT_RATE, EventSpec, Truth, generate

SHARE = click.FloatRange(0, 1)


class Writer(Protocol):
    """Where the lines go."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""
        ...


@click.command(
    epilog="""\b
Examples:
  headgate generate --events 1000000 --out events.jsonl --truth truth.json
  headgate generate --events 50000 --out events.jsonl.zst --rate 5000 --duplicates 0.2
  headgate generate --events 100 --out - | head -3
  headgate generate --events 1000000 --out kinesis://events --rate 278
"""
)
@click.option("--events", type=click.IntRange(0), required=True, help="Lines in all, copies and rubbish included.")
@click.option("--out", required=True, help="File (.gz, .zst), kinesis://STREAM or ARN, or - (stdout).")
@click.option("--rate", type=float, help="Events per second: of event time; into a stream also of real time.")
@click.option("--events-per-record", type=click.IntRange(1), default=1, show_default=True, help="Of a stream: arrays.")
@click.option("--types", type=click.IntRange(1), default=100, show_default=True, help="Number of event types.")
@click.option("--duplicates", type=SHARE, default=0.05, show_default=True, help="Share of repeated events.")
@click.option("--invalid", type=SHARE, default=0.01, show_default=True, help="Share of lines that are rejected.")
@click.option("--late", type=SHARE, default=0.02, show_default=True, help="Share created up to 3 days before.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other events.")
@click.option("--start", help="ISO 8601 time of the first event.  [default: so that the last one is now]")
@click.option("--truth", "truth_path", type=click.Path(path_type=Path), help="Write the expected counts, as JSON.")
@common_options
def command(
    out: str, start: str | None, truth_path: Path | None, events_per_record: int, as_json: bool, **options: Any
) -> None:
    """Make realistic events, with duplicates and rubbish among them.

    The same options with the same --start give the same bytes, and more --events only add to them.

    Into a stream they go at --rate, or as fast as it takes them; region, endpoint and credentials are those of the
    AWS SDK's own environment variables and files.
    """
    stream, pace = _stream(out), options["rate"]
    options["rate"] = DEFAULT_RATE if pace is None else pace
    lasting = 0 if stream and pace else options["events"]  # at a steady rate the first one is created now
    spec = EventSpec(**options, start_ms=_start_ms(start, lasting, options["rate"]))
    target, truth_target = _file(out) if stream is None else None, _file(str(truth_path)) if truth_path else None
    truth, began, sent = Truth(), time.perf_counter(), {}
    if stream is not None:
        sent = _put(stream, spec, truth, pace, events_per_record)
    else:
        _write(target, spec, truth)
    result = {"out": out, "spec": asdict(spec), **truth.to_dict(), **sent}
    if truth_target:
        with _opened(truth_target) as file:
            file.write(json.dumps(result, indent=2).encode() + b"\n")
    is_aside = target is None and stream is None  # standard output has the events
    if as_json:
        print_json(result, err=is_aside)
        return
    taken = time.perf_counter() - began
    click.echo(
        f"{number(truth.received)} lines, {size(truth.payload_bytes + truth.received)} in {seconds(taken)}: "
        f"{number(truth.accepted)} events of {len(truth.accepted_by_type)} types, "
        f"{number(truth.duplicates)} duplicates ({number(truth.conflicts)} with other bytes), "
        f"{number(truth.rejected)} to be rejected",
        err=is_aside,
    )


def _write(target: Path | None, spec: EventSpec, truth: Truth) -> None:
    with _opened(target) as file, progress("generate", spec.events, is_shown=target is not None) as bar:
        for block in generate(spec, truth):
            file.write(block)
            bar.advance(block.count(b"\n"))


def _put(stream: str, spec: EventSpec, truth: Truth, pace: float | None, events_per_record: int) -> dict[str, float]:
    """Into a stream. Returns what it took."""
    try:
        from headgate.entrypoints.kinesis_sink import StreamWriter
        from headgate.source.kinesis.client import kinesis_client
    except ImportError as error:
        raise ConfigError(
            f"kinesis://{stream} needs the package {error.name}; install it with `pip install 'headgate[aws]'`"
        ) from error
    aws = load(None, environment(), {}).aws
    with progress("generate", spec.events) as bar:
        writer = StreamWriter(
            kinesis_client(region=aws.region, endpoint_url=aws.endpoint_url),
            stream,
            clock=SystemClock(),
            jitter=random.random,
            progress=bar,
            rate=pace,
            events_per_record=events_per_record,
        )
        for block in generate(spec, truth):
            writer.write(block)
    return {"records": writer.sent.records, "sent_again": writer.sent.again, "lag_seconds": writer.lag_seconds}


def _stream(out: str) -> str | None:
    """Name or ARN of the stream that is meant; None where it is none."""
    if out.startswith("arn:"):
        return out
    if not out.startswith("kinesis://"):
        return None
    stream = out.removeprefix("kinesis://")
    if not stream:
        raise ConfigError(f"{out}: names no stream; write kinesis://STREAM or its ARN")
    return stream


def _start_ms(start: str | None, events: int, rate: float) -> int:
    """Unix milliseconds of the first line; by default such that the last one is created now."""
    if start is None:
        duration_seconds = events / rate if rate > 0 else 0  # EventSpec refuses the rate
        return (math.floor(time.time() - duration_seconds) - 1) * 1000
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--start {start!r}: expected a time with an offset such as 2026-11-20T00:00:00Z")
    return round(moment.timestamp() * 1000)


def _file(out: str) -> Path | None:
    """The file that is meant, None for standard output; refuses what cannot be written."""
    if out == "-":
        return None
    path = Path(out)
    if "://" in out:
        raise ConfigError(f"{out}: not supported here; write to a file (.gz, .zst or plain), kinesis://STREAM, or -")
    if path.is_dir():
        raise ConfigError(f"{out}: is a folder; name a file in it (.gz, .zst or plain), or - for standard output")
    if not path.parent.is_dir():
        raise ConfigError(f"{out}: the folder {path.parent} does not exist; make it first")
    return path


@contextmanager
def _opened(path: Path | None) -> Iterator[Writer]:
    """A file that appears under its name once it is whole; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as raw, _compressed(path, raw) as file:
        yield file


@contextmanager
def _compressed(path: Path, raw: IO[bytes]) -> Iterator[Writer]:
    if path.suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as file:
            yield file
    elif path.suffix == ".zst":
        with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as writer:
            yield writer
    else:
        yield raw
