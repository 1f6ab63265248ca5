"""A person's predicate in SQL over the columns of an event, asked in a locked database. Pure, but for DuckDB's memory.

Law: it is an expression about one row. What reads anything else (a subquery, another statement, files, the network) is
refused before a row is looked at.
"""

from __future__ import annotations

import json

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.core.schema import EVENTS
from headgate.errors import ConfigError

Mask = npt.NDArray[np.bool_]

_ROW = "_row"
_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
}


class Predicate:
    """A predicate, compiled and tried on an empty table."""

    def __init__(self, text: str) -> None:
        """Compile it.

        Args:
            text: SQL over the columns of `events`, such as `payload->>'account_id' = '42'`.

        Raises:
            ConfigError: it is no SQL, no boolean, names no column of an event, or looks beyond the row.
        """
        self._text = text
        self._connection = duckdb.connect(config=_LOCKED)
        self._connection.execute("SET TimeZone='UTC'")
        self._connection.execute("SET lock_configuration=true")
        self._check_form()
        try:
            self._connection.register("events", EVENTS.empty_table())
            kind = self._connection.sql(f"SELECT (\n{text}\n) AS holds FROM events").types[0]  # noqa: S608  checked
        except duckdb.Error as error:
            raise ConfigError(f"--where: {_first_line(error)}") from None
        if str(kind) != "BOOLEAN":
            raise ConfigError(f"--where {text!r} is {kind}, not true or false: compare with something")
        self.holds(EVENTS.empty_table())
        self.may_hold(EVENTS.empty_table())

    def holds(self, events: pa.Table) -> Mask:
        """Which events the predicate holds for; null is not true.

        Args:
            events: EVENTS (n).

        Returns:
            (n) bool.

        Raises:
            ConfigError: it fails on an event.
        """
        return self._asked(events, f"(\n{self._text}\n)")

    def may_hold(self, events: pa.Table) -> Mask:
        """Like `holds`, of texts that may be no JSON; where it fails it does not hold."""
        safe = f"CASE WHEN json_valid(payload) THEN coalesce(TRY((\n{self._text}\n)), false) ELSE false END"
        return self._asked(events, safe)

    def _asked(self, events: pa.Table, condition: str) -> Mask:
        rows = events.select(EVENTS.names).append_column(_ROW, pa.array(np.arange(events.num_rows), pa.int64()))
        self._connection.register("events", rows)
        try:
            query = f"SELECT {_ROW} FROM events WHERE {condition}"  # noqa: S608  checked when it was compiled
            found = self._connection.sql(query).to_arrow_table()[_ROW].to_numpy()
        except duckdb.Error as error:
            raise ConfigError(
                f"--where fails: {_first_line(error)}; TRY(...) gives null where an expression fails"
            ) from None
        finally:
            self._connection.unregister("events")
        mask = np.zeros(events.num_rows, dtype=np.bool_)
        mask[found] = True
        return mask

    def _check_form(self) -> None:
        """Refuse everything but one expression without a subquery."""
        try:
            asked = self._connection.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{self._text}\n)"]).fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"--where: {_first_line(error)}") from None
        parsed = json.loads(asked[0][0])
        if parsed.get("error"):
            raise ConfigError(f"--where: {parsed.get('error_message')}")
        statements = parsed["statements"]
        node = statements[0]["node"] if len(statements) == 1 else {}
        if (
            node.get("type") != "SELECT_NODE"
            or len(node["select_list"]) != 1
            or node["from_table"]["type"] != "EMPTY"
            or any(node.get(part) for part in ("where_clause", "group_expressions", "having", "qualify", "sample"))
            or node["modifiers"]
        ):
            raise ConfigError("--where takes one expression over the columns of an event, and nothing around it")
        if _has_subquery(node["select_list"]):
            raise ConfigError("--where must not hold a subquery: it is asked about one row at a time")


def _has_subquery(node: object) -> bool:
    if isinstance(node, dict):
        return node.get("class") == "SUBQUERY" or any(map(_has_subquery, node.values()))
    return isinstance(node, list) and any(map(_has_subquery, node))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
