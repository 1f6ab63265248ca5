"""Whether a consumer lives and works, told from its facts: what `/readyz` and the metric of it say.

Ready is a consumer whose flow runs: lease held, claims in step, source at the position of the ledger, and no stage
that has waited for the outside world for a long time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from headgate.telemetry.facts import (
    BatchCommitted,
    CommitRefused,
    LagMeasured,
    Retried,
    RunStarted,
    StageTimed,
    StoodBy,
)

PATIENCE_SECONDS = 30.0  # that a stage may try again before the consumer is no longer ready
STARTING = "starting: the lake is not open yet, or the claims are not in step with it"


class Health:
    """A Telemetry that knows the state of the consumer."""

    def __init__(self, monotonic: Callable[[], float], is_ending: Callable[[], bool]) -> None:
        """The consumer is starting.

        Args:
            monotonic: seconds.
            is_ending: True once the process was asked to drain.
        """
        self._monotonic, self._is_ending = monotonic, is_ending
        self._lock = threading.Lock()
        self._why: str | None = STARTING
        self._standing_by = False
        self._failing: dict[str, tuple[float, str]] = {}

    @property
    def is_standing_by(self) -> bool:
        """True while another consumer works."""
        return self._standing_by

    def obstacle(self) -> str | None:
        """Why the consumer is not ready, in one sentence; None where it is."""
        if self._is_ending():
            return "ending: what was read is committed, nothing more is read"
        with self._lock:
            if self._why is not None:
                return self._why
            now = self._monotonic()
            for stage, (since, error) in self._failing.items():
                if now - since >= PATIENCE_SECONDS:
                    return f"{stage} has been tried again for {now - since:.0f} s: {error}"
        return None

    def emit(self, fact: object) -> None:
        """Take a fact."""
        with self._lock:
            if isinstance(fact, RunStarted):
                self._why, self._standing_by = None, False
                self._failing.clear()
            elif isinstance(fact, StoodBy):
                self._why, self._standing_by = f"standing by: {fact.reason}", True
            elif isinstance(fact, CommitRefused):
                self._why = f"starting again: {fact.error}"
            elif isinstance(fact, Retried):
                self._retried(fact)
            elif isinstance(fact, StageTimed):
                self._failing.pop(fact.stage, None)
            elif isinstance(fact, BatchCommitted):
                self._failing.pop("commit", None)
            elif isinstance(fact, LagMeasured):
                self._failing.pop("read", None)

    def _retried(self, fact: Retried) -> None:
        if fact.stage == "start":  # outside the flow: the whole attempt is made again
            self._why = f"starting again: {fact.error}"
        since, _ = self._failing.get(fact.stage, (self._monotonic(), ""))
        self._failing[fact.stage] = since, fact.error
