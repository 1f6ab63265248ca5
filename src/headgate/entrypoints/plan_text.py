"""A plan for people and for machines."""

from __future__ import annotations

from dataclasses import asdict

import click

from headgate.core.plan.ask import DAY_SECONDS, Ask, Compute
from headgate.core.plan.bill import NOT_INCLUDED
from headgate.core.plan.figures import GIB
from headgate.core.plan.limits import span
from headgate.core.plan.plan import Plan, assumed, figures_used
from headgate.core.plan.prices import Prices
from headgate.entrypoints.output import number, print_pairs, print_table, seconds, size


def for_machines(plan: Plan, prices: Prices) -> dict[str, object]:
    """A plan as one JSON document.

    Args:
        plan: of a volume.
        prices: that it was made with.
    """
    return {
        "works": not plan.refusals,
        "ask": {**asdict(plan.ask), "design_title": plan.ask.facts.title},
        "sizes": asdict(plan.sizes),
        "bill": {
            "currency": "USD",
            "region": prices.region,
            "prices_of": prices.date,
            "items": [asdict(item) for item in plan.items],
            "total": plan.usd,
            "not_included": list(NOT_INCLUDED),
        },
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "instead": [{"sentence": one.sentence, "usd": one.usd, "ask": asdict(one.ask)} for one in plan.instead],
        "warnings": list(plan.warnings),
        "assumed": [figure.name for figure in assumed(plan.ask)],
        "figures": [asdict(figure) for figure in figures_used()],
    }


def print_plan(plan: Plan, prices: Prices) -> None:
    """Print a plan for people.

    Args:
        plan: of a volume.
        prices: that it was made with.
    """
    ask = plan.ask
    click.echo(f"{ask.events_per_hour:,.0f} events of {ask.event_bytes:,} bytes an hour, {ask.types:,} types")
    click.echo(f"{ask.design}: {ask.facts.title}\n")
    print_pairs(_needs(plan))
    unconfirmed = sum(price.confirmed == "not confirmed" for price in prices.prices.values())
    click.echo(f"\nUSD a month, {prices.region}, list prices of {prices.date} ({unconfirmed} of "
               f"{len(prices.prices)} not confirmed):\n")  # fmt: skip
    print_table(
        ("service", "what", "quantity", "unit", "USD"),
        [(i.service, i.what, i.quantity, _single(i.unit), f"{i.usd:>12,.2f}") for i in plan.items],
    )
    click.echo(f"\n{'sum':<9}{plan.usd:>16,.2f} USD a month")
    click.echo("\nnot included:")
    for one in NOT_INCLUDED:
        click.echo(f"  {one}")
    click.echo("assumed, not measured:")
    for figure in assumed(ask):
        click.echo(f"  {figure.name}: {number(figure.value)} {figure.unit} ({figure.source})")
    _print_verdict(plan)


def _print_verdict(plan: Plan) -> None:
    if plan.warnings:
        click.echo()
    for warning in plan.warnings:
        click.echo(click.style("warning: ", fg="yellow", bold=True) + warning)
    click.echo()
    for refusal in plan.refusals:
        click.echo(click.style("CANNOT WORK: ", fg="red", bold=True) + refusal.sentence)
    for one in plan.instead:
        click.echo(click.style("works: ", fg="green", bold=True) + f"{one.sentence}, USD {one.usd:,.2f} a month in all")
    if plan.refusals and not plan.instead:
        click.echo("no single change and no split by id makes it work: change several of the above")
    if not plan.refusals:
        click.echo(click.style("works", fg="green", bold=True))


def _single(unit: str) -> str:
    """The unit of a quantity, which is counted one by one: `requests` of `1,000 requests`."""
    count, _, rest = unit.partition(" ")
    return rest if count[:1].isdigit() else unit


def _needs(plan: Plan) -> dict[str, object]:
    ask, load, claims = plan.ask, plan.sizes.load, plan.sizes.claims
    files, storage = plan.sizes.files, plan.sizes.storage
    needs: dict[str, object] = {
        "events": f"{ask.events_per_second:,.1f}/s, {load.bytes_per_second / 1e6:,.3f} MB/s",
        "records": f"{load.records_per_second:,.1f}/s of {ask.record_bytes:,} bytes",
        "shards": _shards(plan),
    }
    if ask.facts.compute is not Compute.SERVICE:
        needs["invocations"] = (
            f"{load.invocations_per_second:,.3g}/s of {load.batch_events:,.0f} events and "
            f"{seconds(load.invocation_seconds)}, {load.invocations_at_once:,.3g} at once"
        )
    needs["commits"] = f"{load.commits_per_second:,.3g}/s" + _limit(ask)
    joined = files.a_day_after_compaction
    needs["files of events"] = f"{files.a_day:,.0f} a day, {joined:,.0f} after compaction" if (
        ask.format == "delta") else f"{joined:,.0f} a day in the lake"  # fmt: skip
    needs["ids in the window"] = f"{claims.ids_in_window:,.0f} ({span(ask.window_s)})"
    needs["claims held"] = f"{claims.ids_held:,.0f}, {size(claims.held_bytes)} in {ask.claims}"
    needs["claims asked"] = f"{claims.requests_per_second:,.1f} ids/s"
    held = f"{storage.held / GIB:,.1f} GB at a time (kept {span(ask.keep_s)})"
    needs["stored"] = f"{storage.a_month / GIB:,.1f} GB more a month, {held}"
    share = plan.sizes.nightly_hours * 3600 / DAY_SECONDS
    needs["nightly job"] = f"{seconds(plan.sizes.nightly_hours * 3600)} a day ({share:.1%})"
    return needs


def _limit(ask: Ask) -> str:
    return " (one lake takes 10, of functions)" if ask.facts.compute is Compute.MAPPING else ""


def _shards(plan: Plan) -> str:
    load = plan.sizes.load
    if not plan.ask.has_provisioned_shards:
        return f"on demand; as {load.shards:,}"
    why = f"{load.shards_for_bytes:,} for bytes, {load.shards_for_records:,} for records"
    return f"{load.shards:,} ({why}" + (f", {load.shards_for_function:,} for the function)" if (
        load.shards_for_function) else ")")  # fmt: skip
