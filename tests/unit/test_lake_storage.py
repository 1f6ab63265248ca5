"""Local storage: whole files or none, one winner, no way out of the lake, errors by reaction."""

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.lake.storage import TEMPORARY, LocalStorage, open_storage
from headgate.lake.storage_errors import storage_error


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


def test_put_is_read_back_and_replaced(storage):
    storage.put("a/b.json", b"1")
    storage.put("a/b.json", b"22")
    assert (storage.get("a/b.json"), storage.size("a/b.json")) == (b"22", 2)


def test_what_is_not_there_is_none(storage):
    assert storage.get("a") is None
    assert storage.size("a") is None
    assert not storage.exists("a")
    assert not storage.rename("a", "b")
    storage.delete("a")


def test_of_many_writers_one_wins(storage):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.put_if_absent("n", str(i).encode()), range(32)))
    assert won.count(True) == 1
    assert storage.get("n") == str(won.index(True)).encode()


def test_leftovers_of_a_killed_writer_are_not_listed(storage):
    storage.put(f"{TEMPORARY}/left", b"half")
    storage.put("events/a.parquet", b"whole")
    assert list(storage.list("")) == ["events/a.parquet"]


def test_nothing_temporary_is_left_behind(storage, tmp_path):
    storage.put("a", b"1")
    storage.put_if_absent("a", b"2")
    assert list((tmp_path / "lake" / TEMPORARY).iterdir()) == []


def test_list_takes_any_prefix(storage):
    for path in ("l/1", "l/12", "l/2", "m/1"):
        storage.put(path, b"")
    assert sorted(storage.list("l/1")) == ["l/1", "l/12"]
    assert sorted(storage.list("l/")) == ["l/1", "l/12", "l/2"]


def test_rename_moves_over_folders(storage):
    storage.put("s/a", b"1")
    assert storage.rename("s/a", "t/u/b")
    assert (storage.get("t/u/b"), storage.exists("s/a")) == (b"1", False)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a/\0"])
def test_no_path_leaves_the_lake(storage, path):
    with pytest.raises(PermanentError, match="leave the lake"):
        storage.put(path, b"")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EINTR])
def test_a_disk_that_does_not_answer_is_waited_for(number):
    error = storage_error(OSError(number, "reason"), "events/a")
    assert isinstance(error, TransientError)
    assert "events/a" in str(error)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOTDIR])
def test_a_wrong_path_or_right_stops(number):
    assert isinstance(storage_error(OSError(number, "reason"), "events/a"), PermanentError)


def test_a_file_in_place_of_a_folder_stops(storage):
    storage.put("a", b"")
    with pytest.raises(PermanentError):
        storage.put("a/b", b"")
    with pytest.raises(PermanentError):
        storage.put_if_absent("a/b", b"")


def test_other_storages_are_refused_by_name():
    with pytest.raises(ConfigError, match="s3://bucket"):
        open_storage("s3://bucket/lake")
