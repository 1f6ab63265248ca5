"""`headgate rebuild`: the claim store from the lake."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from headgate.clock import SystemClock
from headgate.config import environment, resolve
from headgate.consumer import Lease
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import number, print_json, print_pairs, progress, seconds
from headgate.jobs.proof import many
from headgate.jobs.rebuild import Rebuilt, rebuild
from headgate.lake.lake import TableLake
from headgate.lake.layout import ClaimsIdentity
from headgate.wiring.claims import EMBEDDED, claims_folder, claims_of_existing, claims_of_lake, open_claims
from headgate.wiring.existing import existing_lake
from headgate.wiring.job import Job
from headgate.wiring.lake import lease_of, open_lake_for_writing
from headgate.wiring.telemetry import log_lines


@click.command(
    epilog="""\b
Examples:
  headgate rebuild lake/
  headgate rebuild lake/ --dedup rocksdb:/var/lib/headgate/claims
  headgate rebuild s3://bucket/lake --dedup dynamodb://claims
"""
)
@click.argument("lake")
@click.option("--dedup", help="Another store from now on, as for run.  [default: the lake's own]")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file of the runs.")
@common_options
def command(lake: str, dedup: str | None, config_path: Path | None, as_json: bool) -> None:
    """Rebuild the claim store from the lake.

    Every accepted event is claimed again, so that later runs give the same verdicts. No run may be under way. A
    rebuild that was interrupted is repaired by the next run or rebuild.
    """
    began = time.monotonic()
    rebuilt, store = rebuild_job(lake, dedup, config_path, is_shown=not as_json)
    took = time.monotonic() - began
    if as_json:
        print_json({"lake": lake, "store": store, **asdict(rebuilt), "seconds": round(took, 3)})
        return
    print_pairs(
        {
            "claims": f"{number(rebuilt.claims)} from the accepted events of {lake}",
            **({"erased": many(rebuilt.erased, "id") + " of erased events known, too"} if rebuilt.erased else {}),
            "store": store,
            "generation": f"{rebuilt.generation}, ledger entry {number(rebuilt.number)}",
            "took": seconds(took),
        }
    )


def rebuild_job(lake: str, dedup: str | None, config_path: Path | None, *, is_shown: bool) -> tuple[Rebuilt, str]:
    """Rebuild with progress on the terminal; what was done, and the store's name.

    Raises:
        ConfigError: there is no such lake, or the store's folder holds something else.
        PermanentError: another process works on the lake.
    """
    config = resolve(config_path, environment(), {"dedup.store": dedup}).config
    found = existing_lake(lake, config)
    clock = SystemClock()
    opened = open_lake_for_writing(Job(source="", lake=lake), config, clock)
    before = claims_of_existing(opened)
    wanted = before if before is not None and config.dedup.store is None else claims_of_lake(config)
    logs = log_lines(config, sys.stderr, level="warning")
    try:
        with progress("rebuild", found.state().counts.accepted or None, is_shown=is_shown) as bar:
            rebuilt = rebuild(
                opened,
                _lease(opened, [wanted, before], clock),
                wanted,
                lambda: open_claims(wanted, opened, config, logs),
                folder=claims_folder(wanted, opened),
                is_other=before is not None and before != wanted,
                advance=bar.advance,
            )
    finally:
        opened.close()
    return rebuilt, f"{wanted.kind}: {wanted.identity}".removesuffix(": ")


def _lease(lake: TableLake, stores: Sequence[ClaimsIdentity | None], clock: SystemClock) -> Lease | None:
    """Taken where the old or the new store serves one process."""
    embedded = [store for store in stores if store is not None and store.kind in EMBEDDED]
    return lease_of(lake, embedded[0], clock) if embedded else None
