"""A Source over lists of records: what a stream holds, who reads it, and what became lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from headgate.records import RECORDS, Receipt, RecordBatch, Shard, ShardRange, ShardState
from headgate.testing.records import ARRIVED_US, sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a shard; its position is its index in the list."""

    data: bytes
    arrived_us: int = ARRIVED_US
    fault: str | None = None


@dataclass(slots=True, kw_only=True)
class Stream:
    """What is held for all readers.

    Attributes:
        shards: the records of each shard, in order.
        lost: shards of which nothing more can be read.
    """

    shards: dict[str, list[Record]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)


class MemorySource:
    """One reader of a Stream; drained when everything was read. Shards take turns.

    Attributes:
        receipts: what was acknowledged, in order.
    """

    def __init__(
        self, stream: Stream, *, name: str = "stream", per_read: int = 1_000, order: Sequence[str] = ()
    ) -> None:
        """Open a reader.

        Args:
            stream: what to read.
            name: the source's name.
            per_read: the most records that one read hands over.
            order: shards that take their turn first, in this order.
        """
        self.notices: list[str] = []
        self.receipts: list[Receipt] = []
        self._stream, self._name, self._per_read = stream, name, per_read
        self._order = [*(s for s in order if s in stream.shards), *(s for s in stream.shards if s not in order)]
        self._at: dict[str, int] = {}
        self._acknowledged: dict[str, int] = {}
        self._closed: set[str] = set()
        self._turn = 0

    @property
    def name(self) -> str:
        """See Source."""
        return self._name

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """See Source; a shard that the ledger closed is not read any more."""
        own = {s.name: state for s, state in shards.items() if s.source == self._name}
        self._at = {name: int(state.position or 0) for name, state in own.items()}
        self._acknowledged = dict(self._at)
        self._closed = {name for name, state in own.items() if state.closed}
        self._turn = 0

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """See Source: the next records of the shard whose turn it is."""
        open_shards = [name for name in self._order if self._unread(name)]
        if not open_shards:
            raise EOFError(f"{self._name} is drained")
        name = open_shards[self._turn % len(open_shards)]
        self._turn += 1
        start = self._at.get(name)
        first = start or 0
        records = self._stream.shards[name][first : first + self._per_read]
        self._at[name] = first + len(records)
        covered = ShardRange(
            shard=Shard(self._name, name),
            start=None if start is None else str(start),
            end=str(self._at[name]),
        )
        return RecordBatch(table=_table(records, first), ranges=(covered,))

    def ack(self, receipt: Receipt) -> None:
        """See Source; nothing is forgotten."""
        self.receipts.append(receipt)
        self._acknowledged.update({r.shard.name: int(r.end) for r in receipt.ranges})

    def horizon_us(self) -> int | None:
        """See Source: the first arrival among what is not acknowledged."""
        waiting = [
            record.arrived_us
            for name, records in self._stream.shards.items()
            if name not in self._stream.lost and name not in self._closed
            for record in records[self._acknowledged.get(name, 0) :]
        ]
        return min(waiting, default=None)

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """See Source: the lost ones."""
        return [s for s, state in shards.items() if s.name in self._stream.lost and not state.closed]

    def lag(self) -> Mapping[str, float]:
        """See Source."""
        return {"records": float(sum(self._unread(name) for name in self._order))}

    def close(self) -> None:
        """Nothing to let go."""

    def _unread(self, name: str) -> int:
        if name in self._stream.lost or name in self._closed:
            return 0
        return len(self._stream.shards[name]) - self._at.get(name, 0)


def _table(records: Sequence[Record], first: int) -> pa.Table:
    n = len(records)
    return pa.table(
        {
            "data": pa.array([r.data for r in records], pa.large_binary()),
            "shard": pa.array(np.zeros(n, dtype=np.int32)),
            "sequence": sequences(range(first, first + n)),
            "end": sequences(range(first + 1, first + n + 1)),
            "arrived_at": pa.array([r.arrived_us for r in records], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "fault": pa.array([r.fault for r in records], pa.string()),
        },
        schema=RECORDS,
    )
