"""Publication: a ledger number reaches each table once, whoever tries how often."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from deltalake import DeltaTable

from headgate.errors import PermanentError
from headgate.lake import delta
from headgate.lake.delta import DeltaTables
from headgate.lake.entry import Entry, File
from headgate.lake.local import LocalStorage
from headgate.lake.plain import PlainTables, marker_path

VALUES = {"event_type": "a", "created_date": "2026-11-20"}


def entry(number, path=None):
    target = f"events/event_type=a/created_date=2026-11-20/{number}.parquet"
    file = File("events", path or target, 1, 1, VALUES, target if path else None, {"numRecords": 1})
    return Entry(number=number, entry_id=str(number), kind="batch", committed_us=0, committed_at="", files=[file])


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


@pytest.fixture
def tables(storage):
    tables = DeltaTables(storage, lambda: 1_000_000)
    tables.create()
    return tables


def shown(storage):
    table = DeltaTable(f"{storage.root}/events")
    return len(table.file_uris()), table.transaction_version(delta.APP_ID), table.version()


def test_the_same_number_twice_is_one_delta_commit(storage, tables):
    tables.publish([entry(1)])
    tables.publish([entry(1)])
    DeltaTables(storage, lambda: 0).publish([entry(1)])
    assert shown(storage) == (1, 1, 1)


def test_handles_at_once_commit_each_number_once(storage, tables):
    handles = [DeltaTables(storage, lambda: 0) for _ in range(4)]
    for number in range(1, 11):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda handle, n=number: handle.publish([entry(n)]), handles))
    assert shown(storage) == (10, 10, 10)


def test_a_lagging_handle_commits_only_what_is_missing(storage, tables):
    lagging = DeltaTables(storage, lambda: 0)
    lagging.publish([entry(1)])
    tables.publish([entry(1), entry(2)])
    lagging.publish([entry(1), entry(2), entry(3)])
    assert shown(storage) == (3, 3, 3)


def test_several_entries_are_one_delta_commit(storage, tables):
    tables.publish([entry(n) for n in range(1, 6)])
    assert shown(storage) == (5, 5, 1)
    last = DeltaTable(f"{storage.root}/events").history(1)[0]
    assert last["headgate"] == "1..5"


def test_commits_of_other_writers_stand_between(storage, tables):
    tables.publish([entry(1)])
    DeltaTable(f"{storage.root}/events").alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})
    tables.publish([entry(2)])
    assert shown(storage) == (2, 2, 3)


def test_the_number_survives_checkpoints_and_log_clean_up(storage, tables, monkeypatch):
    monkeypatch.setattr(delta, "CHECKPOINT_EVERY", 3)
    for number in range(1, 5):
        tables.publish([entry(number)])
    log = [path for path in storage.list("events/_delta_log/") if path.endswith(".json")]
    assert storage.exists("events/_delta_log/_last_checkpoint")
    for path in log:
        if path < "events/_delta_log/00000000000000000003.json":
            storage.delete(path)
    DeltaTables(storage, lambda: 0).publish([entry(n) for n in range(1, 6)])
    assert shown(storage)[:2] == (5, 5)


def test_a_handle_whose_place_in_the_log_was_cleaned_up_opens_anew(storage, tables):
    lagging = DeltaTables(storage, lambda: 0)
    lagging.publish([entry(1)])
    for number in range(2, 5):
        tables.publish([entry(number)])
    DeltaTable(f"{storage.root}/events").create_checkpoint()
    for version in range(4):
        storage.delete(f"events/_delta_log/{version:020d}.json")
    lagging.publish([entry(n) for n in range(1, 6)])
    assert shown(storage) == (5, 5, 5)


def test_a_table_feature_that_we_cannot_write_stops(storage, tables):
    tables.publish([entry(1)])
    table = DeltaTable(f"{storage.root}/events")
    table.alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    assert table.protocol().min_writer_version > 2
    with pytest.raises(PermanentError, match="writer version"):
        tables.publish([entry(2)])


def staged(storage, number):
    storage.put(marker_path(str(number)), b"")
    storage.put(f"_headgate/staging/{number}/events-0.parquet", b"rows")
    return entry(number, f"_headgate/staging/{number}/events-0.parquet")


def test_a_published_file_removed_by_hand_stays_removed(storage):
    tables, first = PlainTables(storage), staged(storage, 1)
    tables.publish([first])
    storage.delete(first.files[0].published)
    PlainTables(storage).publish([first])
    assert list(storage.list("events/")) == []


def test_a_lost_staged_file_stops_with_its_name(storage):
    first = staged(storage, 1)
    storage.delete(first.files[0].path)
    with pytest.raises(PermanentError, match=r"_headgate/staging/1/events-0\.parquet"):
        PlainTables(storage).publish([first])


def test_a_file_already_in_place_is_left_alone(storage):
    first = staged(storage, 1)
    storage.rename(first.files[0].path, first.files[0].published)
    PlainTables(storage).publish([first])
    assert storage.get(first.files[0].published) == b"rows"
    assert not storage.exists(marker_path("1"))
