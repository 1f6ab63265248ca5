"""What is decoded, as columns: the schema, and how lists of fields become a table of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from headgate.core.instants import instants
from headgate.core.irregular import Part
from headgate.records import NO_SUB, SEQUENCE_TYPE

#: One row a part: an event, or what was rejected in its place. `reason` is null for events. `created_us` counts
#: microseconds since 1970 and is null where `created_at` is missing or no instant. `warnings`
#: holds bits of Warn and NUMERIC_TEXT; `fingerprint` is xxh3 of the payload; `raw` is a reject's exact bytes, null
#: where the decoder found nothing wrong.
DECODED = pa.schema(
    [
        pa.field("payload", pa.large_binary()),
        pa.field("shard", pa.int32()),
        pa.field("sequence", SEQUENCE_TYPE),
        pa.field("sub", pa.int32()),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC")),
        pa.field("event_uuid", pa.string()),
        pa.field("event_name", pa.string()),
        pa.field("created_at", pa.float64()),
        pa.field("created_us", pa.int64()),
        pa.field("fingerprint", pa.uint64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("warnings", pa.uint16()),
        pa.field("raw", pa.large_binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of n documents: the common fields as the decoder gave them, fingerprints, warnings."""

    fields: dict[str, list[Any]]
    prints: npt.NDArray[np.uint64]
    warnings: npt.NDArray[np.uint16]

    def put(self, row: int, part: Part) -> None:
        """Enter what was found out one by one."""
        self.fields["id"][row], self.fields["name"][row] = part.event_uuid, part.event_name
        self.fields["created_at"][row] = part.created_at
        self.prints[row] = xxhash.xxh3_64_intdigest(part.payload)
        self.warnings[row] = part.warnings


def table_of(
    *,
    payload: pa.Array,
    chunk: pa.RecordBatch,
    columns: Columns,
    parts: dict[int, Part],
    subs: npt.NDArray[np.int32] | None = None,
) -> pa.Table:
    """DECODED of one chunk; `parts` holds those that may have a reason, by row."""
    n = len(payload)
    fields = columns.fields
    times = instants(fields["created_at"])
    arrays = [
        payload,
        chunk.column("shard"),
        chunk.column("sequence"),
        pa.array(np.full(n, NO_SUB, dtype=np.int32) if subs is None else subs),
        chunk.column("arrived_at"),
        _ids(fields["id"]),
        pa.array(fields["name"], pa.string()),
        pa.array(times.seconds, mask=~times.present),
        pa.array(times.us, mask=~times.ok),
        pa.array(columns.prints),
        _sparse(n, {row: part.reason for row, part in parts.items() if part.reason is not None}, pa.string()),
        _sparse(n, {row: part.detail for row, part in parts.items() if part.detail is not None}, pa.string()),
        pa.array(times.warnings | columns.warnings),
        _sparse(n, {row: part.payload for row, part in parts.items() if part.reason}, pa.large_binary()),
    ]
    return pa.Table.from_arrays(arrays, schema=DECODED)


def _sparse(n: int, values: dict[int, str] | dict[int, bytes], kind: pa.DataType) -> pa.Array:
    """A column that is null but for a few rows."""
    if not values:
        return pa.nulls(n, kind)
    index = np.full(n, -1, dtype=np.int32)
    index[list(values)] = np.arange(len(values), dtype=np.int32)
    return pa.array(list(values.values()), kind).take(pa.array(index, mask=index < 0))


def _ids(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([str(v) if type(v) is int else v for v in values], pa.string())
