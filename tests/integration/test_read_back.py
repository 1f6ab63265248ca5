"""All three formats read back by pyarrow, DuckDB and deltalake themselves: same rows, types, odd names as sent."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from headgate.testing.processes import run

TYPES = [
    "payment",
    "a/b=c%2F",
    "__HIVE_DEFAULT_PARTITION__",
    "../../x",
    "..",
    "/etc/passwd",
    "日本 é",
    "007",
    "2026-11-20",
    "null",
    'it\'s "quoted"',
    "_hidden",
    "Payment",
]
COLUMNS = ["event_uuid", "event_type", "event_subtype", "created_at", "created_datetime", "created_date"]
CREATED = 1_780_000_000.25  # Unix seconds; 2026-05-28 20:26:40.25 UTC
DAY = date(2026, 5, 28)


def event(number: int) -> dict[str, object]:
    name = f"{TYPES[number]}:sub" if number % 2 else TYPES[number]
    return {"event_uuid": f"id-{number:02d}", "event_name": name, "created_at": CREATED, "n": number}


def lake_of(tmp_path: Path, table_format: str) -> Path:
    source, lake = tmp_path / "events.jsonl", tmp_path / "inner" / "lake"
    lines = [json.dumps(event(n), ensure_ascii=n % 2 == 0) for n in range(len(TYPES))]
    source.write_text("\n".join([*lines, "rubbish", lines[0]]) + "\n")
    code, child = run(["run", source, lake, "--format", table_format, "--batch-events", "4"], tmp_path / "logs")
    assert code == 0, child.errors()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "inner", "logs"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["lake"]
    assert {path.name for path in lake.iterdir()} == {*("events", "duplicates", "rejected", "quality", "_headgate")}
    return lake


def expected() -> list[tuple[object, ...]]:
    return [
        (f"id-{n:02d}", name, "sub" if n % 2 else None, CREATED, 1_780_000_000_250_000, DAY)
        for n, name in enumerate(TYPES)
    ]


def rows(table: pa.Table) -> list[tuple[object, ...]]:
    """Rows by id, instants as microseconds."""
    table = table.select(COLUMNS).sort_by("event_uuid")
    place = COLUMNS.index("created_datetime")
    instants = table["created_datetime"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return list(zip(*table.set_column(place, "created_datetime", instants).to_pydict().values(), strict=True))


def by_duckdb(lake: Path, reader: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"SELECT * FROM {reader}").to_arrow_table()


def parquet_by_pyarrow(lake: Path) -> pa.Table:
    keys = pa.schema([("event_type", pa.string()), ("created_date", pa.date32())])
    # else pyarrow takes the very text __HIVE_DEFAULT_PARTITION__ for null, however it is escaped
    partitioning = ds.HivePartitioning(keys, null_fallback="")
    return ds.dataset(lake / "events", format="parquet", partitioning=partitioning).to_table()


def parquet_by_duckdb(lake: Path) -> pa.Table:
    types = "hive_partitioning = true, hive_types = {'event_type': VARCHAR, 'created_date': DATE}"
    return by_duckdb(lake, f"read_parquet('{lake}/events/**/*.parquet', {types})")


def json_by_duckdb(lake: Path) -> pa.Table:
    columns = (
        "{event_uuid: 'VARCHAR', event_type: 'VARCHAR', event_subtype: 'VARCHAR', created_at: 'DOUBLE', "
        "created_datetime: 'TIMESTAMPTZ', created_date: 'DATE'}"
    )
    reader = f"read_json('{lake}/events/**/*.jsonl.gz', format = 'newline_delimited', columns = {columns})"
    return by_duckdb(lake, reader)


def json_folders_by_duckdb(lake: Path) -> pa.Table:
    """The partition columns from the folders, the others from the lines."""
    types = "hive_partitioning = true, hive_types = {'event_type': VARCHAR, 'created_date': DATE}"
    reader = (
        f"read_json('{lake}/events/**/*.jsonl.gz', format = 'newline_delimited', {types}, columns = "
        "{event_uuid: 'VARCHAR', event_subtype: 'VARCHAR', created_at: 'DOUBLE', created_datetime: 'TIMESTAMPTZ'})"
    )
    return by_duckdb(lake, reader)


def delta_by_deltalake(lake: Path) -> pa.Table:
    return DeltaTable(lake / "events").to_pyarrow_table()


def maps(table: pa.Table) -> list[tuple[object, ...]]:
    """What is counted of all types, each by the column's own keys."""
    counts: dict[str, Counter[object]] = {}
    for name in ("units", "created_to_arrived", "missing", "reasons"):
        counts[name] = Counter()
        for row in table[name].to_pylist():
            counts[name].update(dict(row))
    return [(name, dict(some)) for name, some in counts.items()]


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_maps_of_quality_are_read_back_by_others(tmp_path: Path, table_format: str) -> None:
    lake = lake_of(tmp_path, table_format)
    by_pyarrow = ds.dataset(lake / "quality", format="parquet", exclude_invalid_files=True).to_table()
    found = [maps(by_pyarrow), maps(by_duckdb(lake, f"read_parquet('{lake}/quality/*.parquet')"))]
    if table_format == "delta":
        found.append(maps(DeltaTable(lake / "quality").to_pyarrow_table()))
    units, latency, missing, reasons = found[0]
    assert units == ("units", {"seconds": len(TYPES) + 1})
    assert sum(latency[1].values()) == len(TYPES) + 1
    assert all(isinstance(bound, float) for bound in latency[1])
    assert (missing, reasons) == (("missing", {}), ("reasons", {"malformed_json": 1}))
    assert all(one == found[0] for one in found)


READERS: list[tuple[str, Callable[[Path], pa.Table]]] = [
    ("parquet", parquet_by_pyarrow),
    ("parquet", parquet_by_duckdb),
    ("json", json_by_duckdb),
    ("json", json_folders_by_duckdb),
    ("delta", delta_by_deltalake),
]


@pytest.mark.parametrize(("table_format", "reader"), READERS)
def test_every_event_is_read_back_as_sent(
    tmp_path: Path, table_format: str, reader: Callable[[Path], pa.Table]
) -> None:
    table = reader(lake_of(tmp_path, table_format))
    assert rows(table) == expected()
    assert table.schema.field("created_date").type == pa.date32()
    assert table.schema.field("created_at").type == pa.float64()
    assert pa.types.is_timestamp(table.schema.field("created_datetime").type)


@pytest.mark.parametrize(("table_format", "reader"), [READERS[0], READERS[1], READERS[4]])
def test_the_payload_is_the_text_that_was_sent(
    tmp_path: Path, table_format: str, reader: Callable[[Path], pa.Table]
) -> None:
    table = reader(lake_of(tmp_path, table_format)).sort_by("event_uuid")
    sent = (tmp_path / "events.jsonl").read_text().splitlines()[: len(TYPES)]
    assert table["payload"].to_pylist() == sent


def test_a_json_line_is_the_object_that_was_sent_with_our_fields_added(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "json")
    with duckdb.connect() as connection:
        lines = connection.execute(
            f"SELECT json FROM read_ndjson_objects('{lake}/events/**/*.jsonl.gz') ORDER BY json->>'event_uuid'"
        ).fetchall()
    for number, (line,) in enumerate(lines):
        found = json.loads(line)
        assert {key: found[key] for key in event(number)} == event(number)
        assert found["created_date"] == DAY.isoformat()
        assert set(found["_headgate"]) == {"arrived_at", "source", "shard", "sequence"}


def test_duplicates_and_rejects_are_read_back_too(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, "delta")
    duplicates = DeltaTable(lake / "duplicates").to_pyarrow_table()
    assert duplicates["event_uuid"].to_pylist() == ["id-00"]
    assert duplicates["original_sequence"].to_pylist() == ["0"]
    assert duplicates["conflict"].to_pylist() == [False]
    rejected = DeltaTable(lake / "rejected").to_pyarrow_table()
    assert (rejected["raw"].to_pylist(), rejected["reason"].to_pylist()) == ([b"rubbish"], ["malformed_json"])
