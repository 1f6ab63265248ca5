"""Rows of `rejected` and `duplicates` taken for what they were: the records, or parts of records, that they hold. Pure.

Law: what comes out is what the decoder gives for the same record read from its source again, position for position.
Where a row does not hold enough for that, it is left alone:

- a record of which only the first bytes were kept, and one that broke in the source, are no whole records;
- a part of a record (`#n`) is the one document that it holds, under its number. One that would be several today is
  left, because their numbers would be those of its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.decode import decode, decode_documents
from headgate.core.decoded import DECODED
from headgate.core.envelope import Envelope
from headgate.core.irregular import FRAMED, JSON_SPACE
from headgate.core.limits import Limits
from headgate.core.reasons import Reason
from headgate.records import NO_SUB, RECORDS, RecordBatch, ShardRange

#: What the sources say of a record that they could not hand over whole (source/lines.py, source/inflate.py).
BROKEN_IN_SOURCE = r"^(gzip|zstd) stream (is broken after|ends early at) byte|; its first bytes are kept$"
#: What the decoder says of a whole record: its raw bytes are that record, frame and all.
OF_FRAME = r"^broken (gzip|zstd|KPL aggregate): |^the record is larger than max_record_bytes"

#: Rows to be judged anew. `shard` is an index into ranges; `raw` a reject's bytes or a duplicate's payload; `reason`
#: and `detail` are null for a duplicate, which is always one document.
OLD_ROWS = pa.schema(
    [
        pa.field("raw", pa.large_binary()),
        pa.field("shard", pa.int32()),
        pa.field("sequence", RECORDS.field("sequence").type),
        pa.field("sub", pa.int32()),
        pa.field("arrived_at", RECORDS.field("arrived_at").type),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Old rows decoded anew.

    Attributes:
        parts: DECODED, in the order of the rows.
        origin: (parts,) the row that each part comes from.
        is_left: (rows,) True for those that cannot be taken for the record they were.
    """

    parts: pa.Table
    origin: npt.NDArray[np.int64]
    is_left: npt.NDArray[np.bool_]


def decode_again(rows: pa.Table, ranges: tuple[ShardRange, ...], envelope: Envelope, limits: Limits) -> Again:
    """Decode rows of `rejected` or `duplicates` with today's settings.

    Args:
        rows: OLD_ROWS.
        ranges: whose shards `rows["shard"]` counts.
        envelope: where the common fields are.
        limits: sizes and depth.
    """
    rows = rows.cast(OLD_ROWS).combine_chunks()
    raws: list[bytes] = rows["raw"].to_pylist()
    is_reject = np.asarray(pc.is_valid(rows["reason"]))
    is_whole = is_reject & (np.asarray(rows["sub"]) == NO_SUB)
    is_framed = np.fromiter((raw.startswith(FRAMED) for raw in raws), bool, len(raws))
    is_left = _says(rows, BROKEN_IN_SOURCE) & np.isin(
        rows["reason"].to_pylist(), [Reason.TOO_LARGE, Reason.MALFORMED_JSON]
    )
    is_left |= is_framed & ~(is_whole & _says(rows, OF_FRAME))
    whole, single = np.flatnonzero(is_whole & ~is_left), np.flatnonzero(~is_whole & ~is_left)
    parts, origin = [DECODED.empty_table()], [np.zeros(0, np.int64)]
    if len(whole):
        decoded = decode(_records(rows.take(whole), [raws[i] for i in whole.tolist()], ranges), envelope, limits)
        parts.append(decoded)
        origin.append(whole[_rows_of(decoded, rows.take(whole))])
    if len(single):
        of_records = rows.take(single).select(["shard", "sequence", "arrived_at"]).combine_chunks().to_batches()[0]
        documents = [raws[i].strip(JSON_SPACE) for i in single.tolist()]
        subs = np.asarray(rows["sub"])[single].tolist()
        parts.append(decode_documents(documents, subs, of_records, envelope, limits))
        origin.append(single)
    origins = np.concatenate(origin)
    order = np.argsort(origins, kind="stable")
    return Again(parts=pa.concat_tables(parts).take(pa.array(order)), origin=origins[order], is_left=is_left)


def _says(rows: pa.Table, pattern: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.match_substring_regex(rows["detail"], pattern), False))


def _records(rows: pa.Table, raws: list[bytes], ranges: tuple[ShardRange, ...]) -> RecordBatch:
    """The rows as records of a source."""
    columns = {
        # The decoder takes one line end off; a frame may have lost its last byte to that.
        "data": pa.array([raw + b"\n" if _needs_line_end(raw) else raw for raw in raws], pa.large_binary()),
        "shard": rows["shard"],
        "sequence": rows["sequence"],
        "end": rows["sequence"],
        "arrived_at": rows["arrived_at"],
        "fault": pa.nulls(len(raws), pa.string()),
    }
    return RecordBatch(table=pa.table(columns).cast(RECORDS), ranges=ranges)


def _needs_line_end(raw: bytes) -> bool:
    return raw.endswith(b"\n") or (raw.startswith(FRAMED) and not raw.endswith(b"\r"))


def _rows_of(parts: pa.Table, rows: pa.Table) -> npt.NDArray[np.int64]:
    """The row of each part, by shard and sequence."""
    found = pc.index_in(_names(parts), value_set=_names(rows).combine_chunks())
    return np.asarray(found).astype(np.int64)


def _names(table: pa.Table) -> pa.ChunkedArray:
    shards = table["shard"].cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(shards, table["sequence"].cast(pa.binary()), b" ")
