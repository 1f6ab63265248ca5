"""Replays put together by hand for tests, and the proof of a lake afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.rules import Rules
from headgate.jobs.existing import find_lake
from headgate.jobs.old_rows import Selection
from headgate.jobs.replay import Replay, Replayed
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.lake.stage import JsonStyle
from headgate.pipeline import FlowSettings
from headgate.ports import ClaimStore, Source
from headgate.testing.action_log import ActionLog, LoggedStorage
from headgate.testing.clock import VirtualClock
from headgate.testing.lake_rows import read_table
from headgate.testing.world import DAY_US, WINDOW_US, FactList

_numbers = itertools.count()


def replay_on(
    lake: Path,
    *,
    rules: Rules | None = None,
    limits: Limits | None = None,
    selection: Selection | None = None,
    log: ActionLog | None = None,
    open_claims: Callable[[], ClaimStore] | None = None,
    batch_events: int = 1_000,
    window_us: int = WINDOW_US,
) -> Replayed:
    """Replay a local lake, its writes being effects of a log.

    Args:
        lake: its folder.
        rules: of today; none by default.
        limits: of today.
        selection: which rows.
        log: effects and faults.
        open_claims: a shared store; None where the lake judges.
        batch_events: rows a batch.
        window_us: window of de-duplication in microseconds.
    """
    clock = VirtualClock()
    opened: TableLake = open_lake(
        LoggedStorage(LocalStorage(str(lake)), log or ActionLog()),
        None,
        LakeOptions(stage_threads=1, json_style=JsonStyle(is_gzip=False)),
        now_us=clock.now_us,
        new_id=lambda: f"r{next(_numbers):05d}",
    )
    try:
        return Replay(
            opened,
            rules=rules or Rules([]),
            settings=_settings(limits or Limits(), batch_events, window_us),
            open_claims=open_claims,
            clock=clock,
            telemetry=FactList(),
        ).run(selection or Selection())
    finally:
        opened.close()


def breaches_of(lake: Path, source: Source, *, limits: Limits | None = None, window_us: int = WINDOW_US) -> list[str]:
    """What `verify` finds in a local lake, its source read again; and where `quality` measured other events."""
    settings = VerifySettings(envelope=Envelope(), limits=limits or Limits(), window_us=window_us)
    proof = verify(find_lake(str(lake)), source, settings, source_name=source.name)
    found = [f"{breach.kind}: {breach.sentence} {breach.examples}" for breach in proof.breaches]
    quality = read_table(LocalStorage(str(lake)), "quality").to_pylist()
    events = sum(row["accepted"] + row["duplicates"] for row in quality)
    for name in ("units", "created_to_arrived"):
        measured = sum(count for row in quality for _, count in row[name] or ())
        found += [f"quality: {name} of {measured} events, there are {events}"] if measured != events else []
    return found


def _settings(limits: Limits, batch_events: int, window_us: int) -> FlowSettings:
    return FlowSettings(
        envelope=Envelope(),
        limits=limits,
        max_future_us=DAY_US,
        window_us=window_us,
        max_event_types=1_000,
        max_batch_events=batch_events,
        max_batch_bytes=1 << 20,
        flush_seconds=3600.0,
    )
