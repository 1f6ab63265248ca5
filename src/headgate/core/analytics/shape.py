"""What one typed table does with each field of its events, and how that grows with what is seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from headgate.core.analytics.kinds import Kind, Member, Struct, leaves
from headgate.core.analytics.names import column_name
from headgate.core.analytics.policy import Contract, Policy
from headgate.core.analytics.seen import Seen, choose, widen
from headgate.core.schema import EVENTS

#: Why a field has no column: nothing but nulls and empty arrays yet; the contract; the table has columns enough.
Aside = Literal["untyped", "frozen", "full", "dropped"]

RESCUED = "_rescued"
MAX_ASIDE = 1_000  # fields without a column that are known by name; more are found out one by one
_OWN = frozenset(name.casefold() for name in (*EVENTS.names, RESCUED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One table's knowledge of fields.

    Attributes:
        event_name: whose table it is.
        members: the columns made of fields.
        aside: fields that go to `_rescued`, or nowhere (`dropped`; that may be one that has a column).
    """

    event_name: str
    members: tuple[Member, ...] = ()
    aside: tuple[tuple[str, Aside], ...] = ()


def begin(event_name: str, members: tuple[Member, ...], contract: Contract) -> Shape:
    """The shape of a table before any event of a run was seen."""
    dropped = [m.field for m in members if contract.policy(event_name, m.field) == "drop"]
    return Shape(event_name=event_name, members=members, aside=tuple((name, "dropped") for name in dropped))


def grow(shape: Shape, seen: Mapping[str, Seen], contract: Contract) -> Shape:
    """The shape that knows the fields seen, as far as the contract allows.

    Args:
        shape: what was known; its columns stay what they are or become wider.
        seen: fields of events, without the common ones.
        contract: policies, and how many columns there may be.
    """
    members = {member.field: member for member in shape.members}
    aside = dict(shape.aside)
    room = contract.max_columns - sum(leaves(member.kind) for member in shape.members)
    taken = {*_OWN, *(member.column.casefold() for member in shape.members)}
    for name, values in seen.items():
        policy = contract.policy(shape.event_name, name)
        if (known := members.get(name)) is not None:
            if policy == "evolve":
                kind = widen(known.kind, values)
                if leaves(kind) - leaves(known.kind) <= room:
                    room -= leaves(kind) - leaves(known.kind)
                    members[name] = replace(known, kind=kind)
            continue
        if aside.get(name, "untyped") != "untyped":
            continue  # settled for this run: what is learnt only ever grows, so that learning comes to an end
        found = _found(values, policy, room)
        if isinstance(found, tuple):
            column = column_name(name, taken)
            taken.add(column.casefold())
            members[name] = Member(name, column, found[0])
            room -= leaves(found[0])
            aside.pop(name, None)
        elif found is not None and (name in aside or len(aside) < MAX_ASIDE):
            aside[name] = found
    return Shape(event_name=shape.event_name, members=tuple(members.values()), aside=tuple(aside.items()))


def _found(values: Seen, policy: Policy, room: int) -> tuple[Kind] | Aside | None:
    """A new field's type in a tuple, or why it has none; None where it is to be looked at again each time."""
    if policy == "drop":
        return "dropped"
    if policy == "freeze":
        return "frozen"
    kind: Kind | None = "json" if policy == "text" and values.order else choose(values)
    if kind is None:
        return None if values.is_unfit else "untyped"
    if leaves(kind) > room:
        kind = "json" if isinstance(kind, Struct) and room else kind
    return (kind,) if leaves(kind) <= room else "full"
