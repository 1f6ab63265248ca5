"""`status` and `upgrade`: what they say of a lake, in use or not, and that they change nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from headgate.clock import SystemClock
from headgate.lake.lease import LocalLease
from headgate.testing.commands import run

FORMATS = ("delta", "parquet", "json")
LINE = '{"event_uuid":"%s","event_name":"a:b","created_at":1}\n'


def status(lake: Path) -> dict:
    result = run("status", lake, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text(LINE % 1 + LINE % 2 + LINE % 1 + "rubbish\n")
    return folder


def made(source: Path, *args: object) -> Path:
    lake = source.parent / "lake"
    result = run("run", source, lake, *args)
    assert result.exit_code == 0, result.stderr
    return lake


@pytest.mark.parametrize("table_format", FORMATS)
def test_status_tells_totals_tables_and_writer(source: Path, table_format: str) -> None:
    found = status(made(source, "--format", table_format))
    assert found["counts"] == {"received": 4, "accepted": 2, "duplicates": 1, "rejected": 1}
    assert found["conserved"] is True
    assert found["writer"]["pid"] == os.getpid()
    assert {name: (t["rows"], t["files"]) for name, t in found["tables"].items() if name != "quality"} == {
        "events": (2, 1),
        "duplicates": (1, 1),
        "rejected": (1, 1),
    }
    assert found["claims"]["kind"] == "rocksdb"
    assert found["claims"]["disk_bytes"] > 0
    assert found["unpublished"] == []
    assert found["lease"] is None


def test_lag_is_the_bytes_not_read(source: Path) -> None:
    lake = made(source)
    assert [shard["lag_bytes"] for shard in status(lake)["shards"]] == [0]
    with (source / "a.jsonl").open("a") as file:
        file.write(LINE % 3)
    (source / "b.jsonl").write_text(LINE % 4)
    found = status(lake)
    assert [shard["lag_bytes"] for shard in found["shards"]] == [len(LINE % 3)]
    assert found["unread_files"] == {str(source): 1}
    assert "1 files of" in run("status", lake).stdout
    shutil.rmtree(source)
    assert [shard["lag_bytes"] for shard in status(lake)["shards"]] == [None]


def test_many_shards_are_cut_for_people_and_listed_for_machines(source: Path) -> None:
    for n in range(23):
        (source / f"f{n:02}.jsonl").write_text(LINE % f"x{n}")
    lake = made(source)
    assert "and 4 more (--json lists all)" in run("status", lake).stdout
    assert len(status(lake)["shards"]) == 24


def test_the_lease_and_its_holder_are_told_and_left_alone(source: Path) -> None:
    lake = made(source)
    lease = LocalLease(lake / "_headgate", SystemClock().now_us)
    assert lease.try_acquire()
    assert status(lake)["lease"]["pid"] == os.getpid()
    assert status(lake)["is_lease_stale"] is False
    lease.release()
    holder = {"host": os.uname().nodename, "pid": 2**22 + 1, "since_us": 1}  # above the kernel's largest pid
    (lake / "_headgate" / "lease.json").write_text(json.dumps(holder))
    assert status(lake)["is_lease_stale"] is True
    assert "which is dead" in run("status", lake).stdout


def test_what_is_committed_and_not_published_is_told(source: Path) -> None:
    lake = made(source, "--format", "parquet")
    entry = json.loads((lake / "_headgate" / "ledger" / f"{2:020d}.json").read_text())
    staging = lake / "_headgate" / "staging" / entry["entry_id"]
    staging.mkdir(parents=True)
    (staging / "unpublished").touch()
    (lake / "_headgate" / "published.json").write_text('{"number":1}')
    found = status(lake)
    assert found["unpublished"] == [2]
    assert found["tables"]["events"]["rows"] == 0
    assert "1 entries from 2 on" in run("status", lake).stdout


def test_status_escapes_hostile_names(source: Path) -> None:
    (source / "\x1b[2Jx.jsonl").write_text(LINE % 9)
    shown = run("status", made(source)).stdout
    assert "\\x1b[2Jx.jsonl" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("table_format", FORMATS)
def test_status_changes_nothing(source: Path, table_format: str) -> None:
    lake = made(source, "--format", table_format)
    before = {p: p.stat().st_mtime_ns for p in lake.rglob("*")}
    status(lake)
    assert {p: p.stat().st_mtime_ns for p in lake.rglob("*")} == before


def test_an_empty_lake_has_a_status(source: Path) -> None:
    (source / "a.jsonl").write_text("")
    found = status(made(source))
    assert found["shards"] == []
    assert found["counts"]["received"] == 0


@pytest.mark.parametrize("command", ["status", "upgrade"])
def test_no_lake_and_a_newer_lake_are_refused_by_name(source: Path, command: str) -> None:
    missing = run(command, source.parent / "none")
    assert missing.exit_code == 2
    assert "no such folder" in missing.stderr
    assert "no lake" in run(command, source).stderr
    lake = made(source)
    about = json.loads((lake / "_headgate" / "format.json").read_text())
    about |= {"layout": 7, "headgate_version": "9.1"}
    (lake / "_headgate" / "format.json").write_text(json.dumps(about))
    newer = run(command, lake)
    assert newer.exit_code == 1
    assert "layout 7 (by Headgate 9.1)" in newer.stderr


def test_upgrade_of_the_newest_layout_changes_nothing(source: Path) -> None:
    lake = made(source)
    before = {p: p.stat().st_mtime_ns for p in lake.rglob("*")}
    assert "nothing to do" in run("upgrade", lake).stdout
    assert json.loads(run("upgrade", lake, "--json").stdout)["changed"] is False
    assert {p: p.stat().st_mtime_ns for p in lake.rglob("*")} == before
