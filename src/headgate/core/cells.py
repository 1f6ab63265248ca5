"""Rows of `quality` joined to sums by time, event type and name: small whatever their number. Pure, columnar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import encode, one_array
from headgate.core.missing import COMMON, UNREADABLE

Rows = npt.NDArray[np.int64]

#: Columns of QUALITY that are added up; `looked` and `commits` are made here.
COUNTS = ("received", "accepted", "duplicates", "conflicts", "rejected", "payload_bytes", "looked", "commits")
#: Kept as whole microseconds, so that a sum is the same in whatever order and files its rows come.
SECONDS = ("dedup_seconds", "created_to_arrived_sum", "arrived_to_staged_sum")
LEAST = ("created_min",)
GREATEST = ("created_max", "arrived_max", "created_to_arrived_max", "arrived_to_staged_max")

#: Columns of maps. `looked_for` is made here: of each payload field the events in which it was looked for.
MAPS = (
    "reasons", "warnings", "missing", "rule_passes", "rule_failures", "units", "created_to_arrived",
    "arrived_to_staged",
)  # fmt: skip
LOOKED_FOR = "looked_for"

_KEYS = ("at", "type")
_UNREADABLE = pa.array([str(reason) for reason in UNREADABLE])
_PENDING = 500_000  # rows that wait to be joined with the others, 16 MB


class Names:
    """Event types and names of counts as small numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.types: list[str | None] = []
        self.keys: list[tuple[str, Any]] = []
        self._types: dict[str | None, int] = {}
        self._keys: dict[tuple[str, Any], int] = {}

    def type_codes(self, names: Sequence[str | None]) -> Rows:
        """Numbers of event types; None is a type like others."""
        return _codes(names, self._types, self.types)

    def key_codes(self, kind: str, names: Sequence[Any]) -> Rows:
        """Numbers of the names that a map has."""
        return _codes([(kind, name) for name in names], self._keys, self.keys)

    def of_kind(self, kind: str) -> dict[int, Any]:
        """Number to name, of a map."""
        return {code: name for code, (of, name) in enumerate(self.keys) if of == kind}


class Cells:
    """Sums by (time, type), and counts by (time, type, name). One instance belongs to one thread at a time.

    Attributes:
        names: what the numbers in the tables mean.
    """

    def __init__(self) -> None:
        """Nothing was added yet."""
        self.names = Names()
        self._sums: list[pa.Table] = []
        self._parts: list[pa.Table] = []

    def add(self, block: pa.Table, at: Rows | None = None) -> None:
        """Add rows.

        Args:
            block: columns of QUALITY (n); what it lacks counts as not known.
            at: (n,) the time under which each row is entered; one for all where it is not given.
        """
        if not block.num_rows:
            return
        when = np.zeros(block.num_rows, dtype=np.int64) if at is None else at
        encoded = encode(block["event_type"])
        code = self.names.type_codes(encoded.dictionary.to_pylist())[np.asarray(encoded.indices)]
        rows, parts = self._exploded(block)
        looked = _looked(block, rows)
        self._sums.append(_joined([_sums(block, when, code, looked)]))
        found = [_part(when[at_row], code[at_row], key, count) for at_row, key, count in parts]
        self._parts.append(_joined([_EMPTY_PARTS, *found]))
        for tables in (self._sums, self._parts):
            if sum(table.num_rows for table in tables[1:]) > max(_PENDING, tables[0].num_rows):
                tables[:] = [_joined(tables)]

    @property
    def sums(self) -> pa.Table:
        """`at`, `type`, and the columns COUNTS, SECONDS, LEAST and GREATEST; a row for each time and type."""
        self._sums = [_joined([_EMPTY_SUMS, *self._sums])] if len(self._sums) != 1 else self._sums
        return self._sums[0]

    @property
    def parts(self) -> pa.Table:
        """`at`, `type`, `key` and `count`; a row for each time, type and name."""
        self._parts = [_joined([_EMPTY_PARTS, *self._parts])] if len(self._parts) != 1 else self._parts
        return self._parts[0]

    def coarsen(self, before: int, step: int) -> None:
        """Join the times before one to steps of another length, for good."""
        for tables, table in ((self._sums, self.sums), (self._parts, self.parts)):
            at = np.asarray(table["at"])
            wide = np.where(at < before, at - at % step, at)
            tables[:] = [_joined([table.set_column(0, "at", pa.array(wide))])]

    def _exploded(
        self, block: pa.Table
    ) -> tuple[dict[str, tuple[Rows, pa.Array, Rows]], list[tuple[Rows, Rows, Rows]]]:
        """The entries of all maps as they are, and as (row, number of the name, count)."""
        entries = {name: _entries(block[name]) for name in MAPS if name in block.column_names}
        parts = []
        for name, (rows, keys, counts) in entries.items():
            parts.append((rows, self._coded(name, keys), counts))
        if "missing" in entries:
            rows, keys, _ = entries["missing"]
            is_own = ~np.asarray(pc.is_in(keys, value_set=pa.array(list(COMMON))))
            events = (_numbers(block["accepted"]) + _numbers(block["duplicates"]))[rows]
            parts.append((rows[is_own], self._coded(LOOKED_FOR, keys.filter(pa.array(is_own))), events[is_own]))
        return entries, parts

    def _coded(self, kind: str, keys: pa.Array) -> Rows:
        encoded = encode(keys)
        codes = self.names.key_codes(kind, encoded.dictionary.to_pylist())
        return codes[np.asarray(encoded.indices)] if len(keys) else np.zeros(0, np.int64)


def _codes(names: Sequence[Any], known: dict[Any, int], listed: list[Any]) -> Rows:
    for name in names:
        if name not in known:
            known[name] = len(listed)
            listed.append(name)
    return np.array([known[name] for name in names], dtype=np.int64)


def _looked(block: pa.Table, entries: dict[str, tuple[Rows, pa.Array, Rows]]) -> Rows:
    """Parts in which the common fields were looked for: events, and the rejects that could be read."""
    if "missing" not in entries:
        return np.zeros(block.num_rows, dtype=np.int64)
    is_counted = np.asarray(pc.is_valid(block["missing"]))
    known = np.where(is_counted, _numbers(block["accepted"]) + _numbers(block["duplicates"]), 0)
    if "reasons" in entries:
        rows, reasons, rejects = entries["reasons"]
        is_read = is_counted[rows] & ~np.asarray(pc.is_in(reasons, value_set=_UNREADABLE))
        np.add.at(known, rows[is_read], rejects[is_read])
    return known


def _sums(block: pa.Table, when: Rows, code: Rows, looked: Rows) -> pa.Table:
    columns: dict[str, Any] = {"at": when, "type": code}
    for name in (*COUNTS, *SECONDS, *LEAST, *GREATEST):
        columns[name] = _column(block, name, looked)
    return pa.table(columns, schema=_EMPTY_SUMS.schema)


def _column(block: pa.Table, name: str, looked: Rows) -> pa.Array:
    if name == "looked":
        return pa.array(looked)
    given = "dedup_seconds" if name == "commits" else name
    wanted = _EMPTY_SUMS.schema.field(name).type
    if given not in block.column_names:
        return (
            pa.array(np.zeros(block.num_rows, dtype=np.int64)) if name in COUNTS else pa.nulls(block.num_rows, wanted)
        )
    column = one_array(block[given])
    if name == "commits":
        return pc.is_valid(column).cast(pa.int64())
    if name == "arrived_max":
        return pc.if_else(pc.greater(one_array(block["accepted"]), 0), column.cast(pa.int64()), None)
    if name in SECONDS:
        return pc.round(pc.multiply(column, 1_000_000.0)).cast(wanted)
    return pc.fill_null(column, 0) if name in COUNTS else column.cast(wanted)


def _part(at: Rows, code: Rows, key: Rows, count: Rows) -> pa.Table:
    return pa.table({"at": at, "type": code, "key": key, "count": count})


def _entries(column: pa.ChunkedArray) -> tuple[Rows, pa.Array, Rows]:
    """The entries of a column of maps: the row of each, its key, its count."""
    maps = one_array(column)
    offsets = np.asarray(maps.offsets)
    start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    return rows, maps.keys.slice(start, length), np.asarray(maps.items.slice(start, length)).astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> Rows:
    return np.asarray(pc.fill_null(column, 0)).astype(np.int64)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One row for each set of keys, in the order of the keys."""
    table = pa.concat_tables(tables)
    keys = [*_KEYS, "key"] if "key" in table.column_names else [*_KEYS]
    found = table.group_by(keys).aggregate(list(_aggregations(table.column_names)))
    names = [name for name in table.column_names if name not in keys]
    found = found.select([*keys, *(f"{name}_{_function(name)}" for name in names)]).rename_columns([*keys, *names])
    return found.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _aggregations(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name not in (*_KEYS, "key"):
            yield name, _function(name)


def _function(name: str) -> str:
    return "min" if name in LEAST else "max" if name in GREATEST else "sum"


def _type_of(name: str) -> pa.DataType:
    return pa.float64() if name.endswith(("_to_arrived_max", "_to_staged_max")) else pa.int64()


_EMPTY_SUMS = pa.schema(
    [(name, _type_of(name)) for name in (*_KEYS, *COUNTS, *SECONDS, *LEAST, *GREATEST)]
).empty_table()
_EMPTY_PARTS = pa.schema([(name, pa.int64()) for name in (*_KEYS, "key", "count")]).empty_table()
