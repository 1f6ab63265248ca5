"""Files of a table are exchanged only where nobody took one of them away, whatever the storage answers."""

import pytest
from deltalake import DeltaTable

from headgate.errors import CommitUnknown, PermanentError, TransientError
from headgate.lake import rewrite
from headgate.lake.join import join, new_path_beside
from headgate.lake.live import LiveFiles, read_live
from headgate.lake.local import LocalStorage
from headgate.lake.rewrite import Joined, RewriteLog
from headgate.testing.compaction import HOUR_US, fill, now_us, open_delta, rows
from headgate.testing.scripted_storage import ScriptedStorage

TYPES = ("a", "b")


@pytest.fixture
def storage(tmp_path):
    return ScriptedStorage(LocalStorage(tmp_path / "lake"))


@pytest.fixture
def lake(storage):
    lake = open_delta(storage)
    fill(lake, 0, 6, TYPES)
    yield lake
    lake.close()


def opened(storage, live: LiveFiles, name: str = "mine") -> RewriteLog:
    return RewriteLog(storage, live, now_us=now_us, new_id=lambda: name, sleep=lambda _: None)


def joined(storage, live: LiveFiles, kind: str = "a") -> list[Joined]:
    """The files of one type joined, in no log yet."""
    files = [f for f in live.files if dict(f.partition)["event_type"] == kind]
    names = iter(f"{kind}{i}" for i in range(9))
    new_path = lambda: new_path_beside(files[0], lambda: next(names))  # noqa: E731
    return list(join(storage, files, 1 << 20, new_path=new_path, now_us=now_us, is_gone=lambda _: False))


def num_files(storage) -> int:
    return len(read_live(storage, "events").files)


def test_commits_that_only_add_are_no_conflict(storage, lake):
    live = read_live(storage, "events")
    made = joined(storage, live)
    before = rows(storage)["events"]
    fill(lake, 6, 3, TYPES)
    assert opened(storage, live).commit(made) == made
    assert num_files(storage) == 6 + 3 - 3 + 1
    assert set(before) < set(rows(storage)["events"])
    fill(lake, 9, 2, TYPES)  # the writer goes on from a version that it did not write
    assert len(rows(storage)["events"]) == 11


def test_who_took_a_file_away_has_won_and_the_rest_is_exchanged(storage, lake):
    live = read_live(storage, "events")
    made = joined(storage, live, "a") + joined(storage, live, "b")
    rival = opened(storage, live, "rival")
    (theirs,) = joined(storage, live, "a")  # another name than `made` has: it overwrites the same content
    assert rival.commit([theirs])
    content = rows(storage)
    committed = opened(storage, live).commit(
        [Joined(**{**fields(made[0]), "path": f"{made[0].path}.x.parquet"}), made[1]]
    )
    assert [j.path for j in committed] == [made[1].path]
    assert rows(storage) == content
    assert not storage.exists(f"{made[0].path}.x.parquet")


def fields(j: Joined) -> dict:
    return {name: getattr(j, name) for name in ("path", "size", "rows", "stats", "files", "written_us")}


@pytest.mark.parametrize("fault", ["before", "after"])
def test_an_answer_that_was_lost_is_looked_for_and_nothing_is_written_twice(storage, lake, fault):
    live = read_live(storage, "events")
    made = joined(storage, live)
    content = rows(storage)
    storage.fail("put_if_absent", "events/_delta_log/", fault)
    assert opened(storage, live).commit(made) == made
    assert rows(storage) == content
    assert read_live(storage, "events").version == live.version + 1


def test_where_nobody_can_tell_nothing_is_deleted(storage, lake):
    live = read_live(storage, "events")
    made = joined(storage, live)
    content = rows(storage)
    storage.fail("put_if_absent", "events/_delta_log/", "after")
    storage.fail("exists", f"{live.version + 1:020d}.json", "before")
    with pytest.raises(CommitUnknown):
        opened(storage, live).commit(made)
    assert rows(storage) == content
    assert num_files(storage) == 4


def test_a_storage_that_never_answers_ends_by_name(storage, lake):
    live = read_live(storage, "events")
    for _ in range(rewrite.MOST_FAILURES):
        storage.fail("put_if_absent", "events/_delta_log/", "before")
    with pytest.raises(TransientError):
        opened(storage, live).commit(joined(storage, live))
    assert num_files(storage) == 6


def test_writers_that_are_always_quicker_end_it_by_name(storage, lake, monkeypatch):
    monkeypatch.setattr(rewrite, "MOST_TRIES", 3)
    live = read_live(storage, "events")
    made = joined(storage, live)
    put, count = storage.put_if_absent, iter(range(6, 99))

    def beaten(path, content):
        if "events/_delta_log" in path and b"OPTIMIZE" in content:
            storage.put_if_absent = put
            fill(lake, next(count), 1, TYPES)
            storage.put_if_absent = beaten
        return put(path, content)

    storage.put_if_absent = beaten
    with pytest.raises(TransientError, match="quicker 3 times"):
        opened(storage, live).commit(made)
    assert len(rows(storage)["events"]) == 9


def test_files_that_were_written_long_ago_are_not_committed(storage, lake):
    live = read_live(storage, "events")
    (made,) = joined(storage, live)
    late = Joined(**{**fields(made), "written_us": now_us() - 13 * HOUR_US})
    assert opened(storage, live).commit([late]) == ()
    assert num_files(storage) == 6


def test_a_new_schema_is_a_conflict(storage, lake, tmp_path):
    live = read_live(storage, "events")
    made = joined(storage, live)
    DeltaTable(tmp_path / "lake" / "events").alter.set_table_properties(
        {"delta.logRetentionDuration": "interval 9 days"}
    )
    with pytest.raises(rewrite.CommitConflict, match="schema"):
        opened(storage, live).commit(made)
    assert num_files(storage) == 6


def test_a_damaged_file_stops_it_by_name(storage, lake, tmp_path):
    live = read_live(storage, "events")
    (tmp_path / "lake" / live.files[0].path).write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(PermanentError, match="cannot be read"):
        joined(storage, live, "a") + joined(storage, live, "b")
    storage.delete(live.files[0].path)
    with pytest.raises(PermanentError, match="in the table's log and gone"):
        joined(storage, live, "a") + joined(storage, live, "b")
    assert num_files(storage) == 6
