"""`headgate plan`: what a volume costs and needs, and what cannot work, before anything is deployed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast, get_args

import click

from headgate.config import duration_us, environment, resolve
from headgate.config.count import count_of
from headgate.config.load import DEFAULT, Resolved
from headgate.core.plan.ask import DESIGNS, Ask, ClaimKind, LakeKind
from headgate.core.plan.plan import plan_of
from headgate.entrypoints.cli import EXIT_FAILURE, common_options
from headgate.entrypoints.output import print_json
from headgate.entrypoints.plan_text import for_machines, print_plan
from headgate.errors import ConfigError
from headgate.plan.listing import price_list

Value = float | str | bool | None


@click.command(
    epilog="""\b
Examples:
  headgate plan --events-per-hour 1M
  headgate plan --events-per-hour 1M --design C --window 1d
  headgate plan --events-per-hour 50M --design A --claims dynamodb --events-per-record 20
  headgate plan --events-per-hour 1B --design container --json
  headgate plan --events-per-hour 250k --config headgate.toml

\b
Flags win over what the configuration sets ([lake] format and max_event_types, [dedup] store and window,
[source] retention, [batch] flush_seconds, [kinesis] fan_out), and that over what the design takes by itself.

\b
Exit codes: 0 it works, 1 it cannot work (why, and what would, is said).
"""
)
@click.option("--events-per-hour", required=True, metavar="N", help="Events in the busiest hour: 1000, 250k, 1M, 1B.")
@click.option("--event-bytes", default="300", show_default=True, metavar="N", help="Bytes of an event as JSON.")
@click.option(
    "--events-per-record",
    default="1",
    show_default=True,
    metavar="N",
    help="Events packed into a record of the stream.",
)
@click.option(
    "--design",
    type=click.Choice(list(DESIGNS)),
    default="container",
    show_default=True,
    help="Reference design, or one container.",
)
@click.option("--claims", type=click.Choice(get_args(ClaimKind)), help="Where claims live.  [default: the design's]")
@click.option(
    "--format", "lake_format", type=click.Choice(get_args(LakeKind)), help="Of the lake.  [default: the design's]"
)
@click.option("--window", metavar="DURATION", help="How long an id is remembered.  [default: 7d]")
@click.option("--retention", metavar="DURATION", help="How long the stream keeps a record.  [default: 24h]")
@click.option("--flush", metavar="DURATION", help="Between two batches or deliveries.  [default: 60s; Firehose 900s]")
@click.option("--types", default="100", show_default=True, metavar="N", help="Event types.")
@click.option(
    "--stream",
    type=click.Choice(["provisioned", "on-demand"]),
    help="Paid by shard or by volume.  [default: the design's]",
)
@click.option("--shards", type=click.IntRange(min=1), metavar="N", help="Of the stream.  [default: as many as needed]")
@click.option("--keep", default="30d", show_default=True, metavar="DURATION", help="How long events are stored.")
@click.option(
    "--architecture",
    type=click.Choice(["x86_64", "arm64"]),
    default="x86_64",
    show_default=True,
    help="Of the processors.",
)
@click.option("--region", default="us-east-1", show_default=True, help="Of the prices.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file (or HEADGATE_CONFIG).")
@common_options
@click.pass_context
def command(ctx: click.Context, /, config_path: Path | None, region: str, as_json: bool, **flags: Value) -> None:
    """Show what a volume costs and needs, before anything is deployed.

    Bytes, shards, batches, commits, files, claims and the monthly bill, item by item, from what Headgate was measured
    to do and the public prices of AWS. What cannot work is refused, with what would work in its place.
    """
    prices = price_list()
    if region != prices.region:
        raise ConfigError(f"--region {region}: the price list is of {prices.region} only")
    ask = _ask(resolve(config_path, environment(), {}), flags)
    if ask.shards is not None and not ask.has_provisioned_shards:
        raise ConfigError("--shards: a stream on demand has as many as AWS chooses; say --stream provisioned")
    plan = plan_of(ask, prices)
    if as_json:
        print_json(for_machines(plan, prices))
    else:
        print_plan(plan, prices)
    if plan.refusals:
        ctx.exit(EXIT_FAILURE)


def _ask(resolved: Resolved, flags: dict[str, Value]) -> Ask:
    """What flags, configuration and design say together."""
    config, design = resolved.config, str(flags["design"])
    facts = DESIGNS[design]

    def first(flag: str, key: str, value: Value, default: Value) -> Value:
        if flags[flag] is not None:
            return flags[flag]
        return default if resolved.origins[key] == DEFAULT else value

    flush = first("flush", "batch.flush_seconds", f"{config.batch.flush_seconds}s", f"{facts.flush_s:g}s")
    return Ask(
        design=design,
        events_per_hour=_read("events_per_hour", flags, count_of),
        event_bytes=int(_read("event_bytes", flags, _whole)),
        events_per_record=int(_read("events_per_record", flags, _whole)),
        types=int(_read("types", flags, _whole)),
        max_types=config.lake.max_event_types,
        shards=cast("int | None", flags["shards"]),
        keep_s=_read("keep", flags, _seconds),
        window_s=_read("window", {"window": first("window", "dedup.window", config.dedup.window, "7d")}, _seconds),
        retention_s=_read(
            "retention", {"retention": first("retention", "source.retention", config.source.retention, "24h")}, _seconds
        ),
        flush_s=_read("flush", {"flush": flush}, _seconds),
        claims=cast("ClaimKind", _kind(str(first("claims", "dedup.store", config.dedup.store, facts.claims)))),
        format=cast("LakeKind", first("lake_format", "lake.format", config.lake.format, facts.format)),
        is_on_demand=None if flags["stream"] is None else flags["stream"] == "on-demand",
        has_fan_out=config.kinesis.fan_out is not None,
        architecture=cast("Literal['arm64', 'x86_64']", flags["architecture"]),
    )


def _read(name: str, flags: dict[str, Value], read: Callable[[str], float]) -> float:
    try:
        return read(str(flags[name]))
    except ValueError as error:
        raise ConfigError(f"--{name.replace('_', '-')}: {error}") from error


def _whole(text: str) -> float:
    value = count_of(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return value


def _seconds(text: str) -> float:
    seconds = duration_us(text) / 1e6
    if seconds <= 0:
        raise ValueError("expected more than 0s")
    return seconds


def _kind(store: str) -> str:
    """The kind of claims that [dedup] store names; a kind is its own."""
    kind = store.partition(":")[0].replace("rediss", "redis")
    if kind not in get_args(ClaimKind):
        raise ConfigError(
            f"[dedup] store = {kind}: is not for a stream; plan with --claims {'|'.join(get_args(ClaimKind))}"
        )
    return kind
