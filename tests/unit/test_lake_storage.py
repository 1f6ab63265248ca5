"""Local storage beside its conformance suite: nothing half is seen or left, errors by reaction."""

import errno

import pytest

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.lake.local import LocalStorage
from headgate.lake.opening import open_storage
from headgate.lake.storage import TEMPORARY
from headgate.lake.storage_errors import storage_error


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


def test_leftovers_of_a_killed_writer_are_not_listed(storage):
    storage.put(f"{TEMPORARY}/left", b"half")
    storage.put("events/a.parquet", b"whole")
    assert list(storage.list("")) == ["events/a.parquet"]


def test_nothing_temporary_is_left_behind(storage, tmp_path):
    storage.put("a", b"1")
    storage.put_if_absent("a", b"2")
    assert list((tmp_path / "lake" / TEMPORARY).iterdir()) == []


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
        open_storage("gs://bucket/lake")
