"""The flow: source, decode, validate, enrich, dedup, stage, commit, publish, ack.

    source ─▶ decode ─▶ validate ─▶ enrich ─▶ dedup ─▶ stage ─▶ commit ─▶ publish ─▶ ack
    RecordBatch         Parts                 Judged   Staged   Receipt

Order matters and is tested: claim → stage files → ledger entry → publish → ack the source → release memory.
The ledger entry is the commit. Whatever happens before it is done again from the ledger's position, cut anew;
whatever happens after it is rolled forward and never judged again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.ahead import ahead
from headgate.core.admit import admit
from headgate.core.batching import Cutter
from headgate.core.columns import one_array
from headgate.core.decode import decode
from headgate.core.dedup import Judgement, judge, rows_of
from headgate.core.enrich import enrich, sequence_bytes
from headgate.core.envelope import Envelope
from headgate.core.keys import keys_of
from headgate.core.limits import Limits
from headgate.core.quality import quality_rows, warning_counts
from headgate.core.rules import RULE_COLUMNS, Rules
from headgate.core.validate import validate
from headgate.core.verdicts import (
    Judged,
    accepted_rows,
    counts_by_shard,
    duplicate_rows,
    event_rows,
    rejected_rows,
)
from headgate.errors import CommitConflict, CommitUnknown, TransientError
from headgate.ports import ClaimStore, Clock, Lake, LedgerState, Source, Telemetry
from headgate.records import OWNER, Claims, Receipt, RecordBatch, Shard, ShardRange, Staged, Verdicts
from headgate.telemetry.facts import BatchCommitted, Noticed, Published, Retried, StageTimed

T = TypeVar("T")
U = TypeVar("U")

FIRST_WAIT_SECONDS = 0.2  # of the back-off; doubles up to LONGEST_WAIT_SECONDS
LONGEST_WAIT_SECONDS = 30.0
LOST_DATA = "the claim store lost its data"


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
    depth: int = 1  # results a stage may be ahead; 0: one batch at a time, in one thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Decoded, validated, enriched: one row an event or reject."""

    table: pa.Table
    ranges: Sequence[ShardRange]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Judged parts, and what the ledger entry says of them."""

    judged: Judged
    ranges: Sequence[ShardRange]
    owners: Mapping[int, Shard]
    new_types: Sequence[str]
    generation: str


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
        self._types: list[str] = []
        self._abandoned: Mapping[Shard, str | None] = {}
        self._generation: str | None = None
        self._uncommitted: dict[str, Staged] = {}
        self._committed: deque[Receipt] = deque()  # not yet told to the claim store

    def run(self, state: LedgerState, stop: Callable[[], bool]) -> Generator[Receipt]:
        """The flow. Each receipt is given when its batch is committed, published and acknowledged.

        Args:
            state: the ledger's end, at which the source stands.
            stop: says that no more shall be read; what was read is still committed.

        Raises:
            CommitConflict: another writer moved a position: throw away and begin anew.
            PermanentError: a human is needed.
        """
        self._types, self._abandoned = list(state.event_types), state.abandoned
        self._generation = state.generation
        depth = self._settings.depth
        parts = ahead(self._batches(stop), self._timed("decode", self.prepare), depth)
        decided = ahead(parts, self._timed("dedup", self.decide), depth)
        staged = ahead(decided, self._timed("stage", self.stage), depth)
        try:
            for batch in staged:
                receipt = self._timed("commit", self.commit)(batch)
                self._timed("publish", self.publish)(receipt)
                self._retry("ack", self._source.ack, receipt)
                yield receipt
            self._mark_seen()
        finally:
            for stage in (staged, decided, parts):
                stage.close()
            self._discard()

    def _batches(self, stop: Callable[[], bool]) -> Iterator[RecordBatch]:
        """Records cut by count, bytes and age."""
        s = self._settings
        cutter = Cutter(max_records=s.max_batch_events, max_bytes=s.max_batch_bytes, max_age_seconds=s.flush_seconds)
        while not stop():
            try:
                records = self._retry("read", self._source.read, min(0.5, s.flush_seconds))
            except EOFError:
                break
            while self._source.notices:
                self._telemetry.emit(Noticed(what=self._source.notices.pop(0)))
            now = self._clock.monotonic()
            if records is not None:
                yield from cutter.add(records, now)
            if cutter.due(now) and (due := cutter.flush()) is not None:
                yield due
        if (last := cutter.flush()) is not None:
            yield last

    def prepare(self, batch: RecordBatch) -> Parts:
        """Decode, validate, enrich, apply the user's rules. Pure: the batch alone decides."""
        parts = decode(batch, self._settings.envelope, self._settings.limits)
        parts = enrich(validate(parts, self._settings.max_future_us), batch.ranges)
        return Parts(table=apply_rules(parts, self._rules), ranges=batch.ranges)

    def decide(self, parts: Parts) -> Decided:
        """Admit event types and claim ids. Claims are durable when this returns."""
        self._mark_seen()
        generation = self._claims.generation
        if self._generation not in (None, generation):
            raise CommitConflict(f"{LOST_DATA}: it is filled from the lake first")
        table, new_types = admit(parts.table, set(self._types), self._settings.max_event_types)
        numbers = {i: self._claims.shard_number(r.shard) for i, r in enumerate(parts.ranges)}
        self._release(table, numbers)
        events = np.flatnonzero(np.asarray(pc.is_null(table["reason"])))
        claims = claims_of(table, events, numbers)
        abandoned = {self._claims.shard_number(s): _number(p) for s, p in self._abandoned.items()}
        judgement = judge(claims.keys, claims.owners, self._claims, self._settings.window_us, abandoned)
        self._claims.sync()
        owners = self._owners(judgement)
        if self._claims.generation != generation:
            raise CommitConflict(f"{LOST_DATA} while the batch was judged: it is judged again")
        self._types += new_types
        return Decided(
            judged=Judged(parts=table, events=events, judgement=judgement),
            ranges=parts.ranges,
            owners=owners,
            new_types=new_types,
            generation=generation,
        )

    def _owners(self, judgement: Judgement) -> dict[int, Shard]:
        """The shards behind the numbers of a judgement."""
        try:
            return {int(n): self._claims.shard_of(int(n)) for n in np.unique(judgement.owner["shard"])}
        except KeyError as error:
            raise CommitConflict(f"{LOST_DATA} ({error}): the batch is judged again") from error

    def _release(self, table: pa.Table, numbers: Mapping[int, int]) -> None:
        """What is rejected now may have claimed its id in an earlier attempt, under other rules."""
        is_reject = pc.and_(pc.is_valid(table["reason"]), pc.is_valid(table["event_uuid"]))
        rows = np.flatnonzero(np.asarray(is_reject))
        if len(rows):
            self._claims.release(claims_of(table, rows, numbers))

    def stage(self, decided: Decided) -> Staged:
        """Write the files of all four tables where nobody reads them."""
        judged = decided.judged
        verdicts = Verdicts(
            events=accepted_rows(judged),
            duplicates=duplicate_rows(judged, decided.owners),
            rejected=rejected_rows(judged),
            quality=quality_rows(judged),
            ranges=decided.ranges,
            shard_counts=counts_by_shard(judged, len(decided.ranges)),
            new_types=decided.new_types,
            warnings=warning_counts(judged),
            generation=decided.generation,
        )
        staged = self._lake.stage(verdicts)
        # The files hold the rows now; a batch that waits for its commit need not keep them in memory.
        empty = {name: table.schema.empty_table() for name, table in verdicts.tables.items()}
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
        self._committed.append(receipt)
        verdicts = staged.verdicts
        self._telemetry.emit(
            BatchCommitted(
                number=receipt.number,
                counts=receipt.counts,
                warnings=verdicts.warnings,
                files=len(staged.files),
                shards=len(verdicts.ranges),
            )
        )
        return receipt

    def _mark_seen(self) -> None:
        """Tell the claim store what was committed, and what is over; only the stage that claims calls the store."""
        if not self._committed:
            return
        while self._committed:
            receipt = self._committed[0]
            self._claims.mark_seen(receipt.number, {r.shard: r.end for r in receipt.ranges})
            self._committed.popleft()
        horizon = self._source.horizon_us()
        if horizon is not None:
            self._claims.expire(horizon - self._settings.window_us)

    def publish(self, receipt: Receipt) -> int:
        """Show the rows to readers."""
        number = self._lake.publish()
        self._telemetry.emit(Published(number=number))
        return number

    def _discard(self) -> None:
        """Throw away what was staged and never will be committed."""
        while self._uncommitted:
            _, staged = self._uncommitted.popitem()
            self._lake.discard(staged)

    def _timed(self, stage: str, step: Callable[[T], U]) -> Callable[[T], U]:
        def timed(item: T) -> U:
            wall, cpu = time.perf_counter(), time.thread_time()
            result = self._retry(stage, step, item)
            self._telemetry.emit(
                StageTimed(
                    stage=stage,
                    wall_seconds=time.perf_counter() - wall,
                    cpu_seconds=time.thread_time() - cpu,
                )
            )
            return result

        return timed

    def _retry(self, stage: str, step: Callable[[T], U], item: T) -> U:
        """Every stage may be done again with the same input, so one place waits and retries for all of them."""
        wait = FIRST_WAIT_SECONDS
        attempt = 1
        while True:
            try:
                return step(item)
            except (TransientError, CommitUnknown) as error:
                pause = wait * (0.5 + self._jitter())
                fact = Retried(stage=stage, attempt=attempt, wait_seconds=pause, error=str(error))
                self._telemetry.emit(fact)
                self._clock.sleep(pause)
                wait, attempt = min(wait * 2, LONGEST_WAIT_SECONDS), attempt + 1


def apply_rules(parts: pa.Table, rules: Rules) -> pa.Table:
    """Reject the events that break a user's rule."""
    if not rules:
        return parts
    events = np.flatnonzero(np.asarray(pc.is_null(parts["reason"])))
    rows = event_rows(parts.take(pa.array(events))).select(RULE_COLUMNS.names)
    broken = rules.broken(rows.cast(RULE_COLUMNS))
    hits = np.flatnonzero(np.asarray(pc.is_valid(broken)))
    if not len(hits):
        return parts
    mask = np.zeros(parts.num_rows, dtype=np.bool_)
    mask[events[hits]] = True
    found = broken.take(pa.array(hits))
    reason = pc.replace_with_mask(parts["reason"].combine_chunks(), pa.array(mask), found)
    detail = pc.if_else(pa.array(mask), pa.scalar("the rule's check is not true for this event"), parts["detail"])
    warnings = pc.if_else(pa.array(mask), pa.scalar(0, pa.uint16()), parts["warnings"])
    for name, column in (("reason", reason), ("detail", detail), ("warnings", warnings)):
        parts = parts.set_column(parts.schema.get_field_index(name), name, column)
    return parts


def claims_of(table: pa.Table, rows: npt.NDArray[np.int64], numbers: Mapping[int, int]) -> Claims:
    """The claims that the given rows of enriched parts make, in order."""
    ids = one_array(table["event_uuid"])
    owners = np.zeros(table.num_rows, dtype=OWNER)
    if len(rows):
        by_index = np.array([numbers[i] for i in range(len(numbers))], dtype=np.uint32)
        owners["shard"] = by_index[np.asarray(table["shard"])]
        owners["sequence"] = sequence_bytes(table["sequence"]).view("V24").ravel()
        owners["sub"] = np.asarray(table["sub"])
        owners["arrived"] = np.asarray(table["arrived_at"].cast(pa.int64()))
        owners["fingerprint"] = np.asarray(table["fingerprint"])
    if len(rows) * 2 < table.num_rows:
        return Claims(keys=keys_of(ids.take(pa.array(rows))), owners=rows_of(owners, rows))
    # Of nearly all rows: cheaper to make all keys than to copy the ids first.
    return Claims(keys=keys_of(ids.fill_null("")).take(rows, axis=0), owners=rows_of(owners, rows))


def _number(position: str | None) -> int | None:
    return None if position is None else int(position)
