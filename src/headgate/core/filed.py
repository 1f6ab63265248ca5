"""The rows and counts of one filing, in the schemas of the lake's tables. Pure, columnar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.filing import NONE, Judged
from headgate.core.measures import ARRIVED_TO_STAGED, CREATED_TO_ARRIVED, latency, missing_of
from headgate.core.quality import quality_table
from headgate.core.schema import COUNTS, DUPLICATES, QUALITY
from headgate.core.tally import counted
from headgate.records import Counts, Shard

UNKNOWN = np.uint64(0)  # fingerprint of an event that is in no table any more

_QUALITY = """
    SELECT event_type, count(*) AS received, count(*) FILTER (t = 'events') AS accepted,
        count(*) FILTER (t = 'duplicates') AS duplicates, count(*) FILTER (conflict) AS conflicts,
        count(*) FILTER (t = 'rejected') AS rejected, sum(size)::BIGINT AS payload_bytes,
        min(created_datetime) AS created_min, max(created_datetime) AS created_max, max(arrived_at) AS arrived_max
    FROM rows GROUP BY event_type ORDER BY event_type"""


class Origin(NamedTuple):
    """What a filing holds of one shard of a stream.

    Attributes:
        shard: by its full name.
        end: the highest sequence among its rows plus one.
        counts: of its rows.
    """

    shard: Shard
    end: int
    counts: Counts


def filed_tables(
    events: pa.Table,
    duplicates: pa.Table,
    rejected: pa.Table,
    judged: Judged,
    known: pa.Table,
    fingerprints: npt.NDArray[np.uint64],
) -> dict[str, pa.Table]:
    """The rows of a filing.

    Args:
        events: EVENTS that were judged.
        duplicates: DUPLICATES that were judged.
        rejected: REJECTED.
        judged: what becomes of them.
        known: KNOWN of the lake's events, with those of the batch behind them.
        fingerprints: (known) of payloads; needed where a row is an original that is named anew. UNKNOWN of an
            erased one: no copy of it is said to differ.

    Returns:
        EVENTS, DUPLICATES and REJECTED by table.
    """
    first = known.num_rows - events.num_rows  # row of `known` at which the batch's own events begin
    rows = np.flatnonzero(~judged.accepted)
    copies = events.take(pa.array(rows))
    arrival = copies["arrived_at"].cast(pa.timestamp("us")).cast(pa.date32())
    demoted = _naming(
        copies.append_column("arrival_date", arrival), judged.original[rows], rows + first, known, fingerprints
    )
    kept = np.flatnonzero(judged.is_filed & (judged.mended == NONE))
    mended = np.flatnonzero(judged.mended != NONE)
    other = duplicates.take(pa.array(mended)).drop_columns(["original_shard", "original_sequence", "conflict"])
    renamed = _naming(other, judged.mended[mended], known.num_rows + mended, known, fingerprints)
    return {
        "events": events.filter(pa.array(judged.accepted)),
        "duplicates": pa.concat_tables([duplicates.take(pa.array(kept)), renamed, demoted]),
        "rejected": rejected,
    }


def _naming(
    rows: pa.Table,
    originals: npt.NDArray[np.int64],
    own: npt.NDArray[np.int64],
    known: pa.Table,
    fingerprints: npt.NDArray[np.uint64],
) -> pa.Table:
    """DUPLICATES of the given originals; `own` are the rows' own places in `fingerprints`."""
    there = known.take(pa.array(originals))
    columns = {
        "original_shard": there["shard"],
        "original_sequence": there["sequence"],
        "conflict": pa.array((fingerprints[own] != fingerprints[originals]) & (fingerprints[originals] != UNKNOWN)),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    return rows.select(DUPLICATES.names).cast(DUPLICATES)


def quality(tables: Mapping[str, pa.Table], staged_us: int) -> pa.Table:
    """QUALITY of a filing, `entry_id` and `staged_at` left null.

    What is not delivered is not known: warnings, units of time, what rules said of events, configured fields.

    Args:
        tables: EVENTS, DUPLICATES and REJECTED by table.
        staged_us: now, microseconds since 1970.
    """
    rows = pa.concat_tables([_counted(name, table) for name, table in tables.items()])
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.register("rows", rows)
        found = connection.sql(_QUALITY).to_arrow_table()
    size = found.num_rows
    columns = {name: found[name].cast(QUALITY.field(name).type) for name in found.column_names}
    code = np.asarray(pc.index_in(rows["event_type"], value_set=one_array(columns["event_type"]))).astype(np.int64)
    reason = rows["reason"]
    rejects = np.flatnonzero(np.asarray(pc.is_valid(reason)))
    reasons = counted(code[rejects], reason.take(pa.array(rejects)), size)
    events = np.flatnonzero(np.asarray(pc.is_null(reason)))
    created, arrived = (
        np.asarray(pc.fill_null(rows[name].cast(pa.int64()), 0))[events] for name in ("created_datetime", "arrived_at")
    )
    columns |= {
        "reasons": reasons,
        "warnings": pa.array([[]] * size, COUNTS),
        "missing": missing_of(reasons, size),
        **latency(CREATED_TO_ARRIVED, arrived - created, code[events], size),
        **latency(ARRIVED_TO_STAGED, staged_us - arrived, code[events], size),
    }
    return quality_table(columns, size)


def _counted(name: str, table: pa.Table) -> pa.Table:
    """What `quality` needs of a row."""
    size = table["payload" if name != "rejected" else "raw"]
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "t": pa.array([name] * table.num_rows, pa.string()),
        "event_type": table["event_type"].cast(pa.string()),
        "arrived_at": table["arrived_at"],
        "size": pc.binary_length(size).cast(pa.int64()),
    }
    for column, kind in (
        ("created_datetime", QUALITY.field("created_min").type),
        ("conflict", pa.bool_()),
        ("reason", pa.string()),
    ):
        is_there = column in table.column_names
        columns[column] = table[column].cast(kind) if is_there else pa.nulls(table.num_rows, kind)
    return pa.table(columns)


def origins(tables: Mapping[str, pa.Table]) -> list[Origin]:
    """How many rows of each shard a filing holds.

    Args:
        tables: rows of events, duplicates and rejected.
    """
    found: dict[Shard, list[int]] = {}
    for number, name in enumerate(("events", "duplicates", "rejected")):
        table = tables[name]
        shards = pc.binary_join_element_wise(table["source"].cast(pa.string()), table["shard"].cast(pa.string()), "\0")
        texts = pc.utf8_lpad(pc.replace_substring_regex(table["sequence"].cast(pa.string()), "#.*$", ""), 60, "0")
        grouped = (
            pa.table({"shard": shards, "sequence": texts})
            .group_by("shard")
            .aggregate([("sequence", "max"), ("sequence", "count")])
        )
        for row in grouped.to_pylist():
            source, _, shard = row["shard"].partition("\0")
            held = found.setdefault(Shard(source, shard), [0, 0, 0, 0])
            held[number] += row["sequence_count"]
            held[3] = max(held[3], int(row["sequence_max"]) + 1)
    return [
        Origin(shard, end, Counts(accepted + copies + rejected, accepted, copies, rejected))
        for shard, (accepted, copies, rejected, end) in sorted(found.items())
    ]
