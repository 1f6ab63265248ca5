"""What values a field was seen to have, and the type that follows. Pure.

Law: values seen together give one type in whatever order, except where they contradict each other at the top: then the
first one decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from headgate.core.analytics.kinds import Kind, ListOf, Member, Struct
from headgate.core.analytics.names import column_name

MAX_DEPTH = 8  # levels of struct and list; below there is JSON text
MAX_NULLS = 1_000  # fields of one struct that are known to be null
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
EXACT_INT = 1 << 53  # integers up to here are exact as doubles

Fields = dict[str, msgspec.Raw]
FIELDS = msgspec.json.Decoder(Fields)
_NOT_PLAIN = re.compile(r'[\x00-\x1f"\\]')  # what msgspec refuses in the names of a struct's fields
_ANY = msgspec.json.Decoder()


@dataclass(slots=True)
class Seen:
    """Values of one field.

    Attributes:
        order: `bool`, `number`, `string`, `object`, `list`: those that were seen, first one first.
        doubles: True where a number had a fraction or an exponent.
        members: of objects, by their names as sent.
        elements: of arrays.
        is_empty_list: True where an array without any value was seen.
        is_unfit: True where a number was seen that no column can hold.
    """

    order: dict[str, None] = field(default_factory=dict)
    doubles: bool = False
    members: dict[str, Seen] = field(default_factory=dict)
    elements: Seen | None = None
    is_empty_list: bool = False
    is_unfit: bool = False

    def add(self, value: Any, depth: int = 0) -> None:
        """Take one more value, decoded."""
        if value is None:
            return
        if isinstance(value, bool):
            self.order.setdefault("bool")
        elif isinstance(value, int):
            if INT64_MIN <= value <= INT64_MAX:
                self.order.setdefault("number")
            else:
                self.is_unfit = True
        elif isinstance(value, float):
            self.order.setdefault("number")
            self.doubles = True
        elif isinstance(value, str):
            self.order.setdefault("string")
        elif depth >= MAX_DEPTH:
            self.order.setdefault("deep")
        elif isinstance(value, dict):
            self.order.setdefault("object")
            for name, inner in value.items():
                self.members.setdefault(name, Seen()).add(inner, depth + 1)
        else:
            self._add_list(value, depth)

    def _add_list(self, values: list[Any], depth: int) -> None:
        self.order.setdefault("list")
        self.elements = self.elements or Seen()
        for value in values:
            self.elements.add(value, depth + 1)
        if all(value is None for value in values):
            self.is_empty_list = True


def observe(documents: Iterable[bytes | str]) -> dict[str, Seen]:
    """What the fields of some objects hold, by name as sent, in the order in which they were met."""
    found: dict[str, Seen] = {}
    for document in documents:
        for name, raw in FIELDS.decode(document).items():
            seen = found.setdefault(name, Seen())
            try:
                seen.add(_ANY.decode(raw))
            except msgspec.DecodeError:  # a number beyond all doubles
                seen.is_unfit = True
    return found


def choose(seen: Seen, *, is_inner: bool = False) -> Kind | None:
    """The type for values seen, None where nothing but nulls and empty arrays was.

    Args:
        seen: the values.
        is_inner: True below the top, where contradicting values and arrays without any make JSON text; at the top the
            first value decides, and an array without any has no type yet.
    """
    if not seen.order:
        return "json" if is_inner and seen.is_unfit else None
    if is_inner and (len(seen.order) > 1 or seen.is_unfit):
        return "json"
    match next(iter(seen.order)):
        case "bool":
            return "bool"
        case "number":
            return "double" if seen.doubles else "bigint"
        case "string":
            return "string"
        case "object":
            return _struct(seen)
        case "list":
            return _list(seen, is_inner=is_inner)
    return "json"


def is_plain(name: str) -> bool:
    """True where the decoder can look for a field of this name; for others it must be looked for one by one."""
    return _NOT_PLAIN.search(name) is None


def _struct(seen: Seen) -> Kind:
    if not all(map(is_plain, seen.members)):
        return "json"
    grown = _grown(Struct(()), seen)
    return grown if grown.members else "json"


def _grown(known: Struct, seen: Seen) -> Struct:
    """A struct, with the members added that were seen beside its own."""
    names = {member.field for member in known.members}
    taken = {member.column.casefold() for member in known.members}
    new: list[Member] = []
    nulls = dict.fromkeys(known.nulls)
    for name, inner in seen.members.items():
        if name in names or not is_plain(name):
            continue
        if (kind := choose(inner, is_inner=True)) is not None:
            column = column_name(name, taken)
            taken.add(column.casefold())
            new.append(Member(name, column, kind))
            nulls.pop(name, None)
        elif len(nulls) < MAX_NULLS:
            nulls.setdefault(name)
    return Struct((*known.members, *new), tuple(nulls))


def _list(seen: Seen, *, is_inner: bool) -> Kind | None:
    element = choose(seen.elements or Seen(), is_inner=True)
    if element is None:
        return "json" if is_inner else None
    return "json" if element == "json" else ListOf(element)


def widen(kind: Kind, seen: Seen) -> Kind:
    """A column's type, grown as far as it can take in what was seen: integer to double, more members of a struct."""
    if kind == "bigint" and seen.doubles:
        return "double"
    if isinstance(kind, Struct) and seen.members:
        grown = tuple(
            replace(member, kind=widen(member.kind, seen.members[member.field]))
            if member.field in seen.members
            else member
            for member in kind.members
        )
        return _grown(Struct(grown, kind.nulls), seen)
    if isinstance(kind, ListOf) and seen.elements is not None:
        return ListOf(widen(kind.element, seen.elements))
    return kind
