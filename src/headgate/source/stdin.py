"""Standard input as a source: one shard a run, held in memory until it is committed.

Its law: nobody can read a pipe twice, so what is not committed is kept, and with the process it is gone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from headgate.core.limits import Limits
from headgate.errors import TransientError
from headgate.records import Receipt, RecordBatch, Shard, ShardRange, ShardState
from headgate.source.inflate import open_stream
from headgate.source.lines import positions
from headgate.source.reader import BLOCK_BYTES, Reader, Stamp

READ_BYTES = 256 << 10  # bytes a system call; a pipe seldom holds more than 64 KB
WAITING_BYTES = 8 << 20  # bytes read ahead of the pipeline
MAGIC_BYTES = 4  # bytes that tell gzip and zstd from text


class PipeBuffer:
    """What a thread of its own read from a file descriptor, for a reader that must not wait for ever."""

    def __init__(self, descriptor: int) -> None:
        """Nothing is read before the first `wait`."""
        self.is_ended = False
        self._descriptor = descriptor
        self._chunks: deque[memoryview] = deque()
        self._size = 0
        self._error: OSError | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(self, size: int, timeout_seconds: float) -> bool:
        """Wait for `size` bytes or the end. True where either came in time.

        Raises:
            OSError: the descriptor could not be read.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._pump, name="stdin", daemon=True)
            self._thread.start()
        with self._changed:
            came = self._changed.wait_for(lambda: self._size >= size or self.is_ended, timeout_seconds)
            if self._error and not self._size:
                raise self._error
            return came

    def peek(self) -> bytes:
        """The bytes that wait, still to be read."""
        with self._changed:
            return b"".join(self._chunks)

    def read(self, size: int, /) -> bytes:
        """At most `size` of the bytes that wait."""
        buffer = bytearray(min(size, READ_BYTES))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with what waits."""
        with self._changed:
            if not self._chunks:
                return 0
            chunk = self._chunks.popleft()
            count = min(len(buffer), len(chunk))
            if count < len(chunk):
                self._chunks.appendleft(chunk[count:])
            self._size -= count
            self._changed.notify_all()
        buffer[:count] = chunk[:count]
        return count

    def close(self) -> None:
        """Read no more. A read that waits for its bytes ends with them, or with the process."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _pump(self) -> None:
        more = True
        while more:
            try:
                chunk = os.read(self._descriptor, READ_BYTES)
            except OSError as error:
                chunk, self._error = b"", error
            with self._changed:
                self._changed.wait_for(lambda: self._size < WAITING_BYTES or self._is_closed)
                if chunk:
                    self._chunks.append(memoryview(chunk))
                    self._size += len(chunk)
                more = bool(chunk) and not self._is_closed
                self.is_ended = not more
                self._changed.notify_all()


class StdinSource:
    """The Source port over standard input: lines, plain or inflated (known by their first bytes).

    What was read is kept until `ack`, so that a batch can be judged again. The next run abandons this shard.
    """

    def __init__(
        self,
        *,
        run_id: str,
        arrived_us: int,
        name: str = "-",
        descriptor: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Name the run.

        Args:
            run_id: the run's own name; the shard is `stdin@<run id>`.
            arrived_us: start of the run, microseconds since 1970: when all its records arrived.
            name: the source's name in positions.
            descriptor: what to read; standard input by default.
            limits: sizes of events and records.
        """
        self.notices: list[str] = []
        self._name = name
        self._shard = Shard(name, f"stdin@{run_id}")
        self._stamp = Stamp(0, arrived_us)
        self._limits = limits or Limits()
        self._pipe = PipeBuffer(sys.stdin.fileno() if descriptor is None else descriptor)
        self._reader: Reader | None = None
        self._unacknowledged: deque[RecordBatch] = deque()
        self._again: deque[RecordBatch] = deque()

    @property
    def name(self) -> str:
        """See Source."""
        return self._name

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """See Source: what was read and not committed comes again."""
        state = shards.get(self._shard)
        position = int(state.position) if state and state.position else 0
        self._forget(position)
        self._again = deque(_after(batch, position) for batch in self._unacknowledged)

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """See Source. Raises TransientError where the descriptor cannot be read."""
        if self._again:
            return self._again.popleft()
        try:
            came = self._pipe.wait(MAGIC_BYTES if self._reader is None else 1, timeout_seconds)
        except OSError as error:
            raise TransientError(f"cannot read standard input: {error.strerror}") from error
        if not came:
            return None
        if self._reader is None:
            self._reader = self._open()
        start, is_last = self._reader.position, self._pipe.is_ended
        table = self._reader.read(self._stamp, BLOCK_BYTES, is_last=is_last)
        if self._reader.position > start:
            return self._keep(table, start, self._reader.position)
        if is_last and self._reader.at_end:
            raise EOFError("standard input is drained")
        return None

    def ack(self, receipt: Receipt) -> None:
        """See Source: what is committed is let go."""
        for part in receipt.ranges:
            if part.shard == self._shard:
                self._forget(int(part.end))

    def horizon_us(self) -> int | None:
        """See Source: everything arrived at the start of the run."""
        return self._stamp.arrived_us

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """See Source: the shards of all other runs."""
        return [s for s, state in shards.items() if s.source == self._name and s != self._shard and not state.closed]

    def lag(self) -> Mapping[str, float]:
        """See Source. What waits in the pipe is not known."""
        return {}

    def close(self) -> None:
        """See Source."""
        self._pipe.close()

    def _open(self) -> Reader:
        stream = open_stream(self._pipe, self._pipe.peek()[:MAGIC_BYTES])
        return Reader(stream, offset=0, position=0, layout=None, is_document_file=False, limits=self._limits)

    def _keep(self, table: pa.Table, start: int, end: int) -> RecordBatch:
        part = ShardRange(
            shard=self._shard,
            start=str(start) if start else None,
            end=str(end),
            meta={"arrived_us": self._stamp.arrived_us},
        )
        batch = RecordBatch(table=table, ranges=(part,))
        self._unacknowledged.append(batch)
        return batch

    def _forget(self, position: int) -> None:
        while self._unacknowledged and int(self._unacknowledged[0].ranges[0].end) <= position:
            self._unacknowledged.popleft()


def _after(batch: RecordBatch, position: int) -> RecordBatch:
    """The part of a batch at and after a position."""
    (part,) = batch.ranges
    if position <= int(part.start or 0):
        return batch
    bound = positions(np.array([position], dtype=np.int64))[0].as_py()
    below = sum(1 for value in batch.table.column("sequence").to_pylist() if value < bound)
    rest = ShardRange(shard=part.shard, start=str(position), end=part.end, meta=part.meta)
    return RecordBatch(table=batch.table.slice(below), ranges=(rest,))
