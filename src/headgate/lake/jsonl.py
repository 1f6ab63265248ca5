"""Rows as lines of JSON: the original object with the derived fields and `_headgate` added.

Most lines are made by joining text columns; only events whose own text may clash with our names, or whose
`created_at` is not the number of seconds, are taken apart.
"""

from __future__ import annotations

import gzip
import re

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SUFFIX = ".jsonl"

_DERIVED = ("created_datetime", "event_type", "event_subtype", "created_date")
_OF_DUPLICATES = ("original_shard", "original_sequence", "conflict")
_POSITION = ("arrived_at", "source", "shard", "sequence")
_OURS = (*_DERIVED, *_OF_DUPLICATES, "_headgate", "_original")
_CREATED_AT = rb'"created_at"[ \t\r\n]*:?[ \t\r\n]*(-?[0-9][0-9.eE+-]*)?'
_MAYBE_ASCII = rb"\\u00[4-7]"  # an escape that may spell a letter of a field's name

Object = dict[str, msgspec.Raw]


def event_lines(table: pa.Table, *, is_own_envelope: bool) -> pa.Array:
    """One line for each row of `events` or `duplicates`, without line end.

    Args:
        table: EVENTS or DUPLICATES columns.
        is_own_envelope: True where the payload's fields are named `event_uuid`, `event_name` and `created_at`
            themselves; with other names every event is taken apart, which is ten times slower.

    Returns:
        A string array of the table's length; each line is one strict JSON object.
    """
    if table.num_rows == 0:
        return pa.array([], pa.large_string())
    table = table.combine_chunks()
    payload = _flat(table, "payload")
    own = own_fields(table)
    if is_own_envelope:
        unusual = _unusual(payload, _flat(table, "created_at").to_numpy())
    else:
        unusual = np.ones(len(payload), dtype=bool)
    opened = pc.binary_slice(_one_line(payload).cast(pa.large_binary()), 0, -1).cast(pa.large_string())
    lines = joined(opened, ",", own, "}")
    if not unusual.any():
        return lines
    rows = np.flatnonzero(unusual)
    mended = _taken_apart(table.take(pa.array(rows)), own.take(pa.array(rows)))
    return pc.replace_with_mask(lines, pa.array(unusual), pa.array(mended, pa.large_string()))


def plain_lines(table: pa.Table) -> pa.Array:
    """One line for each row of `rejected` or `quality`: its columns; binary as base64, maps as objects."""
    maps = {f.name for f in table.schema if pa.types.is_map(f.type)}
    rows = table.to_pylist()
    for row in rows:
        for name in maps:
            row[name] = None if row[name] is None else dict(row[name])
    return pa.array([msgspec.json.encode(row).decode() for row in rows], pa.large_string())


def encode(lines: pa.Array, *, is_gzip: bool) -> bytes:
    """The lines as a file's content."""
    ended = joined(lines, "\n").cast(pa.large_binary())
    offsets = np.frombuffer(ended.buffers()[1], dtype=np.int64)[ended.offset : ended.offset + len(ended) + 1]
    content = memoryview(ended.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
    return gzip.compress(content, 1, mtime=0) if is_gzip else bytes(content)


def original(line: bytes) -> str:
    """The payload of a line, rebuilt: the fields as the producer sent them, as compact JSON."""
    found = _OBJECT.decode(line)
    theirs = _OBJECT.decode(found["_original"]) if "_original" in found else {}
    for name in _OURS:
        found.pop(name, None)
    found.update(theirs)
    return msgspec.json.encode(found).decode()


def own_fields(table: pa.Table) -> pa.Array:
    """Our part of each line: `"created_datetime":"…",…,"_headgate":{…}`."""
    parts: list[pa.Array | str] = [
        '"created_datetime":"',
        _iso(table, "created_datetime"),
        '","event_type":',
        _quoted(table, "event_type"),
        ',"event_subtype":',
        _quoted(table, "event_subtype"),
        ',"created_date":"',
        _flat(table, "created_date").cast(pa.string()),
        '"',
    ]
    if "conflict" in table.column_names:
        parts += [
            ',"original_shard":',
            _quoted(table, "original_shard"),
            ',"original_sequence":',
            _quoted(table, "original_sequence"),
            ',"conflict":',
            pc.fill_null(_flat(table, "conflict").cast(pa.string()), "null"),
        ]
    parts += [
        ',"_headgate":{"arrived_at":"',
        _iso(table, "arrived_at"),
        '","source":',
        _quoted(table, "source"),
        ',"shard":',
        _quoted(table, "shard"),
        ',"sequence":',
        _quoted(table, "sequence"),
        "}",
    ]
    return joined(*parts)


def joined(*parts: pa.Array | str) -> pa.Array:
    """Row by row, one text after the other; a plain text stands in every row."""
    return pc.binary_join_element_wise(
        *(pa.scalar(p, pa.large_string()) if isinstance(p, str) else p.cast(pa.large_string()) for p in parts),
        pa.scalar("", pa.large_string()),
    )


def _unusual(payload: pa.Array, created_at: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Rows whose text may hold a field of our names, a repeated field, or another `created_at`.

    All texts are searched as one, which is many times faster than one by one.
    """
    offsets, content = _buffers(payload)
    flags = np.zeros(len(payload), dtype=bool)
    for name in _OURS:
        flags[_rows(offsets, content, re.escape(f'"{name}"'.encode()))] = True
    escaped = _rows(offsets, content, _MAYBE_ASCII)
    flags[escaped] = True
    for name in ("event_uuid", "event_name"):
        quoted = f'"{name}"'.encode()
        if len(escaped) or content.count(quoted) != len(payload):
            flags |= np.bincount(_rows(offsets, content, re.escape(quoted)), minlength=len(payload)) != 1
    found = [(match.start(), match[1]) for match in re.finditer(_CREATED_AT, content)]
    rows = np.searchsorted(offsets, np.array([start for start, _ in found], dtype=np.int64), "right") - 1
    flags |= np.bincount(rows, minlength=len(payload)) != 1
    numbers = pa.array([number for _, number in found], pa.binary()).cast(pa.string()).cast(pa.float64())
    flags[rows] |= numbers.to_numpy(zero_copy_only=False) != created_at[rows]
    return flags


def _rows(offsets: npt.NDArray[np.int64], content: bytes, pattern: bytes) -> npt.NDArray[np.int64]:
    """The row of each match of a pattern that holds no quote of its own."""
    starts = np.array([match.start() for match in re.finditer(pattern, content)], dtype=np.int64)
    return np.searchsorted(offsets, starts, "right") - 1


def _buffers(texts: pa.Array) -> tuple[npt.NDArray[np.int64], bytes]:
    """Offsets and bytes of a large_string array without nulls."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    return offsets - first, bytes(memoryview(texts.buffers()[2])[first:last])


def _one_line(payload: pa.Array) -> pa.Array:
    """The texts without white space around them and without line ends (which stand only between tokens)."""
    offsets, content = _buffers(payload)
    characters = np.frombuffer(content, dtype=np.uint8)
    if not (np.all(characters[offsets[:-1]] == ord("{")) and np.all(characters[offsets[1:] - 1] == ord("}"))):
        payload = pc.ascii_trim(payload, " \t\r\n")
    for line_end in ("\n", "\r"):
        if line_end.encode() in content:
            payload = pc.replace_substring(payload, line_end, " ")
    return payload


def _taken_apart(table: pa.Table, own: pa.Array) -> list[str]:
    """Lines of unusual rows: ours wins, theirs goes under `_original`."""
    lines = []
    columns = (table.column(n).to_pylist() for n in ("payload", "event_uuid", "event_name", "created_at"))
    for payload, event_uuid, event_name, created_at, ours in zip(*columns, own.to_pylist(), strict=True):
        found = _OBJECT.decode(payload)
        theirs: Object = {}
        values = _OBJECT.decode("{" + ours + "}")
        if not _is_same(found.get("event_uuid"), event_uuid):
            values["event_uuid"] = msgspec.Raw(msgspec.json.encode(event_uuid))
        if not _is_same(found.get("event_name"), event_name):
            values["event_name"] = msgspec.Raw(msgspec.json.encode(event_name))
        if not _is_number(found.get("created_at"), created_at):
            values["created_at"] = msgspec.Raw(msgspec.json.encode(created_at))
        for name in {**values, "_original": None}:
            if name in found:
                theirs[name] = found.pop(name)
        if theirs:
            values["_original"] = msgspec.Raw(msgspec.json.encode(theirs))
        line = msgspec.json.encode({**found, **values}).decode()
        lines.append(line.replace("\n", " ").replace("\r", " "))
    return lines


def _is_same(raw: msgspec.Raw | None, text: str) -> bool:
    """True where the field as sent is this very text, or the integer of this decimal text."""
    return raw is not None and (bytes(raw) == text.encode() or msgspec.json.decode(raw) == text)


def _is_number(raw: msgspec.Raw | None, seconds: float) -> bool:
    if raw is None or bytes(raw)[:1] not in b"-0123456789":
        return False
    return float(bytes(raw)) == seconds


def _quoted(table: pa.Table, name: str) -> pa.Array:
    """The column as JSON: each distinct text is quoted once; null stays `null`."""
    encoded = _flat(table, name).dictionary_encode(null_encoding="encode")
    quoted = [msgspec.json.encode(value).decode() for value in encoded.dictionary.to_pylist()]
    return pa.array(quoted, pa.large_string()).take(encoded.indices)


def _flat(table: pa.Table, name: str) -> pa.Array:
    """The column as one plain array; text as large_string."""
    array = table.column(name).combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string()) if pa.types.is_string(array.type) else array


def _iso(table: pa.Table, name: str) -> pa.Array:
    """The instants as ISO 8601 with offset; the dates repeat, so that each is written once."""
    instants = _flat(table, name)
    dates = instants.cast(pa.timestamp("us")).cast(pa.date32()).dictionary_encode()
    texts = dates.dictionary.cast(pa.string()).take(dates.indices)
    return joined(texts, "T", instants.cast(pa.timestamp("us")).cast(pa.time64("us")).cast(pa.string()), "+00:00")


_OBJECT = msgspec.json.Decoder(Object)
