"""The source read once more for `verify`: the same decoder, up to the committed position of each shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.decode import decode
from headgate.core.enrich import position_texts, sequence_bytes
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.privacy import Privacy, protect
from headgate.jobs.position_rows import PositionRows, key_halves
from headgate.ports import Source
from headgate.records import SEQUENCE_BYTES, Counts, Receipt, RecordBatch, Shard, ShardState

_READ_SECONDS = 0.5  # that one read of a source may wait


@dataclass(kw_only=True)
class Reread:
    """What the source still holds.

    Attributes:
        ends: by shard of the ledger the position at which the source ended.
        begins: by shard of the ledger the sequence of the first record that the source had.
        parts: events and rejects read up to the committed positions.
        unread_records: records beyond them, or of shards that the ledger does not know.
    """

    ends: dict[Shard, int] = field(default_factory=dict)
    begins: dict[Shard, int] = field(default_factory=dict)
    parts: int = 0
    unread_records: int = 0


def create_source_table(rows: PositionRows) -> None:
    """Make the scratch table `source`: one row a part; `is_id` where it has an id."""
    rows.connection.execute(
        f"CREATE TABLE source(shard INTEGER, sequence {rows.sequence_type}, sub INTEGER, is_id BOOLEAN, "
        "k0 UBIGINT, k1 UBIGINT, content UBIGINT)"
    )


def reread(
    source: Source,
    shards: Mapping[Shard, ShardState],
    rows: PositionRows,
    envelope: Envelope,
    limits: Limits,
    privacy: Privacy | None,
    advance: Callable[[float], None],
) -> Reread:
    """Read the source from its beginning and enter every part below the committed positions.

    Args:
        source: anew, as `run` opens it.
        shards: of this source as the ledger knows them.
        rows: the scratch database.
        envelope: where the common fields are.
        limits: sizes and depth.
        privacy: what the runs did to payloads.
        advance: is told the number of parts as they are read.

    Raises:
        ConfigError: there is no such source.
        TransientError: it does not answer.
    """
    found = Reread()
    # What was read before is told with its identity but without a position, so that it comes again.
    source.resume({shard: ShardState(meta=state.meta) for shard, state in shards.items()})
    while True:
        try:
            batch = source.read(_READ_SECONDS)
        except EOFError:
            return found
        if batch is None:
            continue
        committed = _below(batch, shards, found)
        if committed.num_records:
            count = _enter(committed, rows, envelope, limits, privacy)
            found.parts += count
            advance(count)
        source.ack(_receipt(batch))  # a shard may wait for the end of the shards that it came from


def _receipt(batch: RecordBatch) -> Receipt:
    """Of records that were looked at: no ledger entry stands behind it, and no lake is written."""
    return Receipt(number=0, entry_id="", ranges=batch.ranges, counts=Counts(), committed_us=0)


def _below(batch: RecordBatch, shards: Mapping[Shard, ShardState], found: Reread) -> RecordBatch:
    """The records below the committed positions; the others are only counted."""
    bounds = []
    for moved in batch.ranges:
        state = shards.get(moved.shard)
        position = int(state.reach or 0) if state else 0
        bounds.append(position.to_bytes(SEQUENCE_BYTES, "big"))
        if state:
            found.ends[moved.shard] = max(found.ends.get(moved.shard, 0), int(moved.end))
    table = batch.table
    _note_begins(batch, shards, found)
    bound = pa.array(bounds, pa.binary()).take(table["shard"].combine_chunks())
    is_below = pc.less(table["sequence"].cast(pa.binary()), pa.chunked_array([bound]))
    committed = table.filter(is_below)
    found.unread_records += table.num_rows - committed.num_rows
    return RecordBatch(table=committed.combine_chunks(), ranges=batch.ranges)


def _note_begins(batch: RecordBatch, shards: Mapping[Shard, ShardState], found: Reread) -> None:
    """Where the records of a shard begin; they come in the order of their positions."""
    numbers, rows = np.unique(np.asarray(batch.table["shard"]), return_index=True)
    for number, row in zip(numbers.tolist(), rows.tolist(), strict=True):
        shard = batch.ranges[number].shard
        if shard in shards:
            found.begins.setdefault(shard, int.from_bytes(batch.table["sequence"][row].as_py(), "big"))


def _enter(batch: RecordBatch, rows: PositionRows, envelope: Envelope, limits: Limits, privacy: Privacy | None) -> int:
    """Decode records and enter their parts; how many these are."""
    parts = decode(batch, envelope, limits)
    parts = parts if privacy is None else protect(parts, privacy)
    texts = position_texts(sequence_bytes(parts["sequence"]), np.asarray(parts["sub"]))
    parsed = rows.parse(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts)
    numbers = np.array([rows.shard_number(moved.shard) for moved in batch.ranges], dtype=np.int32)
    ids = parts["event_uuid"].combine_chunks()
    ids = ids if isinstance(ids, pa.Array) else pa.concat_arrays(ids.chunks)
    rows.insert(
        "source",
        {
            "shard": numbers[np.asarray(parts["shard"])],
            "sequence": parsed.sequence,
            "sub": parsed.sub,
            "is_id": ids.is_valid(),
            **key_halves(ids),
            "content": parts["fingerprint"],
        },
    )
    return int(parts.num_rows)
