"""User rules: SQL predicates over the columns of an event. Pure, but for DuckDB's own memory.

An event breaks a rule where `when` is true (or not given) and `check` is not true: null, or an expression that
fails on this event, is not true either. The first broken rule, in the order of the configuration, is the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.reasons import RULE_PREFIX
from headgate.core.verdicts import event_rows
from headgate.errors import ConfigError

#: What a rule sees of an event; `payload` is its JSON text (`payload->>'amount'`).
RULE_COLUMNS = pa.schema(
    [
        pa.field("event_uuid", pa.string()),
        pa.field("event_name", pa.string()),
        pa.field("event_type", pa.string()),
        pa.field("event_subtype", pa.string()),
        pa.field("created_at", pa.float64()),
        pa.field("created_datetime", pa.timestamp("us", tz="UTC")),
        pa.field("created_date", pa.date32()),
        pa.field("payload", pa.string()),
        pa.field("arrived_at", pa.timestamp("us", tz="UTC")),
        pa.field("source", pa.string()),
        pa.field("shard", pa.string()),
    ]
)


CLOCK = re.compile(
    r"\b(now|today|get_current_timestamp|transaction_timestamp)\s*\(|\b(current_(date|time|timestamp)|local(time|timestamp))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named predicate.

    Attributes:
        name: letters, digits and `_`; the reject reason is `rule:<name>`.
        check: SQL predicate that an event must satisfy.
        when: SQL predicate that says which events the rule is for; None for all.
    """

    name: str
    check: str
    when: str | None = None

    def kept(self) -> str:
        """The SQL expression that is true where the rule is kept, false where broken, null where it does not apply."""
        check = f"coalesce(TRY(({self.check}\n)), false)"
        return check if self.when is None else f"CASE WHEN coalesce(TRY(({self.when}\n)), false) THEN {check} END"


class Rules:
    """The rules of a configuration, compiled once and tried on an empty table."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Compile the rules.

        Raises:
            ConfigError: a predicate is no SQL, or names a column that an event does not have.
        """
        self._rules = list(rules)
        if not rules:
            return  # none at all cost nothing: to open an engine takes 40 ms
        self._connection = duckdb.connect(
            config={"enable_external_access": "false", "autoload_known_extensions": "false", "threads": "1"}
        )
        self._connection.execute("SET TimeZone = 'UTC'; SET lock_configuration = true")
        for rule in self._rules:
            if clock := CLOCK.search(f"{rule.when or ''} {rule.check}"):
                raise ConfigError(
                    f"[[rules]] {rule.name}: {clock[0]!r} makes the verdict depend on when it is asked; compare with "
                    f"arrived_at instead"
                )
            try:
                self._judge(RULE_COLUMNS.empty_table(), [rule])
            except duckdb.Error as error:
                first = str(error).splitlines()[0]
                raise ConfigError(f"[[rules]] {rule.name}: {first}; see `headgate init` for an example") from None

    def __bool__(self) -> bool:
        """True where there are rules."""
        return bool(self._rules)

    def judge(self, events: pa.Table) -> pa.Table:
        """Judge each event by each rule.

        Args:
            events: RULE_COLUMNS (n).

        Returns:
            (n) a column of bool for each rule, `rule:<name>`: true where it is kept, false where broken, null where it
            does not apply.
        """
        return self._judge(events, self._rules)

    def _judge(self, events: pa.Table, rules: Sequence[Rule]) -> pa.Table:
        columns = ", ".join(f'{rule.kept()} AS "{RULE_PREFIX}{rule.name}"' for rule in rules)
        self._connection.register("events", events)
        try:
            # DuckDB keeps the order of rows (preserve_insertion_order, on by default).
            query = f"SELECT {columns} FROM events"  # noqa: S608 - the user's own predicates
            table = self._connection.sql(query).to_arrow_table()
        finally:
            self._connection.unregister("events")
        # DuckDB would tell `a` and `A` apart by another name.
        return table.rename_columns([RULE_PREFIX + rule.name for rule in rules])


def first_broken(judged: pa.Table) -> pa.Array:
    """The reason for each event that breaks a rule.

    Args:
        judged: as `Rules.judge` gives it (n).

    Returns:
        (n) string: the name of the first column that is false, null where there is none.
    """
    reason = pa.nulls(judged.num_rows, pa.string())
    for name in reversed(judged.column_names):
        reason = pc.if_else(pc.fill_null(one_array(judged[name]), True), reason, pa.scalar(name))
    return reason


def apply_rules(parts: pa.Table, rules: Rules) -> pa.Table:
    """Reject the events that break a user's rule.

    Args:
        parts: enriched DECODED.
        rules: compiled; none at all cost nothing.

    Returns:
        `parts` with a column for each rule, see `Rules.judge`; null for what is no event. `reason`, `detail` and
        `warnings` are changed where a rule is broken.
    """
    if not rules:
        return parts
    events = np.flatnonzero(np.asarray(pc.is_null(parts["reason"])))
    rows = event_rows(parts.take(pa.array(events))).select(RULE_COLUMNS.names)
    judged = rules.judge(rows.cast(RULE_COLUMNS))
    for name in judged.column_names:
        parts = parts.append_column(name, _spread(one_array(judged[name]), events, parts.num_rows))
    broken = first_broken(judged)
    hits = np.flatnonzero(np.asarray(pc.is_valid(broken)))
    if not len(hits):
        return parts
    mask = np.zeros(parts.num_rows, dtype=np.bool_)
    mask[events[hits]] = True
    found = broken.take(pa.array(hits))
    reason = pc.replace_with_mask(one_array(parts["reason"]), pa.array(mask), found)
    detail = pc.if_else(pa.array(mask), pa.scalar("the rule's check is not true for this event"), parts["detail"])
    warnings = pc.if_else(pa.array(mask), pa.scalar(0, pa.uint16()), parts["warnings"])
    for name, column in (("reason", reason), ("detail", detail), ("warnings", warnings)):
        parts = parts.set_column(parts.schema.get_field_index(name), name, column)
    return parts


def _spread(values: pa.Array, rows: npt.NDArray[np.int64], n: int) -> pa.Array:
    """A column of bool of n rows that is null but for some of them."""
    index = np.full(n, -1, dtype=np.int64)
    index[rows] = np.arange(len(rows))
    return values.take(pa.array(index, mask=index < 0))
