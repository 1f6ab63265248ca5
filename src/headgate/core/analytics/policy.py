"""What may become of a field that a typed table does not know yet: the contract of its schema. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: evolve: a new column, and types that grow; freeze: what does not fit goes to `_rescued`; text: a new column of JSON
#: text; drop: not stored, only counted.
Policy = Literal["evolve", "freeze", "text", "drop"]


class FieldPolicy(NamedTuple):
    """One line of the contract; None stands for every table or every field."""

    table: str | None
    field: str | None
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The policies of all tables.

    Attributes:
        default: where no line says otherwise.
        lines: the more exact one wins (table and field, field, table), of equals the last.
        max_columns: leaves of all columns that a table may have.
    """

    default: Policy = "evolve"
    lines: Sequence[FieldPolicy] = ()
    max_columns: int = 500

    def policy(self, table: str, field: str) -> Policy:
        """The policy for a field of an event name."""
        found, best = self.default, -1
        for line in self.lines:
            if line.table in (None, table) and line.field in (None, field):
                exactness = 2 * (line.field is not None) + (line.table is not None)
                if exactness >= best:
                    found, best = line.policy, exactness
        return found
