"""Records in, parts out: strict JSON to the three common fields, columnar. Pure.

The usual record, one JSON object with plain fields, is decoded in the one loop over events that there is;
whatever is not usual goes, record by record, through irregular.py, which gives the same verdict for the same
bytes whatever stands beside them.

The strict decoder checks all of JSON except UTF-8 and depth in the values that it skips: both are checked here
for whole columns first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from headgate.core.irregular import Part, parts_of
from headgate.core.limits import MAX_DEPTH, Limits
from headgate.core.reasons import Warn
from headgate.core.repeats import repeated_rows
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

JSON_SPACE = " \t\r\n"
MIN_DEEP_BYTES = 2 * MAX_DEPTH  # bytes; a shorter document cannot be nested too deep
_GROUP_ROWS = 128  # rows checked at once where a chunk holds broken text
_LOOK_BYTES = 1 << 18  # bytes looked at in one numpy pass, so that the masks stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """Trimmed record texts as one Arrow array and what the loop needs of it."""

    array: pa.Array
    offsets: npt.NDArray[np.int64]
    view: memoryview
    bytes: npt.NDArray[np.uint8]


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
    for chunk in batch.table.to_batches():
        if chunk.num_rows:
            pieces.append(_decode_chunk(chunk, decoder_of(envelope), envelope, limits))
    return pa.concat_tables(pieces) if pieces else DECODED.empty_table()


def _decode_chunk(chunk: pa.RecordBatch, decoder: EnvelopeDecoder, envelope: Envelope, limits: Limits) -> pa.Table:
    text = _trim(chunk.column("data"))
    odd = _suspicious(chunk, text, limits)
    rows, prints = _loop(text, odd, decoder)
    columns = decoder.columns(rows)
    warnings = np.zeros(len(chunk), dtype=np.uint16)
    given = {field: len(rows) - values.count(None) for field, values in columns.items()}
    repeated = repeated_rows(text.array, text.bytes, text.offsets, odd, given, envelope)
    warnings[repeated] |= int(Warn.DUPLICATE_KEY)
    odd_rows = np.flatnonzero(odd)
    exact = _Exact(chunk.column("data"))
    parts = [parts_of(exact.record(i), _fault(chunk, i), envelope, limits) for i in odd_rows.tolist()]
    alone: dict[int, Part] = {}
    spread: list[int] = []
    for k, (row, some) in enumerate(zip(odd_rows.tolist(), parts, strict=True)):
        # What stands for the whole record stays in its row; anything else moves rows about.
        if len(some) == 1 and some[0].sub == NO_SUB and (some[0].reason or _is_same(some[0].payload, text, row)):
            alone[row] = some[0]
        else:
            spread.append(k)
    for row, part in alone.items():
        columns["id"][row], columns["name"][row] = part.event_uuid, part.event_name
        columns["created_at"][row] = part.created_at
        prints[row] = xxhash.xxh3_64_intdigest(part.payload)
        warnings[row] = part.warnings
    usual = _table(payload=text.array, chunk=chunk, fields=columns, prints=prints, warnings=warnings, parts=alone)
    if not spread:
        return usual
    return _spread(usual, odd_rows[spread], [parts[k] for k in spread], chunk)


def _is_same(payload: bytes, text: _Text, row: int) -> bool:
    return text.view[text.offsets[row] : text.offsets[row + 1]] == payload


def _spread(
    usual: pa.Table, rows: npt.NDArray[np.intp], parts: Sequence[Sequence[Part]], chunk: pa.RecordBatch
) -> pa.Table:
    """Put the parts of some records in their places."""
    flat = [part for some in parts for part in some]
    irregular = _irregular_table(flat, np.repeat(rows, [len(p) for p in parts]), chunk)
    sources = _lay_out(len(chunk), rows, parts)
    return pa.concat_tables([usual, irregular]).take(pa.array(sources))


def _trim(data: pa.Array) -> _Text:
    # The same buffers under a text type: trimming is the same for bytes, and is not validated.
    text = pa.Array.from_buffers(pa.large_string(), len(data), data.buffers(), null_count=0, offset=data.offset)
    array = pc.ascii_trim(text, JSON_SPACE)
    array = pa.Array.from_buffers(pa.large_binary(), len(array), array.buffers(), null_count=0, offset=array.offset)
    _, offsets, values = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    view = memoryview(values) if values is not None else memoryview(b"")
    return _Text(array=array, offsets=bounds, view=view, bytes=np.frombuffer(view, dtype=np.uint8))


def _suspicious(chunk: pa.RecordBatch, text: _Text, limits: Limits) -> npt.NDArray[np.bool_]:
    """Rows that the loop must not take: broken UTF-8, possibly too deep, too large, or broken at the source."""
    lengths = np.diff(text.offsets)
    odd = lengths > limits.max_event_bytes
    if "fault" in chunk.schema.names:
        odd |= np.asarray(pc.is_valid(chunk.column("fault")))
    if lengths.size and lengths.max() >= MIN_DEEP_BYTES:
        opens = _opening_brackets(text.bytes)
        # More than MAX_DEPTH in one row stand closer together than the longest row is long.
        if len(opens) > MAX_DEPTH and (opens[MAX_DEPTH:] - opens[:-MAX_DEPTH]).min() < lengths.max():
            odd |= _count_per_row(text, opens) > MAX_DEPTH
    if not _is_text(text.array):
        odd[list(_broken_text(text))] = True
    return odd


def _is_text(values: pa.Array) -> bool:
    try:
        values.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _broken_text(text: _Text) -> Iterator[int]:
    """Rows that are not UTF-8: a vectorised pass tells only that there is one, so it is asked group by group."""
    for start in range(0, len(text.array), _GROUP_ROWS):
        group = text.array.slice(start, _GROUP_ROWS)
        if _is_text(group):
            continue
        for row in range(start, start + len(group)):
            try:
                str(text.view[text.offsets[row] : text.offsets[row + 1]], "utf-8")
            except UnicodeDecodeError:
                yield row


def _opening_brackets(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    found = []
    for start in range(0, len(data), _LOOK_BYTES):
        # [ is 0x5B and { is 0x7B: they differ in one bit.
        found.append(np.flatnonzero((data[start : start + _LOOK_BYTES] & 0xDF) == 0x5B) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _count_per_row(text: _Text, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.diff(np.searchsorted(positions, text.offsets))


def _loop(
    text: _Text, odd: npt.NDArray[np.bool_], decoder: EnvelopeDecoder
) -> tuple[list[Any], npt.NDArray[np.uint64]]:
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


def _irregular_table(parts: Sequence[Part], records: npt.NDArray[np.intp], chunk: pa.RecordBatch) -> pa.Table:
    fields: dict[str, list[Any]] = {
        "id": [p.event_uuid for p in parts],
        "name": [p.event_name for p in parts],
        "created_at": [p.created_at for p in parts],
    }
    return _table(
        payload=pa.array([p.payload for p in parts], pa.large_binary()),
        chunk=chunk.take(pa.array(records, pa.int64())),
        fields=fields,
        prints=np.array([xxhash.xxh3_64_intdigest(p.payload) for p in parts], dtype=np.uint64),
        warnings=np.array([p.warnings for p in parts], dtype=np.uint16),
        parts=dict(enumerate(parts)),
        subs=np.array([p.sub for p in parts], dtype=np.int32),
    )


def _table(
    *,
    payload: pa.Array,
    chunk: pa.RecordBatch,
    fields: dict[str, list[Any]],
    prints: npt.NDArray[np.uint64],
    warnings: npt.NDArray[np.uint16],
    parts: dict[int, Part],
    subs: npt.NDArray[np.int32] | None = None,
) -> pa.Table:
    """DECODED of one chunk; `parts` holds those that may have a reason, by row."""
    n = len(payload)
    times = instants(fields["created_at"])
    columns = [
        payload,
        chunk.column("shard"),
        chunk.column("sequence"),
        pa.array(np.full(n, NO_SUB, dtype=np.int32) if subs is None else subs),
        chunk.column("arrived_at"),
        _ids(fields["id"]),
        pa.array(fields["name"], pa.string()),
        pa.array(times.seconds, mask=~times.present),
        pa.array(times.us, mask=~times.ok),
        pa.array(prints),
        _sparse(n, {row: part.reason for row, part in parts.items() if part.reason is not None}, pa.string()),
        _sparse(n, {row: part.detail for row, part in parts.items() if part.detail is not None}, pa.string()),
        pa.array(times.warnings | warnings),
        _sparse(n, {row: part.payload for row, part in parts.items() if part.reason}, pa.large_binary()),
    ]
    return pa.Table.from_arrays(columns, schema=DECODED)


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
