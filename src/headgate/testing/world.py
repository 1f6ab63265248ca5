"""A whole Headgate in memory that is killed and started again: one stream, one lake, one claim store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headgate.consumer import Consumer, Parts
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.missing import Fields
from headgate.core.privacy import Privacy
from headgate.core.rules import Rules
from headgate.errors import TransientError
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.layout import Format
from headgate.lake.options import LakeOptions
from headgate.lake.stage import JsonStyle
from headgate.lake.storage import Storage
from headgate.pipeline import FlowSettings, Pipeline
from headgate.ports import ClaimStore, LedgerState, Source
from headgate.records import Receipt
from headgate.testing.action_log import ActionLog, LoggedStorage
from headgate.testing.clock import VirtualClock
from headgate.testing.logged_ports import LoggedClaimStore, LoggedLake, LoggedSource
from headgate.testing.memory_source import MemorySource, Stream
from headgate.testing.scripted_storage import Killed

DAY_US = 86_400_000_000  # microseconds
WINDOW_US = 100_000_000  # microseconds; the window of de-duplication of every world


@dataclass(slots=True, kw_only=True)
class FactList:
    """A Telemetry that remembers."""

    facts: list[object] = field(default_factory=list)

    def emit(self, fact: object) -> None:
        """See Telemetry."""
        self.facts.append(fact)

    def of(self, kind: type) -> list[object]:
        """The facts of one type."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One process: how it is configured, and what befalls it.

    Attributes:
        rules: the user's rules; None for none.
        limits: sizes.
        privacy: what is done to payloads; None for nothing.
        fields: paths of payload fields whose absence is counted.
        max_event_types: the lake's limit.
        batch_events: records a batch.
        per_read: records that one read hands over.
        order: shards that take their turn first.
        depth: results that a stage may be ahead.
        max_batches: the process is told to stop after so many receipts.
        log: effects and faults.
        is_storage_logged: whether writes of the storage are effects, too.
    """

    rules: Rules | None = None
    limits: Limits = field(default_factory=Limits)
    privacy: Privacy | None = None
    fields: Sequence[str] = ()
    max_event_types: int = 1_000
    batch_events: int = 1_000
    per_read: int = 1_000
    order: Sequence[str] = ()
    depth: int = 0
    max_batches: int = 1_000_000
    log: ActionLog = field(default_factory=ActionLog)
    is_storage_logged: bool = False


class World:
    """What outlives a process.

    Attributes:
        stream: the records.
        storage: the lake's bytes.
        table_format: the lake's format.
        clock: virtual.
        telemetry: all facts of all processes.
    """

    def __init__(
        self,
        stream: Stream,
        storage: Storage,
        table_format: Format,
        open_claims: Callable[[], ClaimStore],
        *,
        prefix: str = "c",
    ) -> None:
        """Put together; nothing runs yet.

        Args:
            stream: what the sources read.
            storage: where the lake lies.
            table_format: the lake's format.
            open_claims: called for every attempt at the flow, as `Consumer` does.
            prefix: of commit names; another one for another world on the same lake.
        """
        self.stream, self.storage, self.table_format = stream, storage, table_format
        self.clock, self.telemetry = VirtualClock(), FactList()
        self._open_claims = open_claims
        self._ids = (f"{prefix}{number:05d}" for number in itertools.count())

    def run(self, attempt: Attempt) -> list[Receipt] | None:
        """One process from its start to its end.

        Returns:
            Its receipts; None where it was killed.

        Raises:
            HeadgateError: what the command line would report.
        """
        try:
            lake = self._open_lake(attempt)
        except (Killed, TransientError):
            return None
        receipts: list[Receipt] = []
        consumer = self._consumer(attempt, lake, lambda: len(receipts) >= attempt.max_batches)
        try:
            for receipt in consumer.run():
                receipts.append(receipt)
        except Killed:
            return None
        finally:
            lake.close()
        return receipts

    def ledger(self) -> LedgerState:
        """The ledger's end."""
        lake = self._open_lake(Attempt())
        try:
            return lake.refresh()
        finally:
            lake.close()

    def _open_lake(self, attempt: Attempt) -> TableLake:
        storage = LoggedStorage(self.storage, attempt.log) if attempt.is_storage_logged else self.storage
        options = LakeOptions(
            max_event_types=attempt.max_event_types,
            json_style=JsonStyle(is_gzip=False),
            stage_threads=1,
        )
        return open_lake(storage, self.table_format, options, now_us=self.clock.now_us, new_id=lambda: next(self._ids))

    def _consumer(self, attempt: Attempt, lake: TableLake, stop: Callable[[], bool]) -> Consumer:
        log, logged_lake = attempt.log, LoggedLake(lake, attempt.log)
        rules = attempt.rules or Rules([])

        def pipeline(source: Source, claims: ClaimStore) -> Pipeline:
            return Pipeline(
                source=source,
                claims=claims,
                lake=logged_lake,
                rules=rules,
                settings=settings(attempt),
                clock=self.clock,
                telemetry=self.telemetry,
                jitter=lambda: 0.5,
            )

        parts = Parts(
            lake=logged_lake,
            lease=None,
            open_claims=lambda: LoggedClaimStore(self._open_claims(), log),
            source=LoggedSource(MemorySource(self.stream, per_read=attempt.per_read, order=attempt.order), log),
            pipeline=pipeline,
            started=lambda source, claims, state: ("started", state.number),
        )
        return Consumer(
            parts,
            clock=self.clock,
            telemetry=self.telemetry,
            standby=True,
            takeover_seconds=30.0,
            stop=stop,
        )


def settings(attempt: Attempt) -> FlowSettings:
    """The flow's settings of a process."""
    return FlowSettings(
        envelope=Envelope(),
        limits=attempt.limits,
        privacy=attempt.privacy,
        fields=Fields(attempt.fields, Envelope()),
        max_future_us=DAY_US,
        window_us=WINDOW_US,
        max_event_types=attempt.max_event_types,
        max_batch_events=attempt.batch_events,
        max_batch_bytes=1 << 20,
        flush_seconds=3600.0,
        depth=attempt.depth,
    )
