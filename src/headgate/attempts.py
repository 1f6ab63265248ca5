"""Work with a deadline on a shared claim store: tried again while there is time, and given up before it is over.

Law: a claim store that answers has been brought in step with the ledger since it was opened, and bears the generation
that the ledger names. What was not finished raises before the deadline, so that whoever asked asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from headgate.core.erased_ids import ErasedIds
from headgate.errors import CommitConflict, CommitUnknown, HeadgateError, TransientError
from headgate.pipeline import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from headgate.ports import ClaimStore, Clock, Lake, LedgerState, Telemetry
from headgate.recover import bring_in_step, erased_ids
from headgate.telemetry.facts import Retried

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class InStep:
    """What judges.

    Attributes:
        claims: filled from the lake.
        erased: knows the copies of erased events, as of when the store was opened: of what is erased later the store
            holds the claims. None where there are none.
    """

    claims: ClaimStore
    erased: ErasedIds | None


class Attempts:
    """Lasts as long as a container; used by one thread."""

    def __init__(
        self,
        *,
        lake: Lake,
        open_claims: Callable[[], ClaimStore],
        margin_seconds: Callable[[], float],
        clock: Clock,
        telemetry: Telemetry,
        jitter: Callable[[], float],
    ) -> None:
        """Nothing is opened yet.

        Args:
            lake: whose ledger names the generation.
            open_claims: opens the lake's claim store; it must be a shared one.
            margin_seconds: before the deadline at which nothing new is begun.
            clock: time and waiting.
            telemetry: takes facts.
            jitter: gives a number in [0, 1) that spreads retries.
        """
        self._lake, self._open_claims, self._margin_seconds = lake, open_claims, margin_seconds
        self._clock, self._telemetry, self._jitter = clock, telemetry, jitter
        self._opened: InStep | None = None

    def make(self, attempt: Callable[[Callable[[], bool]], T], remaining_seconds: Callable[[], float]) -> T:
        """Try until it succeeds.

        Args:
            attempt: safe to repeat; is given what says that the time is up.
            remaining_seconds: until the deadline.

        Raises:
            TransientError: the time is up.
            PermanentError: a human is needed.
        """

        def is_late() -> bool:
            return remaining_seconds() < self._margin_seconds()

        wait, number = FIRST_WAIT_SECONDS, 1
        while True:
            try:
                return attempt(is_late)
            except (CommitConflict, CommitUnknown, TransientError) as error:
                self.close()
                pause = wait * (0.5 + self._jitter())
                if remaining_seconds() - pause < self._margin_seconds():
                    raise TransientError(f"no time is left for this batch, it must come again: {error}") from error
                self._telemetry.emit(Retried(stage="invoke", attempt=number, wait_seconds=pause, error=str(error)))
                self._clock.sleep(pause)
                wait, number = min(wait * 2, LONGEST_WAIT_SECONDS), number + 1

    def in_step(self, state: LedgerState) -> tuple[InStep, LedgerState]:
        """The claim store, filled from the lake where it lost data or where the container is new.

        Args:
            state: the ledger's end.

        Returns:
            What judges, and the ledger's end after what was entered.
        """
        if self._opened is not None and self._opened.claims.generation == state.generation:
            return self._opened, state
        self.close()
        claims = self._open_claims()
        try:
            state = bring_in_step(claims, self._lake, state, self._telemetry)
            self._opened = InStep(claims=claims, erased=erased_ids(self._lake, claims))
        except HeadgateError:
            claims.close()
            raise
        return self._opened, state

    def close(self) -> None:
        """Let go of the claim store; it is opened anew when it is needed. May be called twice."""
        if self._opened is not None:
            self._opened.claims.close()
        self._opened = None
