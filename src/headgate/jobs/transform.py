"""Firehose transformation: the verdict of each record, and what Firehose does not deliver kept for `build`.

Firehose delivers accepted events, at least once; `build` files what it delivered into `events`, once an id. Whatever
it does not deliver is written under `_headgate/firehose/` before the answer: duplicates, rejects, and accepted events
that an answer cannot carry. Law: the objects of an invocation are named by its records, so that a retry of the same
invocation writes the same names; a position that stands in several of them counts once.

How a record is answered:

| its events | answer |
|---|---|
| accepted ones of one type and date, with or without copies and rejects beside them | `Ok` with the accepted as lines |
| accepted ones of several types or dates | `ProcessingFailed`; the accepted are kept for `build` |
| none accepted, a reject among them | `ProcessingFailed` |
| only copies, or none at all | `Dropped` |
| accepted ones for which the answer has no room left | `Dropped`; the accepted are kept for `build` |

A larger answer than Lambda takes fails as a whole, and so do its retries, so that Firehose would skip the batch to its
error output. Firehose records no fault for `Dropped`, and the events reach the lake by `build`.

Claims: as everywhere, an event is accepted where its own position owns its id, so that a retry gets the answer of the
first time. New event types are noted in the ledger, accepted events are not: there is no entry an invocation.
A new claim generation is entered in the ledger before the store answers, and the store is filled from the ledger.
A copy of an erased event is a duplicate of it. A retry of an invocation whose events were filed and erased meanwhile
still gets the answer of the first time; filing knows their positions.
The gap: what Firehose was told to deliver and `build` has not filed is not in the ledger, so that a copy of it that
comes after the store lost its data is accepted again. `build` makes it once: of an id within the window it files the
first and moves the other to the duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from headgate.attempts import Attempts
from headgate.core.enrich import position_texts, sequence_bytes
from headgate.core.partition import escape
from headgate.core.quality import quality_rows
from headgate.core.schema import TABLES
from headgate.core.verdicts import counts_by_shard, duplicate_rows, event_rows, rejected_rows
from headgate.decision import Decided, Decider, Parts
from headgate.errors import TransientError
from headgate.invocation import OneBatch
from headgate.lake import parquet
from headgate.lake.delivered import delivery_lines
from headgate.lake.lake import TableLake
from headgate.pipeline import FlowSettings, Pipeline
from headgate.ports import ClaimStore, Lake, Source, Telemetry
from headgate.records import Counts, RecordBatch
from headgate.telemetry.facts import RecordsTransformed

FIREHOSE = "_headgate/firehose/"
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformed:
    """The verdict of one record.

    Attributes:
        lines: its accepted events as JSON lines, without line ends.
        partitions: the distinct (event_type, created_date) of its accepted events, escaped.
        rejected: number of its rejects.
        rows: numbers of its accepted rows, to be kept where Firehose does not deliver them.
    """

    lines: Sequence[str]
    partitions: Sequence[tuple[str, str]]
    rejected: int
    rows: Sequence[int]


class Transformation:
    """Lasts as long as a container."""

    def __init__(
        self,
        *,
        lake: TableLake,
        attempts: Attempts,
        pipeline: Callable[[Source, ClaimStore, Lake], Pipeline],
        flow: FlowSettings,
        is_own_envelope: bool,
        telemetry: Telemetry,
    ) -> None:
        """Put together.

        Args:
            lake: where rejects and duplicates are kept.
            attempts: tries until the deadline.
            pipeline: prepares batches.
            flow: limits.
            is_own_envelope: see `lake.jsonl.event_lines`.
            telemetry: takes facts.
        """
        self._telemetry = telemetry
        self._lake, self._attempts, self._pipeline, self._flow = lake, attempts, pipeline, flow
        self._is_own_envelope = is_own_envelope

    def transform(
        self,
        batch: RecordBatch,
        subs: Callable[[Rows, Rows], Rows],
        deliverable: Callable[[Sequence[Transformed]], Sequence[bool]],
        remaining_seconds: Callable[[], float],
    ) -> Sequence[Transformed]:
        """Judge the records of an invocation and keep what Firehose will not deliver.

        Args:
            batch: with one range a record: row i is of range i.
            subs: from the record's row and the sub-number of each part, its sub-number in the shard's record.
            deliverable: which records' accepted events an answer carries.
            remaining_seconds: until the deadline.

        Returns:
            One verdict a row of the batch.

        Raises:
            TransientError: the time is up; nothing was answered.
            PermanentError: a human is needed.
        """

        def attempt(is_late: Callable[[], bool]) -> Sequence[Transformed]:
            if is_late():
                raise TransientError("the time was up before anything was claimed")
            decided = self._decide(batch, subs)
            verdicts = _by_record(decided, batch.num_records, self._is_own_envelope)
            kept = [v.rows for v, is_sent in zip(verdicts, deliverable(verdicts), strict=True) if not is_sent]
            self._keep(batch, decided, np.array([row for rows in kept for row in rows], dtype=np.int64))
            judged = decided.judged
            counts = sum(counts_by_shard(judged, len(decided.ranges)), Counts())
            self._telemetry.emit(RecordsTransformed(counts=counts, quality=quality_rows(judged)))
            return verdicts

        return self._attempts.make(attempt, remaining_seconds) if batch.num_records else []

    def _decide(self, batch: RecordBatch, subs: Callable[[Rows, Rows], Rows]) -> Decided:
        judges, state = self._attempts.in_step(self._lake.refresh())
        claims = judges.claims
        source = OneBatch(batch)
        parts = self._pipeline(source, claims, self._lake).prepare(batch)
        decider = Decider(
            claims,
            source,
            state,
            window_us=self._flow.window_us,
            max_event_types=self._flow.max_event_types,
            refills=self._flow.refills,
            erased=judges.erased,
            is_again=True,
        )
        decided = decider.decide(_renumbered(parts, subs))
        if decided.new_types:
            self._lake.note(new_types=decided.new_types)
        return decided

    def _keep(self, batch: RecordBatch, decided: Decided, undelivered: Rows) -> None:
        """Write the objects of this invocation; one that an earlier try wrote and that is empty now goes."""
        judged, name = decided.judged, _name(batch, decided)
        kept = {
            "events": event_rows(judged.parts).take(pa.array(undelivered)).cast(TABLES["events"]),
            "duplicates": duplicate_rows(judged, decided.owners),
            "rejected": rejected_rows(judged),
        }
        for table, rows in kept.items():
            path = f"{name}-{table}{parquet.SUFFIX}"
            if rows.num_rows:
                self._lake.storage.put(path, memoryview(parquet.encode(rows)))
            elif self._lake.storage.exists(path):
                self._lake.storage.delete(path)


def _name(batch: RecordBatch, decided: Decided) -> str:
    """Where the objects of an invocation lie: by the day of its first arrival and a digest of positions and contents.

    Of the contents as they are written: nobody can try guesses at what `[privacy]` took away against a name.
    """
    arrived_us = min(batch.table["arrived_at"].cast(pa.int64()).to_pylist())
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=arrived_us)).date().isoformat()
    digest = xxhash.xxh3_128()
    for moved in batch.ranges:
        digest.update(f"{moved.shard.source}\0{moved.shard.name}\0{moved.start}\0".encode())
    for column in ("shard", "sub", "fingerprint"):
        digest.update(np.asarray(decided.judged.parts[column]).tobytes())
    return f"{FIREHOSE}{day}/{digest.hexdigest()}"


def _renumbered(parts: Parts, subs: Callable[[Rows, Rows], Rows]) -> Parts:
    """Sub-numbers that count within the shard's record, of which Firehose hands over user records one by one."""
    table = parts.table
    numbers = subs(np.asarray(table["shard"]), np.asarray(table["sub"])).astype(np.int32)
    texts = position_texts(sequence_bytes(table["sequence"]), numbers)
    for name, column in (("sub", pa.array(numbers)), ("sequence_text", texts)):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return replace(parts, table=table)


def _by_record(decided: Decided, count: int, is_own_envelope: bool) -> list[Transformed]:
    judged = decided.judged
    rows = judged.accepted
    events = event_rows(judged.parts).take(pa.array(rows))
    lines = delivery_lines(events, is_own_envelope=is_own_envelope).to_pylist()
    days = events["created_date"].cast(pa.string()).to_pylist()
    record = np.asarray(judged.parts["shard"])
    rejected = np.bincount(record[judged.rejected], minlength=count)
    found: list[list[tuple[int, str, tuple[str, str]]]] = [[] for _ in range(count)]
    for row, line, kind, day in zip(rows.tolist(), lines, events["event_type"].to_pylist(), days, strict=True):
        found[int(record[row])].append((row, line, (escape(kind), day)))
    return [
        Transformed(
            lines=[line for _, line, _ in some],
            partitions=list(dict.fromkeys(partition for _, _, partition in some)),
            rejected=int(rejected[i]),
            rows=[row for row, _, _ in some],
        )
        for i, some in enumerate(found)
    ]


def partition_keys(partition: tuple[str, str]) -> Mapping[str, str]:
    """What dynamic partitioning is told of a record; no value leaves its folder."""
    return {"event_type": partition[0], "created_date": partition[1]}
