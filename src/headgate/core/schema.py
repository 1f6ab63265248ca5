"""The Arrow schemas of the lake's tables. Pure: constants only. A schema is never inferred from a batch."""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

POSITION_FIELDS = [
    pa.field("arrived_at", TIMESTAMP),
    pa.field("source", pa.string()),
    pa.field("shard", pa.string()),
    pa.field("sequence", pa.string()),
]

#: Accepted events; partitioned by event_type, created_date.
EVENTS = pa.schema(
    [
        pa.field("event_uuid", pa.string()),
        pa.field("event_name", pa.string()),
        pa.field("event_type", pa.string()),
        pa.field("event_subtype", pa.string()),
        pa.field("created_at", pa.float64()),
        pa.field("created_datetime", TIMESTAMP),
        pa.field("created_date", pa.date32()),
        pa.field("payload", pa.string()),
        *POSITION_FIELDS,
    ]
)

#: Second and later copies; partitioned by arrival_date.
DUPLICATES = pa.schema(
    [
        *EVENTS,
        pa.field("original_shard", pa.string()),
        pa.field("original_sequence", pa.string()),
        pa.field("conflict", pa.bool_()),
        pa.field("arrival_date", pa.date32()),
    ]
)

#: What could not be read, or broke a rule; partitioned by arrival_date.
REJECTED = pa.schema(
    [
        pa.field("raw", pa.binary()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("event_type", pa.string()),
        *POSITION_FIELDS,
        pa.field("headgate_version", pa.string()),
        pa.field("arrival_date", pa.date32()),
    ]
)

COUNTS = pa.map_(pa.string(), pa.int64())
HISTOGRAM = pa.map_(pa.float64(), pa.int64())

#: One row a commit and event type (null: no type could be read); not partitioned. What is not known is null.
#: `dedup_seconds` and `shard_lag` stand on one row of a commit only, the first.
QUALITY = pa.schema(
    [
        pa.field("entry_id", pa.string()),
        pa.field("staged_at", TIMESTAMP),
        pa.field("event_type", pa.string()),
        pa.field("received", pa.int64()),
        pa.field("accepted", pa.int64()),
        pa.field("duplicates", pa.int64()),
        pa.field("conflicts", pa.int64()),
        pa.field("rejected", pa.int64()),
        pa.field("reasons", COUNTS),
        pa.field("warnings", COUNTS),
        pa.field("payload_bytes", pa.int64()),
        pa.field("created_min", TIMESTAMP),
        pa.field("created_max", TIMESTAMP),
        pa.field("arrived_max", TIMESTAMP),
        pa.field("missing", COUNTS),
        pa.field("rule_passes", COUNTS),
        pa.field("rule_failures", COUNTS),
        pa.field("units", COUNTS),
        pa.field("created_to_arrived", HISTOGRAM),
        pa.field("created_to_arrived_sum", pa.float64()),
        pa.field("created_to_arrived_max", pa.float64()),
        pa.field("arrived_to_staged", HISTOGRAM),
        pa.field("arrived_to_staged_sum", pa.float64()),
        pa.field("arrived_to_staged_max", pa.float64()),
        pa.field("dedup_seconds", pa.float64()),
        pa.field("shard_lag", pa.map_(pa.string(), pa.float64())),
    ]
)

#: What a replay settled, and what became of it: one row a part, `part` null where nothing came of the row. No table of
#: the lake's readers: it lies in `_headgate/settled/`. `table` is `rejected` or `duplicates`; the old row is named by
#: its position, a duplicate also by its original; `verdict` is accepted, duplicate, rejected or none.
SETTLED = pa.schema(
    [
        pa.field("table", pa.string()),
        pa.field("source", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("original_shard", pa.string()),
        pa.field("original_sequence", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("part", pa.string()),
        pa.field("verdict", pa.string()),
    ]
)

TABLES = {"events": EVENTS, "duplicates": DUPLICATES, "rejected": REJECTED, "quality": QUALITY}

#: Partition columns of each table, outermost first.
PARTITIONS: dict[str, tuple[str, ...]] = {
    "events": ("event_type", "created_date"),
    "duplicates": ("arrival_date",),
    "rejected": ("arrival_date",),
    "quality": (),
}
