"""The types that a column of a typed table may have, as Arrow, as Delta and for people. Pure.

The schema in a Delta table's log is the truth about its columns: each field's metadata says which field of the
event it holds (`headgate.field`), and whether its text is JSON (`headgate.kind`). So column and mapping appear in one
commit and cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa

Scalar = Literal["bool", "bigint", "double", "string", "json"]  # json: text that is one JSON value, as it was sent

FIELD_KEY = "headgate.field"
KIND_KEY = "headgate.kind"


@dataclass(frozen=True, slots=True)
class Member:
    """A column, or a field of a struct.

    Attributes:
        field: its name in the event, as sent.
        column: its name in the table.
        kind: its type.
    """

    field: str
    column: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Struct:
    """An object.

    Attributes:
        members: in the order in which they were found.
        nulls: fields that were null wherever they were seen; known for speed only, not a part of the table.
    """

    members: tuple[Member, ...]
    nulls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array whose elements all fit one type."""

    element: Kind


Kind: TypeAlias = Scalar | Struct | ListOf

_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
}
_DELTA = {"bool": "boolean", "bigint": "long", "double": "double", "string": "string", "json": "string"}
_KINDS: dict[str, Scalar] = {"boolean": "bool", "long": "bigint", "double": "double", "string": "string"}
_DELTA_COMMON = {pa.date32(): "date", pa.timestamp("us", tz="UTC"): "timestamp"}


def arrow_type(kind: Kind) -> pa.DataType:
    """The column's Arrow type."""
    if isinstance(kind, Struct):
        return pa.struct([pa.field(member.column, arrow_type(member.kind)) for member in kind.members])
    if isinstance(kind, ListOf):
        return pa.list_(pa.field("element", arrow_type(kind.element)))
    return _ARROW[kind]


def label(kind: Kind) -> str:
    """The type for people: `struct<a: bigint>`."""
    if isinstance(kind, Struct):
        return f"struct<{', '.join(f'{member.column}: {label(member.kind)}' for member in kind.members)}>"
    if isinstance(kind, ListOf):
        return f"list<{label(kind.element)}>"
    return kind


def leaves(kind: Kind) -> int:
    """How many columns the type takes in a file."""
    if isinstance(kind, Struct):
        return sum(leaves(member.kind) for member in kind.members)
    return leaves(kind.element) if isinstance(kind, ListOf) else 1


def is_widened(before: Kind, after: Kind) -> bool:
    """True where an integer became a double somewhere, so that files of the earlier type must be written anew."""
    if isinstance(before, Struct) and isinstance(after, Struct):
        return any(is_widened(a.kind, b.kind) for a, b in zip(before.members, after.members, strict=False))
    if isinstance(before, ListOf) and isinstance(after, ListOf):
        return is_widened(before.element, after.element)
    return before == "bigint" and after == "double"


def delta_schema(common: pa.Schema, members: Sequence[Member], last: Sequence[pa.Field]) -> dict[str, Any]:
    """A table's schema as the Delta protocol writes it.

    Args:
        common: columns that every typed table has, first.
        members: columns made of fields of the events.
        last: columns after these.
    """
    fields = [_delta_common(field) for field in common]
    fields += [_delta_member(member) for member in members]
    return {"type": "struct", "fields": [*fields, *(_delta_common(field) for field in last)]}


def members_of(schema: Mapping[str, Any]) -> tuple[Member, ...]:
    """The columns made of fields of the events, of a schema that `delta_schema` wrote; others are left out."""
    return tuple(_member(field) for field in schema["fields"] if FIELD_KEY in field.get("metadata", {}))


def _delta_common(field: pa.Field) -> dict[str, Any]:
    name = _DELTA_COMMON.get(field.type) or {pa.string(): "string", pa.float64(): "double"}[field.type]
    return {"name": field.name, "type": name, "nullable": True, "metadata": {}}


def _delta_member(member: Member) -> dict[str, Any]:
    metadata = {FIELD_KEY: member.field}
    if member.kind == "json":
        metadata[KIND_KEY] = "json"
    return {"name": member.column, "type": _delta_type(member.kind), "nullable": True, "metadata": metadata}


def _delta_type(kind: Kind) -> Any:
    if isinstance(kind, Struct):
        return {"type": "struct", "fields": [_delta_member(member) for member in kind.members]}
    if isinstance(kind, ListOf):
        return {"type": "array", "elementType": _delta_type(kind.element), "containsNull": True}
    return _DELTA[kind]


def _member(field: Mapping[str, Any]) -> Member:
    metadata = field["metadata"]
    kind: Kind = "json" if metadata.get(KIND_KEY) == "json" else _kind(field["type"])
    return Member(metadata.get(FIELD_KEY, field["name"]), field["name"], kind)


def _kind(written: Any) -> Kind:
    if isinstance(written, str):
        return _KINDS[written]
    if written["type"] == "struct":
        return Struct(tuple(_member(field) for field in written["fields"]))
    return ListOf(_kind(written["elementType"]))
