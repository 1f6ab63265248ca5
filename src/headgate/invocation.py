"""One invocation of a function, one batch, one ledger entry: the flow where batches are handed over in any order.

Law: a record is skipped only where it lies inside a committed range of the ledger. What is not committed when the
time is up raises, so that the batch comes again; nothing of it was published. Publication is shared: many invocations
a minute show their rows by one commit to each table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from headgate.attempts import Attempts
from headgate.core.ranges import RETENTION_US, Pending, are_members, pending
from headgate.errors import PermanentError, TransientError
from headgate.pipeline import Pipeline
from headgate.ports import ClaimStore, Clock, Lake, Source, Telemetry
from headgate.records import Counts, Receipt, RecordBatch, Shard, ShardRange, ShardState
from headgate.telemetry.facts import PublicationLeft

MARGIN_SECONDS = 3.0  # before the deadline at which nothing new is begun
PUBLISH_SECONDS = 10.0  # between two publications of all writers together
FIRST_PUBLICATION_SECONDS = 2.0  # that the first publication of a container is expected to take


class SharedLake(Lake, Protocol):
    """A Lake for writers that take turns at publishing and commit in any order."""

    def publish_if_due(self, seconds: float) -> int:
        """Publish, unless somebody did less than `seconds` ago. Returns the number known to be published."""
        ...

    def islands_of(self, number: int, shard: Shard) -> list[ShardRange]:
        """The islands of a shard that an entry committed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationSettings:
    """How invocations work.

    Attributes:
        margin_seconds: nothing new is begun so long before the deadline (and what a publication takes before that).
        publish_seconds: between two publications of all writers together.
        retention_us: at least as long as the stream keeps its records, microseconds.
    """

    margin_seconds: float = MARGIN_SECONDS
    publish_seconds: float = PUBLISH_SECONDS
    retention_us: int = RETENTION_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the records of an invocation.

    Attributes:
        counts: of the records judged now.
        skipped: records that were committed before.
        number: the ledger entry; the ledger's end where nothing was to be judged.
    """

    counts: Counts = field(default_factory=Counts)
    skipped: int = 0
    number: int = 0


class Invocations:
    """What lives as long as a container: the lake and the claim store, opened once and brought up to date each time."""

    def __init__(
        self,
        *,
        lake: SharedLake,
        open_claims: Callable[[], ClaimStore],
        pipeline: Callable[[Source, ClaimStore, Lake], Pipeline],
        settings: InvocationSettings,
        clock: Clock,
        telemetry: Telemetry,
        jitter: Callable[[], float],
    ) -> None:
        """Put together; nothing is opened yet.

        Args:
            lake: where it goes.
            open_claims: opens the lake's claim store; it must be a shared one.
            pipeline: makes the flow; its settings must not cut a batch, and `depth` must be 0.
            settings: margins.
            clock: time and waiting.
            telemetry: takes facts.
            jitter: gives a number in [0, 1) that spreads retries.
        """
        self._lake, self._pipeline, self._settings = lake, pipeline, settings
        self._clock, self._telemetry = clock, telemetry
        self._attempts = Attempts(
            lake=lake,
            open_claims=open_claims,
            margin_seconds=lambda: settings.margin_seconds,
            clock=clock,
            telemetry=telemetry,
            jitter=jitter,
        )
        self._publication_seconds = FIRST_PUBLICATION_SECONDS

    def take(self, batch: RecordBatch, remaining_seconds: Callable[[], float]) -> Outcome:
        """Commit what is not committed of a batch.

        Args:
            batch: sorted by shard and sequence; see source/lambda_event.py.
            remaining_seconds: until the deadline.

        Returns:
            What became of it. The entry is durable; its rows are shown now or by a later publication.

        Raises:
            TransientError: the time is up; what is not committed must come again.
            PermanentError: a human is needed; it must come again, too.
        """
        return self._attempts.make(lambda is_late: self._attempt(batch, is_late, remaining_seconds), remaining_seconds)

    def close(self) -> None:
        """Let go of the claim store and the lake. May be called twice."""
        self._attempts.close()
        self._lake.close()

    def _attempt(
        self, batch: RecordBatch, is_late: Callable[[], bool], remaining_seconds: Callable[[], float]
    ) -> Outcome:
        state = self._lake.refresh()
        rest = pending(batch, state.shards, self._settings.retention_us)
        self._refuse_strangers(rest)
        lake = _JoinedLake(
            self._lake, self._publish, lambda: self._is_late_to_publish(remaining_seconds()), self._telemetry
        )
        if rest.batch is None:
            lake.publish()
            return Outcome(skipped=rest.skipped, number=state.number)
        if is_late():
            raise TransientError("the time was up before anything was claimed")
        judges, state = self._attempts.in_step(state)
        flow = self._pipeline(OneBatch(rest.batch), judges.claims, lake)
        receipt = next(iter(list(flow.run(state, is_late, judges.erased))), None)
        if receipt is None:
            raise TransientError("the time was up before anything was committed")
        return Outcome(counts=receipt.counts, skipped=rest.skipped, number=receipt.number)

    def _is_late_to_publish(self, remaining_seconds: float) -> bool:
        """True where a publication may not end in time. It is expected to take less each time that it is left."""
        is_late = remaining_seconds < self._settings.margin_seconds + self._publication_seconds
        if is_late:
            self._publication_seconds /= 2
        return is_late

    def _refuse_strangers(self, rest: Pending) -> None:
        """A record between those of a committed batch was not among them: two batches of its shard interleaved.

        The check lets 2 of 100 such records pass, so that of a batch some are found.
        """
        for (number, shard), sequences in rest.inside.items():
            values = [row.tobytes() for row in sequences]
            for island in self._lake.islands_of(number, shard):
                start, end = (int(text or 0).to_bytes(24, "big") for text in (island.start, island.end))
                rows = [i for i, value in enumerate(values) if start <= value < end]
                if rows and not are_members(island.members, sequences[rows]).all():
                    raise PermanentError(
                        f"shard {shard.name} of {shard.source}: a batch holds records between those of ledger entry "
                        f"{number} that were not among them; set ParallelizationFactor of the event source mapping to "
                        "1 and leave its filter criteria unchanged while it is behind"
                    )

    def _publish(self) -> int:
        began = self._clock.monotonic()
        number = self._lake.publish_if_due(self._settings.publish_seconds)
        took = self._clock.monotonic() - began
        self._publication_seconds = max(took, self._publication_seconds / 2)
        return number


class OneBatch:
    """A Source that holds one batch, which whoever invoked the function keeps until it was committed."""

    def __init__(self, batch: RecordBatch) -> None:
        self.notices: list[str] = []
        self._batch: RecordBatch | None = batch
        self.name = batch.ranges[0].shard.source

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """Nothing to resume."""

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """The batch, once."""
        if self._batch is None:
            raise EOFError("the batch was read")
        batch, self._batch = self._batch, None
        return batch

    def ack(self, receipt: Receipt) -> None:
        """The answer of the function is the acknowledgement."""

    def horizon_us(self) -> int | None:
        """Other shards are read elsewhere."""
        return None

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """None: batches come in any order."""
        return ()

    def lag(self) -> Mapping[str, float]:
        """Unknown here."""
        return {}

    def close(self) -> None:
        """Nothing to let go."""


class _JoinedLake:
    """A lake whose publication is shared, and left to others where time is short or storage does not answer."""

    def __init__(
        self, lake: SharedLake, publish: Callable[[], int], is_late: Callable[[], bool], telemetry: Telemetry
    ) -> None:
        self._publish, self._is_late, self._telemetry = publish, is_late, telemetry
        self.refresh, self.stage, self.discard = lake.refresh, lake.stage, lake.discard
        self.commit, self.note, self.sweep = lake.commit, lake.note, lake.sweep
        self.claims_since, self.erased, self.close = lake.claims_since, lake.erased, lake.close

    def publish(self) -> int:
        """See Lake; the batch is committed, so that nothing here may fail the invocation."""
        if self._is_late():
            return 0
        try:
            return self._publish()
        except (TransientError, PermanentError) as error:
            self._telemetry.emit(PublicationLeft(error=str(error)))
            return 0
