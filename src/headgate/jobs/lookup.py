"""Rows that a lake's tables hold already, found by position and by id; only what arrived in a span is looked at.

A row that comes again has the same arrival, so that files and row groups of other times are left out by their
statistics (of a json lake every line is read: it has none).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.filing import KNOWN, POSITION, known_of
from headgate.core.keys import keys_of
from headgate.core.schema import EVENTS
from headgate.errors import TransientError
from headgate.lake import read
from headgate.lake.delivered import read_lines
from headgate.lake.storage import Storage

SCAN_ROWS = 131_072  # rows of a table in memory at a time
_ID = ["event_uuid", "arrived_at", *POSITION]


class Lookup:
    """Questions about the published rows of a lake. One a batch: a table is opened when it is asked."""

    def __init__(self, storage: Storage, table_format: str) -> None:
        """Nothing is read yet."""
        self._storage, self._format = storage, table_format
        self._connection = duckdb.connect(config={"threads": "2"})
        for setting in (
            "TimeZone='UTC'",
            "enable_progress_bar=false",
            # The rows asked for stand on the right, where they are hashed: the table may be of any size.
            "disabled_optimizers='join_order,build_side_probe_side'",
        ):
            self._connection.execute(f"SET {setting}")

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def without_known(self, rows: pa.Table, low_us: int, high_us: int) -> pa.Table:
        """The rows at whose positions no table has one.

        Args:
            rows: with POSITION.
            low_us: of arrivals of the rows, microseconds.
            high_us: likewise.
        """
        for table in ("events", "duplicates", "rejected"):
            if not rows.num_rows:
                break
            asked = pa.table({name: rows[name].cast(pa.string()) for name in POSITION})
            asked = asked.append_column("n", pa.array(np.arange(rows.num_rows)))
            there = self._there(table, asked, "n", low_us, high_us)
            is_new = np.ones(rows.num_rows, dtype=bool)
            is_new[np.asarray(one_array(there["n"]))] = False
            rows = rows if is_new.all() else rows.filter(pa.array(is_new))
        return rows

    def events_with(self, keys: npt.NDArray[np.uint8], low_us: int, high_us: int) -> pa.Table:
        """KNOWN of the events that have one of these keys and arrived in the span.

        Args:
            keys: (n, 16) uint8.
            low_us: microseconds.
            high_us: likewise.
        """
        if not len(keys):
            return KNOWN.empty_table()
        wanted = np.sort(_halves(keys))
        found = [
            known_of(some.filter(pa.array(_is_in(wanted, _halves(keys_of(one_array(some["event_uuid"])))))))
            for some in self._scan("events", _ID, low_us, high_us)
        ]
        return pa.concat_tables([KNOWN.empty_table(), *found])

    def payloads(self, known: pa.Table) -> pa.Table:
        """The events at these positions: POSITION and payload.

        Args:
            known: KNOWN rows that are in the table.
        """
        arrived = known["arrived_at"].cast(pa.int64())
        low, high = pc.min(arrived).as_py(), pc.max(arrived).as_py()
        rows = self._there("events", known.select(POSITION), ", ".join([*POSITION, "payload"]), low, high)
        if self._format != "json":
            return rows
        lines = [text.encode() for text in rows["payload"].to_pylist()]
        return read_lines(lines).events.select([*POSITION, "payload"])

    def _there(self, table: str, asked: pa.Table, columns: str, low_us: int, high_us: int) -> pa.Table:
        """Columns of the rows of a table that stand at the positions asked for."""
        with _waiting_for(table):
            self._connection.register("asked", asked)
            there = self._relation(table, low_us, high_us).set_alias("there")
            on = " AND ".join(f"there.{name} = asked.{name}" for name in POSITION)
            joined = there.join(self._connection.table("asked").set_alias("asked"), on)
            chosen = [f"{'asked' if name == 'n' else 'there'}.{name}" for name in columns.split(", ")]
            return joined.project(", ".join(chosen)).to_arrow_table()

    def _scan(self, table: str, columns: list[str], low_us: int, high_us: int) -> Iterator[pa.Table]:
        with _waiting_for(table):
            for batch in self._relation(table, low_us, high_us).select(*columns).to_arrow_reader(SCAN_ROWS):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch]).cast(pa.schema([EVENTS.field(name) for name in columns]))

    def _relation(self, table: str, low_us: int, high_us: int) -> duckdb.DuckDBPyRelation:
        """The rows of a table that arrived in the span."""
        low, high = (_iso(us) for us in (low_us, high_us))
        between = f"arrived_at BETWEEN TIMESTAMPTZ '{low}' AND TIMESTAMPTZ '{high}'"
        if self._format == "delta":
            found = self._connection.from_arrow(read.dataset(self._storage, table, arrived_us=(low_us, high_us)))
        else:
            found = read.relation(self._connection, self._storage, table)
        return found.filter(between)


@contextmanager
def _waiting_for(table: str) -> Iterator[None]:
    """Errors of a reader that say nothing about the lake become transient ones."""
    try:
        yield
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        if not read.is_of_network(error):
            raise
        raise TransientError(f"{table} cannot be read now: {' '.join(str(error).split())}") from error


def _halves(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The first half of each key; keys that share it are told apart later."""
    return np.ascontiguousarray(keys).view(np.uint64).reshape(-1, 2)[:, 0]


def _is_in(wanted: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    return np.asarray(wanted[at] == values)


def _iso(us: int) -> str:
    """An instant as SQL reads it, microsecond by microsecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat(sep=" ")
