"""Configuration to an erasure of a lake."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.clock import SystemClock
from headgate.config import Config
from headgate.consumer import Lease
from headgate.jobs.build import build
from headgate.jobs.erase import Erasure
from headgate.jobs.erase_found import EraseSettings
from headgate.jobs.exclusive import IN_USE, held
from headgate.jobs.existing import ExistingLake
from headgate.lake.built import built_number
from headgate.lake.lake import TableLake
from headgate.lake.published import published_number
from headgate.ports import Telemetry
from headgate.wiring.build import build_settings
from headgate.wiring.claims import EMBEDDED, claims_of_existing
from headgate.wiring.existing import existing_lake
from headgate.wiring.filing import file_deliveries
from headgate.wiring.flow import flow_settings
from headgate.wiring.job import Job
from headgate.wiring.lake import build_lease, compaction_lease, open_lake_for_writing, own_lease

PATIENCE_SECONDS = 120.0  # for a compaction or a build under way


def settings_of(config: Config, where: str | None, contains: str) -> EraseSettings:
    """What is to be erased, with the limits and the window of the configuration."""
    flow = flow_settings(config)
    return EraseSettings(where=where, contains=contains.encode(), window_us=flow.window_us, limits=flow.limits)


@contextmanager
def opened_erasure(
    lake: str,
    config: Config,
    settings: EraseSettings,
    telemetry: Telemetry,
    *,
    is_dry: bool,
    describe: Callable[[str], None] = lambda _: None,
) -> Iterator[Erasure]:
    """An erasure of a lake that is there; neither compaction, build nor another erasure is at work meanwhile.

    What is committed is published and, where that was ever done, built: so no file is taken away that is still to be
    read by `build`. A dry run looks at what is published already, and writes nothing.

    Args:
        lake: folder or URI.
        config: of the runs and of `build`.
        settings: what is to be erased.
        telemetry: takes facts.
        is_dry: nothing may be written.
        describe: is told what goes on.

    Raises:
        PermanentError: a compaction, a build or another erasure is under way, or a file is damaged.
        TransientError: the storage did not answer; run it again.
    """
    clock, found = SystemClock(), existing_lake(lake, config)

    def erasure(number: int, writers: Lease | None) -> Erasure:
        return Erasure(found, settings, number, writers=writers, now_us=clock.now_us, new_id=_new_id, sleep=clock.sleep)

    if is_dry:
        yield erasure(published_number(found.storage), None)
        return
    opened = open_lake_for_writing(Job(source="", lake=lake), config, clock)
    leases = compaction_lease(found.storage, clock), build_lease(found.storage, clock)
    try:
        with held(leases[0], IN_USE, PATIENCE_SECONDS), held(leases[1], IN_USE, PATIENCE_SECONDS):
            file_deliveries(opened, config, clock=clock, telemetry=telemetry)
            number = _up_to_date(found, opened, config, clock, describe)
            identity = claims_of_existing(opened)
            is_embedded = identity is None or identity.kind in EMBEDDED
            yield erasure(number, own_lease(opened, clock) if is_embedded else None)
    finally:
        opened.close()


def _up_to_date(
    found: ExistingLake, opened: TableLake, config: Config, clock: SystemClock, describe: Callable[[str], None]
) -> int:
    """Publish, and build where that was ever done; up to which entry."""
    if built_number(opened.storage) is None:
        return opened.publish()
    describe("build")
    settings = build_settings(config)
    return build(found, settings, opened.publish, None, now_us=clock.now_us, new_id=_new_id).published


def _new_id() -> str:
    return uuid.uuid4().hex
