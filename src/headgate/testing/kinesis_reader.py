"""One consumer of a stream without a lake: reads, commits what it says, dies, and comes back from its positions."""
# ruff: noqa: S101 - a kit that asserts

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from headgate.records import RecordBatch, Shard, ShardState
from headgate.source.kinesis.ahead import Pace
from headgate.source.kinesis.source import KinesisSource
from headgate.testing.kinesis_driver import StreamDriver, client_of
from headgate.testing.processes import PATIENCE_SECONDS
from headgate.testing.source_suite import Row, receipt_of, rows_of

FAST = Pace(calls_per_second=1_000, bytes_per_second=1 << 40, poll_seconds=0.005, threads=4)


class ShiftedClock:
    """Real time, moved by hand.

    Attributes:
        shift_us: added to the wall clock, microseconds.
    """

    def __init__(self) -> None:
        """Begin at the real time."""
        self.shift_us = 0

    def now_us(self) -> int:
        """See Clock."""
        return time.time_ns() // 1000 + self.shift_us

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)


class StreamReader:
    """Reads a stream as a consumer does.

    Attributes:
        ledger: what is committed of each shard.
        rows: all committed records, in the order of their commits.
        source: as it runs now.
        client: of that source.
    """

    def __init__(self, stream: StreamDriver, **options: Any) -> None:
        """Begin with an empty ledger; `options` are those of KinesisSource."""
        self.stream, self.options = stream, options
        self.clock = ShiftedClock()
        self.ledger: dict[Shard, ShardState] = {}
        self.rows: list[Row] = []
        self.begin()

    def make(self, **options: Any) -> KinesisSource:
        """A source that is not resumed."""
        self.client = client_of(self.stream.url)
        settings: dict[str, Any] = {
            "client": self.client,
            "clock": self.clock,
            "jitter": random.random,
            "pace": FAST,
            **self.options,
            **options,
        }
        return KinesisSource(self.stream.name, **settings)

    def begin(self) -> None:
        """A new process, from what is committed; not resumed before the first read."""
        self.source = self.make()
        self._is_resumed = False

    def die(self) -> None:
        """End without a commit, and begin again."""
        self.source.close()
        self.begin()

    def read(self, timeout_seconds: float = 0.2) -> RecordBatch | None:
        """The next batch, uncommitted."""
        if not self._is_resumed:
            self.source.resume(self.ledger)
            self._is_resumed = True
        return self.source.read(timeout_seconds)

    def some(self) -> RecordBatch:
        """The next batch, uncommitted, however slow the server is."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (batch := self.read()) is None:
            assert time.monotonic() < end, "no batch came"
        return batch

    def commit(self, batch: RecordBatch) -> None:
        """What a lake does: positions must join, a shard that ended takes nothing more."""
        for part in batch.ranges:
            known = self.ledger.get(part.shard, ShardState())
            assert known.position == part.start, part
            assert not known.meta.get("is_end"), part
            self.ledger[part.shard] = ShardState(position=part.end, meta=part.meta)
        self.rows += rows_of(batch)
        self.source.ack(receipt_of(batch))

    def step(self) -> RecordBatch | None:
        """Read and commit once."""
        batch = self.read()
        if batch is not None:
            self.commit(batch)
        return batch

    def until(self, is_enough: Callable[[], object]) -> None:
        """Read and commit until a condition holds, for a bounded time."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_enough():
            assert time.monotonic() < end, f"{len(self.rows)} records came"
            self.step()

    def drain(self) -> None:
        """Read and commit until the source says that it is drained."""
        while True:
            try:
                self.step()
            except EOFError:
                return

    @property
    def data(self) -> list[bytes]:
        """All committed records, sorted."""
        return sorted(row.data for row in self.rows)

    def ended(self) -> set[str]:
        """Names of shards whose end is committed."""
        return {shard.name for shard, state in self.ledger.items() if state.meta.get("is_end")}
