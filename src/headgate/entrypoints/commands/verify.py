"""`headgate verify`: prove that nothing was lost and nothing is there twice."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from headgate.clock import SystemClock
from headgate.config import Config, environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_pairs, progress, seconds
from headgate.errors import SourceMissingError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.proof import Proof, many
from headgate.jobs.verify import VerifySettings, latest_state, verify
from headgate.ports import LedgerState, Source
from headgate.wiring.existing import existing_lake
from headgate.wiring.flow import flow_settings
from headgate.wiring.job import Job
from headgate.wiring.source import DELIVERY, KINESIS, open_source

EXIT_BREACH = 3


@click.command(
    epilog="""\b
Examples:
  headgate verify events.jsonl lake/
  headgate verify incoming/ lake/ --config headgate.toml
  headgate verify incoming/ lake/ --json
  headgate verify s3://bucket/incoming/ s3://bucket/lake

\b
Exit codes: 0 proven, 3 a promise is broken (each is named, with the first positions).
"""
)
@click.argument("source")
@click.argument("lake")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file of the runs.")
@click.option("--source-name", help="Name in positions, where the runs had one.")
@click.option("--start", help="As the runs had it: what lies before it is not missed.")
@click.option("--window", help="Window of de-duplication of the runs.  [default: as configured, 7d]")
@click.option("--memory", default="1GB", show_default=True, help="Memory for comparing; more goes to disk.")
@click.option(
    "--temp",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder for what does not fit into memory, about 60 bytes an event.  [default: the system's]",
)
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    source: str,
    lake: str,
    as_json: bool,
    config_path: Path | None,
    memory: str,
    temp: Path | None,
    **options: str | None,
) -> None:
    """Prove that nothing was lost and nothing is there twice.

    Reads ledger and tables of LAKE, and of SOURCE what it still holds, with the same decoder; what it no longer
    holds is proven by ledger and quality. May be used while a run is under way.
    """
    overrides = {
        "source.name": options["source_name"],
        "source.start": options["start"],
        "dedup.window": options["window"],
    }
    config = resolve(config_path, environment(), overrides).config
    proof = verify_job(source, lake, config, is_shown=not as_json, memory=memory, temp=temp)
    if as_json:
        print_json({**asdict(proof), "proven": proof.is_proven})
    else:
        print_proof(proof)
    ctx.exit(0 if proof.is_proven else EXIT_BREACH)


def verify_job(
    source: str, lake: str, config: Config, *, is_shown: bool, memory: str = "1GB", temp: Path | None = None
) -> Proof:
    """Verify with progress on the terminal.

    Raises:
        ConfigError: there is no such lake or source.
    """
    found = existing_lake(lake, config)
    opened, name = _open(source, found, config)
    flow = flow_settings(config)
    settings = VerifySettings(
        envelope=flow.envelope,
        limits=flow.limits,
        window_us=flow.window_us,
        privacy=flow.privacy,
        is_from_start=config.source.start == "earliest",
        is_forgetful=source.startswith(KINESIS),
        memory_limit=memory,
        folder=temp,
    )
    rows = latest_state(found, LedgerState()).counts.received
    with progress("verify", 2 * rows or None, is_shown=is_shown) as bar:
        return verify(
            found,
            opened,
            settings,
            source_name=name,
            advance=bar.advance,
            describe=bar.describe,
        )


def _open(source: str, lake: ExistingLake, config: Config) -> tuple[Source | None, str]:
    """The source from its start (None where it is gone, but the lake knows it), and its name."""
    if source == "-" or source.startswith(DELIVERY):
        return None, config.source.name or source
    opened = open_source(Job(source=source, lake=lake.path, once=True), _to_look(config), SystemClock())
    try:
        opened.resume({})
    except SourceMissingError:
        if not any(shard.source == opened.name for shard in latest_state(lake, LedgerState()).shards):
            raise
        return None, opened.name
    return opened, opened.name


def _to_look(config: Config) -> Config:
    """From the start, and without the subscriptions of a consumer that may be at work."""
    from msgspec.structs import replace

    return replace(
        config,
        source=replace(config.source, start="earliest"),
        kinesis=replace(config.kinesis, fan_out=None),
    )


def print_proof(proof: Proof) -> None:
    """Say what is proven by what, or what is broken."""
    counts = proof.counts
    sign = "=" if counts.is_conserved else "≠"
    click.echo(
        f"{number(counts.received)} received {sign} {number(counts.accepted)} accepted + "
        f"{number(counts.duplicates)} duplicates + {number(counts.rejected)} rejected"
    )
    lines: dict[str, object] = {
        "ledger": many(proof.entries, "entry", "entries") + (", chained and adding up" if proof.is_proven else ""),
        "tables": ", ".join(f"{name} {number(rows)}" for name, rows in proof.rows.items()),
    }
    if any(proof.erased.values()):
        erased = ", ".join(f"{name} {number(rows)}" for name, rows in proof.erased.items() if rows)
        lines["erased"] = erased + ("; with the tables as many as the ledger counts" if proof.is_proven else "")
    if proof.is_proven:
        lines["positions"] = "each exactly once in events, duplicates and rejected"
        lines["ids"] = f"none accepted twice within {seconds(proof.window_us / 1e6)}; every duplicate has its original"
    lines["source"] = f"{many(proof.reread_parts, 'event')} of {many(proof.reread_shards, 'shard')} read again" + (
        ", the same as in the lake" if proof.is_proven and proof.reread_parts else ""
    )
    lines["ledger only"] = (
        f"{many(proof.ledger_only_rows, 'event')} of {many(proof.ledger_only_shards, 'shard')} that "
        f"{proof.source} does not hold (any more)"
    )
    lines["not yet read"] = f"{many(proof.unread_records, 'record')} of the source"
    if proof.uncompared:
        lines["not compared"] = f"the bytes of {many(proof.uncompared, 'row')} written under other [privacy] settings"
    if proof.skipped:
        lines["skipped"] = f"{many(proof.skipped, 'event')} before the start of the runs (--start)"
    if proof.undelivered:
        lines["not yet delivered"] = f"{many(proof.undelivered, 'event')} that Firehose holds or has given up"
    if proof.later:
        lines["not yet published"] = f"ledger entries {proof.number + 1} to {proof.later}; the next run shows them"
    print_pairs(lines)
    for breach in proof.breaches:
        click.echo(click.style("BREACH ", fg="red", bold=True) + breach.sentence)
        for example in breach.examples:
            click.echo(f"  {example}")
    verdict = "proven" if proof.is_proven else f"NOT proven: {many(len(proof.breaches), 'breach', 'breaches')}"
    click.echo(click.style(verdict, fg="green" if proof.is_proven else "red", bold=True))
