"""`query` over typed tables, and what it opens: files of the partitions that a statement asks about and no others."""

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headgate.testing.commands import run

FORMATS = ["delta", "parquet", "json"]
DAYS = [date(2025, 6, 15) + timedelta(days=n) for n in range(4)]
TYPES = ["payment", "a/b=c é", "Payment"]


def rows(lake, sql, *args):
    result = run("query", lake, sql, "--json", *args)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def typed(values, day=DAYS[0]):
    return pa.table(
        {"event_uuid": [f"{day}-{v}" for v in values], "amount": values, "created_date": [day] * len(values)}
    )


@pytest.fixture
def lake(tmp_path, request):
    table_format = getattr(request, "param", "delta")
    lines = [
        json.dumps({"event_uuid": f"{kind}-{day}", "event_name": f"{kind}:x", "created_at": f"{day}T12:00:00Z"})
        for kind in TYPES
        for day in DAYS
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert run("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", table_format).exit_code == 0
    return tmp_path / "lake"


def write(lake, folder, table, **more):
    write_deltalake(lake / "analytics" / folder, table, partition_by=["created_date"], **more)


@pytest.mark.parametrize("lake", FORMATS, indirect=True)
def test_a_typed_table_is_a_view_of_its_folders_name(lake):
    write(lake, "payment_order__completed", typed([1, 2]))
    write(lake, "a-B é", typed([3]))
    (lake / "analytics" / "no_table").mkdir()
    sql = "SELECT sum(amount) AS s, any_value(typeof(created_date)) AS t FROM analytics.payment_order__completed"
    assert rows(lake, sql) == [{"s": 3, "t": "DATE"}]
    assert rows(lake, 'SELECT amount FROM Analytics."A-b é"') == [{"amount": 3}]
    assert rows(lake, 'SELECT count(*) AS n FROM events e, analytics."a-B é" a') == [{"n": 12}]
    views = "SELECT table_name AS n FROM information_schema.tables WHERE table_schema = 'analytics' ORDER BY 1"
    assert [row["n"] for row in rows(lake, views)] == ["a-B é", "payment_order__completed"]
    result = run("query", lake, "SELECT * FROM analytics.nothing")
    assert result.exit_code == 2
    assert "analytics" in result.stderr


def test_without_typed_tables_there_is_none(lake):
    assert rows(lake, "SELECT 1 AS one") == [{"one": 1}]
    assert run("query", lake, "FROM analytics.payment").exit_code == 2


def test_nothing_is_written_through_a_view(lake):
    write(lake, "payment", typed([1]))
    before = DeltaTable(lake / "analytics" / "payment").version()
    for sql in (
        "INSERT INTO analytics.payment VALUES (1)",
        "DROP VIEW analytics.payment",
        "CREATE TABLE analytics.x(a INT)",
    ):
        assert run("query", lake, sql).exit_code == 2
    assert DeltaTable(lake / "analytics" / "payment").version() == before


def test_a_column_that_came_later_is_null_before_and_one_that_was_widened_keeps_its_values(lake):
    write(lake, "payment", typed([1, 2]))
    added = typed([3]).append_column("note", pa.array(["x"]))
    write(lake, "payment", added, mode="append", schema_mode="merge")
    assert rows(lake, "SELECT amount, note FROM analytics.payment ORDER BY 1") == [
        {"amount": 1, "note": None},
        {"amount": 2, "note": None},
        {"amount": 3, "note": "x"},
    ]


def test_as_of_shows_a_typed_table_as_it_was(lake):
    write(lake, "payment", typed([1]))
    first = DeltaTable(lake / "analytics" / "payment").history()[0]["timestamp"]
    write(lake, "payment", typed([2]), mode="append")
    then = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=first)).isoformat()
    assert rows(lake, "SELECT amount FROM analytics.payment", "--as-of", then) == [{"amount": 1}]
    assert len(rows(lake, "SELECT amount FROM analytics.payment")) == 2
    result = run("query", lake, "FROM analytics.payment", "--as-of", "2025-01-01T00:00:00Z")
    assert result.exit_code == 2
    assert "is known from" in result.stderr


PRUNED = "event_type = 'a/b=c é' AND created_date = DATE '2025-06-16'"


@pytest.mark.parametrize(
    "where", [PRUNED, "created_date > '2025-06-15' AND created_date < '2025-06-17' AND event_type = 'a/b=c é'"]
)
@pytest.mark.parametrize("lake", ["delta", "parquet"], indirect=True)
def test_only_the_files_of_the_partition_are_opened(lake, where):
    files = list((lake / "events").rglob("*.parquet"))
    assert len(files) == len(TYPES) * len(DAYS)
    for path in files:
        if not ("created_date=2025-06-16" in str(path) and "=a%2Fb" in str(path)):
            path.write_bytes(b"no parquet: whoever opens it fails")
    asked = f"SELECT count(*) AS n, min(payload->>'event_uuid') AS id FROM events WHERE {where}"
    assert rows(lake, asked) == [{"n": 1, "id": "a/b=c é-2025-06-16"}]
    assert run("query", lake, "SELECT min(payload) FROM events").exit_code != 0


def test_only_the_files_of_the_date_are_opened_of_a_typed_table(lake):
    for day in DAYS:
        write(lake, "payment", typed([1, 2], day), mode="append")
    for path in (lake / "analytics").rglob("*.parquet"):
        if "created_date=2025-06-16" not in str(path):
            path.unlink()
    asked = "SELECT sum(amount) AS s FROM analytics.payment WHERE created_date = '2025-06-16'"
    assert rows(lake, asked) == [{"s": 3}]
    assert run("query", lake, "SELECT sum(amount) FROM analytics.payment").exit_code != 0
