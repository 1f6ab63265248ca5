"""What every Source must do: derive a test class, say how to open the source, and all of it is checked."""
# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow.compute as pc

from headgate.ports import Source
from headgate.records import Counts, Receipt, RecordBatch, Shard, ShardRange, ShardState

TIMEOUT_SECONDS = 5.0  # seconds that one read may wait


class Row(NamedTuple):
    """One record as a source handed it over."""

    shard: Shard
    sequence: int
    end: int
    data: bytes
    arrived_us: int
    fault: str | None


def rows_of(batch: RecordBatch) -> list[Row]:
    """A batch's records, one by one."""
    table = batch.table
    arrived = pc.cast(table.column("arrived_at"), "int64").to_pylist()
    numbers = [
        [int.from_bytes(value, "big") for value in table.column(name).to_pylist()] for name in ("sequence", "end")
    ]
    shards = [batch.ranges[i].shard for i in table.column("shard").to_pylist()]
    data, faults = table.column("data").to_pylist(), table.column("fault").to_pylist()
    return [Row(*row) for row in zip(shards, *numbers, data, arrived, faults, strict=True)]


def drain(source: Source) -> list[RecordBatch]:
    """Read until the source says that it is drained."""
    batches: list[RecordBatch] = []
    while True:
        try:
            batch = source.read(TIMEOUT_SECONDS)
        except EOFError:
            return batches
        if batch is not None:
            batches.append(batch)


def states_after(ranges: Iterable[ShardRange]) -> dict[Shard, ShardState]:
    """What the ledger says of the shards once these ranges are committed."""
    return {part.shard: ShardState(position=part.end, meta=part.meta) for part in ranges}


def receipt_of(batch: RecordBatch) -> Receipt:
    """The receipt of a batch that was committed."""
    return Receipt(number=1, entry_id="entry", ranges=batch.ranges, counts=Counts(), committed_us=0)


class SourceSuite:
    """The conformance suite. A subclass opens the source; its records must be more than three.

    `keeps_records`: False where a new object cannot read again what another one read (standard input).
    """

    keeps_records = True

    def open(self) -> Source:
        """A source over the same records, once, not resumed."""
        raise NotImplementedError

    def _again(self, source: Source, states: Mapping[Shard, ShardState]) -> list[Row]:
        if self.keeps_records:
            source.close()
            source = self.open()
        source.resume(states)
        rows = [row for batch in drain(source) for row in rows_of(batch)]
        source.close()
        return rows

    def _first(self) -> tuple[Source, list[RecordBatch], list[Row]]:
        source = self.open()
        source.resume({})
        batches = drain(source)
        rows = [row for batch in batches for row in rows_of(batch)]
        assert len(rows) > 3, "the suite needs more than three records"
        return source, batches, rows

    def test_same_position_gives_the_same_records(self) -> None:
        """Byte for byte, with the same positions and arrival times."""
        source, _, rows = self._first()
        assert self._again(source, {}) == rows

    def test_a_cut_at_any_record_resumes_exactly_there(self) -> None:
        """Every prefix that could have been committed is followed by exactly the rest."""
        _, batches, rows = self._first()
        meta = {part.shard: part.meta for batch in batches for part in batch.ranges}
        for cut in range(len(rows) + 1):
            ends = {row.shard: row.end for row in rows[:cut]}
            states = {shard: ShardState(position=str(end), meta=meta[shard]) for shard, end in ends.items()}
            source, _, _ = self._first()
            assert self._again(source, states) == rows[cut:]

    def test_positions_only_rise_within_a_shard(self) -> None:
        """A record begins where the one before it ended, or later, and ends after it began."""
        source, _, rows = self._first()
        source.close()
        last: dict[Shard, int] = {}
        for row in rows:
            assert last.get(row.shard, 0) <= row.sequence < row.end
            last[row.shard] = row.end

    def test_ranges_join_without_gaps_and_cover_their_records(self) -> None:
        """Each range starts where the shard's last one ended, the first one nowhere."""
        source, batches, _ = self._first()
        source.close()
        ends: dict[Shard, str] = {}
        for batch in batches:
            for part in batch.ranges:
                assert part.start == ends.get(part.shard)
                ends[part.shard] = part.end
            for row in rows_of(batch):
                part = next(part for part in batch.ranges if part.shard == row.shard)
                assert int(part.start or 0) <= row.sequence
                assert row.end <= int(part.end)

    def test_all_committed_leaves_nothing(self) -> None:
        """From the positions after the last range nothing comes."""
        source, batches, _ = self._first()
        states = states_after(part for batch in batches for part in batch.ranges)
        assert self._again(source, states) == []

    def test_ack_twice_is_as_good_as_once(self) -> None:
        """The second receipt for the same ranges changes nothing."""
        source, batches, rows = self._first()
        for _ in range(2):
            source.ack(receipt_of(batches[0]))
        states = states_after(batches[0].ranges)
        assert self._again(source, states) == rows[batches[0].num_records :]

    def test_drained_stays_drained(self) -> None:
        """EOFError comes at every further call."""
        source, _, _ = self._first()
        for _ in range(3):
            assert drain(source) == []
        source.close()

    def test_close_twice(self) -> None:
        """The second close does nothing."""
        source, _, _ = self._first()
        source.close()
        source.close()

    def test_own_shards_are_not_abandoned(self) -> None:
        """What is being read will be read on."""
        source, batches, _ = self._first()
        states = states_after(part for batch in batches for part in batch.ranges)
        assert list(source.abandoned(states)) == []
        source.close()

    def test_foreign_shards_are_not_judged(self) -> None:
        """Shards of another source are none of its business."""
        source, _, _ = self._first()
        assert list(source.abandoned({Shard("another source", "shard"): ShardState(position="1")})) == []
        source.close()
