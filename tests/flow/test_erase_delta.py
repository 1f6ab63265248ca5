"""Erasure in Delta tables: their logs, beside consumers and compactions, and what is kept of ids."""

import gzip
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headgate.core.schema import REJECTED
from headgate.jobs.query import answer
from headgate.jobs.transform import FIREHOSE
from headgate.lake.erase_receipt import record, record_sha256
from headgate.lake.local import LocalStorage
from headgate.lake.parquet import encode
from headgate.testing.compaction import compacted, now_us, of_storage, open_delta
from headgate.testing.erasing import PERSON, SETTINGS, admit, erased, fill, others, traces
from headgate.testing.independent import breaches
from headgate.testing.lake_rows import NOW_US, read_table
from headgate.testing.processes import wait_until
from headgate.testing.scripted_storage import ScriptedStorage
from headgate.testing.world import DAY_US


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A lake with rows of the person; see `fill`."""
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_delta(LocalStorage(path))
    fill(lake)
    lake.close()
    return path


@pytest.fixture
def delta(made, tmp_path):
    """A copy of that lake."""
    shutil.copytree(made, tmp_path / "lake")
    lake = open_delta(LocalStorage(tmp_path / "lake"))
    yield lake
    lake.close()


def test_the_independent_reader_finds_each_row_once(delta):
    storage = delta.storage
    before = {breach.split(",")[0] for breach in breaches(Path(storage.root))}
    erased(storage)
    after = {breach.split(",")[0] for breach in breaches(Path(storage.root))}
    assert after - before == {"the rows of a ledger entry are not those that it counts"}  # the others are recorded


def test_versions_before_keep_their_place_and_lose_what_they_said_of_values(delta):
    storage = delta.storage
    erased(storage)
    for table in ("events", "duplicates", "rejected"):
        opened = DeltaTable(f"{storage.root}/{table}")
        shown = set(opened.get_add_actions()["path"].to_pylist())
        versions = sorted(p for p in storage.list(f"{table}/_delta_log/") if p.endswith(".json"))
        numbers = [int(Path(path).stem) for path in versions if Path(path).stem.isdigit()]
        assert numbers == list(range(opened.version() + 1))
        for number in numbers:
            for line in storage.get(f"{table}/_delta_log/{number:020d}.json").splitlines():
                added = json.loads(line).get("add")
                assert added is None or ("stats" in added) == (added["path"] in shown)
        checkpoints = [p for p in storage.list(f"{table}/_delta_log/") if ".checkpoint." in p]
        assert [int(Path(path).name[:20]) for path in checkpoints] == [opened.version()]


def test_a_moment_after_an_erasure_shows_what_was_there_then(delta):
    storage = delta.storage
    erased(storage)
    moment = datetime.now(UTC)
    rows = read_table(storage, "events").num_rows
    admit(delta, ["carl"])
    with answer(of_storage(storage), "SELECT count(*) FROM events", moment.isoformat(), None) as reader:
        assert reader.read_all().to_pydict() == {"count_star()": [rows]}


def test_a_moment_before_an_erasure_shows_what_is_left_of_it(tmp_path):
    lake = open_delta(LocalStorage(tmp_path / "lake"))
    admit(lake, ["ann"], event_type="a")
    moment = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > moment + timedelta(milliseconds=2), "the next millisecond")
    admit(lake, ["bob", PERSON], event_type="b")
    erased(lake.storage)
    query = "SELECT count(*) AS n FROM events"
    with answer(of_storage(lake.storage), query, moment.isoformat(), None) as reader:
        assert reader.read_all().to_pydict() == {"n": [1]}
    lake.close()


def test_commits_of_a_consumer_between_look_and_commit_are_no_conflict(delta):
    storage = delta.storage
    admit_later = iter([lambda: admit(delta, ["carl"])])

    class Beside(ScriptedStorage):
        def put(self, path, content, *, is_folder_synced=True):
            if path.startswith("events/"):
                next(admit_later, lambda: None)()
            super().put(path, content, is_folder_synced=is_folder_synced)

    before = others(storage)
    erased(Beside(storage))
    assert traces(storage) == []
    after = others(storage)
    assert [row for row in after["events"] if "carl" not in row] == before["events"]
    assert len(after["events"]) == len(before["events"]) + 1


def test_a_compaction_that_wins_is_planned_around(delta):
    storage = delta.storage
    admit(delta, ["ann", "bob", PERSON])
    before = others(storage)
    compact_once = iter([lambda: compacted(storage.root)])

    class Beside(ScriptedStorage):
        def put(self, path, content, *, is_folder_synced=True):
            if path.startswith("events/") and "joined-" in path:
                next(compact_once, lambda: None)()
            super().put(path, content, is_folder_synced=is_folder_synced)

    receipt = erased(Beside(storage))
    assert traces(storage) == []
    assert others(storage) == before
    assert receipt["tables"]["events"]["rows"] == 6


@pytest.mark.parametrize("fault", ["before", "after"])
def test_lost_answers_to_the_commit_change_nothing(delta, fault):
    storage = delta.storage
    before = others(storage)
    scripted = ScriptedStorage(storage)
    for table in before:
        scripted.fail("put_if_absent", f"{table}/_delta_log", fault)
    erased(scripted)
    assert others(storage) == before
    assert traces(storage) == []


def test_digests_go_when_their_window_has_passed(delta):
    storage = delta.storage
    receipt = erased(storage)
    late = 400 * DAY_US
    admit(delta, [PERSON])
    assert erased(storage, after_us=late)["records_cleaned"] == 1
    rows = record(storage, receipt["id"])
    assert rows["digest"].null_count == rows.num_rows
    assert receipt["record_sha256"] == record_sha256(rows)


def test_a_compaction_drops_old_digests(delta):
    storage = delta.storage
    receipt = erased(storage)
    compacted(storage.root, after_us=NOW_US - now_us())
    assert record(storage, receipt["id"])["digest"].null_count == 10
    compacted(storage.root, after_us=NOW_US - now_us() + 400 * DAY_US)
    assert record(storage, receipt["id"])["digest"].null_count == 15


def test_compressed_rejects_are_searched(delta):
    storage = delta.storage
    raw = gzip.compress(b'{"account":"' + PERSON.encode() + b'"' + b" " * 50)[:-4]
    rejected = read_table(storage, "rejected").cast(REJECTED).slice(0, 1)
    rejected = rejected.set_column(0, REJECTED.field("raw"), pa.array([raw], pa.binary()))
    storage.put(f"{FIREHOSE}2026-11-18/abc-rejected.parquet", memoryview(encode(rejected)))
    assert erased(storage, SETTINGS)["kept_rows"] == 1
