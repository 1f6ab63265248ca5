"""Config to adapters to Consumer."""

from __future__ import annotations

import random
from collections.abc import Callable

from headgate.clock import SystemClock
from headgate.config import Config
from headgate.consumer import Consumer, Parts
from headgate.errors import ConfigError
from headgate.lake.layout import set_claims_identity
from headgate.pipeline import Pipeline
from headgate.ports import ClaimStore, LedgerState, Source, Telemetry
from headgate.telemetry.facts import RunStarted
from headgate.wiring.claims import claims_of_lake, open_claims
from headgate.wiring.flow import flow_settings, rules_of
from headgate.wiring.job import Job
from headgate.wiring.lake import lease_of, open_lake_for_writing
from headgate.wiring.source import open_source


def make_consumer(job: Job, config: Config, telemetry: Telemetry, stop: Callable[[], bool]) -> Consumer:
    """Put a consumer together. Opens the lake; nothing else is opened before the lease is held.

    Raises:
        ConfigError: the lake has another format or claim store, or something named does not exist.
    """
    clock = SystemClock(stop)
    settings, rules = flow_settings(config), rules_of(config)
    source = open_source(job, config, clock)  # first, so that a wrong SOURCE is said before a lake is made
    lake = open_lake_for_writing(job, config, clock)
    if config.compaction.auto and lake.about.format != "delta":
        raise ConfigError(
            f"{job.lake} is of format {lake.about.format}; only lakes of format delta are compacted: "
            "set [compaction] auto to false"
        )
    identity = claims_of_lake(config)
    set_claims_identity(lake.storage, identity)

    def own_claims() -> ClaimStore:
        set_claims_identity(lake.storage, identity)  # another one by now: the lake was moved to another store
        return open_claims(identity, lake, config, telemetry)

    def pipeline(source: Source, claims: ClaimStore) -> Pipeline:
        return Pipeline(
            source=source,
            claims=claims,
            lake=lake,
            rules=rules,
            settings=settings,
            clock=clock,
            telemetry=telemetry,
            jitter=random.random,
        )

    def started(source: Source, claims: ClaimStore, state: LedgerState) -> RunStarted:
        return RunStarted(
            source=source.name,
            lake=str(lake.storage.root),
            format=lake.about.format,
            claims=f"{identity.kind}: {identity.identity}".removesuffix(": "),
            ledger_number=state.number,
        )

    return Consumer(
        Parts(
            lake=lake,
            lease=lease_of(lake, identity, clock),
            open_claims=own_claims,
            source=source,
            pipeline=pipeline,
            started=started,
        ),
        clock=clock,
        telemetry=telemetry,
        standby=config.standby.enabled,
        takeover_seconds=config.standby.takeover_seconds,
        stop=stop,
    )
