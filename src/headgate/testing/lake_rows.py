"""Small batches in the schemas of core/schema.py, made by hand for tests of lakes, and reading back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import duckdb
import msgspec
import pyarrow as pa

from headgate.core.schema import DUPLICATES, EVENTS, QUALITY, REJECTED
from headgate.lake.read import relation
from headgate.lake.storage import Storage
from headgate.records import Counts, Shard, ShardRange, Verdicts

SHARD = Shard("source", "shard-0")
OTHER_SHARD = Shard("source", "shard-1")
NOW_US = 1_795_000_000_000_000  # microseconds since 1970; 2026-11-18

ODD_TYPES = (
    "a/b=c%2F",
    "__HIVE_DEFAULT_PARTITION__",
    "..",
    ".",
    "é",
    "a b",
    "%",
    "x" * 240,
    "_hidden",
    "trailing.",
    "null",
    "007",
    "2026-11-20",
    "a+b",
    "Payment",
    "payment",
    "日本",
    '"quoted"',
    "it's",
    "tab\there",
)
CREATED = 1_795_000_000.5  # Unix seconds
CREATED_DAY = 20_775  # days since 1970 of CREATED
_MICROSECONDS = 1_000_000


def batch(
    start: str | None, end: str, ids: Sequence[str], *, event_type: str = "payment", shard: Shard = SHARD
) -> Verdicts:
    """Verdicts with an event for each id, and one row in every other table."""
    return Verdicts(
        events=event_rows([(event_id, event_type) for event_id in ids], shard),
        duplicates=duplicate_rows([("copy-" + ids[0], event_type)], shard),
        rejected=rejected_rows([b"\xff{"], shard),
        quality=quality_rows([event_type]),
        ranges=[ShardRange(shard=shard, start=start, end=end, meta={"head": 1})],
        shard_counts=[Counts(len(ids) + 2, len(ids), 1, 1)],
        new_types=[event_type],
        warnings={},
        generation="g1",
    )


def event_rows(ids_and_types: Sequence[tuple[str, str]], shard: Shard) -> pa.Table:
    """One accepted event for each (event_uuid, event_type), EVENTS; its sequence is its row."""
    return _table(
        EVENTS,
        [_event(event_id, event_type, shard, i) for i, (event_id, event_type) in enumerate(ids_and_types)],
    )


def duplicate_rows(ids_and_types: Sequence[tuple[str, str]], shard: Shard) -> pa.Table:
    """One duplicate for each (event_uuid, event_type), DUPLICATES; all in conflict with sequence 7."""
    extra = {
        "original_shard": shard.name,
        "original_sequence": "7",
        "conflict": True,
        "arrival_date": CREATED_DAY,
    }
    rows = [{**_event(event_id, kind, shard, i), **extra} for i, (event_id, kind) in enumerate(ids_and_types)]
    return _table(DUPLICATES, rows)


def rejected_rows(raws: Sequence[bytes], shard: Shard) -> pa.Table:
    """One reject for each raw record, REJECTED."""
    rows = [
        {
            "raw": raw,
            "reason": "malformed_json",
            "detail": "not JSON",
            "event_type": None,
            **_position(shard, i),
            "headgate_version": "0.0.0",
            "arrival_date": CREATED_DAY,
        }
        for i, raw in enumerate(raws)
    ]
    return _table(REJECTED, rows)


def quality_rows(event_types: Sequence[str]) -> pa.Table:
    """One quality row for each event type, QUALITY."""
    rows = [
        {
            "event_type": event_type,
            "received": 5,
            "accepted": 3,
            "duplicates": 1,
            "conflicts": 0,
            "rejected": 1,
            "reasons": [("malformed_json", 1)],
            "warnings": [],
            "payload_bytes": 100,
            "created_min": int(CREATED * _MICROSECONDS),
            "created_max": int(CREATED * _MICROSECONDS),
            "arrived_max": int(CREATED * _MICROSECONDS),
            "missing": [("event_uuid", 1), ("user.id", 0)],
            "rule_passes": [("amount", 3)],
            "rule_failures": [],
            "units": [("seconds", 3), ("numeric_text", 1)],
            "created_to_arrived": [(0.0, 1), (2.5, 2), (math.inf, 1)],
            "created_to_arrived_sum": 700_004.25,
            "created_to_arrived_max": 700_000.5,
            "arrived_to_staged": [(0.01, 4)],
            "arrived_to_staged_sum": 0.004,
            "dedup_seconds": 0.125,
            "shard_lag": [('shard "0"', 0.5), ("shard-1", 0.0)],
        }
        for event_type in event_types
    ]
    return _table(QUALITY, rows)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One a process: to open one takes 40 ms."""
    return duckdb.connect()


def read_table(storage: Storage, table: str) -> pa.Table:
    """A whole table of a lake, read by DuckDB."""
    with _database().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return relation(connection, storage, table).to_arrow_table()


def read_rows(storage: Storage, table: str, columns: str) -> list[tuple[object, ...]]:
    """Some columns of a table, ordered by what names its rows."""
    order = {"events": "event_uuid", "duplicates": "event_uuid", "rejected": "raw", "quality": "entry_id"}
    with _database().cursor() as connection:
        rows = relation(connection, storage, table).order(order[table])
        return rows.project(columns).fetchall()


def read_ids(storage: Storage) -> list[str]:
    """Ids in `events`, sorted."""
    return sorted(read_table(storage, "events")["event_uuid"].to_pylist())


def payload(event_id: str, event_type: str) -> str:
    """The JSON text of an event as these tables hold it."""
    event = {"event_uuid": event_id, "event_name": f"{event_type}:order", "created_at": CREATED}
    return msgspec.json.encode(event).decode()


def _event(event_id: str, event_type: str, shard: Shard, row: int) -> dict[str, object]:
    return {
        "event_uuid": event_id,
        "event_name": f"{event_type}:order",
        "event_type": event_type,
        "event_subtype": "order",
        "created_at": CREATED,
        "created_datetime": int(CREATED * _MICROSECONDS),
        "created_date": CREATED_DAY,
        "payload": payload(event_id, event_type),
        **_position(shard, row),
    }


def _position(shard: Shard, row: int) -> dict[str, object]:
    return {
        "arrived_at": int(CREATED * _MICROSECONDS),
        "source": shard.source,
        "shard": shard.name,
        "sequence": str(row),
    }


def _table(schema: pa.Schema, rows: Sequence[dict[str, object]]) -> pa.Table:
    """Dates are days and times microseconds, as Arrow stores them."""
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        stored = pa.int64() if pa.types.is_timestamp(field.type) else field.type
        columns.append(pa.array(values, stored).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)
