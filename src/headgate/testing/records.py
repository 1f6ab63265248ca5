"""Record batches made by hand, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from headgate.records import RECORDS, SEQUENCE_BYTES, RecordBatch, Shard, ShardRange

ARRIVED_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z


def sequences(values: Sequence[int]) -> pa.Array:
    """Integers as the 24-byte sequences of RECORDS."""
    return pa.array([v.to_bytes(SEQUENCE_BYTES, "big") for v in values], pa.binary(SEQUENCE_BYTES))


def record_batch(
    records: Sequence[bytes],
    *,
    shard: Shard = Shard("source", "shard"),  # noqa: B008 - an immutable value
    first: int = 0,
    arrived_us: int = ARRIVED_US,
    start: str | None = None,
) -> RecordBatch:
    """Records of one shard, numbered from `first`, one position each.

    Args:
        records: the records' bytes.
        shard: whose they are.
        first: sequence of the first.
        arrived_us: when all of them arrived.
        start: the shard's position before them; by default `first`, or None where that is 0.
    """
    n = len(records)
    table = pa.table(
        {
            "data": pa.array(list(records), pa.large_binary()),
            "shard": pa.array(np.zeros(n, dtype=np.int32)),
            "sequence": sequences(range(first, first + n)),
            "end": sequences(range(first + 1, first + n + 1)),
            "arrived_at": pa.array([arrived_us] * n, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "fault": pa.nulls(n, pa.string()),
        },
        schema=RECORDS,
    )
    begin = start if start is not None else (str(first) if first else None)
    return RecordBatch(table=table, ranges=(ShardRange(shard=shard, start=begin, end=str(first + n)),))
