"""The `quality` table: one row a commit and event type. Pure, columnar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import encode
from headgate.core.measures import ARRIVED_TO_STAGED, latency, measures
from headgate.core.reasons import PARTITION_FLOOD, Warn
from headgate.core.schema import QUALITY, TIMESTAMP
from headgate.core.tally import counted, map_of
from headgate.core.verdicts import Judged

PARTITION_FLOOD_FROM = 500  # partitions of `events` that one batch touches; each costs a file
MAX_SHARDS = 100  # shards whose lag one row names; the others are less behind

Counter = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]


def quality_rows(judged: Judged, *, staged_us: int | None = None, dedup_seconds: float | None = None) -> pa.Table:
    """Count a batch by event type.

    Args:
        judged: the batch, its parts with the columns of `core.missing` and `core.rules`.
        staged_us: now, microseconds since 1970; None for a replay, whose latency says nothing.
        dedup_seconds: how long the batch was in de-duplication.

    Returns:
        QUALITY, its `entry_id` and `staged_at` left null for the lake to fill in; `event_type` is null for parts in
        which no type could be read. For every row received = accepted + duplicates + rejected.
    """
    parts = judged.parts
    encoded = encode(parts["event_type"])
    code, size = np.asarray(encoded.indices).astype(np.int64), len(encoded.dictionary)

    def count(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(code[rows], minlength=size)

    rejected = judged.rejected
    lengths = np.asarray(pc.binary_length(parts["payload"])).astype(np.float64)
    created_min, created_max, arrived_max = _extremes(parts, code, size)
    columns = {
        "entry_id": pa.nulls(size, pa.string()),
        "staged_at": pa.nulls(size, TIMESTAMP),
        "event_type": encoded.dictionary,
        "received": np.bincount(code, minlength=size),
        "accepted": count(judged.accepted),
        "duplicates": count(judged.duplicates),
        "conflicts": count(judged.events[judged.judgement.conflict]),
        "rejected": count(rejected),
        "reasons": counted(code[rejected], parts["reason"].take(pa.array(rejected)), size),
        "warnings": _warnings(judged, count, size),
        "payload_bytes": np.bincount(code, weights=lengths, minlength=size).astype(np.int64),
        "created_min": created_min,
        "created_max": created_max,
        "arrived_max": arrived_max,
        **measures(parts, judged.events, code, size),
    }
    if staged_us is not None:
        columns |= _of_commit(judged, code, size, staged_us, dedup_seconds)
    return quality_table(columns, size)


def quality_table(columns: dict[str, pa.Array], size: int) -> pa.Table:
    """QUALITY of columns by name; those that are not given are null."""
    nulls = {field.name: pa.nulls(size, field.type) for field in QUALITY if field.name not in columns}
    return pa.table({name: columns[name] if name in columns else nulls[name] for name in QUALITY.names}, schema=QUALITY)


def _of_commit(
    judged: Judged, code: npt.NDArray[np.int64], size: int, staged_us: int, dedup_seconds: float | None
) -> dict[str, pa.Array]:
    """What only a first judgement has: the way from arrival to here, and on the first row time and lag of the batch."""
    arrived = np.asarray(judged.parts["arrived_at"].cast(pa.int64()))
    columns = latency(ARRIVED_TO_STAGED, staged_us - arrived[judged.events], code[judged.events], size)
    if size:
        columns["dedup_seconds"] = pa.array([dedup_seconds, *[None] * (size - 1)], pa.float64())
        lag = _shard_lag(judged.parts, arrived, staged_us)
        columns["shard_lag"] = pa.array([lag, *[None] * (size - 1)], QUALITY.field("shard_lag").type)
    return columns


def _shard_lag(parts: pa.Table, arrived: npt.NDArray[np.int64], staged_us: int) -> list[tuple[str, float]]:
    """Seconds since the arrival of each shard's newest record in the batch; those furthest behind, by name."""
    encoded = encode(parts["shard_name"])
    code, names = np.asarray(encoded.indices), encoded.dictionary.to_pylist()
    newest = np.full(len(names), np.iinfo(np.int64).min)
    np.maximum.at(newest, code, arrived)
    shown = [i for i in np.argsort(newest, kind="stable").tolist() if newest[i] != np.iinfo(np.int64).min][:MAX_SHARDS]
    return sorted({names[i]: max(0, staged_us - int(newest[i])) / 1e6 for i in reversed(shown)}.items())


def _extremes(parts: pa.Table, code: npt.NDArray[np.int64], size: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    created = np.asarray(pc.fill_null(parts["created_us"], -1))
    is_event = np.asarray(pc.is_null(parts["reason"])) & (created >= 0)
    arrived = np.asarray(parts["arrived_at"].cast(pa.int64()))
    none = np.iinfo(np.int64)
    low, high = np.full(size, none.max), np.full(size, none.min)
    latest = np.full(size, none.min)
    np.minimum.at(low, code[is_event], created[is_event])
    np.maximum.at(high, code[is_event], created[is_event])
    np.maximum.at(latest, code, arrived)
    empty = low == none.max
    return (
        pa.array(low, mask=empty).cast(TIMESTAMP),
        pa.array(high, mask=empty).cast(TIMESTAMP),
        pa.array(latest).cast(TIMESTAMP),
    )


def _warnings(judged: Judged, count: Counter, size: int) -> pa.Array:
    bits = np.asarray(judged.parts["warnings"])
    found = [count(np.flatnonzero(bits & int(warn))) for warn in Warn]
    return map_of(np.stack(found, axis=1), [warn.label for warn in Warn])


def warning_counts(judged: Judged) -> dict[str, int]:
    """Warnings of a batch by name; `partition_flood` where it touches very many partitions."""
    bits = np.asarray(judged.parts["warnings"])
    counts = {w.label: int(np.count_nonzero(bits & int(w))) for w in Warn}
    accepted = judged.parts.select(["event_type", "created_date"]).take(pa.array(judged.accepted))
    if accepted.group_by(["event_type", "created_date"]).aggregate([]).num_rows >= PARTITION_FLOOD_FROM:
        counts[PARTITION_FLOOD] = 1
    return {name: number for name, number in counts.items() if number}
