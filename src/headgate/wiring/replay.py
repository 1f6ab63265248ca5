"""Configuration to a replay of a lake."""

from __future__ import annotations

from collections.abc import Callable

from headgate.clock import SystemClock
from headgate.config import Config
from headgate.errors import ConfigError
from headgate.jobs.exclusive import IN_USE, held
from headgate.jobs.old_rows import Selection
from headgate.jobs.replay import Replay, Replayed
from headgate.ports import ClaimStore, Telemetry
from headgate.wiring.claims import EMBEDDED, claims_of_existing, claims_of_lake, open_claims
from headgate.wiring.flow import flow_settings, rules_of
from headgate.wiring.job import Job
from headgate.wiring.lake import open_lake_for_writing, own_lease


def replay(
    lake: str,
    config: Config,
    selection: Selection,
    telemetry: Telemetry,
    *,
    is_dry: bool,
    advance: Callable[[float], None],
) -> Replayed:
    """Replay a lake that is there.

    Args:
        lake: folder or URI.
        config: of today.
        selection: which rows.
        telemetry: takes facts.
        is_dry: only say what would happen.
        advance: is told the number of rows and events as they are read.

    Raises:
        ConfigError: the lake has its claims in another store than the configuration names.
        PermanentError: another process works on the lake.
    """
    clock = SystemClock()
    settings, rules = flow_settings(config), rules_of(config)
    opened = open_lake_for_writing(Job(source="", lake=lake), config, clock)
    try:
        identity = claims_of_existing(opened) or claims_of_lake(config)
        if config.dedup.store is not None and claims_of_lake(config) != identity:
            raise ConfigError(f"{lake} has its claims in {identity.kind} ({identity.identity}): name that store")

        def store() -> ClaimStore:
            return open_claims(identity, opened, config, telemetry)

        job = Replay(
            opened,
            rules=rules,
            settings=settings,
            open_claims=None if identity.kind in EMBEDDED else store,
            clock=clock,
            telemetry=telemetry,
            advance=advance,
        )
        if is_dry:
            return job.preview(selection)
        with held(own_lease(opened, clock), IN_USE):
            return job.run(selection)
    finally:
        opened.close()
