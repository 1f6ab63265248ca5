"""Local storage beside its conformance suite: nothing half is seen or left, errors by reaction."""

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.disk_errors import storage_error
from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.lake.local import LocalStorage
from headgate.lake.opening import open_storage
from headgate.lake.storage import TEMPORARY
from headgate.testing.processes import Child, wait_until


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


def test_a_sweep_takes_nothing_from_a_writer_at_work(storage, tmp_path):
    def write():
        writer = LocalStorage(tmp_path / "lake")
        for number in range(150):
            writer.put(f"events/{number}", b"x")
            assert writer.put_if_absent(f"ledger/{number}", b"x")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            storage.sweep()
    writing.result()
    assert len(list(storage.list(""))) == 300


@pytest.mark.kill
def test_a_sweep_takes_what_killed_writers_left(storage, tmp_path):
    program = (
        "import sys; from headgate.lake.local import LocalStorage; storage = LocalStorage(sys.argv[1])\n"
        "while True: storage.put('a', b'x' * 1_000_000)"
    )
    folder = tmp_path / "lake" / TEMPORARY
    for _ in range(50):
        with Child(["-c", program, tmp_path / "lake"], tmp_path / "logs"):
            wait_until(lambda: folder.is_dir() and any(folder.iterdir()), "a file that is being written")
        if list(folder.iterdir()):
            break
    assert list(folder.iterdir())
    storage.sweep()
    assert list(folder.iterdir()) == []
    assert storage.get("a") in (None, b"x" * 1_000_000)


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
