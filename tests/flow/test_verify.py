"""`verify` proves a clean lake of each format and finds every kind of damage, naming it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from deltalake import DeltaTable, write_deltalake

from headgate.lake.local import LocalStorage
from headgate.lake.read import dataset
from headgate.testing.commands import run

FORMATS = ("delta", "parquet", "json")
EVENTS = 600


def ok(*args: object) -> Result:
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    return result


def breaches(source: Path, lake: Path, *args: object) -> dict[str, str]:
    """Kind to sentence of what verify finds; the exit code must say the same."""
    result = run("verify", source, lake, "--json", *args)
    found = json.loads(result.stdout)
    assert result.exit_code == (3 if found["breaches"] else 0), result.stderr
    return {breach["kind"]: breach["sentence"] for breach in found["breaches"]}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source and a lake of each format, in two entries; copied by each test."""
    folder = tmp_path_factory.mktemp("clean")
    source = folder / "events.jsonl"
    options = ("--types", 4, "--duplicates", 0.1, "--invalid", 0.05, "--start", "2025-06-01T00:00:00Z")
    ok("generate", "--events", EVENTS, "--out", source, *options)
    for table_format in FORMATS:
        ok(
            "run",
            source,
            folder / table_format,
            "--format",
            table_format,
            "--batch-events",
            EVENTS // 2,
            *named(),
        )
    return folder


def named() -> tuple[str, str]:
    """The source's name in positions, so that a copied folder is the same source."""
    return ("--source-name", "stream")


@pytest.fixture
def copied(clean: Path, tmp_path: Path) -> Path:
    shutil.copytree(clean, tmp_path / "w", symlinks=True)
    return tmp_path / "w"


def verify(folder: Path, table_format: str) -> dict[str, str]:
    return breaches(folder / "events.jsonl", folder / table_format, *named())


def a_file(lake: Path, table: str) -> Path:
    files = sorted(
        p for p in (lake / table).rglob("*") if p.suffix in (".parquet", ".gz") and "_delta_log" not in str(p)
    )
    return files[0]


def ledger_entry(lake: Path, number: int) -> Path:
    return lake / "_headgate" / "ledger" / f"{number:020d}.json"


def change_entry(lake: Path, number: int, change: Callable[[dict], None]) -> None:
    entry = json.loads(ledger_entry(lake, number).read_text())
    change(entry)
    ledger_entry(lake, number).write_text(json.dumps(entry))


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_clean_lake_is_proven_in_at_most_fifteen_lines(clean: Path, table_format: str) -> None:
    result = ok("verify", clean / "events.jsonl", clean / table_format, *named())
    lines = result.stdout.splitlines()
    assert lines[-1] == "proven"
    assert len(lines) <= 15
    found = json.loads(ok("verify", clean / "events.jsonl", clean / table_format, "--json", *named()).stdout)
    assert found["proven"] is True
    assert found["counts"][0] == EVENTS == sum(found["rows"].values()) == found["reread_parts"]
    assert found["ledger_only_rows"] == found["unread_records"] == 0
    assert found["entries"] == 3


@pytest.mark.parametrize("table_format", FORMATS)
@pytest.mark.parametrize("table", ["events", "duplicates", "rejected"])
def test_a_deleted_file_is_found(copied: Path, table_format: str, table: str) -> None:
    gone = a_file(copied / table_format, table)
    gone.unlink()
    found = verify(copied, table_format)
    assert f"of {table} missing that the ledger counts" in found["lost"]
    assert "of the source missing in the lake" in found["missing"]
    if table_format == "delta":
        assert "named by its log but gone" in found["unreadable"]
    else:
        assert gone.name in found["lost"]


def test_a_damaged_file_is_a_breach_and_no_crash(copied: Path) -> None:
    for table_format in FORMATS:
        file = a_file(copied / table_format, "events")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert "events cannot be read to its end" in verify(copied, table_format)["unreadable"]


@pytest.mark.parametrize("table_format", ["parquet", "json"])
def test_a_copied_file_is_found(copied: Path, table_format: str) -> None:
    file = a_file(copied / table_format, "events")
    shutil.copy(file, file.with_name(f"copy-{file.name}"))
    found = verify(copied, table_format)
    assert "more than once in the tables" in found["twice"]
    assert "of events more than the ledger counts" in found["added"]
    assert "accepted with an id that another one had" in found["same_id"]


def test_a_row_added_to_a_delta_table_is_found(copied: Path) -> None:
    lake = copied / "delta"
    row = dataset(LocalStorage(lake), "events").head(1)
    write_deltalake(str(lake / "events"), row, mode="append")
    assert {"twice", "added", "same_id"} <= verify(copied, "delta").keys()


def test_a_row_under_a_position_that_was_never_committed_is_found(copied: Path) -> None:
    lake = copied / "delta"
    row = dataset(LocalStorage(lake), "events").head(1)
    far = row.set_column(row.schema.get_field_index("sequence"), "sequence", pa.array(["999999999"]))
    write_deltalake(str(lake / "events"), far, mode="append")
    found = verify(copied, "delta")
    assert "that no ledger entry commits" in found["uncommitted"]
    assert "same_id" in found


def test_a_row_without_a_readable_position_is_found(copied: Path) -> None:
    lake = copied / "delta"
    row = dataset(LocalStorage(lake), "events").head(1)
    odd = row.set_column(row.schema.get_field_index("sequence"), "sequence", pa.array(["12x"]))
    write_deltalake(str(lake / "events"), odd, mode="append")
    assert "without a position that can be read" in verify(copied, "delta")["position"]


@pytest.mark.parametrize("table", ["events", "duplicates", "rejected"])
def test_a_row_deleted_from_a_delta_table_is_found(copied: Path, table: str) -> None:
    opened = DeltaTable(str(copied / "delta" / table))
    sequence = dataset(LocalStorage(copied / "delta"), table).head(1)["sequence"][0].as_py()
    opened.delete(f"sequence = '{sequence}'")
    found = verify(copied, "delta")
    assert f"1 row of {table} missing that the ledger counts" in found["lost"]
    assert found["missing"].startswith("1 event of the source missing in the lake")


def test_a_removed_original_makes_its_duplicate_an_orphan(copied: Path) -> None:
    original = dataset(LocalStorage(copied / "delta"), "duplicates").head(1)["original_sequence"][0].as_py()
    DeltaTable(str(copied / "delta" / "events")).delete(f"sequence = '{original}'")
    found = verify(copied, "delta")
    assert "without an original in events" in found["orphan"]


def replace_row(folder: Path, column: str, value: object) -> None:
    """Give the first row of a Parquet file of `events` another value."""
    path = a_file(folder / "parquet", "events")
    table = pq.ParquetFile(path).read()
    values = table[column].to_pylist()
    values[0] = value
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, column, pa.array(values, table.schema.field(column).type)), path)


def test_another_id_at_a_position_is_found(copied: Path) -> None:
    replace_row(copied, "event_uuid", "00000000-0000-4000-8000-00000000abcd")
    assert "with another id than the source has" in verify(copied, "parquet")["other_id"]


def test_the_same_uuid_written_otherwise_is_the_same_id(copied: Path) -> None:
    path = a_file(copied / "parquet", "events")
    first = pq.ParquetFile(path).read()["event_uuid"][0].as_py()
    replace_row(copied, "event_uuid", first.upper())
    assert verify(copied, "parquet") == {}


def test_another_payload_at_a_position_is_found(copied: Path) -> None:
    replace_row(copied, "payload", '{"amount":1000000}')
    assert verify(copied, "parquet")["content"] == "1 row of the lake with other bytes than the source"


def test_an_event_moved_to_another_position_is_found(copied: Path) -> None:
    replace_row(copied, "sequence", "1")
    found = verify(copied, "parquet")
    assert {"missing", "extra"} <= found.keys()


def test_a_changed_count_in_the_ledger_is_found(copied: Path) -> None:
    def change(entry: dict) -> None:
        entry["counts"][1] += 1

    change_entry(copied / "parquet", 2, change)
    found = verify(copied, "parquet")
    assert "ledger entry 2" in found["conservation"]
    assert "quality differs from the ledger in 1 entry" in found["quality"]


def test_counts_changed_so_that_they_still_add_up_are_found(copied: Path) -> None:
    def change(entry: dict) -> None:
        for counts in (entry["counts"], entry["ranges"][0]["counts"]):
            counts[1] -= 1
            counts[3] += 1

    change_entry(copied / "parquet", 2, change)
    found = verify(copied, "parquet")
    assert {"lost", "added", "quality", "conservation"} <= found.keys()


def test_a_gap_between_two_ranges_is_found(copied: Path) -> None:
    def change(entry: dict) -> None:
        entry["ranges"][0]["start"] = str(int(entry["ranges"][0]["start"]) + 1)

    change_entry(copied / "parquet", 3, change)
    assert "but the entries before it end at" in verify(copied, "parquet")["gap"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_ledger_entry_is_found(copied: Path, number: int) -> None:
    ledger_entry(copied / "parquet", number).unlink()
    assert f"ledger entry {number} is missing" in verify(copied, "parquet")["ledger"]


def test_a_ledger_entry_that_cannot_be_read_is_found(copied: Path) -> None:
    ledger_entry(copied / "delta", 2).write_text("{")
    assert "cannot be read" in verify(copied, "delta")["ledger"]


def test_quality_that_was_changed_is_found(copied: Path) -> None:
    DeltaTable(str(copied / "delta" / "quality")).update({"accepted": "accepted + 1"})
    assert "quality differs from the ledger in 2 entries" in verify(copied, "delta")["quality"]


@pytest.mark.parametrize("line", [-1, EVENTS // 2])
def test_a_row_deleted_from_the_source_is_found(copied: Path, line: int) -> None:
    source = copied / "events.jsonl"
    lines = source.read_bytes().splitlines(keepends=True)
    del lines[line]
    source.write_bytes(b"".join(lines))
    found = verify(copied, "delta")
    assert "1 shard of the source shorter than what was read of it" in found["shorter"]
    assert "of the lake not in the source" in found["extra"]


def test_a_source_that_is_gone_leaves_ledger_and_quality_as_the_proof(copied: Path) -> None:
    (copied / "events.jsonl").unlink()
    result = ok("verify", copied / "events.jsonl", copied / "delta", *named())
    assert "0 events of 0 shards read again" in result.stdout
    assert f"{EVENTS} events of 1 shard that stream does not hold" in result.stdout
    DeltaTable(str(copied / "delta" / "events")).delete("event_type = 'page'")
    assert {"lost"} <= verify(copied, "delta").keys()


def test_what_the_source_holds_beyond_the_position_is_not_yet_read(copied: Path) -> None:
    with (copied / "events.jsonl").open("ab") as file:
        file.write(b'{"event_uuid":"new","event_name":"a:b","created_at":1}\n' * 3)
    found = json.loads(ok("verify", copied / "events.jsonl", copied / "delta", "--json", *named()).stdout)
    assert found["unread_records"] == 3
    assert found["proven"] is True


def test_entries_that_are_not_yet_published_are_said_and_left_out(copied: Path) -> None:
    lake = copied / "parquet"
    (lake / "_headgate" / "published.json").write_text('{"number":2}')
    entry = json.loads(ledger_entry(lake, 3).read_text())
    staging = lake / "_headgate" / "staging" / entry["entry_id"]
    staging.mkdir(parents=True)
    (staging / "unpublished").touch()
    for file in entry["files"]:
        shutil.move(lake / file["target"], lake / file["path"])
    result = ok("verify", copied / "events.jsonl", lake, *named())
    assert "ledger entries 3 to 3; the next run shows them" in result.stdout
    ok("run", copied / "events.jsonl", lake, *named())
    assert "not yet published" not in ok("verify", copied / "events.jsonl", lake, *named()).stdout


def test_a_copy_beyond_the_window_is_accepted_and_one_within_it_is_a_breach(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    line = '{"event_uuid":"one","event_name":"a:b","created_at":1,"n":%d}\n'
    for day in (0, 5):
        (source / f"{day}.jsonl").write_text(line % day)
        os.utime(source / f"{day}.jsonl", (1_750_000_000 + day * 86_400,) * 2)
    ok("run", source, tmp_path / "lake", "--config", _window(tmp_path, "4d"))
    assert breaches(source, tmp_path / "lake", "--window", "4d") == {}
    assert "1 event accepted with an id" in breaches(source, tmp_path / "lake", "--window", "5d")["same_id"]
    ok("run", source, tmp_path / "other", "--config", _window(tmp_path, "5d"))
    assert breaches(source, tmp_path / "other", "--window", "5d") == {}
    assert "came more than the window" in breaches(source, tmp_path / "other", "--window", "4d")["window"]


def _window(folder: Path, window: str) -> Path:
    path = folder / f"{window}.toml"
    path.write_text(f'[dedup]\nwindow = "{window}"\n')
    return path


def test_records_before_start_are_skipped_where_verify_is_told_so(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    old = '{"event_uuid":"%d","event_name":"a:b","created_at":1}\n'
    (source / "a.jsonl").write_text("".join(old % n for n in range(5)))
    ok("run", source, tmp_path / "lake", "--start", "latest")
    with (source / "a.jsonl").open("a") as file:
        file.write(old % 5)
    ok("run", source, tmp_path / "lake", "--start", "latest")
    assert "--start" in breaches(source, tmp_path / "lake")["missing"]
    found = ok("verify", source, tmp_path / "lake", "--start", "latest").stdout
    assert "5 events before the start of the runs" in found


def test_several_events_in_a_record_and_blank_lines_are_proven(tmp_path: Path) -> None:
    event = '{"event_uuid":"%s","event_name":"a:b","created_at":1}'
    source = tmp_path / "a.jsonl"
    source.write_text(f"[{event % 'x'},{event % 'y'}]\n\n\n{event % 'x'}{event % 'z'} rubbish\n")
    for table_format in FORMATS:
        ok("run", source, tmp_path / table_format, "--format", table_format)
        found = json.loads(ok("verify", source, tmp_path / table_format, "--json").stdout)
        assert found["reread_parts"] == found["counts"][0] == 5


def test_an_unknown_source_is_refused_with_the_known_ones(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    result = run("verify", other, copied / "delta")
    assert result.exit_code == 2
    assert "holds nothing of source" in result.stderr
    assert "stream" in result.stderr
    assert run("verify", tmp_path / "none.jsonl", copied / "delta").exit_code == 2
    assert run("verify", other, tmp_path / "no-lake").exit_code == 2


def test_verify_writes_nothing_into_the_lake(copied: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (copied / "delta").rglob("*")}
    assert verify(copied, "delta") == {}
    assert {p: p.stat().st_mtime_ns for p in (copied / "delta").rglob("*")} == before


def test_memory_that_is_no_size_is_a_usage_error(copied: Path) -> None:
    result = run("verify", copied / "events.jsonl", copied / "delta", "--memory", "lots", *named())
    assert result.exit_code == 2
    assert "--memory lots" in result.stderr


def test_an_independent_reader_agrees_with_the_proof(clean: Path) -> None:
    with duckdb.connect() as connection:
        counted = connection.sql(f"SELECT count(*) FROM '{clean}/parquet/events/**/*.parquet'").fetchall()
    found = json.loads(ok("verify", clean / "events.jsonl", clean / "parquet", "--json", *named()).stdout)
    assert counted == [(found["rows"]["events"],)]
