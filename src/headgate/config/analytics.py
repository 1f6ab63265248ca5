"""The specification of `[analytics]`: policies and limits of the typed tables."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Policy = Literal["evolve", "freeze", "text", "drop"]


class FieldPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The policy for some fields; the more exact entry wins (table and field, field, table), of equals the last."""

    policy: Annotated[
        Policy,
        Meta(
            description="evolve: new columns, growing types; freeze: what does not fit goes to `_rescued`; "
            "text: a new column of JSON text; drop: not stored, only counted."
        ),
    ]
    table: Annotated[str | None, Meta(description="Event name; by default all.")] = None
    field: Annotated[str | None, Meta(description="Top field of the event, as sent; by default all.")] = None


class Analytics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Typed tables, one an event name, that `headgate build` makes."""

    policy: Annotated[Policy, Meta(description="What becomes of a field that a table does not know.")] = "evolve"
    max_columns: Annotated[
        int, Meta(ge=1, le=10_000, description="Columns a table, fields of structs included; more go to `_rescued`.")
    ] = 500
    max_tables: Annotated[
        int, Meta(ge=0, le=100_000, description="Tables; further event names share `analytics/_other`, as text.")
    ] = 1000
    fields: Annotated[
        tuple[FieldPolicy, ...],
        Meta(description="Policies of single tables and fields: [[analytics.fields]] with table, field and policy."),
    ] = ()
