"""Rows of an earlier shape as rows of a later one: new columns are null, integers become doubles. Pure.

An integer that no double holds leaves its column for `_rescued`; of a struct or list that holds such a one, the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.analytics.kinds import Kind, ListOf, Member, Struct, arrow_type
from headgate.core.analytics.seen import EXACT_INT, Fields
from headgate.core.analytics.shape import RESCUED
from headgate.core.schema import EVENTS

#: Columns that every typed table has before those of the fields; of `_other`, with the payload behind them.
COMMON = pa.schema([field for field in EVENTS if field.name != "payload"])
_RESCUED_FIELD = pa.field(RESCUED, pa.string())


def arrow_schema(members: Sequence[Member]) -> pa.Schema:
    """A typed table's columns."""
    made = [pa.field(member.column, arrow_type(member.kind)) for member in members]
    return pa.schema([*COMMON, *made, _RESCUED_FIELD])


def align(rows: pa.Table, members: Sequence[Member]) -> pa.Table:
    """Bring rows to the columns of a shape.

    Args:
        rows: columns of COMMON (with or without `created_date`), of an earlier shape of the same table, and `_rescued`.
        members: the later shape's.

    Returns:
        The same rows; columns in the order of `arrow_schema`.
    """
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    rescued: dict[int, dict[str, msgspec.Raw]] = {}
    for member in members:
        wanted = arrow_type(member.kind)
        if member.column not in columns:
            columns[member.column] = pa.nulls(rows.num_rows, wanted)
        elif columns[member.column].type != wanted:
            columns[member.column] = _cast(columns[member.column].combine_chunks(), member, wanted, rescued)
    if rescued:
        columns[RESCUED] = _merged(columns[RESCUED].to_pylist(), rescued)
    schema = pa.schema([field for field in arrow_schema(members) if field.name in columns])
    return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)


def _cast(values: Any, member: Member, wanted: pa.DataType, rescued: dict[int, dict[str, msgspec.Raw]]) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    inexact = _inexact(values, wanted)
    if inexact.any():
        for i in np.flatnonzero(inexact).tolist():
            text = msgspec.json.encode(_sent(values[i].as_py(), member.kind))
            rescued.setdefault(i, {})[member.field] = msgspec.Raw(text)
        values = pc.if_else(pa.array(inexact), pa.scalar(None, values.type), values)
    return values.cast(wanted)


def _inexact(values: pa.Array, wanted: pa.DataType) -> npt.NDArray[np.bool_]:
    """Rows that hold an integer which becomes a double and is none."""
    found = np.zeros(len(values), dtype=np.bool_)
    if pa.types.is_struct(values.type):
        for inner, field in zip(values.flatten(), values.type, strict=True):
            found |= _inexact(inner, wanted.field(field.name).type)
    elif pa.types.is_list(values.type):
        parents = np.asarray(values.value_parent_indices())
        found[parents[_inexact(values.flatten(), wanted.value_type)]] = True
    elif pa.types.is_int64(values.type) and pa.types.is_float64(wanted):
        is_far = pc.or_(pc.greater(values, EXACT_INT), pc.less(values, -EXACT_INT))
        found |= np.asarray(pc.fill_null(is_far, False))
    return found


def _sent(value: Any, kind: Kind) -> Any:
    """A value as the event had it, but for what was null."""
    if value is None:
        return None
    if isinstance(kind, Struct):
        inner = {member.field: _sent(value.get(member.column), member.kind) for member in kind.members}
        return {name: item for name, item in inner.items() if item is not None}
    if isinstance(kind, ListOf):
        return [_sent(item, kind.element) for item in value]
    return msgspec.Raw(value.encode()) if kind == "json" else value


def _merged(texts: list[str | None], more: dict[int, dict[str, msgspec.Raw]]) -> pa.Array:
    for i, fields in more.items():
        known = msgspec.json.decode(texts[i] or "{}", type=Fields)
        texts[i] = msgspec.json.encode({**known, **fields}).decode()
    return pa.array(texts, pa.string())
