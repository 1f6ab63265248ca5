"""What vacuum may delete: each rule has a test that fails without it."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from headgate.errors import PermanentError
from headgate.lake.built import REGISTRY_PATH, built_number
from headgate.lake.entry import decode_entry, entry_path
from headgate.lake.local import LocalStorage
from headgate.testing.compaction import DAY_US, HOUR_US, compacted, fill, now_us, open_delta, parquet_files, rows
from headgate.testing.lake_rows import batch

TYPES = ("a", "b")
MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_delta(LocalStorage(path))
    fill(lake, 0, 8, TYPES)
    lake.close()
    return path


@pytest.fixture
def path(made, tmp_path) -> Path:
    """A lake of 8 files a table, by two types."""
    shutil.copytree(made, tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def storage(path) -> LocalStorage:
    return LocalStorage(path)


def vacuumed(path: Path, after_us: int, retention_us: int = 0) -> int:
    done = compacted(path, after_us=after_us, retention_us=retention_us, with_orphans=False)
    return done.tables["events"].vacuumed


def set_built(path: Path, number: int) -> None:
    file = path / REGISTRY_PATH
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"built": number, "tables": {}}))


def age(file: Path, days: float) -> None:
    at = time.time() - days * 86_400
    os.utime(file, (at, at))


def test_removed_files_are_deleted_after_the_retention_and_not_before(path, storage):
    before = rows(storage)
    old = parquet_files(path, "events")
    compacted(path)
    assert vacuumed(path, 2 * DAY_US - MINUTE_US, 2 * DAY_US) == 0
    assert old < parquet_files(path, "events")
    assert vacuumed(path, 2 * DAY_US + MINUTE_US, 2 * DAY_US) == 8
    assert not old & parquet_files(path, "events")
    assert rows(storage) == before
    assert vacuumed(path, 3 * DAY_US) == 0


def test_no_retention_is_shorter_than_an_hour(path):
    compacted(path)
    assert vacuumed(path, HOUR_US - MINUTE_US, 0) == 0
    assert vacuumed(path, HOUR_US + MINUTE_US, 0) == 8


def test_what_build_has_not_read_stays(path, storage):
    compacted(path)
    set_built(path, 7)  # of 8 entries
    assert built_number(storage) == 7
    kept = {f.path for f in decode_entry(storage.get(entry_path(8))).files}
    done = compacted(path, after_us=30 * DAY_US)
    assert done.tables["events"].vacuumed == 0
    assert done.tables["rejected"].vacuumed == 8  # `build` reads `events` alone
    assert {name for name in kept if name.startswith("events/")} <= parquet_files(path, "events")
    set_built(path, 8)
    assert vacuumed(path, 30 * DAY_US) == 8


@pytest.mark.parametrize(("later_us", "expected"), [(2 * HOUR_US, 8), (MINUTE_US, 0)], ids=["hours", "clocks differ"])
def test_what_was_removed_well_before_the_first_unread_entry_goes(path, monkeypatch, later_us, expected):
    compacted(path)
    lake = open_delta(LocalStorage(path))
    monkeypatch.setattr(lake, "_now_us", lambda: now_us() + later_us)
    lake.commit(lake.stage(batch("8", "9", ["late"], event_type="a")))
    lake.publish()
    lake.close()
    set_built(path, 8)
    assert vacuumed(path, 9 * DAY_US) == expected


def test_before_the_first_build_nothing_waits_for_it(path, storage):
    assert built_number(storage) is None
    compacted(path)
    assert vacuumed(path, 8 * DAY_US) == 8


def test_a_registry_that_cannot_be_read_stops_vacuum_by_name(path):
    compacted(path)
    set_built(path, 1)
    (path / REGISTRY_PATH).write_text('{"built": "x"}')
    with pytest.raises(PermanentError, match=r"registry\.json"):
        vacuumed(path, 8 * DAY_US)


def test_files_of_a_batch_that_is_not_yet_committed_or_published_stay(path, storage):
    lake = open_delta(storage)
    committed = lake.stage(batch("8", "9", ["unpublished"], event_type="a"))
    lake.commit(committed)
    staged = lake.stage(batch("9", "10", ["staged"], event_type="a"))
    for file in [*committed.files, *staged.files]:
        age(path / file.path, 0.9)
    compacted(path, retention_us=0)
    compacted(path, after_us=2 * HOUR_US, retention_us=0)
    lake.commit(staged)
    for file in [*committed.files, *staged.files]:
        age(path / file.path, 300)
    done = compacted(path, after_us=300 * DAY_US, retention_us=0)
    assert [t.orphans for t in done.tables.values()] == [0, 0, 0, 0]
    lake.publish()
    lake.close()
    assert len(rows(storage)["events"]) == 10


def test_a_file_that_came_back_stays(path, storage):
    """`RESTORE` shows the files of an old version again."""
    before = rows(storage)
    table = DeltaTable(path / "events")
    version = table.version()
    compacted(path)
    DeltaTable(path / "events").restore(version)
    assert rows(storage) == before
    shutil.rmtree(path / "_headgate" / "compaction" / "events")
    done = compacted(path, after_us=8 * DAY_US, target=1 << 20, is_dry_run=True)
    assert done.tables["events"].vacuumed == 2  # what was joined, and restoring removed
    compacted(path, after_us=8 * DAY_US)
    assert rows(storage) == before


def test_removals_are_found_in_a_log_whose_checkpoints_forgot_them(path):
    compacted(path)
    table = DeltaTable(path / "events")
    table.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 days"})
    table.create_checkpoint()
    assert vacuumed(path, 8 * DAY_US) == 8


def test_how_far_the_log_was_read_is_kept_and_may_be_lost(path, storage):
    compacted(path)
    state = path / "_headgate" / "compaction" / "events" / "removed.json"
    known = json.loads(state.read_text())
    assert known["version"] == DeltaTable(path / "events").version()
    assert len(known["due"]) == 1
    for lost in ("{", '{"version": 1000000, "due": []}'):  # the second: of a lake that was restored since
        state.write_text(lost)
        assert compacted(path, after_us=8 * DAY_US, is_dry_run=True).tables["events"].vacuumed == 8
    assert vacuumed(path, 8 * DAY_US) == 8
    assert json.loads(state.read_text())["due"] == []


@pytest.mark.parametrize("table", ["events", "analytics/payment"])
def test_a_file_that_nobody_names_is_deleted_after_a_day(path, storage, table):
    if table != "events":
        shutil.copytree(path / "quality", path / table)
    orphan = path / table / "event_type=a" / "joined-nobody.parquet"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"x")
    others = [path / table / "notes.txt", path / table / "_delta_log" / f"{0:020d}.checkpoint.x.parquet"]
    for other in others:
        other.write_bytes(b"x")
        age(other, 9)
    age(orphan, 0.9)
    assert compacted(path).tables[table].orphans == 0
    age(orphan, 1.1)
    assert compacted(path, is_dry_run=True).tables[table].orphans == 1
    assert compacted(path, with_orphans=False).tables[table].orphans == 0
    assert orphan.exists()
    assert compacted(path).tables[table].orphans == 1
    assert not orphan.exists()
    assert all(other.exists() for other in others)


def test_old_files_that_the_table_shows_or_that_wait_for_their_retention_are_no_orphans(path, storage):
    before = rows(storage)
    compacted(path)
    for name in parquet_files(path, "events"):
        age(path / name, 3)
    # Not even where the ledger does not name them.
    for number in range(1, 9):
        content = json.loads((path / entry_path(number)).read_text())
        (path / entry_path(number)).write_text(json.dumps({**content, "files": []}))
    assert compacted(path).tables["events"].orphans == 0
    assert rows(storage) == before
    assert len(parquet_files(path, "events")) == 8 + 2


def test_a_ledger_with_a_hole_names_nothing_so_that_no_orphan_is_deleted(path):
    orphan = path / "events" / "nobody.parquet"
    orphan.write_bytes(b"x")
    age(orphan, 3)
    (path / entry_path(3)).rename(path / "entry-3.json")
    (path / "_headgate" / "ledger" / f"snapshot-{8:020d}.json").write_text(
        json.dumps({"number": 8, "ranges": [], "closed": [], "event_types": [], "generation": None, "abandoned": [],
                    "counts": [0, 0, 0, 0], "committed_us": 0, "writer": {}})
    )  # fmt: skip
    with pytest.raises(PermanentError, match="is gone"):
        compacted(path)
    assert orphan.exists()


def test_unfinished_files_of_killed_writers_go_after_a_day(path):
    unfinished = path / "_headgate" / "tmp" / "abc"
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"x")
    assert compacted(path).unfinished == 0
    age(unfinished, 1.1)
    assert compacted(path, is_dry_run=True).unfinished == 1
    assert unfinished.exists()
    assert compacted(path).unfinished == 1
    assert not unfinished.exists()


def test_a_batch_whose_staged_files_were_swept_while_its_process_slept_is_staged_again(path, monkeypatch):
    lake = open_delta(LocalStorage(path))
    staged = lake.stage(batch("8", "9", ["slept"], event_type="a"))
    for file in staged.files:
        age(path / file.path, 2)
    assert compacted(path).tables["events"].orphans == 1
    monkeypatch.setattr(lake._staged, "_now_us", lambda: now_us() + 2 * DAY_US)
    with pytest.raises(Exception, match="staged long ago"):
        lake.commit(staged)
    assert lake.refresh().number == 8
    again = lake.stage(batch("8", "9", ["slept"], event_type="a"))
    assert lake.commit(again).number == 9
    assert lake.commit(again).number == 9  # an answer that was lost is found, however old the files are
    lake.close()
