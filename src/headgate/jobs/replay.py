"""`replay`: rejects, or duplicates without an original, judged anew with today's rules and limits.

The stages are those of the flow, in its order: decode, validate, enrich, rules, dedup, stage, commit, publish. A
record keeps its position and its arrival, so that its claim is the one that it would have made.

Law: the ledger entry that admits a row names the file in which its mark stands, so that row and mark are one fact. Two
replays cannot settle one row: an entry names the replay before it, and is refused where there was another.

Who judges depends on the claim store. An embedded one serves one process, so its lake is all there is to know: under
the lease the lake judges, the store is not opened, and the entry is refused where the ledger went on meanwhile; the
next run loads what was admitted. A shared store is asked, beside any number of consumers.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.again import Again, decode_again
from headgate.core.erased_ids import ErasedIds
from headgate.core.rules import Rules
from headgate.decision import Decider, Parts
from headgate.errors import CommitConflict, CommitUnknown, TransientError
from headgate.jobs.lake_claims import key_heads, lake_claims
from headgate.jobs.lost import take_over_lost
from headgate.jobs.old_rows import OldBatch, Selection, old_batches
from headgate.jobs.settle import Outcome, Tally, outcome_of
from headgate.lake.entry import Entry
from headgate.lake.lake import TableLake
from headgate.pipeline import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, FlowSettings, prepared
from headgate.ports import ClaimStore, Clock, LedgerState, Telemetry
from headgate.records import Receipt, Verdicts
from headgate.recover import bring_in_step, erased_ids
from headgate.telemetry.facts import BatchCommitted, Retried

MOST_FAILURES = 8  # one after the other; about a minute and a half of waiting

T = TypeVar("T")


@dataclass(kw_only=True)
class Replayed:
    """What a replay did, or would do.

    Attributes:
        tally: (reason, verdict) to number; verdicts are accepted, duplicate, rejected, none and left.
        entries: ledger numbers of the commits.
    """

    tally: Tally = field(default_factory=Tally)
    entries: list[int] = field(default_factory=list)


class Replay:
    """One replay of one lake."""

    def __init__(
        self,
        lake: TableLake,
        *,
        rules: Rules,
        settings: FlowSettings,
        open_claims: Callable[[], ClaimStore] | None,
        clock: Clock,
        telemetry: Telemetry,
        advance: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Put together; nothing is read yet.

        Args:
            lake: under its lease, but for a dry run.
            rules: of today.
            settings: of today.
            open_claims: opens the lake's shared store; None where the lake itself judges.
            clock: time and waiting.
            telemetry: takes facts.
            advance: is told the number of rows and events as they are read.
        """
        self._lake, self._rules, self._settings, self._open_claims = lake, rules, settings, open_claims
        self._clock, self._telemetry, self._advance = clock, telemetry, advance

    def run(self, selection: Selection) -> Replayed:
        """Replay until every selected row has its verdict of today.

        Raises:
            TransientError: something did not answer for long, or others kept getting in between. What was committed
                stands; the rest is done by calling again.
            PermanentError: a human is needed.
        """
        done = Replayed()
        left = self._patiently("replay", lambda: self._attempt(selection, done), lambda: len(done.entries))
        done.tally.update(left)
        return done

    def preview(self, selection: Selection) -> Replayed:
        """Say what `run` would do. Writes nothing and claims nothing; what is not published yet is not seen."""
        state, replays = self._lake.refresh(), self._lake.replays()
        claims = lake_claims(self._lake, state.generation, self._wanted(replays, selection))
        judge = self._decider(claims, state, erased_ids(self._lake, claims))
        found = Replayed()
        for batch in self._batches(replays, selection):
            outcome = self._judged(judge, batch, self.prepare(batch), 0, 0)
            found.tally.update(outcome.settled)
            found.tally.update(outcome.left)
        return found

    def prepare(self, batch: OldBatch) -> tuple[Again, Parts]:
        """Decode what was sent, and the rest as `Pipeline.prepare` does. Pure."""
        settings = self._settings
        again = decode_again(batch.rows, batch.ranges, settings.envelope, settings.limits)
        return again, prepared(again.parts, batch.ranges, settings, self._rules)

    def _attempt(self, selection: Selection, done: Replayed) -> Tally:
        """Replay what is not settled yet; what stays as it is."""
        state = self._lake.refresh()
        self._lake.publish()
        replays = self._lake.replays()
        replayed_at = replays[-1].number if replays else 0
        left = Tally()
        with self._claims(state, replays, selection) as (claims, state):
            erased = erased_ids(self._lake, claims)
            judge = self._decider(claims, state, erased)
            judged_at = state.number if self._open_claims is None else 0
            for batch in self._batches(replays, selection):
                again, parts = self.prepare(batch)
                if selection.orphans and self._open_claims is not None:
                    again, parts = self._without_waiting(claims, erased, batch, again, parts)
                outcome = self._judged(judge, batch, (again, parts), replayed_at, judged_at)
                left.update(outcome.left)
                if outcome.verdicts is None:
                    continue
                receipt = self._commit(outcome.verdicts)
                done.entries.append(receipt.number)
                done.tally.update(outcome.settled)
                judge.committed(receipt)
                replayed_at = receipt.number
                judged_at = receipt.number if judged_at else 0
                self._patiently("publish", self._lake.publish)
            judge.settle()
        return left

    @contextlib.contextmanager
    def _claims(
        self, state: LedgerState, replays: list[Entry], selection: Selection
    ) -> Iterator[tuple[ClaimStore, LedgerState]]:
        """Who judges, and the ledger's end that it knows."""
        if self._open_claims is not None:
            with contextlib.closing(self._open_claims()) as claims:
                yield claims, bring_in_step(claims, self._lake, state, self._telemetry)
            return
        wanted = self._wanted(replays, selection)
        if self._lake.storage.is_remote and len(wanted):
            # A holder of the lease that stalled and comes to itself now must not commit by claims of its own.
            self._lake.note(generation=f"replay-{uuid.uuid4().hex[:12]}", replaces=state.generation)
            state = self._lake.refresh()
        yield lake_claims(self._lake, state.generation, wanted, self._advance), state

    def _wanted(self, replays: list[Entry], selection: Selection) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """Heads of the keys of all events among the selected rows."""
        heads = [np.zeros(0, np.uint64)]
        for batch in self._batches(replays, selection):
            _, parts = self.prepare(batch)
            heads.append(key_heads(parts.table["event_uuid"].filter(pc.is_null(parts.table["reason"]))))
        return np.unique(np.concatenate(heads))

    def _batches(self, replays: list[Entry], selection: Selection) -> Iterator[OldBatch]:
        settings = self._settings
        for batch in old_batches(
            self._lake,
            replays,
            selection,
            max_rows=settings.max_batch_events,
            max_bytes=settings.max_batch_bytes,
        ):
            self._advance(batch.rows.num_rows)
            yield batch

    def _decider(self, claims: ClaimStore, state: LedgerState, erased: ErasedIds | None) -> Decider:
        return Decider(
            claims,
            _Endless(),
            state,
            window_us=self._settings.window_us,
            max_event_types=self._settings.max_event_types,
            erased=erased,
        )

    def _judged(
        self, judge: Decider, batch: OldBatch, prepared: tuple[Again, Parts], replayed_at: int, judged_at: int
    ) -> Outcome:
        again, parts = prepared
        return outcome_of(batch, again, judge.decide(parts), replayed_at=replayed_at, judged_at=judged_at)

    def _without_waiting(
        self, claims: ClaimStore, erased: ErasedIds | None, batch: OldBatch, again: Again, parts: Parts
    ) -> tuple[Again, Parts]:
        """Leave alone the orphans whose original may still come."""
        waits = take_over_lost(
            claims,
            self._lake,
            parts,
            batch,
            again.origin,
            erased,
            window_us=self._settings.window_us,
            now_us=self._clock.now_us(),
        )
        is_left = again.is_left.copy()
        is_left[again.origin[waits]] = True
        kept = pa.array(~waits)
        again = Again(parts=again.parts.filter(kept), origin=again.origin[~waits], is_left=is_left)
        return again, replace(parts, table=parts.table.filter(kept))

    def _commit(self, verdicts: Verdicts) -> Receipt:
        staged = self._patiently("stage", lambda: self._lake.stage(verdicts))
        try:
            receipt = self._patiently("commit", lambda: self._lake.commit(staged))
        except CommitConflict:
            self._lake.discard(staged)
            raise
        counts, warnings = receipt.counts, verdicts.warnings
        fact = BatchCommitted(number=receipt.number, counts=counts, warnings=warnings, files=len(staged.files))
        self._telemetry.emit(fact)
        return receipt

    def _patiently(self, stage: str, step: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Do a step that is safe to repeat until it succeeds, or fails too often without progress.

        Raises:
            TransientError: it failed too often.
            CommitConflict: a step of an attempt has to begin with the attempt.
        """
        failures, before = 0, progress()
        while True:
            try:
                return step()
            except (TransientError, CommitUnknown, CommitConflict) as error:
                if isinstance(error, CommitConflict) and stage != "replay":
                    raise
                failures = failures + 1 if progress() == before else 1
                before = progress()
                if failures > MOST_FAILURES:
                    raise TransientError(f"{error}; what was committed stands, replay again for the rest") from error
                wait = min(FIRST_WAIT_SECONDS * 2**failures, LONGEST_WAIT_SECONDS)
                self._telemetry.emit(Retried(stage=stage, attempt=failures, wait_seconds=wait, error=str(error)))
                self._clock.sleep(wait)


class _Endless:
    """Rejects may be of any age."""

    def horizon_us(self) -> int | None:
        return None
