"""Lines that a delivery service carries: those of the json format, and every payload comes back byte for byte.

Law: `read_lines(delivery_lines(events))` gives the same events, payloads included. A line that does not show its
payload as it was sent (a repeated field, a time in milliseconds, a line end between two fields) carries it in
`_headgate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.partition import fits
from headgate.core.schema import EVENTS
from headgate.lake import jsonl

_SEQUENCE = re.compile(r"(0|[1-9][0-9]{0,57})(#[0-9]{1,9})?")
_INTEGER = re.compile(rb"-?[0-9]+")


class Read(NamedTuple):
    """Lines taken apart.

    Attributes:
        events: EVENTS, one row a line that is one of ours.
        strange: numbers of the lines that are not.
    """

    events: pa.Table
    strange: Sequence[int]


def delivery_lines(events: pa.Table, *, is_own_envelope: bool) -> pa.Array:
    """One line for each event, without line end.

    Args:
        events: EVENTS columns.
        is_own_envelope: see `jsonl.event_lines`.

    Returns:
        A string array of the table's length.
    """
    if not events.num_rows:
        return pa.array([], pa.large_string())
    events = events.combine_chunks()
    lines = jsonl.event_lines(events, is_own_envelope=is_own_envelope)
    payload = events["payload"].combine_chunks().cast(pa.large_string())
    rows = np.flatnonzero(~_is_exact(lines, payload, jsonl.own_fields(events)))
    if not len(rows):
        return lines
    unlike = [column.take(pa.array(rows)).to_pylist() for column in (lines, payload)]
    carried = [_carrying(line, text) for line, text in zip(*unlike, strict=True)]
    mask = np.zeros(len(lines), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(lines, pa.array(mask), pa.array(carried, pa.large_string()))


def read_lines(lines: Sequence[bytes]) -> Read:
    """Take lines apart.

    Args:
        lines: with or without line ends, none of them blank.
    """
    found: list[_Line] = []
    mine: list[bytes] = []
    strange: list[int] = []
    for number, line in enumerate(lines):
        try:
            one = _LINE.decode(line)
            if not _is_sound(one):
                strange.append(number)
                continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            strange.append(number)
            continue
        found.append(one)
        mine.append(line.strip())
    return Read(_table(found, mine), strange)


class _Headgate(msgspec.Struct):
    arrived_at: datetime
    source: str
    shard: str
    sequence: str
    payload: str | None = None


class _Line(msgspec.Struct, rename={"headgate": "_headgate"}):
    event_uuid: msgspec.Raw
    event_name: str
    event_type: str
    event_subtype: str | None
    created_at: float
    created_datetime: datetime
    created_date: date
    headgate: _Headgate


_LINE = msgspec.json.Decoder(_Line)


def _is_exact(lines: pa.Array, payload: pa.Array, own: pa.Array) -> npt.NDArray[np.bool_]:
    """Where a line is its payload with our fields at its end."""
    opened = pc.binary_slice(payload.cast(pa.large_binary()), 0, -1).cast(pa.large_string())
    return np.asarray(pc.equal(jsonl.joined(opened, ",", own, "}"), lines))


def _carrying(line: str, payload: str) -> str:
    """The line with the payload in its `_headgate`."""
    fields = _OBJECT.decode(line)
    own = _OBJECT.decode(fields["_headgate"])
    own["payload"] = msgspec.Raw(msgspec.json.encode(payload))
    fields["_headgate"] = msgspec.Raw(msgspec.json.encode(own))
    return msgspec.json.encode(fields).decode()


def _is_sound(line: _Line) -> bool:
    """True where the fields are such as we write."""
    raw, own = bytes(line.event_uuid), line.headgate
    return (
        (raw.startswith(b'"') or _INTEGER.fullmatch(raw) is not None)
        and own.arrived_at.tzinfo is not None
        and line.created_datetime.tzinfo is not None
        and _SEQUENCE.fullmatch(own.sequence) is not None
        and "\0" not in own.source + own.shard
        and fits(line.event_type)
    )


def _table(found: Sequence[_Line], lines: Sequence[bytes]) -> pa.Table:
    columns = {
        "event_uuid": [_id(line.event_uuid) for line in found],
        "event_name": [line.event_name for line in found],
        "event_type": [line.event_type for line in found],
        "event_subtype": [line.event_subtype for line in found],
        "created_at": [line.created_at for line in found],
        "created_datetime": [line.created_datetime for line in found],
        "created_date": [line.created_date for line in found],
        "payload": [""] * len(found),
        "arrived_at": [line.headgate.arrived_at for line in found],
        "source": [line.headgate.source for line in found],
        "shard": [line.headgate.shard for line in found],
        "sequence": [line.headgate.sequence for line in found],
    }
    table = pa.table({name: pa.array(values, EVENTS.field(name).type) for name, values in columns.items()})
    if not found:
        return table.cast(EVENTS)
    own = jsonl.own_fields(table).to_pylist()
    payload = [_payload(*pair) for pair in zip(found, lines, own, strict=True)]
    at = table.schema.get_field_index("payload")
    return table.set_column(at, EVENTS.field("payload"), pa.array(payload, pa.string()))


def _id(raw: msgspec.Raw) -> str:
    """An id as text: a string's content, or an integer's digits."""
    written = bytes(raw)
    return str(msgspec.json.decode(written)) if written.startswith(b'"') else written.decode()


def _payload(line: _Line, text: bytes, own: str) -> str:
    if line.headgate.payload is not None:
        return line.headgate.payload
    end = f",{own}}}".encode()
    return (text[: -len(end)] + b"}").decode() if text.endswith(end) else jsonl.original(text)


_OBJECT = msgspec.json.Decoder(jsonl.Object)
