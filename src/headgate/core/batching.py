"""Record batches of all shards joined, and cut to the wanted size or age. Pure, no copies.

Its law: a cut falls between two records; where the part before it ends, the part after it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.records import RecordBatch, Shard, ShardRange


class _Pending:
    """Slices that wait to become one batch, with the ranges that cover them."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.ranges: list[ShardRange] = []
        self.records = 0
        self.bytes = 0
        self.since: float | None = None
        self._index: dict[tuple[Shard, str | None], int] = {}

    def cover(self, part: ShardRange) -> int:
        """Take a range in, joined to that of the same shard where there is one. Returns its index."""
        own = part.start if part.is_island else None  # islands of one shard are not joined
        index = self._index.setdefault((part.shard, own), len(self.ranges))
        if index == len(self.ranges):
            self.ranges.append(part)
        else:
            self.ranges[index] = replace(self.ranges[index], end=part.end, meta=part.meta)
        return index

    def batch(self) -> RecordBatch:
        """Everything as one batch."""
        return RecordBatch(table=pa.concat_tables(self.tables), ranges=tuple(self.ranges))


class _Feed:
    """One incoming batch, from which slices are taken front to back."""

    def __init__(self, batch: RecordBatch) -> None:
        self.table = batch.table
        self.rows = batch.num_records
        self.at = 0
        self.offsets = _byte_offsets(batch.table)
        self._ranges = list(batch.ranges)
        self._shards = _shard_column(batch.table)
        self._last_row = np.full(len(self._ranges), -1, dtype=np.int64)
        if len(self._ranges) == 1:
            self._last_row[:] = self.rows - 1
        else:
            self._last_row[self._shards] = np.arange(self.rows)

    def fit(self, records: int, max_bytes: int) -> int:
        """How many of the next rows fit into so many records and bytes."""
        within = int(np.searchsorted(self.offsets, self.offsets[self.at] + max_bytes, side="right")) - 1
        return max(0, min(records, within - self.at, self.rows - self.at))

    def move(self, count: int, pending: _Pending) -> None:
        """Move the next `count` rows, and the part of the ranges that they cover, to `pending`."""
        upto = self.at + count
        shards = self._shards[self.at : upto]
        rows = self.table.slice(self.at, count)
        numbers = np.zeros(len(self._ranges), dtype=np.int32)
        present = np.flatnonzero(np.bincount(shards)) if len(self._ranges) > 1 else np.zeros(1, dtype=np.int64)
        for index in present.tolist():
            numbers[index] = pending.cover(self._cut(index, shards, upto))
        if not np.array_equal(numbers[present], present):
            renumbered = numbers[shards]
            rows = rows.set_column(1, rows.schema.field("shard"), pa.array(renumbered, pa.int32()))
        pending.tables.append(rows)
        pending.records += count
        pending.bytes += int(self.offsets[upto] - self.offsets[self.at])
        self.at = upto

    def _cut(self, index: int, shards: npt.NDArray[np.int32], upto: int) -> ShardRange:
        whole = self._ranges[index]
        if self._last_row[index] < upto:
            return whole
        last = upto - 1 - int(np.argmax(shards[::-1] == index))
        end = str(int.from_bytes(self.table.column("end")[last].as_py(), "big"))
        self._ranges[index] = replace(whole, start=end)
        return replace(whole, end=end)

    def leave(self, pending: _Pending) -> None:
        """Give `pending` the ranges that have no records at all."""
        for index in np.flatnonzero(self._last_row < 0).tolist():
            pending.cover(self._ranges[index])
        if pending.ranges and not pending.tables:
            pending.tables.append(self.table.slice(0, 0))


class Cutter:
    """Cuts a stream of record batches anew: at most so many records and bytes, and not older than so long.

    A record larger than `max_bytes` travels alone. Ranges without records wait for the next batch. Slices are
    views: a batch keeps the blocks alive from which it was cut.
    """

    def __init__(self, *, max_records: int, max_bytes: int, max_age_seconds: float) -> None:
        """Set the limits.

        Args:
            max_records: records a batch, at least 1.
            max_bytes: bytes of record data a batch; exceeded only by a single record.
            max_age_seconds: how long the first record of a batch may wait.
        """
        if max_records < 1 or max_bytes < 1:
            raise ValueError("a batch needs room for at least one record and one byte")
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._pending = _Pending()

    @property
    def pending_records(self) -> int:
        """Records that wait for a cut."""
        return self._pending.records

    @property
    def pending_bytes(self) -> int:
        """Bytes of record data that wait for a cut."""
        return self._pending.bytes

    def age(self, now: float) -> float:
        """Seconds since the oldest waiting record or range was added; 0 where nothing waits."""
        return 0.0 if self._pending.since is None else now - self._pending.since

    def due(self, now: float) -> bool:
        """True where what waits is old enough to be flushed."""
        return self._pending.since is not None and self.age(now) >= self._max_age_seconds

    def add(self, batch: RecordBatch, now: float) -> list[RecordBatch]:
        """Take records in.

        Args:
            batch: records of one or more shards that follow those added before.
            now: monotonic seconds.

        Returns:
            Batches that are full, in order: those with `max_records` records, and those that the next record
            would have taken over `max_bytes`. What is left waits.
        """
        full: list[RecordBatch] = []
        feed = _Feed(batch)
        while feed.at < feed.rows:
            count = feed.fit(self._max_records - self._pending.records, self._max_bytes - self._pending.bytes)
            if not count and not self._pending.records:
                count = 1
            if count:
                self._wait_since(now)
                feed.move(count, self._pending)
            if feed.at < feed.rows or self._pending.records >= self._max_records:
                full.append(self._take())
        feed.leave(self._pending)
        if self._pending.ranges:
            self._wait_since(now)
        return full

    def flush(self) -> RecordBatch | None:
        """Everything that waits, as one batch; None where nothing does."""
        return self._take() if self._pending.ranges else None

    def _wait_since(self, now: float) -> None:
        if self._pending.since is None:
            self._pending.since = now

    def _take(self) -> RecordBatch:
        batch = self._pending.batch()
        self._pending = _Pending()
        return batch


def _byte_offsets(table: pa.Table) -> npt.NDArray[np.int64]:
    """(n + 1,) bytes of data before each row and in all."""
    offsets, total = [np.zeros(1, dtype=np.int64)], 0
    for chunk in table.column("data").chunks:
        if len(chunk):
            of_chunk = np.frombuffer(chunk.buffers()[1], dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            offsets.append(of_chunk[1:] - of_chunk[0] + total)
            total = int(offsets[-1][-1])
    return np.concatenate(offsets)


def _shard_column(table: pa.Table) -> npt.NDArray[np.int32]:
    columns: Sequence[npt.NDArray[np.int32]] = [np.asarray(chunk) for chunk in table.column("shard").chunks]
    return np.concatenate(columns) if columns else np.zeros(0, dtype=np.int32)
