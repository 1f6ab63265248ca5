"""The flow: source, decode, validate, enrich, dedup, stage, commit, publish, ack.

    source ─▶ decode ─▶ validate ─▶ enrich ─▶ dedup ─▶ stage ─▶ commit ─▶ publish ─▶ ack
    RecordBatch         Parts                 Decided  Staged   Receipt

Order matters and is tested: claim → stage files → ledger entry → publish → ack the source → release memory.
The ledger entry is the commit. Whatever happens before it is done again from the ledger's position, cut anew;
whatever happens after it is rolled forward and never judged again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import pyarrow as pa

from headgate.ahead import ahead
from headgate.core.batching import Cutter
from headgate.core.decode import decode
from headgate.core.enrich import enrich
from headgate.core.envelope import Envelope
from headgate.core.erased_ids import ErasedIds
from headgate.core.limits import Limits
from headgate.core.missing import Fields
from headgate.core.privacy import Privacy, protect
from headgate.core.quality import quality_rows, warning_counts
from headgate.core.rules import Rules, apply_rules
from headgate.core.validate import validate
from headgate.core.verdicts import accepted_rows, counts_by_shard, duplicate_rows, rejected_rows
from headgate.decision import Decided, Decider, Parts
from headgate.errors import CommitConflict, CommitUnknown, TransientError
from headgate.ports import ClaimStore, Clock, Lake, LedgerState, Source, Telemetry
from headgate.records import Receipt, RecordBatch, ShardRange, Staged, Verdicts
from headgate.telemetry.facts import BatchCommitted, LagMeasured, Noticed, Published, Retried, StageTimed

T = TypeVar("T")
U = TypeVar("U")

FIRST_WAIT_SECONDS = 0.2  # of the back-off; doubles up to LONGEST_WAIT_SECONDS
LONGEST_WAIT_SECONDS = 30.0
LAG_SECONDS = 5.0  # between two looks at what waits unread


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSettings:
    """What the flow needs of the configuration; see config.py for defaults and meaning."""

    envelope: Envelope
    limits: Limits
    max_future_us: int
    window_us: int
    max_event_types: int
    max_batch_events: int
    max_batch_bytes: int
    flush_seconds: float
    privacy: Privacy | None = None
    fields: Fields | None = None  # whose absence is counted; None: the common ones of the envelope
    refills: bool = True  # records from before what the claim store holds make it be filled with all of the lake
    depth: int = 1  # results a stage may be ahead; 0: one batch at a time, in one thread


def prepared(decoded: pa.Table, ranges: Sequence[ShardRange], settings: FlowSettings, rules: Rules) -> Parts:
    """Validate, enrich, apply the user's rules, look for missing fields, protect. Pure.

    Rules and counts see what was sent; nothing behind this does, so that none of it can be claimed, staged or answered.

    Args:
        decoded: DECODED of records.
        ranges: of their batch.
        settings: limits and privacy.
        rules: the user's predicates.
    """
    parts = apply_rules(enrich(validate(decoded, settings.max_future_us), ranges), rules)
    parts = (settings.fields or Fields((), settings.envelope)).look(parts)
    return Parts(table=parts if settings.privacy is None else protect(parts, settings.privacy), ranges=ranges)


class Pipeline:
    """One attempt at the flow, from the end of the ledger until the source is drained or `stop` says so."""

    def __init__(
        self,
        *,
        source: Source,
        claims: ClaimStore,
        lake: Lake,
        rules: Rules,
        settings: FlowSettings,
        clock: Clock,
        telemetry: Telemetry,
        jitter: Callable[[], float],
    ) -> None:
        """Put the parts together; nothing is read or written yet.

        Args:
            source: opened at the positions of the ledger.
            claims: in step with the ledger (see recover.py).
            lake: where it goes.
            rules: the user's predicates.
            settings: limits and cuts.
            clock: time and waiting.
            telemetry: takes facts.
            jitter: gives a number in [0, 1) that spreads retries.
        """
        self._source, self._claims, self._lake, self._rules = source, claims, lake, rules
        self._settings, self._clock, self._telemetry = settings, clock, telemetry
        self._jitter = jitter
        self._uncommitted: dict[str, Staged] = {}
        self._stop: Callable[[], bool] = lambda: False
        self._given_up = threading.Event()

    def run(self, state: LedgerState, stop: Callable[[], bool], erased: ErasedIds | None = None) -> Generator[Receipt]:
        """The flow. Each receipt is given when its batch is committed, published and acknowledged.

        Args:
            state: the ledger's end, at which the source stands.
            stop: says that no more shall be read; what was read is still committed.
            erased: knows the copies of erased events; None where there are none.

        Raises:
            CommitConflict: another writer moved a position: throw away and begin anew.
            PermanentError: a human is needed.
        """
        self._stop = stop
        depth = self._settings.depth
        decider = self._decider = Decider(
            self._claims,
            self._source,
            state,
            window_us=self._settings.window_us,
            max_event_types=self._settings.max_event_types,
            refills=self._settings.refills,
            erased=erased,
        )
        given_up = self._given_up = threading.Event()
        parts = ahead(self._batches(), self._timed("decode", self.prepare), depth)
        decided = ahead(parts, self._timed("dedup", self.decide), depth)
        staged = ahead(decided, self._timed("stage", self.stage), depth)
        commit, publish = self._timed("commit", self.commit), self._timed("publish", self.publish)
        ack = self._timed("ack", self._source.ack)
        try:
            for batch in staged:
                receipt = commit(batch)
                publish(receipt)
                ack(receipt)
                yield receipt
            decider.settle()
        finally:
            given_up.set()
            for stage in (staged, decided, parts):
                stage.close()
            self._discard()

    def _batches(self) -> Iterator[RecordBatch]:
        """Records cut by count, bytes and age."""
        s = self._settings
        cutter = Cutter(max_records=s.max_batch_events, max_bytes=s.max_batch_bytes, max_age_seconds=s.flush_seconds)
        told = float("-inf")
        while not self._is_ending():
            wait, is_waiting = min(0.5, s.flush_seconds), cutter.pending_records > 0
            try:
                records = self._source.read(wait) if is_waiting else self._retry("read", self._source.read, wait)
            except EOFError:
                break
            except TransientError:
                if (read := cutter.flush()) is None:
                    raise
                yield read  # what was read does not wait for what cannot be read
                continue
            finally:
                while self._source.notices:
                    self._telemetry.emit(Noticed(what=self._source.notices.pop(0)))
            now = self._clock.monotonic()
            if now - told >= LAG_SECONDS:
                told = now
                self._telemetry.emit(LagMeasured(lag=self._source.lag()))
            if records is not None:
                yield from cutter.add(records, now)
            if cutter.due(now) and (due := cutter.flush()) is not None:
                yield due
        self._telemetry.emit(LagMeasured(lag=self._source.lag()))
        if (last := cutter.flush()) is not None:
            yield last

    def prepare(self, batch: RecordBatch) -> Parts:
        """Decode, and all that `prepared` does. Pure: the batch alone decides."""
        decoded = decode(batch, self._settings.envelope, self._settings.limits)
        return prepared(decoded, batch.ranges, self._settings, self._rules)

    def decide(self, parts: Parts) -> Decided:
        """Claim the ids and judge each event; the time it took is kept for `quality`."""
        began = time.perf_counter()
        decided = self._decider.decide(parts)
        return replace(decided, seconds=time.perf_counter() - began)

    def stage(self, decided: Decided) -> Staged:
        """Write the files of all four tables where nobody reads them."""
        judged = decided.judged
        verdicts = Verdicts(
            events=accepted_rows(judged),
            duplicates=duplicate_rows(judged, decided.owners),
            rejected=rejected_rows(judged),
            quality=quality_rows(judged, staged_us=self._clock.now_us(), dedup_seconds=decided.seconds),
            ranges=decided.ranges,
            shard_counts=counts_by_shard(judged, len(decided.ranges)),
            new_types=decided.new_types,
            warnings=warning_counts(judged),
            generation=decided.generation,
        )
        staged = self._lake.stage(verdicts)
        # The files hold the rows now; a batch that waits for its commit need not keep them in memory. Those of
        # `quality` are few, and told with the commit.
        empty = {name: table.schema.empty_table() for name, table in verdicts.tables.items() if name != "quality"}
        staged = replace(staged, verdicts=replace(verdicts, **empty))
        self._uncommitted[staged.entry_id] = staged
        return staged

    def commit(self, staged: Staged) -> Receipt:
        """Write the ledger entry: the batch has happened."""
        # While the answer is out nobody may delete its files: they come back only where it certainly failed.
        self._uncommitted.pop(staged.entry_id, None)
        try:
            receipt = self._lake.commit(staged)
        except CommitConflict:
            self._uncommitted[staged.entry_id] = staged
            raise
        self._decider.committed(receipt)
        verdicts = staged.verdicts
        self._telemetry.emit(
            BatchCommitted(
                number=receipt.number,
                counts=receipt.counts,
                warnings=verdicts.warnings,
                files=len(staged.files),
                file_bytes=sum(file.size for file in staged.files),
                shards=len(verdicts.ranges),
                quality=verdicts.quality,
            )
        )
        return receipt

    def publish(self, receipt: Receipt) -> int:
        """Show the rows to readers."""
        number = self._lake.publish()
        self._telemetry.emit(Published(number=number))
        return number

    def _is_ending(self) -> bool:
        """True where nothing more shall be read: the process was asked to end, or the attempt failed."""
        return self._stop() or self._given_up.is_set()

    def _discard(self) -> None:
        """Throw away what was staged and never will be committed."""
        while self._uncommitted:
            _, staged = self._uncommitted.popitem()
            self._lake.discard(staged)

    def _timed(self, stage: str, step: Callable[[T], U]) -> Callable[[T], U]:
        numbers = count(1)

        def timed(item: T) -> U:
            wall, cpu = time.perf_counter(), time.thread_time()
            result = self._retry(stage, step, item)
            self._telemetry.emit(
                StageTimed(
                    stage=stage,
                    batch=next(numbers),
                    wall_seconds=time.perf_counter() - wall,
                    cpu_seconds=time.thread_time() - cpu,
                )
            )
            return result

        timed.__name__ = stage  # names the stage's thread
        return timed

    def _retry(self, stage: str, step: Callable[[T], U], item: T) -> U:
        """Every stage may be done again with the same input, so one place waits and retries for all of them.

        Raises:
            TransientError: the process was asked to end while it waited.
        """
        wait = FIRST_WAIT_SECONDS
        attempt = 1
        while True:
            try:
                return step(item)
            except (TransientError, CommitUnknown) as error:
                if attempt > 1 and self._is_ending():
                    raise  # asked to end, and what is not committed comes again with the next run
                pause = wait * (0.5 + self._jitter())
                fact = Retried(stage=stage, attempt=attempt, wait_seconds=pause, error=str(error))
                self._telemetry.emit(fact)
                self._clock.sleep(pause)
                wait, attempt = min(wait * 2, LONGEST_WAIT_SECONDS), attempt + 1
