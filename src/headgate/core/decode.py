"""Records in, parts out: strict JSON to the three common fields, columnar. Pure.

The usual record, one JSON object with plain fields, is decoded in the one loop over events that there is;
whatever is not usual goes, record by record, through irregular.py, which gives the same verdict for the same
bytes whatever stands beside them.

The strict decoder checks all of JSON except UTF-8 and depth in the values that it skips: both are checked here
for whole columns first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from headgate.core.decoded import DECODED, Columns, table_of
from headgate.core.envelope import Envelope, EnvelopeDecoder, decoder_of
from headgate.core.irregular import Part, judge_piece, pieces_of
from headgate.core.kpl import HashRange, hash_range_of
from headgate.core.limits import Limits
from headgate.core.reasons import Warn
from headgate.core.repeats import repeated_rows
from headgate.core.texts import Text, suspicious, text_of, trimmed
from headgate.core.unfold import unfold
from headgate.records import NO_SUB, RecordBatch

MAX_SLICES = 512  # of a chunk; more are joined, because every later step pays for each
MAX_ODD_LINES = 4  # of a record that is taken apart by its lines; one that holds more is read once as a whole


def decode(batch: RecordBatch, envelope: Envelope, limits: Limits) -> pa.Table:
    """Decode a batch of records.

    Args:
        batch: records, RECORDS (with an optional `fault` column: text where the source could not read on).
        envelope: where the three common fields are.
        limits: sizes and depth.

    Returns:
        DECODED, in the order of the records, and within one record of its parts.
    """
    pieces = []
    hash_ranges = [hash_range_of(part.meta) for part in batch.ranges]
    for chunk in batch.table.to_batches():
        if chunk.num_rows:
            pieces.append(_decode_chunk(chunk, decoder_of(envelope), envelope, limits, hash_ranges))
    return pa.concat_tables(pieces) if pieces else DECODED.empty_table()


def decode_documents(
    documents: Sequence[bytes], subs: Sequence[int], records: pa.RecordBatch, envelope: Envelope, limits: Limits
) -> pa.Table:
    """Decode documents that were taken out of their records before, each under the number it bears.

    Args:
        documents: one JSON document each, without white space around it.
        subs: the number of each within its record.
        records: `shard`, `sequence` and `arrived_at` of RECORDS, row by row.
        envelope: where the three common fields are.
        limits: sizes and depth.

    Returns:
        DECODED, one row a document: an event or a reject.
    """
    parts = [Part(payload=text, sub=sub, is_judged=False) for text, sub in zip(documents, subs, strict=True)]
    return _irregular_table(parts, records, decoder_of(envelope), envelope, limits)


def _decode_chunk(
    chunk: pa.RecordBatch,
    decoder: EnvelopeDecoder,
    envelope: Envelope,
    limits: Limits,
    hash_ranges: Sequence[HashRange | None],
) -> pa.Table:
    lines = unfold(chunk, limits)
    if lines is None:
        return _decode_records(chunk, decoder, envelope, limits, hash_ranges)[0]
    columns, odd = _columns(lines.text, np.zeros(len(lines.owners), dtype=np.bool_), decoder, envelope, limits)
    is_left = ~lines.records  # to be looked at record by record
    judged: dict[int, Part] = {}
    is_left |= np.bincount(lines.owners[odd], minlength=len(chunk)) > MAX_ODD_LINES
    for line in np.flatnonzero(odd & ~is_left[lines.owners]).tolist():
        if not lines.is_part(line):
            is_left[lines.owners[line]] = True
            continue
        piece = Part(payload=lines.text.row(line), is_judged=False)
        part = judge_piece(piece, envelope, limits)
        columns.put(line, part)
        if part.reason is not None:
            judged[line] = part
    # Without their data: it would be copied once a line.
    records = chunk.select(["shard", "sequence", "arrived_at"]).take(pa.array(lines.owners))
    table = table_of(payload=lines.text.array, chunk=records, columns=columns, parts=judged, subs=lines.subs)
    if not is_left.any():
        return table
    left = np.flatnonzero(is_left)
    rest, counts = _decode_records(chunk.take(pa.array(left)), decoder, envelope, limits, hash_ranges)
    return _woven(table, lines.owners, rest, left, counts)


def _woven(
    table: pa.Table,
    owners: npt.NDArray[np.int64],
    rest: pa.Table,
    left: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> pa.Table:
    """Rows in the order of their records: those of `left` are in `rest`, `counts` each; the others are not copied."""
    starts, ends = np.searchsorted(owners, left), np.searchsorted(owners, left, side="right")
    slices, at, taken = [], 0, 0
    for start, end, count in zip(starts.tolist(), ends.tolist(), counts.tolist(), strict=True):
        slices += [table.slice(at, start - at), rest.slice(taken, count)]
        at, taken = end, taken + count
    pieces = [piece for piece in [*slices, table.slice(at)] if piece.num_rows]
    woven = pa.concat_tables(pieces or [rest])
    return woven if len(slices) <= MAX_SLICES else woven.combine_chunks()


def _decode_records(
    chunk: pa.RecordBatch,
    decoder: EnvelopeDecoder,
    envelope: Envelope,
    limits: Limits,
    hash_ranges: Sequence[HashRange | None],
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """DECODED of a chunk, and the number of parts of each record."""
    text = trimmed(chunk.column("data"))
    columns, odd = _columns(text, _faulty(chunk), decoder, envelope, limits)
    odd_rows = np.flatnonzero(odd)
    exact = text_of(chunk.column("data"))
    shards = np.asarray(chunk.column("shard"))
    parts = [
        pieces_of(exact.row(i), _fault(chunk, i), envelope, limits, hash_ranges[shards[i]]) for i in odd_rows.tolist()
    ]
    alone: dict[int, Part] = {}
    spread: list[int] = []
    for k, (row, some) in enumerate(zip(odd_rows.tolist(), parts, strict=True)):
        # What stands for the whole record stays in its row; anything else moves rows about.
        if len(some) == 1 and some[0].sub == NO_SUB and (some[0].reason or _is_same(some[0].payload, text, row)):
            alone[row] = some[0]
        else:
            spread.append(k)
    for row, part in alone.items():
        columns.put(row, part)
    usual = table_of(payload=text.array, chunk=chunk, columns=columns, parts=alone)
    counts = np.ones(len(chunk), dtype=np.int64)
    if not spread:
        return usual, counts
    rows, some_parts = odd_rows[spread], [parts[k] for k in spread]
    counts[rows] = [len(some) for some in some_parts]
    flat = [part for some in some_parts for part in some]
    records = chunk.select(["shard", "sequence", "arrived_at"]).take(pa.array(np.repeat(rows, counts[rows])))
    irregular = _irregular_table(flat, records, decoder, envelope, limits)
    is_usual = np.ones(len(chunk), dtype=np.bool_)
    is_usual[rows] = False
    stay = np.flatnonzero(is_usual)
    owners = np.concatenate([stay, np.repeat(rows, counts[rows])])
    order = np.concatenate([stay, np.arange(len(chunk), len(chunk) + len(flat))])[np.argsort(owners, kind="stable")]
    return pa.concat_tables([usual, irregular]).take(pa.array(order)), counts


def _columns(
    text: Text, odd: npt.NDArray[np.bool_], decoder: EnvelopeDecoder, envelope: Envelope, limits: Limits
) -> tuple[Columns, npt.NDArray[np.bool_]]:
    """Read documents together; those that must be looked at one by one are marked in the second answer."""
    odd = odd | suspicious(text, limits)
    rows, prints = _loop(text, odd, decoder)
    for row in np.flatnonzero(odd).tolist():
        rows[row] = decoder.empty  # some can be decoded all the same: what they give does not count
    fields = decoder.columns(rows)
    warnings = np.zeros(len(rows), dtype=np.uint16)
    given = {field: len(rows) - values.count(None) for field, values in fields.items()}
    repeated = repeated_rows(text.array, text.data, text.offsets, odd, given, envelope)
    warnings[repeated] |= int(Warn.DUPLICATE_KEY)
    return Columns(fields, prints, warnings), odd


def _is_same(payload: bytes, text: Text, row: int) -> bool:
    return text.view[text.offsets[row] : text.offsets[row + 1]] == payload


def _faulty(chunk: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Rows that broke at the source."""
    if "fault" not in chunk.schema.names:
        return np.zeros(len(chunk), dtype=np.bool_)
    return np.asarray(pc.is_valid(chunk.column("fault")))


def _loop(text: Text, odd: npt.NDArray[np.bool_], decoder: EnvelopeDecoder) -> tuple[list[Any], npt.NDArray[np.uint64]]:
    """The one loop over events, in C but for what cannot be decoded; that is marked in `odd`."""
    documents: list[bytes] = text.array.to_numpy(zero_copy_only=False).tolist()
    rows: list[Any] = []
    rest = iter(documents)
    while True:
        try:
            rows.extend(map(decoder.decode, rest))
            break
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            # `extend` keeps what came before; the one that failed is taken from `rest`.
            odd[len(rows)] = True
            rows.append(decoder.empty)
    return rows, np.fromiter(map(xxhash.xxh3_64_intdigest, documents), np.uint64, len(documents))


def _fault(chunk: pa.RecordBatch, i: int) -> str | None:
    return chunk.column("fault")[i].as_py() if "fault" in chunk.schema.names else None


def _irregular_table(
    parts: Sequence[Part], records: pa.RecordBatch, decoder: EnvelopeDecoder, envelope: Envelope, limits: Limits
) -> pa.Table:
    """DECODED of parts, whose records stand row by row beside them; documents not judged yet are read together."""
    text = text_of(pa.array([p.payload for p in parts], pa.large_binary()))
    is_judged = np.array([p.is_judged for p in parts], dtype=np.bool_)
    columns, odd = _columns(text, is_judged, decoder, envelope, limits)
    judged = dict(enumerate(parts))
    for row in np.flatnonzero(odd).tolist():
        part = parts[row]
        if not part.is_judged:
            judged[row] = part = judge_piece(part, envelope, limits)
        columns.put(row, part)
    usual = np.flatnonzero(~odd)
    columns.warnings[usual] |= np.array([parts[row].warnings for row in usual.tolist()], dtype=np.uint16)
    return table_of(
        payload=text.array,
        chunk=records,
        columns=columns,
        parts={row: part for row, part in judged.items() if part.reason is not None},
        subs=np.array([p.sub for p in parts], dtype=np.int32),
    )
