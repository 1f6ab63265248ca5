"""Decoders made for a table's shape: JSON text to objects with one attribute a column, and these to Arrow. Pure.

Whatever the decoder takes fits its column exactly: integers within 64 bits, in doubles only those that a double holds,
no unknown member of an object. It is as strict as the types of kinds.py; what it refuses, fit.py looks at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from msgspec import Meta, Raw

from headgate.core.analytics.kinds import Kind, ListOf, Struct, arrow_type
from headgate.core.analytics.seen import EXACT_INT, INT64_MAX, INT64_MIN, is_plain
from headgate.core.analytics.shape import Shape

_SCALARS: dict[str, Any] = {
    "bool": bool | None,
    "bigint": Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)] | None,
    "double": Annotated[int, Meta(ge=-EXACT_INT, le=EXACT_INT)] | float | None,
    "string": str | None,
    "json": Raw,  # null is its text then
}
_NULL = b"null"


@dataclass(frozen=True, slots=True)
class ShapeDecoder:
    """The decoder of one shape.

    Attributes:
        decode: one JSON object to an instance; raises msgspec.DecodeError where it does not fit.
        empty: the instance of `{}`.
        asides: getters of the raw values of `Shape.aside` by name, but for odd names.
        members: getters of the columns' values, in the order of `Shape.members`; None for one that is dropped, or whose
            name is odd: a payload that has such a field is refused.
    """

    decode: Any
    empty: Any
    asides: dict[str, attrgetter[Any]]
    members: tuple[attrgetter[Any] | None, ...]


def decoder_of(shape: Shape, envelope: Collection[str]) -> ShapeDecoder:
    """Make the decoder.

    Args:
        shape: of the table.
        envelope: fields that are not the table's: they are read over.
    """
    dropped = {name for name, _ in shape.aside}
    aside = {name: f"a{i}" for i, (name, _) in enumerate(shape.aside) if is_plain(name)}
    fields: list[tuple[str, Any, Any]] = [(attribute, Raw, None) for attribute in aside.values()]
    rename = {attribute: name for name, attribute in aside.items()}
    getters: list[attrgetter[Any] | None] = []
    for i, member in enumerate(shape.members):
        if member.field in dropped or not is_plain(member.field):
            getters.append(None)
            continue
        fields.append((f"m{i}", _python_type(member.kind), None))
        rename[f"m{i}"] = member.field
        getters.append(attrgetter(f"m{i}"))
    for i, name in enumerate(sorted(set(filter(is_plain, envelope)) - set(rename.values()))):
        fields.append((f"e{i}", Raw, None))
        rename[f"e{i}"] = name
    row = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
    decode = msgspec.json.Decoder(row).decode
    asides = {name: attrgetter(attribute) for name, attribute in aside.items()}
    return ShapeDecoder(decode, row(), asides, tuple(getters))


@lru_cache(maxsize=4096)
def value_decoder(kind: Kind) -> msgspec.json.Decoder[Any]:
    """The decoder of one column's value, for looking at values one by one."""
    return msgspec.json.Decoder(_python_type(kind))


def column(values: Sequence[Any], kind: Kind) -> pa.Array:
    """Decoded values as a column.

    Args:
        values: as the decoder gave them; None is null.
        kind: the column's type.
    """
    if kind == "json":
        raw = [None if value is None else bytes(value) for value in values]
        return pa.array([None if text == _NULL else text for text in raw], pa.binary()).cast(pa.string())
    if isinstance(kind, Struct):
        return _struct_column(values, kind)
    if isinstance(kind, ListOf) and isinstance(kind.element, Struct | ListOf):
        return _list_column(values, kind)
    return pa.array(values, arrow_type(kind))


def _struct_column(values: Sequence[Any], kind: Struct) -> pa.Array:
    missing = [value is None for value in values]
    has_missing = True in missing
    if has_missing:
        empty = _struct_type(kind)()
        values = [empty if value is None else value for value in values]
    children = [column(list(map(attrgetter(f"m{i}"), values)), member.kind) for i, member in enumerate(kind.members)]
    fields = list(arrow_type(kind))
    mask = pa.array(missing, pa.bool_()) if has_missing else None
    return pa.StructArray.from_arrays(children, fields=fields, mask=mask)


def _list_column(values: Sequence[Any], kind: ListOf) -> pa.Array:
    offsets: list[int | None] = []
    elements: list[Any] = []
    for value in values:
        offsets.append(None if value is None else len(elements))
        elements += value or ()
    ends = pa.array([*offsets, len(elements)], pa.int32())
    return pa.ListArray.from_arrays(ends, column(elements, kind.element), type=arrow_type(kind))


def _python_type(kind: Kind) -> Any:
    if isinstance(kind, Struct):
        return _struct_type(kind) | None
    if isinstance(kind, ListOf):
        return list[_python_type(kind.element)] | None  # type: ignore[misc]  # a type made at run time
    return _SCALARS[kind]


@lru_cache(maxsize=4096)
def _struct_type(kind: Struct) -> Any:
    fields = [(f"m{i}", _python_type(member.kind), None) for i, member in enumerate(kind.members)]
    rename = {f"m{i}": member.field for i, member in enumerate(kind.members)}
    fields += [(f"n{i}", None, None) for i in range(len(kind.nulls))]
    rename |= {f"n{i}": name for i, name in enumerate(kind.nulls)}
    return msgspec.defstruct("Inner", fields, rename=rename, forbid_unknown_fields=True, gc=False)
