"""A compacted lake holds the same rows in fewer files, for every reader; it runs, verifies and rebuilds as before."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake

from headgate.entrypoints.cli import cli
from headgate.errors import ConfigError, PermanentError
from headgate.jobs.compact import Watch
from headgate.lake.delta import APP_ID
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.local import LocalStorage
from headgate.testing.commands import ok, run
from headgate.testing.compaction import DAY_US, TABLES, compacted, fill, now_us, open_delta, parquet_files, rows
from headgate.testing.lake_rows import ODD_TYPES
from headgate.testing.memory_storage import MemoryStorage

EVENTS = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A lake with every odd event type in three files."""
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_delta(LocalStorage(path))
    fill(lake, 0, 3 * len(ODD_TYPES))
    lake.close()
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def lake(made, path):
    """A copy of that lake."""
    shutil.copytree(made, path)
    lake = open_delta(LocalStorage(path))
    yield lake
    lake.close()


def by_deltalake(path: Path) -> dict[str, list[str]]:
    """All rows as a fresh delta-rs reads them."""
    return {t: sorted(map(str, DeltaTable(path / t).to_pyarrow_table().to_pylist())) for t in TABLES}


def test_rows_are_the_same_in_fewer_files_and_a_second_run_does_nothing(path, lake):
    before, read = rows(lake.storage), by_deltalake(path)
    done = compacted(path)
    assert {name: (t.files_before, t.files_after) for name, t in done.tables.items()} == {
        "events": (60, 20),
        "duplicates": (60, 1),
        "rejected": (60, 1),
        "quality": (60, 1),
    }
    assert rows(lake.storage) == before
    assert by_deltalake(path) == read
    assert sorted(DeltaTable(path / "events").to_pyarrow_table()["event_type"].to_pylist()) == sorted(3 * ODD_TYPES)
    again = compacted(path)
    assert [(t.joined, t.commits, t.files_before) for t in again.tables.values()] == [
        (0, 0, 20),
        *[(0, 0, 1)] * 3,
    ]
    for table in TABLES:
        live = DeltaTable(path / table).get_add_actions(flatten=True)
        assert done.tables[table].files_after == live.num_rows
        assert done.tables[table].bytes_after == sum(pa.table(live)["size_bytes"].to_pylist())


def test_no_value_of_a_text_shows_in_a_footer_or_the_log(path, lake):
    compacted(path)
    for name in DeltaTable(path / "events").get_add_actions().column("path").to_pylist():
        assert "joined-" in name
    for file in (path / "events").rglob("joined-*.parquet"):
        group = pq.ParquetFile(file).metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
        bounded = {c.path_in_schema for c in columns if c.statistics is not None and c.statistics.has_min_max}
        assert bounded == {"created_datetime", "arrived_at"}
        assert {c.compression for c in columns} == {"ZSTD"}
    stats = pa.table(DeltaTable(path / "events").get_add_actions(flatten=True))
    assert {name for name in stats.column_names if name.startswith("min.")} == {
        "min.created_datetime",
        "min.arrived_at",
    }
    assert stats["num_records"].to_pylist() == [3] * 20


def test_the_ledger_number_of_a_table_survives_compaction_and_checkpoints(path, lake):
    compacted(path)
    for table in TABLES:
        assert (path / table / "_delta_log" / "_last_checkpoint").exists()
        for version in (path / table / "_delta_log").glob("0*.json"):  # nothing but the checkpoint is left
            number = int(version.stem)
            if number < DeltaTable(path / table).version():
                version.unlink()
        assert DeltaTable(path / table).transaction_version(APP_ID) == 60
    before = rows(lake.storage)
    other = open_delta(LocalStorage(path))
    fill(other, 60, 2)
    fill(lake, 62, 2)
    other.close()
    assert len(rows(lake.storage)["events"]) == len(before["events"]) + 4


def test_files_are_full_at_the_target_size(path, lake, monkeypatch):
    monkeypatch.setattr("headgate.lake.join.ROW_GROUP_BYTES", 2_000)
    before = rows(lake.storage)
    done = compacted(path, target=7_000)
    sizes = [p.stat().st_size for p in (path / "quality").glob("joined-*.parquet")]
    assert len(sizes) >= 2
    assert all(size >= 7_000 for size in sorted(sizes)[1:])
    assert done.tables["quality"].files_after == len(sizes)
    assert rows(lake.storage) == before
    assert compacted(path, target=7_000).tables["quality"].joined == 0


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(path, lake):
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    done = compacted(path, after_us=2 * DAY_US, is_dry_run=True)
    assert (done.tables["events"].joined, done.tables["events"].files_after) == (60, 20)
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
    compacted(path)
    dry, real = (compacted(path, after_us=8 * DAY_US, is_dry_run=is_dry) for is_dry in (True, False))
    assert dry.tables["events"].vacuumed == real.tables["events"].vacuumed == 60
    assert dry.tables["events"].orphans == 0


def test_a_compaction_that_is_asked_to_stop_leaves_a_whole_lake(path, lake):
    before = rows(lake.storage)
    asked = iter([False] * 6)
    done = compacted(path, watch=Watch(stop=lambda: next(asked, True)))
    assert 0 < done.tables["events"].joined < 60
    assert rows(lake.storage) == before
    assert compacted(path).tables["events"].files_after == 20


def typed(amounts: list[object], **more: list[object]) -> pa.Table:
    n = len(amounts)
    nested = [{"sku": "s", "tags": ["a", "b"]}] * n
    return pa.table({"id": [f"i{k}" for k in range(n)], "amount": amounts, "item": nested, **more}).append_column(
        "created_date", pa.array([date(2026, 11, 18)] * n)
    )


def test_typed_tables_are_compacted_and_files_of_other_columns_are_kept_apart(path, lake):
    table = path / "analytics" / "payment_order"
    for k in range(3):
        write_deltalake(table, typed([k, k + 1]), partition_by=["created_date"], mode="append")
    for k in range(3):
        write_deltalake(table, typed([k], coupon=[f"c{k}"]), mode="append", schema_mode="merge")
    (path / "analytics" / "no_table").mkdir()
    before = sorted(map(str, DeltaTable(table).to_pyarrow_table().to_pylist()))
    done = compacted(path)
    assert [name for name in done.tables if "/" in name] == ["analytics/payment_order"]
    found = done.tables["analytics/payment_order"]
    assert (found.files_before, found.files_after) == (6, 2)
    assert sorted(map(str, DeltaTable(table).to_pyarrow_table().to_pylist())) == before
    assert compacted(path).tables["analytics/payment_order"].commits == 0


def test_a_table_with_a_feature_that_is_unknown_is_left_alone_by_name(path, lake):
    table = path / "analytics" / "odd"
    write_deltalake(table, typed([1]), configuration={"delta.enableDeletionVectors": "true"})
    write_deltalake(table, typed([2]), mode="append")
    done = compacted(path).tables["analytics/odd"]
    assert (done.files_before, done.files_after) == (2, 2)
    assert "deletionVectors" in done.left
    assert "deletionVectors" in run("compact", path).stdout


@pytest.mark.parametrize("table_format", ["parquet", "json"])
def test_other_formats_are_refused_with_a_word_about_delta(path, table_format):
    open_lake(LocalStorage(path), table_format, LakeOptions(), now_us=now_us).close()
    result = run("compact", path)
    assert result.exit_code == 2
    assert "delta" in result.stderr
    source = path.parent / "a.jsonl"
    source.write_text("")
    refused = CliRunner().invoke(
        cli, ["run", str(source), str(path)], env={"HEADGATE_CONFIG": "", "HEADGATE__COMPACTION__AUTO": "true"}
    )
    assert refused.exit_code == 2
    assert "delta" in refused.stderr


def test_two_compactions_at_once_are_told_apart(path, lake):
    def second() -> bool:
        with pytest.raises(PermanentError, match="being compacted"):
            compacted(path)
        return False

    assert compacted(path, watch=Watch(stop=second)).tables["events"].joined == 60


def test_a_lake_in_memory_has_no_delta_tables():
    storage = MemoryStorage()
    open_lake(storage, "json", LakeOptions(), now_us=now_us).close()
    with pytest.raises(ConfigError, match="delta"):
        compacted(storage=storage)


# The command, and what else works on a lake.


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """A folder with 300 lines in `a.jsonl`, and the lake that holds them in 20 commits."""
    folder = tmp_path_factory.mktemp("ran")
    ok("generate", "--events", EVENTS, "--out", folder / "a.jsonl", "--types", 3, "--duplicates", 0.1,
       "--start", "2025-06-01T00:00:00Z")  # fmt: skip
    ok("run", folder / "a.jsonl", folder / "lake", "--batch-events", 15, "--source-name", "web")
    return folder


@pytest.fixture
def generated(ran, tmp_path) -> Path:
    """A copy of that lake, with its source beside it."""
    shutil.copytree(ran, tmp_path / "ran")
    return tmp_path / "ran" / "lake"


def vacuumed(lake: Path) -> int:
    """Compact, then delete all that was replaced."""
    compacted(lake)
    return compacted(lake, after_us=8 * DAY_US).tables["events"].vacuumed


def again(lake: Path, name: str, *args: object) -> None:
    """The same events under another name: all but the rejects must be duplicates."""
    shutil.copy(lake.parent / "a.jsonl", lake.parent / name)
    result = ok("run", lake.parent / name, lake, *args)
    assert result["accepted"] == 0
    assert result["duplicates"] + result["rejected"] == EVENTS
    assert ok("verify", lake.parent / name, lake)["proven"] is True


def test_the_command_says_what_it_did_and_verify_proves_the_lake_afterwards(generated):
    done = ok("compact", generated)
    assert done["tables"]["events"]["files_after"] < done["tables"]["events"]["files_before"]
    assert done["dry_run"] is False
    assert ok("verify", generated.parent / "a.jsonl", generated, "--source-name", "web")["proven"] is True
    assert compacted(generated, after_us=8 * DAY_US).tables["events"].vacuumed > 0
    assert ok("verify", generated.parent / "a.jsonl", generated, "--source-name", "web")["proven"] is True
    assert "events" in run("compact", generated).stdout
    again(generated, "b.jsonl")


def test_time_travel_reaches_back_as_far_as_the_retention(generated):
    events = DeltaTable(generated / "events").history(1)[0]["timestamp"]
    at = datetime.fromtimestamp((events + 1) / 1_000, UTC)
    query = ("query", generated, "SELECT count(payload) AS n FROM events", "--as-of", at.isoformat())
    compacted(generated)
    accepted = ok("status", generated)["counts"]["accepted"]
    assert ok(*query) == [{"n": accepted}]
    compacted(generated, after_us=8 * DAY_US)
    refused = run(*query)
    assert refused.exit_code == 2
    assert "deleted since" in refused.stderr


def test_after_compaction_and_vacuum_a_rebuild_gives_the_same_verdicts(generated):
    accepted = ok("status", generated)["counts"]["accepted"]
    assert vacuumed(generated) > 0
    assert ok("rebuild", generated)["claims"] >= accepted
    again(generated, "b.jsonl")


def test_after_compaction_and_vacuum_a_run_without_its_claims_fills_them_from_the_table(generated):
    assert vacuumed(generated) > 0
    shutil.rmtree(generated / "_headgate" / "claims")
    again(generated, "b.jsonl")


def test_a_claim_store_that_is_behind_is_filled_from_the_table(generated):
    older = generated.parent / "older"
    shutil.copytree(generated / "_headgate" / "claims", older)
    ok(
        "generate",
        "--events",
        50,
        "--seed",
        9,
        "--out",
        generated.parent / "c.jsonl",
        "--start",
        "2025-06-01T00:00:00Z",
    )
    ok("run", generated.parent / "c.jsonl", generated, "--batch-events", 10)
    assert vacuumed(generated) > 0
    shutil.rmtree(generated / "_headgate" / "claims")
    shutil.copytree(older, generated / "_headgate" / "claims")
    shutil.copy(generated.parent / "c.jsonl", generated.parent / "d.jsonl")
    assert ok("run", generated.parent / "d.jsonl", generated)["accepted"] == 0
    again(generated, "b.jsonl")


def test_a_file_that_is_gone_though_the_table_shows_it_is_no_compaction(generated):
    assert vacuumed(generated) > 0
    for name in parquet_files(generated, "events"):
        if "joined-" in name:
            (generated / name).unlink()
    result = run("rebuild", generated)
    assert result.exit_code == 1
    assert "restore it from a backup" in result.stderr
