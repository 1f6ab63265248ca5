"""One consumer's life on one lake: wait for the lease, attempt the flow, stand by when another one works.

Law: with an embedded claim store nothing is opened, claimed or written before the lease is held. A consumer whose
shard was moved by another one throws its work away; it tries again when the ledger stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Protocol

from headgate.errors import CommitConflict, CommitUnknown, HeadgateError, PermanentError, TransientError
from headgate.pipeline import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Pipeline
from headgate.ports import ClaimStore, Clock, Lake, LedgerState, Source, Telemetry
from headgate.records import Receipt, Shard, ShardState
from headgate.recover import abandoned_shards, bring_in_step, erased_ids
from headgate.telemetry.facts import CommitRefused, Noticed, Retried, StoodBy

POLL_SECONDS = 0.5  # between two looks at a ledger or lease that another one holds


class Lease(Protocol):
    """Held by the one process that may use an embedded claim store."""

    def try_acquire(self) -> bool:
        """True once this process holds it."""
        ...

    def holder(self) -> object | None:
        """Who holds it, for people."""
        ...

    @property
    def patience_seconds(self) -> float:
        """How long to go on trying before it is certain that the holder lives."""
        ...

    def release(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a consumer is made of; the openers are called anew for every attempt.

    Attributes:
        lake: opened once.
        lease: None where the claim store is shared.
        open_claims: after the lease is held.
        source: told anew for every attempt where to resume.
        pipeline: makes the flow of one attempt.
    """

    lake: Lake
    lease: Lease | None
    open_claims: Callable[[], ClaimStore]
    source: Source
    pipeline: Callable[[Source, ClaimStore], Pipeline]
    started: Callable[[Source, ClaimStore, LedgerState], object]


class Consumer:
    """Runs the flow until the source is drained or `stop` says so."""

    def __init__(
        self,
        parts: Parts,
        *,
        clock: Clock,
        telemetry: Telemetry,
        standby: bool,
        takeover_seconds: float,
        stop: Callable[[], bool],
    ) -> None:
        """Put together; nothing is opened yet.

        Args:
            parts: see Parts.
            clock: time and waiting.
            telemetry: takes facts.
            standby: wait while another consumer works; False raises PermanentError instead.
            takeover_seconds: how long the ledger must stand still after this consumer was fenced.
            stop: True when the process shall drain and end.
        """
        self._parts, self._clock, self._telemetry = parts, clock, telemetry
        self._standby, self._takeover_seconds, self._stop = standby, takeover_seconds, stop
        self._positions: dict[Shard, ShardState] = {}

    def lag(self) -> Mapping[str, float]:
        """What waits unread; see `ports.Source`."""
        return self._parts.source.lag()

    def run(self) -> Iterator[Receipt]:
        """Receipts of all batches that this consumer committed.

        Raises:
            PermanentError: a human is needed, or another consumer works and `standby` is off.
        """
        with closing(self._parts.source), self._lease_held():
            conflict: CommitConflict | None = None
            failures = 0
            while not self._stop():
                try:
                    if conflict is not None:
                        self._after(conflict)
                    conflict = None
                    if self._parts.lease is not None and not self._wait_for(self._parts.lease):
                        return  # asked to end while another one holds what was lost
                    for receipt in self._attempt():
                        failures = 0
                        yield receipt
                except CommitConflict as error:
                    conflict = error
                except (TransientError, CommitUnknown) as error:
                    if self._stop():
                        raise
                    failures += 1
                    self._wait_after(error, failures)
                else:
                    return

    def _attempt(self) -> Iterator[Receipt]:
        parts = self._parts
        state = parts.lake.refresh()
        self._positions = self._own(state)  # a claim store that is lost while it is filled moves no shard
        parts.lake.publish()
        source = parts.source
        with closing(parts.open_claims()) as claims:
            state = bring_in_step(claims, parts.lake, state, self._telemetry)
            erased = erased_ids(parts.lake, claims)
            if parts.lease is not None:
                # Only now: a holder that stalled and lost its lease is fenced by the generation, and what it staged
                # before can be committed no more.
                parts.lake.sweep()
            if not claims.is_embedded:  # an embedded store holds no claim that was not committed
                state = abandoned_shards(source, parts.lake, state)
            source.resume(self._own(state))
            self._positions = self._own(state)
            self._telemetry.emit(parts.started(source, claims, state))
            with closing(parts.pipeline(source, claims).run(state, self._stop, erased)) as receipts:
                for receipt in receipts:
                    moved = {r.shard: ShardState(position=r.end, meta=r.meta) for r in receipt.ranges}
                    self._positions = {**self._positions, **moved}
                    yield receipt

    def _own(self, state: LedgerState) -> dict[Shard, ShardState]:
        """What the ledger knows of this consumer's source."""
        return {s: known for s, known in state.shards.items() if s.source == self._parts.source.name}

    def _after(self, conflict: CommitConflict) -> None:
        """Begin anew at once, unless another consumer moved a shard of this source: then stand by."""
        self._telemetry.emit(CommitRefused(error=str(conflict)))
        moved = self._own(self._parts.lake.refresh())
        if _texts(moved) == _texts(self._positions):
            self._clock.sleep(POLL_SECONDS)
            return
        if not self._standby:
            raise PermanentError(f"{conflict}; another consumer works on this lake (--no-standby)")
        self._telemetry.emit(StoodBy(reason=str(conflict)))
        since = self._clock.monotonic()
        while self._clock.monotonic() - since < self._takeover_seconds and not self._stop():
            self._clock.sleep(POLL_SECONDS)
            latest = self._own(self._parts.lake.refresh())
            if _texts(latest) != _texts(moved):
                moved, since = latest, self._clock.monotonic()

    def _wait_after(self, error: HeadgateError, attempt: int) -> None:
        """Something did not answer outside the flow's stages: the whole attempt is made again."""
        pause = min(FIRST_WAIT_SECONDS * 2 ** min(attempt - 1, 10), LONGEST_WAIT_SECONDS)
        self._telemetry.emit(Retried(stage="start", attempt=attempt, wait_seconds=pause, error=str(error)))
        self._clock.sleep(pause)

    def _lease_held(self) -> AbstractContextManager[object]:
        lease = self._parts.lease
        return _Held(lease, self._wait_for) if lease is not None else _Nothing()

    def _wait_for(self, lease: Lease) -> bool:
        is_told, began, failures = False, self._clock.monotonic(), 0
        while True:
            try:
                if lease.try_acquire():
                    break
                reason = f"the lake is in use by {lease.holder() or 'another process'}"
            except TransientError as error:
                if self._stop():
                    raise
                failures += 1
                self._wait_after(error, failures)
                continue
            if not self._standby and self._clock.monotonic() - began >= lease.patience_seconds:
                raise PermanentError(f"{reason}; stop it, or leave out --no-standby to wait for it")
            if not is_told:
                self._telemetry.emit(StoodBy(reason=f"{reason}; waiting for it to end"))
                is_told = True
            if self._stop():
                return False
            self._clock.sleep(POLL_SECONDS)
        if is_told:
            self._telemetry.emit(Noticed(what="the lake is free; taking over"))
        return True


def _texts(shards: Mapping[Shard, ShardState]) -> dict[Shard, str | None]:
    """Positions alone."""
    return {shard: known.position for shard, known in shards.items()}


class _Held:
    """The lease while it is held."""

    def __init__(self, lease: Lease, wait_for: Callable[[Lease], bool]) -> None:
        self._lease, self._wait_for = lease, wait_for

    def __enter__(self) -> object:
        self._is_held = self._wait_for(self._lease)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            self._lease.release()


class _Nothing:
    """No lease is needed: the claim store is shared."""

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        pass
