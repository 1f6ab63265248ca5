"""Records in, parts out: strict JSON to the three common fields, columnar. Pure.

The usual record, one JSON object with plain fields, is decoded in the one loop over events that there is;
whatever is not usual goes, record by record, through irregular.py, which gives the same verdict for the same
bytes whatever stands beside them.

The strict decoder checks all of JSON except UTF-8 and depth in the values that it skips: both are checked here
for whole columns first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from headgate.core.envelope import Envelope, EnvelopeDecoder, decoder_of
from headgate.core.instants import instants
from headgate.core.irregular import Part, judge_piece, pieces_of
from headgate.core.kpl import HashRange, hash_range_of
from headgate.core.limits import Limits
from headgate.core.reasons import Warn
from headgate.core.repeats import repeated_rows
from headgate.core.texts import Text, suspicious, text_of, trimmed
from headgate.records import NO_SUB, SEQUENCE_TYPE, RecordBatch

#: One row a part: an event, or what was rejected in its place. `reason` is null for events. `created_us` counts
#: microseconds since 1970 and is null where `created_at` is missing or no instant. `warnings`
#: holds bits of Warn; `fingerprint` is xxh3 of the payload; `raw` is a reject's exact bytes where those differ from
#: `payload` (white space around it).
DECODED = pa.schema(
    [
        pa.field("payload", pa.large_binary()),
        pa.field("shard", pa.int32()),
        pa.field("sequence", SEQUENCE_TYPE),
        pa.field("sub", pa.int32()),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC")),
        pa.field("event_uuid", pa.string()),
        pa.field("event_name", pa.string()),
        pa.field("created_at", pa.float64()),
        pa.field("created_us", pa.int64()),
        pa.field("fingerprint", pa.uint64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("warnings", pa.uint16()),
        pa.field("raw", pa.large_binary()),
    ]
)


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


def _decode_chunk(
    chunk: pa.RecordBatch,
    decoder: EnvelopeDecoder,
    envelope: Envelope,
    limits: Limits,
    hash_ranges: Sequence[HashRange | None],
) -> pa.Table:
    text = trimmed(chunk.column("data"))
    columns, odd = _columns(text, _faulty(chunk), decoder, envelope, limits)
    odd_rows = np.flatnonzero(odd)
    exact = _Exact(chunk.column("data"))
    shards = np.asarray(chunk.column("shard"))
    parts = [
        pieces_of(exact.record(i), _fault(chunk, i), envelope, limits, hash_ranges[shards[i]])
        for i in odd_rows.tolist()
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
    usual = _table(payload=text.array, chunk=chunk, columns=columns, parts=alone)
    if not spread:
        return usual
    rows, some_parts = odd_rows[spread], [parts[k] for k in spread]
    flat = [part for some in some_parts for part in some]
    # Without their data: it would be copied once a part.
    records = chunk.select(["shard", "sequence", "arrived_at"]).take(
        pa.array(np.repeat(rows, [len(p) for p in some_parts]), pa.int64())
    )
    irregular = _irregular_table(flat, records, decoder, envelope, limits)
    return pa.concat_tables([usual, irregular]).take(pa.array(_lay_out(len(chunk), rows, some_parts)))


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is read of n documents: the common fields as the decoder gave them, fingerprints, warnings."""

    fields: dict[str, list[Any]]
    prints: npt.NDArray[np.uint64]
    warnings: npt.NDArray[np.uint16]

    def put(self, row: int, part: Part) -> None:
        """Enter what was found out one by one."""
        self.fields["id"][row], self.fields["name"][row] = part.event_uuid, part.event_name
        self.fields["created_at"][row] = part.created_at
        self.prints[row] = xxhash.xxh3_64_intdigest(part.payload)
        self.warnings[row] = part.warnings


def _columns(
    text: Text, odd: npt.NDArray[np.bool_], decoder: EnvelopeDecoder, envelope: Envelope, limits: Limits
) -> tuple[_Columns, npt.NDArray[np.bool_]]:
    """Read documents together; those that must be looked at one by one are marked in the second answer."""
    odd = odd | suspicious(text, limits)
    rows, prints = _loop(text, odd, decoder)
    for row in np.flatnonzero(odd).tolist():
        rows[row] = decoder.empty  # some can be decoded all the same: what they give does not count
    fields = decoder.columns(rows)
    warnings = np.zeros(len(rows), dtype=np.uint16)
    given = {field: len(rows) - values.count(None) for field, values in fields.items()}
    repeated = repeated_rows(text.array, text.bytes, text.offsets, odd, given, envelope)
    warnings[repeated] |= int(Warn.DUPLICATE_KEY)
    return _Columns(fields, prints, warnings), odd


def _is_same(payload: bytes, text: Text, row: int) -> bool:
    return text.view[text.offsets[row] : text.offsets[row + 1]] == payload


def _faulty(chunk: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Rows that broke at the source."""
    if "fault" not in chunk.schema.names:
        return np.zeros(len(chunk), dtype=np.bool_)
    return np.asarray(pc.is_valid(chunk.column("fault")))


def _loop(text: Text, odd: npt.NDArray[np.bool_], decoder: EnvelopeDecoder) -> tuple[list[Any], npt.NDArray[np.uint64]]:
    """The one loop over events, in C but for what cannot be decoded; that is marked in `odd`."""
    bounds = text.offsets.tolist()
    base = bounds[0] if bounds else 0
    data = bytes(text.view[base : bounds[-1]])
    documents = [data[start - base : end - base] for start, end in pairwise(bounds)]
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


class _Exact:
    """The records' exact bytes, without the line end."""

    def __init__(self, data: pa.Array) -> None:
        _, offsets, values = data.buffers()
        self._offsets = np.frombuffer(offsets, dtype=np.int64)[data.offset :]
        self._view = memoryview(values) if values is not None else memoryview(b"")

    def record(self, i: int) -> bytes:
        data = bytes(self._view[self._offsets[i] : self._offsets[i + 1]])
        if data.endswith(b"\n"):
            return data[:-2] if data.endswith(b"\r\n") else data[:-1]
        return data


def _fault(chunk: pa.RecordBatch, i: int) -> str | None:
    return chunk.column("fault")[i].as_py() if "fault" in chunk.schema.names else None


def _lay_out(n: int, odd_rows: npt.NDArray[np.intp], parts: Sequence[Sequence[Part]]) -> npt.NDArray[np.int64]:
    """Indices into usual rows followed by irregular parts, in the order of records and parts."""
    counts = np.ones(n, dtype=np.int64)
    counts[odd_rows] = [len(p) for p in parts]
    starts = np.cumsum(counts) - counts
    sources = np.empty(int(counts.sum()), dtype=np.int64)
    usual = np.ones(n, dtype=np.bool_)
    usual[odd_rows] = False
    sources[starts[usual]] = np.flatnonzero(usual)
    at = n
    for row, some in zip(odd_rows, parts, strict=True):
        sources[starts[row] : starts[row] + len(some)] = np.arange(at, at + len(some))
        at += len(some)
    return sources


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
    return _table(
        payload=text.array,
        chunk=records,
        columns=columns,
        parts={row: part for row, part in judged.items() if part.reason is not None},
        subs=np.array([p.sub for p in parts], dtype=np.int32),
    )


def _table(
    *,
    payload: pa.Array,
    chunk: pa.RecordBatch,
    columns: _Columns,
    parts: dict[int, Part],
    subs: npt.NDArray[np.int32] | None = None,
) -> pa.Table:
    """DECODED of one chunk; `parts` holds those that may have a reason, by row."""
    n = len(payload)
    fields = columns.fields
    times = instants(fields["created_at"])
    arrays = [
        payload,
        chunk.column("shard"),
        chunk.column("sequence"),
        pa.array(np.full(n, NO_SUB, dtype=np.int32) if subs is None else subs),
        chunk.column("arrived_at"),
        _ids(fields["id"]),
        pa.array(fields["name"], pa.string()),
        pa.array(times.seconds, mask=~times.present),
        pa.array(times.us, mask=~times.ok),
        pa.array(columns.prints),
        _sparse(n, {row: part.reason for row, part in parts.items() if part.reason is not None}, pa.string()),
        _sparse(n, {row: part.detail for row, part in parts.items() if part.detail is not None}, pa.string()),
        pa.array(times.warnings | columns.warnings),
        _sparse(n, {row: part.payload for row, part in parts.items() if part.reason}, pa.large_binary()),
    ]
    return pa.Table.from_arrays(arrays, schema=DECODED)


def _sparse(n: int, values: dict[int, str] | dict[int, bytes], kind: pa.DataType) -> pa.Array:
    """A column that is null but for a few rows."""
    if not values:
        return pa.nulls(n, kind)
    index = np.full(n, -1, dtype=np.int32)
    index[list(values)] = np.arange(len(values), dtype=np.int32)
    return pa.array(list(values.values()), kind).take(pa.array(index, mask=index < 0))


def _ids(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([str(v) if type(v) is int else v for v in values], pa.string())
