"""The record of an erasure is read back as it was written, each row once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headgate.core.erased import ERASED, digests_of
from headgate.errors import PermanentError
from headgate.lake.erasures import erased_rows, has_digests, rows_path, secret_of, write_rows
from headgate.testing.memory_storage import MemoryStorage

ROW = {"table": "events", "source": "s", "shard": "a", "sequence": "7", "arrived_at": 1}


def rows(*some: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(some), schema=ERASED)


def test_rows_of_several_erasures_come_back_once_with_the_digest_that_is_left() -> None:
    storage = MemoryStorage()
    assert not erased_rows(storage).num_rows
    write_rows(storage, "a", rows({**ROW, "digest": b"0" * 16}, {**ROW, "sequence": "8"}))
    assert erased_rows(storage).num_rows == 2
    write_rows(storage, "b", rows(ROW))
    found = erased_rows(storage)
    assert sorted(found["sequence"].to_pylist()) == ["7", "8"]
    assert found.filter(pa.compute.equal(found["sequence"], "7"))["digest"].to_pylist() == [b"0" * 16]
    assert has_digests(found)
    assert not has_digests(rows(ROW))


def test_a_damaged_record_is_named() -> None:
    storage = MemoryStorage()
    storage.put(rows_path("a"), b"no parquet")
    with pytest.raises(PermanentError, match=r"rows\.parquet cannot be read"):
        erased_rows(storage)


def test_the_secret_is_made_once() -> None:
    storage = MemoryStorage()
    with pytest.raises(PermanentError, match="restore it from a backup"):
        secret_of(storage)
    assert secret_of(storage, is_made=True) == secret_of(storage, is_made=True) == secret_of(storage)


def test_a_digest_depends_on_the_secret() -> None:
    keys = np.arange(32, dtype=np.uint8).reshape(2, 16)
    one, other = digests_of(keys, b"1" * 32), digests_of(keys, b"2" * 32)
    assert one.shape == (2, 16)
    assert len({row.tobytes() for row in (*one, *other)}) == 4
    assert not digests_of(keys[:0], b"1" * 32).size
