"""The conformance suite of the Storage Protocol. Subclass it and give the fixture `storage`."""

# ruff: noqa: S101, D102  tests: they assert, and their names say it all

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from headgate.errors import PermanentError
from headgate.lake.storage import Storage
from headgate.testing.processes import wait_until

LARGE = bytes(range(256)) * (80 << 10)  # 20 MiB; more than one part of an upload


class StorageSuite:
    """One test a promise."""

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage."""
        raise NotImplementedError

    def test_put_is_read_back_and_replaced(self, storage: Storage) -> None:
        storage.put("a/b.json", b"1")
        storage.put("a/b.json", memoryview(pa.py_buffer(b"22")))
        assert (storage.get("a/b.json"), storage.size("a/b.json"), storage.exists("a/b.json")) == (b"22", 2, True)

    def test_an_empty_file_is_a_file(self, storage: Storage) -> None:
        storage.put("a", b"")
        assert (storage.get("a"), storage.size("a"), storage.exists("a")) == (b"", 0, True)

    def test_what_is_not_there_is_none(self, storage: Storage) -> None:
        assert (storage.get("a"), storage.size("a"), storage.tail("a", 4)) == (None, None, None)
        assert not storage.exists("a")
        assert not storage.rename("a", "b")
        storage.delete("a")
        assert list(storage.list("")) == []
        assert list(storage.sizes("x/")) == []

    @pytest.mark.parametrize("content", [b"first", LARGE], ids=["small", "large"])
    def test_put_if_absent_never_replaces(self, storage: Storage, content: bytes) -> None:
        assert storage.put_if_absent("a/b", content)
        assert not storage.put_if_absent("a/b", b"second")
        assert not storage.put_if_absent("a/b", LARGE[1:])
        assert storage.get("a/b") == content

    def test_of_many_writers_one_wins(self, storage: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i: storage.put_if_absent("n", str(i).encode()), range(32)))
        assert won.count(True) == 1
        assert storage.get("n") == str(won.index(True)).encode()

    def test_a_large_file_is_whole(self, storage: Storage) -> None:
        storage.put("large", LARGE)
        assert storage.size("large") == len(LARGE)
        assert storage.get("large") == LARGE
        assert storage.tail("large", 3) == LARGE[-3:]

    def test_list_takes_any_prefix(self, storage: Storage) -> None:
        for path in ("l/1", "l/12", "l/2", "l2", "m/1", "m/n/1"):
            storage.put(path, b"x")
        assert sorted(storage.list("l/1")) == ["l/1", "l/12"]
        assert sorted(storage.list("l/")) == ["l/1", "l/12", "l/2"]
        assert sorted(storage.list("l")) == ["l/1", "l/12", "l/2", "l2"]
        assert sorted(storage.list("m/n")) == ["m/n/1"]
        assert len(list(storage.list(""))) == 6
        assert sorted(storage.sizes("m/")) == [("m/1", 1), ("m/n/1", 1)]

    def test_times_tell_when_a_file_was_written(self, storage: Storage) -> None:
        storage.put("t/old", b"1")
        (first,) = storage.modified("t/")
        wait_until(lambda: self._is_written_after(storage, first[1]), "a later time")
        assert sorted(path for path, _ in storage.modified("t/")) == ["t/new", "t/old"]
        assert dict(storage.modified("t/"))["t/old"] == first[1]
        assert abs(first[1] - time.time_ns() // 1_000) < 3_600_000_000
        assert list(storage.modified("x/")) == []

    def _is_written_after(self, storage: Storage, before_us: int) -> bool:
        storage.put("t/new", b"2")
        return dict(storage.modified("t/new"))["t/new"] > before_us

    def test_a_listing_of_several_pages_is_whole(self, storage: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: storage.put(f"l/{i:04d}", b""), range(1_003)))
        assert sorted(storage.list("l/")) == [f"l/{i:04d}" for i in range(1_003)]

    @pytest.mark.parametrize("path", ["e=a%2Fb%25/c", "é/日本 x+y", "q\"'&<>/#?;=@:,$!*()", "-/_/~"])
    def test_odd_names_are_kept(self, storage: Storage, path: str) -> None:
        storage.put(path, b"1")
        storage.put("other", b"2")
        assert storage.rename(path, f"{path}2")
        assert list(storage.list(path[:3])) == [f"{path}2"]
        assert (storage.get(f"{path}2"), storage.get(path)) == (b"1", None)

    def test_rename_moves_over_folders_and_replaces(self, storage: Storage) -> None:
        storage.put("s/a", b"1")
        storage.put("t/u/b", b"0")
        assert storage.rename("s/a", "t/u/b")
        assert (storage.get("t/u/b"), storage.exists("s/a")) == (b"1", False)
        assert not storage.rename("s/a", "t/u/b")
        assert storage.get("t/u/b") == b"1"

    def test_delete_may_be_called_twice(self, storage: Storage) -> None:
        storage.put("a/b", b"1")
        storage.delete("a/b")
        storage.delete("a/b")
        assert not storage.exists("a/b")

    def test_sweeping_and_syncing_leave_files_alone(self, storage: Storage) -> None:
        storage.put("a/b", b"1", is_folder_synced=False)
        storage.sync_folders(["a/b", "gone/c"])
        storage.sweep()
        assert list(storage.list("")) == ["a/b"]

    @pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a/\0", "a/"])
    def test_no_path_leaves_the_lake(self, storage: Storage, path: str) -> None:
        with pytest.raises(PermanentError, match="leave the lake"):
            storage.put(path, b"")
        with pytest.raises(PermanentError, match="leave the lake"):
            storage.put_if_absent(path, b"")
        with pytest.raises(PermanentError, match="leave the lake"):
            storage.get(path)
        with pytest.raises(PermanentError, match="leave the lake"):
            storage.delete(path)
        storage.put("inside", b"")
        with pytest.raises(PermanentError, match="leave the lake"):
            storage.rename("inside", path)

    def test_pyarrow_reads_what_was_put(self, storage: Storage) -> None:
        storage.put("t/a%2F b/x.csv", b"n\n1\n")
        storage.put("t/y.csv", b"n\n2\n")
        read = ds.dataset("t", format="csv", filesystem=storage.arrow_files()).to_table()
        assert sorted(read["n"].to_pylist()) == [1, 2]
