"""The nouns that travel through the flow: shard, range, record batch, claims, verdicts, receipt.

A *record* is the bytes that a source hands over; an *event* is what is decoded from it. A *position* is
(source, shard, sequence, sub): `sequence` is an unsigned integer of up to 192 bits, kept as 24 big-endian
bytes so that bytes and integers sort alike (a Kinesis sequence number has 56 decimal digits), and `sub` counts
the events inside one record, -1 where the record is exactly one document. A shard's position is exclusive: all
records whose sequence is below it are done with (a file: the offset of the next byte; Kinesis: the last sequence
number plus one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SEQUENCE_BYTES = 24  # bytes; 192 bits hold a Kinesis sequence number (186 bits)
KEY_BYTES = 16  # bytes; a UUID, or a digest of any other id
NO_SUB = -1  # sub-number of an event whose record is exactly one document

SEQUENCE_TYPE = pa.binary(SEQUENCE_BYTES)

#: One claim's owner as it is stored: 48 bytes, big-endian so that it reads alike on every machine.
#: `shard` is the claim store's own number for a (source, shard); arrived is microseconds since 1970 UTC.
OWNER = np.dtype(
    [
        ("shard", ">u4"),
        ("sequence", f"V{SEQUENCE_BYTES}"),
        ("sub", ">i4"),
        ("arrived", ">i8"),
        ("fingerprint", ">u8"),
    ]
)

#: Records as a source hands them over.
#: data: the record's bytes (a file's line may keep its line end); shard: index into RecordBatch.ranges;
#: sequence: the record's position; end: the shard's position once this record is done with (a file: the offset
#: after the line; Kinesis: the sequence number plus one); arrived_at: when the stream took the record; fault: null,
#: or `reason: detail` where the source could not hand the record over whole (a gzip stream that ends early, a line
#: that is too long): such a record is one reject with that reason, and its data is not to be decoded.
RECORDS = pa.schema(
    [
        pa.field("data", pa.large_binary(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("sequence", SEQUENCE_TYPE, nullable=False),
        pa.field("end", SEQUENCE_TYPE, nullable=False),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("fault", pa.string()),
    ]
)


class Shard(NamedTuple):
    """A shard by its full name: the source's name and the shard's name within it."""

    source: str
    name: str


class Island(NamedTuple):
    """Records of a shard that were committed out of order: sequences from `start` up to, not including, `end`.

    Attributes:
        start: sequence of the first record.
        end: sequence of the last record plus one.
        committed_us: when its ledger entry was written.
        number: of that entry.
    """

    start: int
    end: int
    committed_us: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardState:
    """What the ledger knows of one shard.

    Attributes:
        position: decimal text of the committed position; None where nothing was read yet.
        meta: what the source wants to find again (a file: its first-seen arrival time, head length).
        closed: True where no record can come any more (a dead standard-input run).
        islands: what was committed beyond the position, sorted and disjoint (see `Island`).
        islands_at: number of the last entry that added an island; 0 where none did.
    """

    position: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False
    islands: tuple[Island, ...] = ()
    islands_at: int = 0

    @property
    def reach(self) -> str | None:
        """Decimal text of the end of all that was committed, islands and what may lie between them included."""
        return str(self.islands[-1].end) if self.islands else self.position


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRange:
    """A run of consecutive records of one shard: from `start` up to, not including, `end` (decimal texts).

    Attributes:
        shard: whose records these are.
        start: the shard's position before the run; None where the shard had none.
        end: the shard's position after the run.
        meta: what the ledger keeps with the shard from this entry on (see `ShardState.meta`).
        is_island: True where the run need not begin at the position, because batches come in any order
            (Kinesis event source mapping). `start` is then the sequence of the first record. The ledger keeps
            islands apart until they are older than `meta["retention_us"]`; then they are part of the position.
        islands_at: of a run that is no island, `ShardState.islands_at` as its reader knew it when it skipped the
            records inside islands.
        members: of an island, a filter of its records' sequences (see core/ranges.py).
    """

    shard: Shard
    start: str | None
    end: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    is_island: bool = False
    islands_at: int = 0
    members: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """Consecutive records of one or more shards, as RECORDS, and the range of each shard.

    `table["shard"]` holds the index into `ranges`. Records of one shard stand in the order of their positions.
    A range without records is allowed: it moves a position over blank lines.
    """

    table: pa.Table
    ranges: Sequence[ShardRange]

    @property
    def num_records(self) -> int:
        """Number of records."""
        return int(self.table.num_rows)

    @property
    def num_bytes(self) -> int:
        """Bytes of record data (not of the columns around it)."""
        total = 0
        for chunk in self.table.column("data").chunks:
            offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            total += int(offsets[-1] - offsets[0]) if len(chunk) else 0
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Ids to be claimed and who claims them; row i of one belongs to row i of the other.

    Attributes:
        keys: (n, 16) uint8, the ids' keys; unique within one call.
        owners: (n,) OWNER, the claiming positions.
    """

    keys: npt.NDArray[np.uint8]
    owners: npt.NDArray[np.void]

    def __len__(self) -> int:
        """Number of claims."""
        return len(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What became of a batch: the four tables (see core/schema.py) and the counts that the ledger entry carries.

    Attributes:
        events: accepted, EVENTS.
        duplicates: second and later copies, DUPLICATES.
        rejected: what could not be read or broke a rule, REJECTED.
        quality: one row an event type, QUALITY.
        ranges: the range of each shard that the batch covers.
        shard_counts: per index of `ranges`: received, accepted, duplicates, rejected.
        new_types: event types that the lake did not hold before, in order of admission.
        warnings: warning name to number of events.
        generation: the claim generation under which the batch was judged.
        settlement: of a replay: the rows that these verdicts replace. `ranges` is empty then.
    """

    events: pa.Table
    duplicates: pa.Table
    rejected: pa.Table
    quality: pa.Table
    ranges: Sequence[ShardRange]
    shard_counts: Sequence[Counts]
    new_types: Sequence[str]
    warnings: Mapping[str, int]
    generation: str
    settlement: Settlement | None = None

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The four tables by the name of their folder in the lake."""
        return {
            "events": self.events,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "quality": self.quality,
        }


class Counts(NamedTuple):
    """Conservation in four numbers: received = accepted + duplicates + rejected."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0

    def __add__(self, other: object) -> Counts:
        """Add field by field."""
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        """Subtract field by field."""
        return Counts(*(a - b for a, b in zip(self, other, strict=True)))

    @property
    def is_conserved(self) -> bool:
        """True where nothing is missing and nothing is counted twice."""
        return self.received == self.accepted + self.duplicates + self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a replay says of the rows that were judged anew.

    Attributes:
        rows: SETTLED, one row a part.
        counts: the new verdicts; they add up.
        settles: the old verdicts that are taken back; they add up.
        replayed_at: number of the last replay in the ledger that was known when these rows were read; 0 for none.
        judged_at: number of the ledger's end with whose events they were judged; 0 where a shared claim store judged.
    """

    rows: pa.Table
    counts: Counts
    settles: Counts
    replayed_at: int
    judged_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """One file that was written where nobody reads it, or in place but not in the log.

    Attributes:
        table: folder of the table it belongs to (`events`, ...).
        path: where it lies now, relative to the lake.
        target: where it will lie once published, relative to the lake (Delta: the same as `path`).
        size: bytes.
        rows: number of rows.
        partition: partition values as sent, by column; dates as ISO text.
        stats: Delta statistics: minima and maxima of times and positions only; JSON-able.
    """

    table: str
    path: str
    target: str
    size: int
    rows: int
    partition: Mapping[str, str]
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A batch whose files are all written; `entry_id` is the commit's own name, made before its number is known."""

    entry_id: str
    files: Sequence[StagedFile]
    verdicts: Verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The proof of a commit: its number in the ledger, its ranges and counts."""

    number: int
    entry_id: str
    ranges: Sequence[ShardRange]
    counts: Counts
    committed_us: int
