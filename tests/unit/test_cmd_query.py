"""`query`: typed answers in each format, exact outputs, hostile values shown harmlessly, and nothing written."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headgate.testing.commands import run

FORMATS = ("delta", "parquet", "json")
HOSTILE_TYPE = "a/b=c%2F é"
ANSI = "\x1b[31mred\x1b[0m\x07\x9b\u202e"

LINES = [
    {"event_uuid": "1", "event_name": f"{HOSTILE_TYPE}:x", "created_at": 1_750_000_000, "text": ANSI},
    {"event_uuid": "2", "event_name": "plain:y", "created_at": 1_750_000_001.5, "text": "=1+1"},
    {"event_uuid": "3", "event_name": "plain", "created_at": 1_750_000_002, "text": 'quo"te,\r\n end '},
    {"event_uuid": "3", "event_name": "plain", "created_at": 1_750_000_002, "text": "copy"},
]


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lakes")
    lines = [json.dumps(line, ensure_ascii=False) for line in LINES]
    (folder / "a.jsonl").write_text("\n".join([*lines, "rubbish"]), "utf-8")
    for table_format in FORMATS:
        result = run("run", folder / "a.jsonl", folder / table_format, "--format", table_format)
        assert result.exit_code == 0, result.stderr
    return folder


def rows(lake: Path, sql: str, *args: object) -> list[dict]:
    result = run("query", lake, sql, "--json", *args)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("table_format", FORMATS)
def test_tables_are_typed_and_partition_values_are_as_sent(lakes: Path, table_format: str) -> None:
    lake = lakes / table_format
    columns = "event_type, created_date + 1 AS tomorrow, payload->>'event_uuid' AS id, created_at"
    sql = f"SELECT {columns} FROM events ORDER BY id"
    found = rows(lake, sql)
    assert [row["event_type"] for row in found] == [HOSTILE_TYPE, "plain", "plain"]
    assert found[0]["tomorrow"] == "2025-06-16"
    assert found[1] == {
        "event_type": "plain",
        "tomorrow": "2025-06-16",
        "id": "2",
        "created_at": 1_750_000_001.5,
    }
    others = "(SELECT count(*) FROM duplicates) d, (SELECT count(*) FROM rejected) r"
    counts = f"SELECT {others}, sum(received) q FROM quality"
    assert rows(lake, counts) == [{"d": 1, "r": 1, "q": 5}]
    assert rows(lake, "SELECT count(*) AS n FROM events a JOIN events b USING (event_uuid)") == [{"n": 3}]
    assert rows(lake, "SELECT conflict, typeof(arrived_at) AS t FROM duplicates") == [
        {"conflict": True, "t": "TIMESTAMP WITH TIME ZONE"}
    ]
    raw = rows(lake, "SELECT raw::VARCHAR AS raw, reason FROM rejected")
    assert raw == [{"raw": "rubbish", "reason": "malformed_json"}]


@pytest.mark.parametrize("table_format", FORMATS)
def test_an_empty_lake_has_empty_tables(tmp_path: Path, table_format: str) -> None:
    (tmp_path / "a.jsonl").write_text("")
    assert run("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", table_format).exit_code == 0
    for table in ("events", "duplicates", "rejected", "quality"):
        assert rows(tmp_path / "lake", f"SELECT * FROM {table}") == []


def test_a_long_line_of_a_json_lake_is_read(tmp_path: Path) -> None:
    event = {"event_uuid": "1", "event_name": "a:b", "created_at": 1, "text": "x" * 3_000_000}
    (tmp_path / "a.jsonl").write_text(json.dumps(event))
    assert run("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", "json").exit_code == 0
    assert rows(tmp_path / "lake", "SELECT length(payload->>'text') AS n FROM events") == [{"n": 3_000_000}]


def test_the_table_escapes_what_a_terminal_might_obey(lakes: Path) -> None:
    result = run("query", lakes / "delta", "SELECT payload->>'text' AS text, event_type FROM events")
    assert result.exit_code == 0
    assert "\\x1b[31mred\\x1b[0m\\x07\\x9b\\u202e" in result.stdout
    assert not [c for c in result.stdout if c != "\n" and (ord(c) < 32 or c in "\x7f\x9b\u202e")]
    named = run("query", lakes / "delta", 'SELECT 1 AS "\x1b[2J"')
    assert "\x1b" not in named.stdout
    broken = run("query", lakes / "delta", "SELECT raw, chr(10) || chr(13) AS line FROM rejected")
    assert "\\x0a\\x0d" in broken.stdout


def test_csv_keeps_every_value_exactly(lakes: Path) -> None:
    sql = "SELECT payload->>'text' AS text, event_subtype, '' AS empty FROM events ORDER BY event_uuid"
    result = run("query", lakes / "delta", sql, "--output", "csv")
    found = list(csv.reader(io.StringIO(result.stdout_bytes.decode(), newline="")))
    texts = [str(line["text"]) for line in LINES[:3]]
    assert found == [
        ["text", "event_subtype", "empty"],
        *([t, s, ""] for t, s in zip(texts, ("x", "y", ""), strict=True)),
    ]
    assert result.stdout_bytes.endswith(b',,""\r\n')
    assert b"\r\n=1+1,y," in result.stdout_bytes


def test_json_parquet_and_files(lakes: Path, tmp_path: Path) -> None:
    assert [
        row["text"] for row in rows(lakes / "delta", "SELECT payload->>'text' AS text FROM events ORDER BY event_uuid")
    ] == [line["text"] for line in LINES[:3]]
    out = tmp_path / "out.parquet"
    sql = "SELECT event_type, created_datetime, 1, 1 FROM events ORDER BY event_uuid"
    assert run("query", lakes / "delta", sql, "--output", "parquet", "--out", out).exit_code == 0
    table = pq.read_table(out)
    assert table["event_type"].to_pylist() == [HOSTILE_TYPE, "plain", "plain"]
    assert str(table.schema.field("created_datetime").type) == "timestamp[us, tz=UTC]"
    assert table.column_names[2:] == ["1", "1_2"]
    refused = run("query", lakes / "delta", "SELECT 1", "--out", tmp_path / "no" / "such" / "folder")
    assert refused.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_nested_and_odd_values_are_shown(lakes: Path) -> None:
    nested = "map {'a': 1} AS m, [1, NULL] AS l, {'x': 'y'} AS s"
    sql = f"SELECT {nested}, 1.50::DECIMAL(5,2) AS d, sum(1) AS h, 'nan'::DOUBLE AS n, true AS t"
    found = rows(lakes / "delta", sql)
    assert found == [{"m": {"a": 1}, "l": [1, None], "s": {"x": "y"}, "d": 1.5, "h": 1, "n": None, "t": True}]
    for output in ("table", "csv"):
        assert run("query", lakes / "delta", sql, "--output", output).exit_code == 0


def test_limit_and_the_rows_that_a_table_shows(lakes: Path) -> None:
    assert len(rows(lakes / "delta", "FROM range(500)")) == 500
    assert len(rows(lakes / "delta", "FROM range(500)", "--limit", 7)) == 7
    shown = run("query", lakes / "delta", "FROM range(500)")
    assert len(shown.stdout.splitlines()) == 102
    assert "more than 100 rows" in shown.stderr
    assert len(run("query", lakes / "delta", "FROM range(500)", "--limit", 150).stdout.splitlines()) == 152


FORBIDDEN = [
    "COPY events TO '{0}'",
    "COPY (SELECT 1) TO '{0}' (FORMAT parquet)",
    "WITH a AS (COPY events TO '{0}') SELECT * FROM a",
    "WITH a AS (COPY events TO '{0}') SELECT 1",
    "EXPLAIN ANALYZE COPY events TO '{0}'",
    "CREATE TABLE t AS SELECT 1",
    "ATTACH '{0}'",
    "EXPORT DATABASE '{0}'",
    "INSTALL httpfs",
    "LOAD '{0}'",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "SELECT 1; COPY events TO '{0}'",
    "SELECT 1; SELECT 2",
    "",
    "/* nothing */",
    "DELETE FROM events",
    "INSERT INTO events SELECT * FROM events",
    "WITH a AS (DELETE FROM events RETURNING *) SELECT * FROM a",
    "DROP VIEW events",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM query('COPY events TO ''{0}''')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{1}')",
]


@pytest.mark.parametrize("table_format", FORMATS)
@pytest.mark.parametrize("sql", FORBIDDEN)
def test_nothing_is_written_and_nothing_else_is_read(lakes: Path, tmp_path: Path, table_format: str, sql: str) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(lakes / table_format, lake)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    inside = next(p for p in (lake / "events").rglob("*.*") if p.is_file() and "_delta_log" not in p.parts)
    for target in (tmp_path / "stolen", lake / "events" / "stolen", inside):
        result = run("query", lake, sql.format(target, inside))
        assert result.exit_code == 2, result.stdout
        assert result.stderr.startswith("error: ")
        assert "root:" not in result.stdout + result.stderr
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_as_of_shows_a_delta_lake_as_it_was(lakes: Path, tmp_path: Path) -> None:
    source, lake = tmp_path / "in", tmp_path / "lake"
    source.mkdir()
    shutil.copy(lakes / "a.jsonl", source / "a.jsonl")
    assert run("run", source, lake).exit_code == 0
    between = json.loads(run("status", lake, "--json").stdout)["committed_at"]
    (source / "b.jsonl").write_text('{"event_uuid":"new","event_name":"a:b","created_at":1}')
    history = f"{between[:-6]}.999999+00:00"
    assert run("run", source, lake).exit_code == 0
    assert rows(lake, "SELECT count(*) AS n FROM events") == [{"n": 4}]
    assert rows(lake, "SELECT count(*) AS n FROM events", "--as-of", "2999-01-01T00:00:00Z") == [{"n": 4}]
    assert rows(lake, "SELECT count(*) AS n FROM events", "--as-of", history)[0]["n"] in (3, 4)
    assert "is known from" in run("query", lake, "SELECT 1", "--as-of", "1999-01-01T00:00:00Z").stderr


@pytest.mark.parametrize(
    ("table_format", "as_of", "word"),
    [
        ("parquet", "2026-01-01T00:00:00Z", "delta"),
        ("json", "2026-01-01T00:00:00Z", "delta"),
        ("delta", "yesterday", "offset"),
        ("delta", "2026-01-01", "offset"),
    ],
)
def test_as_of_that_cannot_be_is_explained(lakes: Path, table_format: str, as_of: str, word: str) -> None:
    result = run("query", lakes / table_format, "SELECT 1", "--as-of", as_of)
    assert result.exit_code == 2
    assert word in result.stderr


def test_a_wrong_name_is_answered_with_the_views(lakes: Path) -> None:
    result = run("query", lakes / "delta", "SELECT * FROM event")
    assert result.exit_code == 2
    assert "events, duplicates, rejected, quality" in result.stderr
    assert run("query", lakes / "delta", "SELECT 1", "--json", "--output", "csv").exit_code == 2


LATE_ERROR = "SELECT CASE WHEN i > 900000 THEN error('too late') ELSE i END FROM range(1000000) t(i)"


@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_a_statement_that_fails_at_a_late_row_is_told_as_such(lakes: Path, tmp_path: Path, kind: str) -> None:
    for more in ((), ("--out", tmp_path / "out")):
        result = run("query", lakes / "delta", LATE_ERROR, "--output", kind, "--limit", 1_000_000, *more)
        assert (result.exit_code, "too late" in result.stderr, "bug" in result.stderr) == (2, True, False)
        assert "written" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("harm", ["gone", "damaged"])
@pytest.mark.parametrize("table_format", FORMATS)
def test_a_file_that_cannot_be_read_is_told_as_such(lakes: Path, tmp_path: Path, table_format: str, harm: str) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(lakes / table_format, lake)
    file = next(path for path in (lake / "events").rglob("*-0.*") if path.suffix != ".crc")
    if harm == "damaged":
        file.write_bytes(file.read_bytes()[:-9] if table_format == "json" else b"PAR1" + bytes(999) + b"PAR1")
    elif table_format == "delta":
        file.unlink()
    else:
        return  # a folder shows what is in it: only `verify` knows what was
    for more in ((), ("--out", tmp_path / "out")):
        result = run("query", lake, "SELECT * FROM events", "--output", "csv", *more)
        assert (result.exit_code, "bug" in result.stderr, "cannot be written" in result.stderr) == (1, False, False)
        assert f"{lake} cannot be read" in result.stderr
        assert "headgate verify" in result.stderr


@pytest.mark.parametrize("harm", ["rubbish", "gap"])
def test_a_delta_log_that_is_damaged_stops_every_command_with_its_name(lakes: Path, tmp_path: Path, harm: str) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(lakes / "delta", lake)
    log = lake / "events" / "_delta_log"
    newest = max(log.glob("*.json"))
    if harm == "rubbish":
        newest.write_text("junk")
    else:
        newest.rename(log / f"{int(newest.stem) + 2:020}.json")
    (tmp_path / "b.jsonl").write_text(json.dumps({**LINES[0], "event_uuid": "new"}))
    for args in (("query", lake, "SELECT * FROM events"), ("build", lake), ("run", tmp_path / "b.jsonl", lake)):
        result = run(*args)
        assert (result.exit_code, "bug" in result.stderr) == (1, False), result.stderr
        assert f"{lake}/events" in result.stderr
        assert "restore" in result.stderr


def test_no_lake_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, word in (
        (tmp_path / "none", "no such folder"),
        (tmp_path, "no lake"),
        (tmp_path / "file", "is a file"),
    ):
        result = run("query", path, "SELECT 1")
        assert result.exit_code == 2
        assert word in result.stderr


@pytest.mark.parametrize("table_format", FORMATS)
def test_files_of_other_partitions_are_not_read(lakes: Path, table_format: str) -> None:
    everything = run("query", lakes / table_format, "SELECT payload FROM events", "--files")
    assert everything.stderr == "events: 2 files read\n"
    one = run("query", lakes / table_format, "SELECT payload FROM events WHERE event_type = 'plain'", "--files")
    assert one.stderr == f"events: {2 if table_format == 'json' else 1} files read\n"
    none = run("query", lakes / table_format, "SELECT payload FROM events WHERE created_date = '1999-01-01'", "--files")
    assert none.stderr == ("events: 2 files read\n" if table_format == "json" else "")
    assert none.exit_code == 0
