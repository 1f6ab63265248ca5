"""`headgate demo`: the whole flow on generated events, with the truth to compare with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote

import click

from headgate.config import Config, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.commands.run import Summary, run_job
from headgate.entrypoints.commands.verify import verify_job
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, progress, seconds, size
from headgate.errors import BreachError, ConfigError, PermanentError
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.jobs.proof import Proof
from headgate.jobs.query import answer
from headgate.testing.generator import EventSpec, Truth, generate
from headgate.wiring.job import Job

MARKER = ".headgate-demo"  # lies in folders that the demo made
EVENTS_FILE, LAKE_FOLDER = "events.jsonl", "lake"
START_MS = 1_748_736_000_000  # 2025-06-01T00:00:00Z; fixed, so that every demo gives the same numbers

REASONS_SQL = "SELECT reason, count(*) AS rejects FROM rejected GROUP BY reason ORDER BY rejects DESC, reason"
TYPES_SQL = """SELECT event_type, sum(received)::BIGINT AS received, sum(accepted)::BIGINT AS accepted,
    sum(duplicates)::BIGINT AS duplicates, sum(rejected)::BIGINT AS rejected
FROM quality WHERE event_type IS NOT NULL GROUP BY event_type ORDER BY received DESC, event_type LIMIT 5"""
ACCEPTED_SQL = "SELECT event_type, count(*) AS events FROM events GROUP BY event_type ORDER BY event_type"
CONFLICTS_SQL = "SELECT count(*) AS conflicts FROM duplicates WHERE conflict"
SAMPLE_SQL = """SELECT payload->>'country' AS country, count(*) AS payments,
    sum((payload->>'amount')::DECIMAL(18, 2))::DOUBLE AS amount
FROM events WHERE event_type = 'payment' GROUP BY country ORDER BY payments DESC, country LIMIT 3"""

Rows = list[dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the demo found out."""

    truth: Truth
    summary: Summary
    proof: Proof
    run_seconds: float
    rejects: Rows
    quality: Rows
    sample: Rows
    differences: Sequence[str]


@click.command(
    epilog="""\b
Examples:
  headgate demo
  headgate demo --dir /tmp/headgate-demo --events 1000000
  headgate demo --json
"""
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path("headgate-demo"), show_default=True,
    help="Folder for events and lake; made anew at each demo.",
)  # fmt: skip
@click.option("--events", type=click.IntRange(1), default=200_000, show_default=True, help="Lines to generate.")
@common_options
def command(folder: Path, events: int, as_json: bool) -> None:
    """Show the whole flow on generated events.

    Generates a stream with 5% duplicates and 1% rubbish, runs the pipeline on it, verifies the lake, and compares
    it with what was generated. The numbers are the same at every demo, apart from times.
    """
    _prepare(folder)
    source, lake = folder / EVENTS_FILE, folder / LAKE_FOLDER
    truth = _generate(source, events, is_shown=not as_json)
    # Not the environment: a demo is the same everywhere.
    config = resolve(None, {}, {"log.level": "warning"}).config
    told = _run(source, lake, config, truth, is_shown=not as_json)
    if as_json:
        print_json(_for_machines(folder, told))
    else:
        _tell(folder, told)
    if told.differences or not told.proof.is_proven:
        raise BreachError(f"{lake} is not what was generated: {'; '.join(told.differences) or 'see above'}")


def _prepare(folder: Path) -> None:
    """An empty folder with the demo's mark; what an earlier demo left in it goes.

    Raises:
        ConfigError: the folder holds something else.
    """
    is_own = (folder / MARKER).is_file()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder with --dir")
    if folder.exists() and not is_own and any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds something that no demo made; name another folder with --dir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("made by headgate demo; the next demo replaces events and lake\n")
        if (folder / LAKE_FOLDER).exists():
            shutil.rmtree(folder / LAKE_FOLDER)
    except OSError as error:
        raise PermanentError(f"{folder}: cannot be written: {error.strerror}; name another with --dir") from error


def _generate(source: Path, events: int, *, is_shown: bool) -> Truth:
    """Write the events; the truth about them."""
    truth = Truth()
    try:
        with source.open("wb") as file, progress("generate", events, is_shown=is_shown) as bar:
            for block in generate(EventSpec(events=events, start_ms=START_MS), truth):
                file.write(block)
                bar.advance(block.count(b"\n"))
    except OSError as error:
        raise PermanentError(f"{source}: cannot be written: {error.strerror}; free space, or use --dir") from error
    return truth


def _run(source: Path, lake: Path, config: Config, truth: Truth, *, is_shown: bool) -> Told:
    """Run, verify, and ask the lake."""
    began = time.monotonic()
    summary = run_job(Job(source=str(source), lake=str(lake), once=True), config, as_json=not is_shown, quiet=True)
    run_seconds = time.monotonic() - began
    proof = verify_job(str(source), str(lake), config, is_shown=is_shown)
    found = find_lake(str(lake))
    rejects = ask(found, REASONS_SQL)
    return Told(
        truth=truth,
        summary=summary,
        proof=proof,
        run_seconds=run_seconds,
        rejects=rejects,
        quality=ask(found, TYPES_SQL),
        sample=ask(found, SAMPLE_SQL),
        differences=list(_differences(truth, summary, found, rejects)),
    )


def ask(lake: ExistingLake, sql: str) -> Rows:
    """The rows of an answer."""
    with answer(lake, sql, None, None) as reader:
        rows: Rows = reader.read_all().to_pylist()
    return rows


def _differences(truth: Truth, summary: Summary, lake: ExistingLake, rejects: Rows) -> list[str]:
    """Where the lake is not what was generated."""
    counts = summary.counts
    pairs: dict[str, tuple[object, object]] = {
        "received": (counts.received, truth.received),
        "accepted": (counts.accepted, truth.accepted),
        "duplicates": (counts.duplicates, truth.duplicates),
        "rejected": (counts.rejected, truth.rejected),
        "conflicts": (ask(lake, CONFLICTS_SQL)[0]["conflicts"], truth.conflicts),
        "reasons": ({row["reason"]: row["rejects"] for row in rejects}, dict(truth.rejected_by_reason)),
        "types": (
            {row["event_type"]: row["events"] for row in ask(lake, ACCEPTED_SQL)},
            {name: count for name, count in truth.accepted_by_type.items() if count},
        ),
        "warnings": (dict(summary.warnings), {name: count for name, count in truth.warnings.items() if count}),
    }
    return [f"{name}: {found}, generated {made}" for name, (found, made) in pairs.items() if found != made]


def _for_machines(folder: Path, told: Told) -> Mapping[str, object]:
    return {
        "source": folder / EVENTS_FILE,
        "lake": folder / LAKE_FOLDER,
        **told.summary.counts._asdict(),
        "conserved": told.summary.counts.is_conserved,
        "as_generated": not told.differences,
        "differences": list(told.differences),
        "generated": told.truth.to_dict(),
        "warnings": dict(sorted(told.summary.warnings.items())),
        "rejected_by_reason": {str(row["reason"]): row["rejects"] for row in told.rejects},
        "quality": told.quality,
        "query": {"sql": SAMPLE_SQL, "rows": told.sample},
        "verify": {**asdict(told.proof), "proven": told.proof.is_proven},
        "seconds": round(told.run_seconds, 3),
        "events_per_second": round(told.summary.counts.received / told.run_seconds),
    }


def _tell(folder: Path, told: Told) -> None:
    """Print it for people."""
    source, lake = folder / EVENTS_FILE, folder / LAKE_FOLDER
    counts, truth = told.summary.counts, told.truth
    rate = number(round(counts.received / told.run_seconds))
    _title("What happened")
    click.echo(f"{source} ({size(truth.payload_bytes + truth.received)}), {number(truth.received)} lines")
    click.echo("  └▶ decode ─▶ validate ─▶ enrich ─▶ dedup ─▶ stage ─▶ commit ─▶ publish ─▶ ack")
    for name, count, what in (
        ("events", counts.accepted, "first copies, partitioned by type and date"),
        ("duplicates", counts.duplicates, f"later copies, {number(truth.conflicts)} with other bytes"),
        ("rejected", counts.rejected, "what breaks a rule, byte for byte, with the reason"),
    ):
        click.echo(f"       └▶ {lake / name!s:<{len(str(lake)) + 12}} {number(count):>10}  {what}")
    sign = "=" if counts.is_conserved else "≠"
    _title("Conservation")
    click.echo(
        f"{number(counts.received)} received {sign} {number(counts.accepted)} accepted + "
        f"{number(counts.duplicates)} duplicates + {number(counts.rejected)} rejected"
    )
    print_pairs(
        {
            "as generated": "yes" if not told.differences else f"NO: {'; '.join(told.differences)}",
            "verified": _verdict(told.proof),
            "speed": f"{rate} events/s, {seconds(told.run_seconds)} with start-up, "
            f"{number(told.summary.commits)} commits",
        }
    )
    _title("Rejects by reason")
    _table(told.rejects)
    _title("Warnings (stored all the same)")
    print_pairs(dict(sorted(told.summary.warnings.items())))
    _title("Quality of the five largest types")
    _table(told.quality)
    _title("A question")
    click.echo(f'headgate query {quote(str(lake))} "{SAMPLE_SQL}"\n')
    _table(told.sample)
    _title("What to try next")
    for line in _next(source, lake):
        click.echo(f"  {line}")


def _verdict(proof: Proof) -> str:
    if proof.is_proven:
        return f"proven, {number(proof.reread_parts)} positions of the source read again"
    return "NOT proven: " + "; ".join(breach.sentence for breach in proof.breaches)


def _next(source: Path, lake: Path) -> tuple[str, ...]:
    src, dst = quote(str(source)), quote(str(lake))
    return (
        f"headgate run {src} {dst}      # again: nothing is there twice",
        f'headgate query {dst} "FROM rejected" --limit 5',
        f"headgate status {dst}",
        f"headgate verify {src} {dst}",
        "headgate run YOUR_EVENTS.jsonl my-lake/",
    )


def _title(text: str) -> None:
    click.echo("\n" + click.style(text, bold=True, fg="cyan"))


def _table(rows: Rows) -> None:
    if rows:
        print_table([*rows[0]], [[*row.values()] for row in rows])
    else:
        click.echo("none")
