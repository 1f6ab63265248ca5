"""The `quality` table: one row a commit and event type. Pure, columnar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import encode
from headgate.core.reasons import PARTITION_FLOOD, Warn
from headgate.core.schema import QUALITY, TIMESTAMP
from headgate.core.verdicts import Judged

PARTITION_FLOOD_FROM = 500  # partitions of `events` that one batch touches; each costs a file


def quality_rows(judged: Judged) -> pa.Table:
    """Count a batch by event type.

    Args:
        judged: the batch.

    Returns:
        QUALITY, its `entry_id` and `staged_at` left null for the lake to fill in; `event_type` is null for parts in
        which no type could be read. For every row received = accepted + duplicates + rejected.
    """
    parts = judged.parts
    encoded = encode(parts["event_type"])
    code, size = np.asarray(encoded.indices), len(encoded.dictionary)

    def count(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(code[rows], minlength=size)

    everything = np.arange(len(code))
    conflicts = judged.events[judged.judgement.conflict]
    lengths = np.asarray(pc.binary_length(parts["payload"])).astype(np.float64)
    created_min, created_max, arrived_max = _extremes(parts, code, size)
    columns = {
        "entry_id": pa.nulls(size, pa.string()),
        "staged_at": pa.nulls(size, TIMESTAMP),
        "event_type": encoded.dictionary,
        "received": count(everything),
        "accepted": count(judged.accepted),
        "duplicates": count(judged.duplicates),
        "conflicts": count(conflicts),
        "rejected": count(judged.rejected),
        "reasons": _reasons(judged, code, size),
        "warnings": _warnings(judged, count, size),
        "payload_bytes": np.bincount(code, weights=lengths, minlength=size).astype(np.int64),
        "created_min": created_min,
        "created_max": created_max,
        "arrived_max": arrived_max,
    }
    return pa.table(columns, schema=QUALITY)


def _extremes(parts: pa.Table, code: npt.NDArray[np.int32], size: int) -> tuple[pa.Array, pa.Array, pa.Array]:
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


def _reasons(judged: Judged, code: npt.NDArray[np.int32], size: int) -> list[list[tuple[str, int]]]:
    by_type: list[dict[str, int]] = [{} for _ in range(size)]
    rows = judged.rejected
    for at, reason in zip(code[rows].tolist(), judged.parts["reason"].take(pa.array(rows)).to_pylist(), strict=True):
        by_type[at][reason] = by_type[at].get(reason, 0) + 1
    return [sorted(some.items()) for some in by_type]


def _warnings(
    judged: Judged, count: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]], size: int
) -> list[list[tuple[str, int]]]:
    bits = np.asarray(judged.parts["warnings"])
    by_type: list[list[tuple[str, int]]] = [[] for _ in range(size)]
    for warn in Warn:
        rows = np.flatnonzero(bits & int(warn))
        if len(rows):
            for at, number in enumerate(count(rows).tolist()):
                if number:
                    by_type[at].append((warn.label, number))
    return by_type


def warning_counts(judged: Judged) -> dict[str, int]:
    """Warnings of a batch by name; `partition_flood` where it touches very many partitions."""
    bits = np.asarray(judged.parts["warnings"])
    counts = {w.label: int(np.count_nonzero(bits & int(w))) for w in Warn}
    accepted = judged.parts.select(["event_type", "created_date"]).take(pa.array(judged.accepted))
    if accepted.group_by(["event_type", "created_date"]).aggregate([]).num_rows >= PARTITION_FLOOD_FROM:
        counts[PARTITION_FLOOD] = 1
    return {name: number for name, number in counts.items() if number}
