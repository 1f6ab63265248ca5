"""An independent reader: judges a lake of any format with DuckDB and deltalake, by none of the writing code.

Law: it takes for granted what the contract says of a lake's folders and nothing else. Valid for lakes whose
events all arrived within one window of de-duplication, and whose shards were each read by consumers only or by
functions only. A lake on S3 is copied into a folder first (see remote_lake.py).
"""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from deltalake import DeltaTable

_Shard = tuple[str, str]  # source and shard
FILED = ("headgate:firehose", "filed")  # the shard that every filing of what Firehose delivered moves by one
POSITION = ("source", "shard", "sequence")
#: What is read of each table, all of it as text.
COLUMNS = {
    "events": ("event_uuid", "event_type", *POSITION),
    "duplicates": ("event_uuid", "event_type", *POSITION, "original_shard", "original_sequence", "conflict"),
    "rejected": ("reason", *POSITION),
    "quality": ("entry_id", "received", "accepted", "duplicates", "rejected"),
}
_LARGEST_LINE = 256 << 20  # bytes; a rejected record of 64 MiB as base64, and room
_PARQUET_READER = "read_parquet($files, filename = true, hive_partitioning = true, hive_types_autocast = 0)"
_JSON_READER = f"read_ndjson_objects($files, filename = true, maximum_object_size = {_LARGEST_LINE})"
_FILE_NAME = "regexp_extract(filename, '([0-9a-f]{32})-[0-9]+[.][a-z.]+$', 1)"  # <entry id>-<n>.<suffix>

#: The id, or where it is a UUID the one spelling that all its spellings share.
_STRIPPED = "regexp_replace(lower(event_uuid), '^urn:uuid:|[{}-]', '', 'g')"
_CANONICAL = f"CASE WHEN regexp_full_match({_STRIPPED}, '[0-9a-f]{{32}}') THEN {_STRIPPED} ELSE event_uuid END"

#: Names of laws, and the rows that break them.
_LAWS = {
    "an id is in events more than once": """
        SELECT id, count(*), list(sequence) FROM events GROUP BY id HAVING count(*) > 1""",
    "a position stands in the tables more than once": """
        SELECT source, shard, sequence, count(*) FROM positions GROUP BY ALL HAVING count(*) > 1""",
    "a duplicate has no original in events": """
        SELECT id, shard, sequence FROM duplicates ANTI JOIN events USING (id)""",
    "a duplicate names another position than its original's": """
        SELECT d.id, d.original_shard, d.original_sequence, e.shard, e.sequence
        FROM duplicates d JOIN events e USING (id)
        WHERE d.original_shard != e.shard OR d.original_sequence != e.sequence""",
    "a row lies outside the range of its ledger entry": """
        SELECT p.* FROM positions p ANTI JOIN ranges r ON p.entry = r.entry AND p.source = r.source
        AND p.shard = r.shard AND lpad(split_part(p.sequence, '#', 1), 60, '0') >= r.first
        AND lpad(split_part(p.sequence, '#', 1), 60, '0') < r.past""",
    "the rows of a ledger entry are not those that it counts": """
        SELECT coalesce(e.entry, s.entry), e.* EXCLUDE entry, s.* EXCLUDE entry
        FROM entries e FULL JOIN seen s ON e.entry = s.entry
        WHERE (e.accepted, e.duplicates, e.rejected)
        IS DISTINCT FROM (s.accepted, s.duplicates, s.rejected)""",
    "the quality of a ledger entry is not what it counts": """
        SELECT coalesce(e.entry, q.entry), e.* EXCLUDE entry, q.* EXCLUDE entry
        FROM entries e FULL JOIN qualities q ON e.entry = q.entry
        WHERE (e.received, e.accepted, e.duplicates, e.rejected)
        IS DISTINCT FROM (q.received, q.accepted, q.duplicates, q.rejected)""",
}
_VIEWS = """
    CREATE TEMP VIEW positions AS
        SELECT entry, source, shard, sequence FROM events
        UNION ALL SELECT entry, source, shard, sequence FROM duplicates
        UNION ALL SELECT entry, source, shard, sequence FROM rejected;
    CREATE TEMP VIEW seen AS
        SELECT entry, sum(a) AS accepted, sum(d) AS duplicates, sum(r) AS rejected FROM (
            SELECT entry, 1 AS a, 0 AS d, 0 AS r FROM events
            UNION ALL SELECT entry, 0, 1, 0 FROM duplicates UNION ALL SELECT entry, 0, 0, 1 FROM rejected)
        GROUP BY entry;
    CREATE TEMP VIEW qualities AS
        SELECT entry_id AS entry, sum(received::BIGINT) AS received, sum(accepted::BIGINT) AS accepted,
            sum(duplicates::BIGINT) AS duplicates, sum(rejected::BIGINT) AS rejected
        FROM quality GROUP BY entry_id;
    CREATE TEMP TABLE entries (
        entry VARCHAR, received BIGINT, accepted BIGINT, duplicates BIGINT, rejected BIGINT);
    CREATE TEMP TABLE ranges (entry VARCHAR, source VARCHAR, shard VARCHAR, first VARCHAR, past VARCHAR);
"""


class Totals(NamedTuple):
    """Rows of a lake's tables, as a reader sees them."""

    accepted: int
    duplicates: int
    rejected: int


def breaches(lake: Path, truth: Mapping[str, Any] | None = None) -> list[str]:
    """Everything about a lake that is not as promised; an empty list where all is exact.

    Args:
        lake: its folder; nobody writes to it meanwhile.
        truth: what `headgate generate --truth` wrote about all that was read into it.
    """
    entries = ledger(lake)
    found = list(_chain(entries))
    with _engine().cursor() as connection:
        _load(connection, lake)
        _load_entries(connection, entries)
        _place_joined(connection)
        for law, query in _LAWS.items():
            hits = connection.execute(f"SELECT * FROM ({query}) LIMIT 3").fetchall()  # noqa: S608  own text
            if hits:
                found.append(f"{law}, for example {hits}")
        if truth is not None:
            found += _against(connection, truth)
    return found


def totals(lake: Path) -> Totals:
    """Count the rows."""
    with _engine().cursor() as connection:
        _load(connection, lake)
        return Totals(*(_count(connection, table) for table in ("events", "duplicates", "rejected")))


def ids(lake: Path, table: str = "events") -> list[str]:
    """The ids in `events` or `duplicates`, each UUID in one spelling, sorted."""
    with _engine().cursor() as connection:
        _load(connection, lake)
        rows = connection.execute(f"SELECT id FROM {table} ORDER BY id").fetchall()  # noqa: S608  own text
    return [text for (text,) in rows]


def rejects(lake: Path) -> Counter[tuple[str, bytes]]:
    """How often each reason and raw bytes stand in `rejected`."""
    if not (files := visible_files(lake, "rejected")):
        return Counter()
    is_json = lake_format(lake) == "json"
    columns = "json->>'reason', from_base64(json->>'raw')" if is_json else "reason, raw"
    query = f"SELECT {columns} FROM {_JSON_READER if is_json else _PARQUET_READER}"  # noqa: S608  own text
    with _engine().cursor() as connection:
        return Counter(
            (str(reason), bytes(raw)) for reason, raw in connection.execute(query, {"files": files}).fetchall()
        )


def ledger(lake: Path) -> list[dict[str, Any]]:
    """All ledger entries, in the order of their names."""
    folder = lake / "_headgate" / "ledger"
    return [json.loads(path.read_bytes()) for path in sorted(folder.iterdir()) if path.stem.isdigit()]


def visible_files(lake: Path, table: str) -> list[str]:
    """The data files that a reader of the table opens."""
    if lake_format(lake) == "delta":
        return sorted(DeltaTable(lake / table).file_uris())
    return sorted(str(path) for path in (lake / table).rglob("*") if path.is_file())


def lake_format(lake: Path) -> str:
    """`delta`, `parquet` or `json`."""
    return str(json.loads((lake / "_headgate" / "format.json").read_bytes())["format"])


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One a process: to open one takes 40 ms. All tables are temporary, which are each cursor's own."""
    return duckdb.connect()


def _load(connection: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Make the tables events, duplicates, rejected and quality: text columns, and the entry by file name."""
    is_json = lake_format(lake) == "json"
    for table, columns in COLUMNS.items():
        texts = ", ".join(f"{_expression(table, c) if is_json else c}::VARCHAR AS {c}" for c in columns)
        canonical = f", {_CANONICAL} AS id" if "event_uuid" in columns else ""
        files = visible_files(lake, table)
        if files:
            reader = _JSON_READER if is_json else _PARQUET_READER
            rows = f"SELECT {texts}, {_FILE_NAME} AS entry FROM {reader}"  # noqa: S608  own text
        else:
            rows = "SELECT " + ", ".join(f"'' AS {c}" for c in (*columns, "entry")) + " WHERE false"
        query = f"CREATE TEMP TABLE {table} AS SELECT *{canonical} FROM ({rows})"  # noqa: S608  own text
        connection.execute(query, {"files": files} if files else None)
    connection.execute(_VIEWS)


def _expression(table: str, column: str) -> str:
    is_inside = table in ("events", "duplicates") and column in POSITION
    return f"(json->'_headgate'->>'{column}')" if is_inside else f"(json->>'{column}')"


def _load_entries(connection: duckdb.DuckDBPyConnection, entries: Sequence[Mapping[str, Any]]) -> None:
    batches = [entry for entry in entries if sum(entry.get("counts", [0]))]
    counts = [[entry["entry_id"], *entry["counts"]] for entry in batches]
    ranges = [
        [entry["entry_id"], *bounds] for entry in batches for moved in entry["ranges"] for bounds in _rows_of(moved)
    ]
    for table, rows in (("entries", counts), ("ranges", ranges)):
        if rows:
            marks = ", ".join("unnest($%d)" % (i + 1) for i in range(len(rows[0])))  # noqa: UP031
            columns = [list(column) for column in zip(*rows, strict=True)]
            connection.execute(f"INSERT INTO {table} SELECT {marks}", columns)


def _place_joined(connection: duckdb.DuckDBPyConnection) -> None:
    """Rows of files that compaction made belong to the entry in whose range they stand; no name tells it."""
    for table in ("events", "duplicates", "rejected"):
        connection.execute(
            f"UPDATE {table} AS t SET entry = r.entry FROM ranges r WHERE t.entry = '' "  # noqa: S608  own text
            "AND t.source = r.source AND t.shard = r.shard "
            "AND lpad(split_part(t.sequence, '#', 1), 60, '0') >= r.first "
            "AND lpad(split_part(t.sequence, '#', 1), 60, '0') < r.past"
        )


def _rows_of(moved: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Source, shard and bounds of the rows of a range; a filing holds rows of any shards, up to some position."""
    if (moved["source"], moved["shard"]) != FILED:
        yield moved["source"], moved["shard"], _padded(moved.get("start", "0")), _padded(moved["end"])
        return
    for source, shard, end, *_ in moved["meta"]["origins"]:
        yield source, shard, _padded("0"), _padded(end)


def _padded(sequence: str) -> str:
    """As text of one length, which sorts as integers do; some have 56 digits, more than any integer of DuckDB."""
    return sequence.rjust(60, "0")


def _chain(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The ledger by itself: numbers without gaps, conserved counts, ranges that follow one another."""
    ends: dict[_Shard, str | None] = {}
    islands: dict[_Shard, list[tuple[int, int]]] = {}
    for expected, entry in enumerate(entries, 1):
        number = entry["number"]
        if number != expected:
            yield f"ledger entry {expected} says that it is number {number}"
        received, *parts = entry.get("counts", [0, 0, 0, 0])
        if received != sum(parts):
            yield f"ledger entry {number} is not conserved: {received} received, {parts}"
        ranges = entry.get("ranges", [])
        by_range = [sum(c) for c in zip(*(r.get("counts", [0] * 4) for r in ranges), strict=True)]
        if by_range and by_range != [received, *parts]:
            yield f"ledger entry {number} counts {[received, *parts]}, its ranges {by_range}"
        for moved in ranges:
            yield from _joins(ends, islands, moved, f"ledger entry {number}")


def _joins(
    ends: dict[_Shard, str | None], islands: dict[_Shard, list[tuple[int, int]]], moved: Mapping[str, Any], name: str
) -> Iterator[str]:
    """A range goes on where the one before ended; an island, committed out of order, shares no record with any."""
    start, shard = moved.get("start"), (moved["source"], moved["shard"])
    if not moved.get("is_island"):
        if start != ends.get(shard):
            yield f"{name}: {shard} goes on at {start}, not at {ends.get(shard)}"
        ends[shard] = moved["end"]
        return
    first, past = int(start or 0), int(moved["end"])
    known = islands.setdefault(shard, [])
    at = bisect(known, (first, past))
    is_apart = (at == 0 or known[at - 1][1] <= first) and (at == len(known) or past <= known[at][0])
    if first >= past or first < int(ends.get(shard) or 0) or not is_apart:
        yield f"{name}: records {first} to {past} of {shard} were committed before"
    known.insert(at, (first, past))


def _against(connection: duckdb.DuckDBPyConnection, truth: Mapping[str, Any]) -> Iterator[str]:
    """What a reader finds beside what the generator knows."""
    found: dict[str, object] = {
        "accepted": _count(connection, "events"),
        "duplicates": _count(connection, "duplicates"),
        "rejected": _count(connection, "rejected"),
        "rejected_by_reason": _groups(connection, "rejected", "reason"),
        "accepted_by_type": _groups(connection, "events", "event_type"),
    }
    for name, value in found.items():
        wanted = truth[name]
        if value != wanted:
            yield f"{name}: found {value}, the truth is {wanted}"


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608  own text


def _groups(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> dict[str, int]:
    rows = connection.execute(f"SELECT {column} FROM {table}").fetchall()  # noqa: S608  own text
    return dict(Counter(value for (value,) in rows))
