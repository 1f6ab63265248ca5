"""Payloads to typed columns by Arrow's JSON reader, where each of them fits the table's shape as it is. Pure.

Law: what is given is what fit.py's decoder would give, bit for bit; where that is not sure, nothing is given. The
reader refuses unknown and repeated fields, values of another type and integers beyond 64 bits. It takes integers for
doubles that no double holds, and `-0` for -0.0: blocks with such values are left to the decoder.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from headgate.core.analytics.kinds import Kind, ListOf, Struct, arrow_type
from headgate.core.analytics.seen import EXACT_INT, FIELDS
from headgate.core.analytics.shape import Shape

MAX_BYTES = 1 << 30  # of a block: the reader counts them in 32 bits
_NOTHING, _LINE_END = (pa.scalar(text, pa.large_binary()) for text in (b"", b"\n"))
_ENVELOPE_TYPES = {str: pa.string(), int: pa.float64(), float: pa.float64(), bool: pa.bool_(), type(None): pa.null()}


def columns_of(payloads: pa.Array, shape: Shape, envelope: Collection[str]) -> list[pa.Array] | None:
    """The columns of `shape.members`, where all payloads fit them and hold nothing else.

    Args:
        payloads: string or binary without nulls; each is a JSON object that was admitted.
        shape: of the table; it knows every field. Fields without a column may be null, and `[]` while untyped.
        envelope: top fields of an event that are no columns.

    Returns:
        An array a member, then `_rescued`; None where a payload is to be looked at more closely.
    """
    schema = _schema(payloads[0].as_py(), shape, envelope)
    if schema is None:
        return None
    lines = pc.binary_join_element_wise(payloads.cast(pa.large_binary()), _NOTHING, _LINE_END)
    ends, size = lines.buffers()[1], lines.buffers()[2].size
    if size > MAX_BYTES:
        return None
    start, stop = (int(np.frombuffer(ends, np.int64)[lines.offset + i]) for i in (0, len(lines)))
    try:
        rows = pj.read_json(
            pa.BufferReader(lines.buffers()[2].slice(start, stop - start)),
            read_options=pj.ReadOptions(use_threads=False, block_size=stop - start + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        return None
    if rows.num_rows != len(payloads):
        return None  # a line end between two fields: counted as two
    dropped = {name for name, _ in shape.aside}
    columns = []
    for member in shape.members:
        wanted = arrow_type(member.kind)
        column = pa.nulls(rows.num_rows, wanted) if member.field in dropped else _made(rows[member.field], member.kind)
        if column is None:
            return None
        columns.append(column)
    rescued = _rescued(rows, payloads, [name for name, why in shape.aside if why == "untyped"])
    return None if rescued is None else [*columns, rescued]


def _rescued(rows: pa.Table, payloads: pa.Array, untyped: list[str]) -> pa.Array | None:
    """`_rescued` where fields without a type are empty arrays; None where they are not, or not spelled `[]`."""
    members = pa.nulls(len(payloads), pa.string())
    for name in untyped:
        column = rows[name].combine_chunks()
        if len(column.flatten()):
            return None
        if column.null_count < len(column):
            member = pc.if_else(column.is_valid(), f"{msgspec.json.encode(name).decode()}:[]", None)
            both = pc.binary_join_element_wise(members, member, ",")  # null where one of them is
            members = pc.coalesce(both, members, member)
    if members.null_count < len(members) and pc.any(pc.match_substring_regex(payloads, r"\[[ \t\r\n]+\]")).as_py():
        return None
    return pc.binary_join_element_wise("{", members, "}", "")


def _schema(first: str | bytes, shape: Shape, envelope: Collection[str]) -> pa.Schema | None:
    """What the reader is told; None where the first payload shows that it cannot be told."""
    types: dict[str, pa.DataType] = {member.field: _read_as(member.kind) for member in shape.members}
    types |= {name: pa.list_(pa.null()) if why == "untyped" else pa.null() for name, why in shape.aside}
    fields = FIELDS.decode(first)
    for name in envelope:
        if name in types:
            continue
        value = msgspec.json.decode(fields[name]) if name in fields else None
        if type(value) not in _ENVELOPE_TYPES:
            return None
        types[name] = _ENVELOPE_TYPES[type(value)]
    return pa.schema(list(types.items()))


def _read_as(kind: Kind) -> pa.DataType:
    """The type that the reader is to find; objects by the names of their fields as sent."""
    if isinstance(kind, Struct):
        members = [pa.field(member.field, _read_as(member.kind)) for member in kind.members]
        return pa.struct([*members, *(pa.field(name, pa.null()) for name in kind.nulls)])
    if isinstance(kind, ListOf):
        return pa.list_(pa.field("element", _read_as(kind.element)))
    return pa.null() if kind == "json" else arrow_type(kind)


def _made(column: pa.ChunkedArray, kind: Kind) -> pa.Array | None:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return _shaped(array, kind) if _is_exact(array) else None


def _shaped(array: pa.Array, kind: Kind) -> pa.Array:
    """What was read in the column's own type."""
    wanted = arrow_type(kind)
    if array.type == wanted:
        return array
    if isinstance(kind, Struct):
        inner = [_shaped(array.field(i), member.kind) for i, member in enumerate(kind.members)]
        return pa.StructArray.from_arrays(
            inner, fields=list(wanted), mask=array.is_null() if array.null_count else None
        )
    if isinstance(kind, ListOf):
        return _list(array, kind, wanted)
    return pa.nulls(len(array), wanted)


def _list(array: Any, kind: ListOf, wanted: pa.DataType) -> pa.Array:
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(array.offsets, _shaped(array.values, kind.element), type=wanted, mask=mask)


def _is_exact(array: Any) -> bool:
    """True where no double may stand for an integer that it does not hold, nor -0.0 for an integer."""
    if pa.types.is_float64(array.type):
        values = pc.drop_null(array).to_numpy(zero_copy_only=False)
        return not (np.any(np.abs(values) >= EXACT_INT) or np.any((values == 0) & np.signbit(values)))
    if pa.types.is_struct(array.type):
        return all(_is_exact(array.field(i)) for i in range(array.type.num_fields))
    return _is_exact(array.values) if pa.types.is_list(array.type) else True
