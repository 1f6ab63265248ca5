"""The rows of the lake's four tables, made from judged parts. Pure, columnar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate import __version__
from headgate.core.columns import encode
from headgate.core.dedup import Judgement
from headgate.core.enrich import position_texts
from headgate.core.schema import DUPLICATES, REJECTED
from headgate.records import SEQUENCE_BYTES, Counts, Shard

EVENT_COLUMNS = {
    "event_uuid": "event_uuid",
    "event_name": "event_name",
    "event_type": "event_type",
    "event_subtype": "event_subtype",
    "created_at": "created_at",
    "created_datetime": "created_datetime",
    "created_date": "created_date",
    "payload": "payload",
    "arrived_at": "arrived_at",
    "source": "source_name",
    "shard": "shard_name",
    "sequence": "sequence_text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Enriched parts and what became of each: the masks are disjoint and cover all rows.

    Attributes:
        parts: validated and enriched DECODED (n rows).
        events: row numbers of the events, in order (m).
        judgement: of the events (m).
    """

    parts: pa.Table
    events: npt.NDArray[np.int64]
    judgement: Judgement

    @property
    def accepted(self) -> npt.NDArray[np.int64]:
        """Row numbers of accepted events."""
        return self.events[self.judgement.accepted]

    @property
    def duplicates(self) -> npt.NDArray[np.int64]:
        """Row numbers of duplicates."""
        return self.events[~self.judgement.accepted]

    @property
    def rejected(self) -> npt.NDArray[np.int64]:
        """Row numbers of rejects."""
        return np.flatnonzero(np.asarray(pc.is_valid(self.parts["reason"])))


def event_rows(parts: pa.Table) -> pa.Table:
    """The parts' columns as EVENTS; source and shard stay dictionary-encoded, payload is text without a copy.

    Args:
        parts: enriched DECODED; the payload of a reject may be no UTF-8, whatever its column says here.

    Returns:
        A table with the names of EVENTS.
    """
    columns = {name: parts[origin] for name, origin in EVENT_COLUMNS.items()}
    columns["payload"] = as_text(columns["payload"])
    return pa.table(columns)


def as_text(payload: pa.ChunkedArray) -> pa.ChunkedArray:
    """large_binary that is known to be UTF-8 as large_string: the same buffers, not checked again."""
    chunks = [
        pa.Array.from_buffers(pa.large_string(), len(c), c.buffers(), null_count=0, offset=c.offset)
        for c in payload.chunks
    ]
    return pa.chunked_array(chunks, pa.large_string())


def accepted_rows(judged: Judged) -> pa.Table:
    """EVENTS of the accepted, one partition of the table after the other, in the order of the flow within each."""
    rows = judged.accepted
    keys = judged.parts.select(["event_type", "created_date"])
    code = np.zeros(len(rows), dtype=np.int64)
    for column in keys.columns:
        encoded = encode(column)
        code = code * len(encoded.dictionary) + np.asarray(encoded.indices)[rows]
    small = code.astype(np.uint16) if len(code) and int(code.max()) < 1 << 16 else code  # sorted by radix
    # The texts of a batch are copied once: sorted here, so that staging need not.
    return event_rows(judged.parts).combine_chunks().take(pa.array(rows[np.argsort(small, kind="stable")]))


def duplicate_rows(judged: Judged, shard_of: Mapping[int, Shard]) -> pa.Table:
    """DUPLICATES; `shard_of` names the owners' shard numbers."""
    parts = judged.parts.take(pa.array(judged.duplicates))
    is_duplicate = ~judged.judgement.accepted
    owners = judged.judgement.owner[is_duplicate]
    table = event_rows(parts)
    names = [shard_of[int(number)].name for number in owners["shard"]]
    sequences = np.ascontiguousarray(owners["sequence"]).view(np.uint8).reshape(-1, SEQUENCE_BYTES)
    table = table.append_column("original_shard", pa.array(names, pa.string()))
    texts = position_texts(sequences, owners["sub"].astype(np.int32))
    table = table.append_column("original_sequence", texts)
    table = table.append_column("conflict", pa.array(judged.judgement.conflict[is_duplicate]))
    return table.append_column("arrival_date", parts["arrival_date"]).cast(DUPLICATES)


def rejected_rows(judged: Judged) -> pa.Table:
    """REJECTED."""
    parts = judged.parts.take(pa.array(judged.rejected))
    columns = {
        "raw": pc.coalesce(parts["raw"], parts["payload"]).cast(pa.binary()),
        "reason": parts["reason"],
        "detail": parts["detail"],
        "event_type": parts["event_type"],
        "arrived_at": parts["arrived_at"],
        "source": parts["source_name"].cast(pa.string()),
        "shard": parts["shard_name"].cast(pa.string()),
        "sequence": parts["sequence_text"],
        "headgate_version": pa.array([__version__] * len(parts), pa.string()),
        "arrival_date": parts["arrival_date"],
    }
    return pa.table(columns).cast(REJECTED)


def counts_by_shard(judged: Judged, num_ranges: int) -> Sequence[Counts]:
    """Received, accepted, duplicates and rejected of each range of the batch."""
    index = np.asarray(judged.parts["shard"])

    def per_range(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(index[rows], minlength=num_ranges)

    received = np.bincount(index, minlength=num_ranges)
    columns = (received, per_range(judged.accepted), per_range(judged.duplicates), per_range(judged.rejected))
    return [Counts(*(int(c[i]) for c in columns)) for i in range(num_ranges)]
