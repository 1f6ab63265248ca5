"""Blocks of bytes cut into records, as columns over the block's own memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.records import RECORDS, SEQUENCE_BYTES, SEQUENCE_TYPE

NEWLINE = 0x0A
_WORDS = SEQUENCE_BYTES // 8


def positions(offsets: npt.NDArray[np.int64]) -> pa.Array:
    """File offsets as a SEQUENCE_TYPE array: 24 big-endian bytes each, the offset in the last 8."""
    words = np.zeros((len(offsets), _WORDS), dtype=">u8")
    words[:, -1] = offsets
    return pa.Array.from_buffers(SEQUENCE_TYPE, len(offsets), [None, pa.py_buffer(words)], null_count=0)


def records(
    data: pa.Array,
    sequence: pa.Array,
    end: pa.Array,
    *,
    shard: int,
    arrived_us: int,
    faults: pa.Array | None = None,
) -> pa.Table:
    """Put the columns of RECORDS together; shard and arrival are the same in every row."""
    rows = len(data)
    arrived = pa.array(np.full(rows, arrived_us, dtype=np.int64)).view(RECORDS.field("arrived_at").type)
    shards = pa.array(np.full(rows, shard, dtype=np.int32))
    fault = pa.nulls(rows, pa.string()) if faults is None else faults
    return pa.Table.from_arrays([data, shards, sequence, end, arrived, fault], schema=RECORDS)


def line_ends(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Offsets just after each newline of the block."""
    return np.flatnonzero(block == NEWLINE) + 1


def cut_lines(
    block: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    base: int,
    *,
    shard: int,
    arrived_us: int,
    max_record_bytes: int,
    max_event_bytes: int,
) -> pa.Table:
    """Make a record of each line; blank lines are none.

    Args:
        block: bytes that begin at the start of a line; the records' data are views of it.
        ends: (n,) where each line ends, its newline included; the last one is the end of what is cut.
        base: position of the block's first byte.
        shard: number for the `shard` column.
        arrived_us: microseconds since 1970 for `arrived_at`.
        max_record_bytes: a longer line becomes a reject, see `oversized`.
        max_event_bytes: how much of such a line is kept, less one.

    Returns:
        RECORDS, one row a line that is not blank.
    """
    bounds = np.empty(len(ends) + 1, dtype=np.int64)
    bounds[0], bounds[1:] = 0, ends
    offsets = pa.py_buffer(bounds)
    data = pa.Array.from_buffers(pa.large_binary(), len(ends), [None, offsets, pa.py_buffer(block)], null_count=0)
    where = positions(bounds + base)
    lengths = np.diff(bounds)
    faults = None
    if len(ends) and lengths.max() > max_record_bytes:
        data, faults = _shorten(data, lengths, max_record_bytes, max_event_bytes)
    table = records(data, where[:-1], where[1:], shard=shard, arrived_us=arrived_us, faults=faults)
    blank = _blank_rows(block, bounds)
    if not len(blank):
        return table
    keep = np.ones(len(ends), dtype=bool)
    keep[blank] = False
    return table.filter(pa.array(keep))


def oversized(size: int, max_bytes: int, what: str) -> str:
    """The fault of a record of which only the first bytes are kept."""
    return f"too_large: {what} of {size} bytes, the limit is {max_bytes}; its first bytes are kept"


def _shorten(
    data: pa.Array, lengths: npt.NDArray[np.int64], max_record_bytes: int, max_event_bytes: int
) -> tuple[pa.Array, pa.Array]:
    values: list[bytes] = data.to_pylist()
    faults: list[str | None] = [None] * len(values)
    for row in np.flatnonzero(lengths > max_record_bytes).tolist():
        faults[row] = oversized(len(values[row]), max_record_bytes, "a line")
        values[row] = values[row][: max_event_bytes + 1]
    return pa.array(values, pa.large_binary()), pa.array(faults, pa.string())


def _blank_rows(block: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> Sequence[int]:
    """Rows of white space only. Lines that begin with a character above the space are settled in one pass."""
    starts = bounds[:-1]
    suspects = np.flatnonzero(block[starts] <= 0x20) if len(starts) else starts
    return [i for i in suspects.tolist() if not block[bounds[i] : bounds[i + 1]].tobytes().strip(b" \t\r\n")]
