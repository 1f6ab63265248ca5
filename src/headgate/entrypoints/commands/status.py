"""`headgate status`: position, lag, tables and claims of a lake."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import msgspec

from headgate.entrypoints.answers import safe
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, seconds, size
from headgate.jobs.status import ShardStatus, Status, status
from headgate.wiring.existing import existing_lake

SHOWN_SHARDS = 20


@click.command(
    epilog="""\b
Examples:
  headgate status lake/
  headgate status lake/ --json
"""
)
@click.argument("lake")
@common_options
def command(lake: str, as_json: bool) -> None:
    """Show position, lag, tables and claims of a lake.

    Works while a run is under way; it writes nothing and takes no lease. Lag is known where a source's files are
    there: bytes not read yet.
    """
    found = status(existing_lake(lake))
    if as_json:
        print_json(_for_machines(found))
    else:
        _print(found)


def _for_machines(found: Status) -> object:
    result = msgspec.to_builtins(found)
    result["conserved"] = found.counts.is_conserved
    result["counts"] = found.counts._asdict()
    result["committed_at"] = _time(found.committed_us) if found.number else None
    return result


def _print(found: Status) -> None:
    counts = found.counts
    sign = "=" if counts.is_conserved else "≠"
    click.echo(
        f"{number(counts.received)} received {sign} {number(counts.accepted)} accepted + "
        f"{number(counts.duplicates)} duplicates + {number(counts.rejected)} rejected"
    )
    print_pairs(
        {
            "lake": f"{found.lake}, format {found.format}, layout {found.layout}",
            "event types": found.event_types,
            "ledger": _ledger(found),
            "writer": _writer(found),
            "lease": _lease(found),
            "claims": _claims(found),
            "not published": _unpublished(found),
            **({"erasures": _erasures(found)} if found.erasures.number else {}),
        }
    )
    click.echo()
    rows = [
        (name, "?" if table.rows is None else number(table.rows), number(table.files), size(table.size_bytes))
        for name, table in found.tables.items()
    ]
    print_table(("table", "rows", "files", "size"), rows)
    click.echo()
    shards = found.shards[:SHOWN_SHARDS]
    print_table(("shard", "position", "lag", "source"), [_shard(shard) for shard in shards])
    if len(found.shards) > len(shards):
        click.echo(f"and {number(len(found.shards) - len(shards))} more (--json lists all)")
    for source, count in found.unread_files.items():
        if count:
            click.echo(f"{number(count)} files of {safe(source)} not begun")


def _ledger(found: Status) -> str:
    if not found.number:
        return "empty: nothing was committed yet"
    ago = seconds(max(0.0, time.time() - found.committed_us / 1e6))
    return f"entry {number(found.number)}, {_time(found.committed_us)} ({ago} ago)"


def _writer(found: Status) -> str:
    if not found.writer:
        return "-"
    return safe(" ".join(f"{name} {value}" for name, value in found.writer.items()))


def _lease(found: Status) -> str:
    holder = found.lease
    if holder is None:
        return "free"
    who = f"host {holder.host} pid {holder.pid} since {_time(holder.since_us)}"
    return safe(f"free; left by {who}, which is dead" if found.is_lease_stale else who)


def _claims(found: Status) -> str:
    claims = found.claims
    if claims.kind is None:
        return "none yet"
    held = "" if claims.disk_bytes is None else f", {size(claims.disk_bytes)} on disk"
    return safe(f"{claims.kind}: {claims.identity}{held}, generation {claims.generation or 'none yet'}")


def _unpublished(found: Status) -> str:
    numbers = found.unpublished
    if not numbers:
        return "nothing: all rows can be read"
    return f"{number(len(numbers))} entries from {number(numbers[0])} on; the next run shows them"


def _erasures(found: Status) -> str:
    erasures = found.erasures
    rows = ", ".join(f"{name} {number(count)}" for name, count in erasures.rows.items()) or "no rows"
    said = f"{number(erasures.number)}, erased: {rows}"
    if not erasures.unfinished:
        return said
    return safe(f"{said}; not finished: {', '.join(erasures.unfinished[:SHOWN_SHARDS])}: run `headgate erase` again")


def _shard(shard: ShardStatus) -> tuple[str, str, str, str]:
    position = "-" if shard.position is None else shard.position
    lag = "closed" if shard.is_closed else "?" if shard.lag_bytes is None else size(shard.lag_bytes)
    return safe(shard.shard), position, lag, safe(shard.source)


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, tz=UTC).isoformat(timespec="seconds")
