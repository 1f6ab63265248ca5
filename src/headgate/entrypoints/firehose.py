"""Amazon Data Firehose: `handler` for a data transformation; see `headgate.jobs.transform` for the answers.

The configuration comes from the environment, as for `headgate.entrypoints.aws_lambda`. Set the delivery stream's
prefix to `events/event_type=!{partitionKeyFromLambda:event_type}/created_date=!{partitionKeyFromLambda:created_date}/`
and its error prefix to another folder.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from headgate.attempts import Attempts
from headgate.entrypoints.aws_lambda import Context
from headgate.entrypoints.container import Container, open_container
from headgate.jobs.transform import Rows, Transformation, Transformed, partition_keys
from headgate.records import RecordBatch
from headgate.source.event_records import Json
from headgate.source.firehose_event import FirehoseRecord, batch_of_records, in_order, records_of_event, sub_number

#: Lambda takes 6 MB as the answer to a synchronous invocation, 6,291,556 bytes in its own error message; less
#: what surrounds the records and what another writer of JSON may spell longer.
MAX_ANSWER_BYTES = 6_000_000
OWN_ENVELOPE = ("event_uuid", "event_name", "created_at")

Answer = Mapping[str, object]
_open: Function | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What a container keeps."""

    container: Container
    transformation: Transformation


def handler(event: Json, context: Context) -> Mapping[str, Sequence[Answer]]:
    """Transform the records of an invocation.

    Args:
        event: of Firehose.
        context: knows the deadline.

    Returns:
        `{"records": [...]}`: every `recordId` of the request once, in its order.

    Raises:
        HeadgateError: nothing could be judged in time; Firehose invokes again.
    """
    global _open
    if _open is None:
        _open = function_of(open_container(context))
    with _open.container.invocation(context):
        return transform(_open, event, context)


def function_of(container: Container) -> Function:
    """The transformation over a container's lake and claims."""
    envelope = container.config.envelope
    attempts = Attempts(
        lake=container.lake,
        open_claims=container.open_claims,
        margin_seconds=lambda: container.config.function.margin_seconds,
        clock=container.clock,
        telemetry=container.telemetry,
        jitter=random.random,
    )
    transformation = Transformation(
        lake=container.lake,
        attempts=attempts,
        pipeline=container.pipeline,
        flow=container.flow,
        is_own_envelope=(envelope.id, envelope.name, envelope.created_at) == OWN_ENVELOPE,
        telemetry=container.telemetry,
    )
    return Function(container=container, transformation=transformation)


def transform(
    function: Function, event: Json, context: Context, *, max_answer_bytes: int = MAX_ANSWER_BYTES
) -> Mapping[str, Sequence[Answer]]:
    """See `handler`; in a container that is open."""
    container = function.container
    records = records_of_event(event, now_us=container.clock.now_us(), source_name=container.config.source.name)
    places = {(one.record.shard, one.record.sequence, one.subsequence): one for one in records}
    once = in_order(list(places.values()))
    subsequences = np.array([one.subsequence for one in once], dtype=np.int64)

    def subs(rows: Rows, given: Rows) -> Rows:
        if not subsequences.any():
            return given
        pairs = zip(subsequences[rows].tolist(), given.tolist(), strict=True)
        return np.array([sub_number(subsequence, sub) for subsequence, sub in pairs], dtype=np.int64)

    def deliverable(verdicts: Sequence[Transformed]) -> Sequence[bool]:
        room = max_answer_bytes - sum(len(json.dumps(_answer(one, "ProcessingFailed"))) + 2 for one in records)
        fits = []
        for one, verdict in zip(once, verdicts, strict=True):
            size = len(json.dumps(_ok(one, verdict))) if len(verdict.partitions) == 1 else 0
            fits.append(0 < size <= room)
            room -= size if fits[-1] else 0
        sent.update(zip((id(one) for one in once), fits, strict=True))
        return fits

    sent: dict[int, bool] = {}
    verdicts = function.transformation.transform(
        _one_range_a_record(batch_of_records(once), once),
        subs,
        deliverable,
        lambda: context.get_remaining_time_in_millis() / 1000,
    )
    answers = {id(one): _verdict(one, v, is_sent=sent[id(one)]) for one, v in zip(once, verdicts, strict=True)}
    return {"records": [answers.get(id(one)) or _answer(one, "Dropped") for one in records]}


def _verdict(one: FirehoseRecord, verdict: Transformed, *, is_sent: bool) -> Answer:
    if is_sent:
        return _ok(one, verdict)
    is_failed = len(verdict.partitions) > 1 or (not verdict.lines and verdict.rejected)
    return _answer(one, "ProcessingFailed" if is_failed else "Dropped")


def _ok(one: FirehoseRecord, verdict: Transformed) -> Answer:
    data = "".join(f"{line}\n" for line in verdict.lines).encode()
    return {
        **_answer(one, "Ok"),
        "data": base64.b64encode(data).decode(),
        "metadata": {"partitionKeys": partition_keys(verdict.partitions[0])},
    }


def _answer(one: FirehoseRecord, result: str) -> dict[str, object]:
    return {"recordId": one.record_id, "result": result}


def _one_range_a_record(batch: RecordBatch, records: Sequence[FirehoseRecord]) -> RecordBatch:
    """Each row gets a range of its own, so that the parts of a record can be told from those of others."""
    whole = {moved.shard: moved for moved in batch.ranges}
    ranges = [
        replace(
            whole[one.record.shard],
            start=str(one.record.sequence),
            end=str(one.record.sequence + 1),
            meta={"subsequence": one.subsequence},
        )
        for one in records
    ]
    rows = batch.table.schema.get_field_index("shard")
    numbers = np.arange(batch.num_records, dtype=np.int32)
    return RecordBatch(
        table=batch.table.set_column(rows, batch.table.schema.field(rows), pa.array(numbers)), ranges=ranges
    )
