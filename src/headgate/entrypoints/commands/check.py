"""`headgate check`: exit code 3 and a sentence for each threshold that the quality of a lake does not keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import click

from headgate.clock import SystemClock
from headgate.config import Slo, duration_us, environment, missing_rates, resolve
from headgate.core.slo import ALL, DEFAULT_RATES, RATES, Allowed, Finding
from headgate.entrypoints.answers import safe
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json
from headgate.entrypoints.window import window_of
from headgate.jobs.check import Checked, check
from headgate.wiring.existing import existing_lake

EXIT_BREACH = 3


@click.command(
    epilog="""\b
Examples:
  headgate check lake/
  headgate check lake/ --max-reject-rate 0.01 --max-freshness 15m
  headgate check lake/ --window 1d --max-missing-rate user.id=0.02 --type payment
  headgate check s3://bucket/lake --min-volume-ratio 0.5 --volume-baseline day_before
  headgate check lake/ --config headgate.toml --json || alert

\b
Without any threshold, here or in [quality.slo], allowed are 10 % duplicates, 5 % conflicts
and 5 % rejects.

\b
Exit codes: 0 kept, 3 not kept (each is named).
"""
)
@click.argument("lake")
@click.option("--window", default="1h", show_default=True, help="Time to look at, up to now or from --since on.")
@click.option("--since", metavar="TIME", help="Look at what was written from then on, up to now or for --window.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this event type; may be repeated.")
@click.option("--max-duplicate-rate", type=float, metavar="RATE", help="Duplicates / received, from 0 to 1.")
@click.option("--max-conflict-rate", type=float, metavar="RATE", help="Duplicates with other bytes / received.")
@click.option("--max-reject-rate", type=float, metavar="RATE", help="Rejected / received.")
@click.option(
    "--max-missing-rate", multiple=True, metavar="[FIELD=]RATE", help="Events without a field; may be repeated."
)
@click.option("--max-freshness", metavar="DURATION", help="Since the newest accepted event arrived.")
@click.option("--max-latency-p95", metavar="DURATION", help="95 % arrive so soon after they were created.")
@click.option("--min-volume-ratio", type=float, metavar="RATIO", help="Accepted / accepted in the time before.")
@click.option(
    "--volume-baseline", type=click.Choice(["previous", "day_before"]), help="The time before.  [default: previous]"
)
@click.option("--min-events", type=int, metavar="N", help="Events accepted, of all types.")
@click.option("--min-sample", type=int, metavar="N", help="Judge rates from so many events on.  [default: 100]")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file with [quality.slo].")
@common_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    lake: str,
    window: str,
    since: str | None,
    types: tuple[str, ...],
    max_missing_rate: tuple[str, ...],
    config_path: Path | None,
    as_json: bool,
    **thresholds: float | str | None,
) -> None:
    """Compare the quality of a lake with what is allowed.

    Looks at the rows of quality that were written in the window, of all event types together and of each. May be
    used while a run is under way; it writes nothing. Thresholds are those given here or in [quality.slo].
    """
    overrides: dict[str, object] = {f"quality.slo.{name}": value for name, value in thresholds.items()}
    overrides["quality.slo.max_missing_rate"] = list(max_missing_rate) or None
    config = resolve(config_path, environment(), overrides).config
    allowed = allowed_by(config.quality.slo)
    is_default = not allowed.checks
    is_given = ctx.get_parameter_source("window") != click.core.ParameterSource.DEFAULT
    start_us, end_us = window_of(since, window, is_given, SystemClock().now_us())
    found = check(
        existing_lake(lake, config),
        Allowed(rates=DEFAULT_RATES, sample=allowed.sample) if is_default else allowed,
        start_us=start_us,
        end_us=end_us,
        types=tuple(dict.fromkeys(types)),
        is_default=is_default,
    )
    if as_json:
        print_json(_for_machines(lake, found))
    else:
        _print(found)
    ctx.exit(EXIT_BREACH if found.breaches else 0)


def allowed_by(slo: Slo) -> Allowed:
    """Thresholds as the core takes them."""
    given = {name: getattr(slo, name) for name in RATES}
    return Allowed(
        rates={name: limit for name, limit in given.items() if limit is not None},
        missing=missing_rates(slo.max_missing_rate),
        freshness_seconds=_seconds(slo.max_freshness),
        latency_seconds=_seconds(slo.max_latency_p95),
        volume_ratio=slo.min_volume_ratio,
        is_day_before=slo.volume_baseline == "day_before",
        events=slo.min_events,
        sample=slo.min_sample,
    )


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else duration_us(duration) / 1e6


def _for_machines(lake: str, found: Checked) -> object:
    figures = found.figures
    names = ("received", "accepted", "duplicates", "conflicts", "rejected")
    return {
        "lake": lake,
        "since": _time(found.start_us),
        "until": _time(found.end_us),
        "kept": not found.breaches,
        "default_thresholds": found.is_default,
        "counts": {name: getattr(figures, name) for name in names},
        "breaches": [asdict(breach) for breach in found.breaches],
        "checked": [asdict(finding) for finding in found.findings],
        "not_judged": found.unjudged,
    }


def _print(found: Checked) -> None:
    figures = found.figures
    click.echo(
        f"{_time(found.start_us)} to {_time(found.end_us)}: {number(figures.received)} received = "
        f"{number(figures.accepted)} accepted + {number(figures.duplicates)} duplicates + "
        f"{number(figures.rejected)} rejected"
    )
    if found.is_default:
        click.echo("no threshold was given: the defaults are used (see --help)")
    for (check_name, field), some in groupby(found.findings, lambda one: (one.check, one.field)):
        _print_group(check_name, field, list(some))
    for name in found.unjudged:
        click.echo(f"{name}: not judged, there are too few events to compare (--min-sample)")
    for breach in found.breaches:
        click.echo(click.style("BREACH ", fg="red", bold=True) + safe(breach.sentence))
    count = len(found.breaches)
    verdict = f"NOT kept: {count} {'breach' if count == 1 else 'breaches'}" if count else "kept"
    click.echo(click.style(verdict, fg="red" if count else "green", bold=True))


def _print_group(name: str, field: str | None, findings: Sequence[Finding]) -> None:
    """How many groups were compared, and the worst of those that are kept."""
    kept = [finding for finding in findings if not finding.is_breach]
    what = name if field is None else f"{name} {field}"
    of = [ALL if finding.event_type is None else finding.event_type for finding in findings]
    shown = ", ".join(of[:3]) + (f" and {len(of) - 3} more" if len(of) > 3 else "")
    click.echo(safe(f"{what}: {len(kept)} of {len(findings)} kept ({shown})"))
    if kept:
        is_least = name.startswith("min_")
        worst = (min if is_least else max)(kept, key=lambda one: one.found or 0.0)
        click.echo(f"  closest: {safe(worst.sentence)}")


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, tz=UTC).isoformat(timespec="seconds")
