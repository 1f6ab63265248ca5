"""What a lake says of itself, its lease, and the ledger's snapshots."""

import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable

import headgate
from headgate.core.schema import TABLES
from headgate.errors import ConfigError, LakeTooNewError, PermanentError
from headgate.lake.entry import Entry, Range, abandoned_of
from headgate.lake.lake import LakeOptions, open_or_create
from headgate.lake.layout import FORMAT_PATH, ClaimsIdentity, claims_identity, set_claims_identity
from headgate.lake.lease import LocalLease
from headgate.lake.ledger import Ledger
from headgate.lake.local import LocalStorage
from headgate.lake.published import Published, write_published
from headgate.records import Counts, Shard
from headgate.testing.lake_rows import batch, read_ids
from headgate.testing.scripted_storage import ScriptedStorage

ROCKS = ClaimsIdentity(kind="rocksdb", identity="embedded")
REDIS = ClaimsIdentity(kind="redis", identity="redis://host:6379/0")


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "lake")


def test_a_newer_lake_is_refused_by_both_versions(storage):
    storage.put(FORMAT_PATH, b'{"layout": 2, "headgate_version": "9.1", "anything": {}}')
    with pytest.raises(LakeTooNewError, match=r"layout 2 .*9\.1.*layout 1"):
        open_or_create(storage.root, None, LakeOptions(), now_us=lambda: 0)


def test_an_older_lake_asks_for_upgrade(storage):
    storage.put(FORMAT_PATH, b'{"layout": 0}')
    with pytest.raises(PermanentError, match="headgate upgrade"):
        open_or_create(storage.root, None, LakeOptions(), now_us=lambda: 0)


def test_a_torn_format_file_is_named(storage):
    storage.put(FORMAT_PATH, b"{")
    with pytest.raises(PermanentError, match=r"format\.json"):
        open_or_create(storage.root, None, LakeOptions(), now_us=lambda: 0)


def test_a_lake_whose_format_file_is_gone_is_not_made_anew(storage):
    open_or_create(storage.root, "parquet", LakeOptions(), now_us=lambda: 0).close()
    storage.put("_headgate/ledger/00000000000000000001.json", b"{}")
    storage.delete(FORMAT_PATH)
    with pytest.raises(PermanentError, match="restore it from a backup"):
        open_or_create(storage.root, None, LakeOptions(), now_us=lambda: 0)
    assert storage.get(FORMAT_PATH) is None


def test_a_published_number_beyond_the_ledger_hides_no_later_row(storage):
    for number in range(3):
        lake = open_or_create(storage.root, "parquet", LakeOptions(), now_us=lambda: 0)
        lake.publish()
        lake.commit(lake.stage(batch(str(number) if number else None, str(number + 1), [f"id-{number}"])))
        assert lake.publish() == number + 1
        lake.close()
        write_published(storage, Published(99, 0))
    assert read_ids(storage) == ["id-0", "id-1", "id-2"]


def test_without_a_format_the_lake_is_what_it_was(storage):
    open_or_create(storage.root, "parquet", LakeOptions(), now_us=lambda: 0).close()
    lake = open_or_create(storage.root, None, LakeOptions(), now_us=lambda: 0)
    lake.close()
    written = json.loads(storage.get(FORMAT_PATH))
    assert (lake.about.format, written["headgate_version"]) == ("parquet", headgate.__version__)


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_a_lake_made_by_several_at_once_is_one_lake(storage, table_format):
    def make(_):
        lake = open_or_create(storage.root, table_format, LakeOptions(), now_us=lambda: 0)
        lake.close()
        return lake.about.lake_id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(make, range(4)))) == 1
    if table_format == "delta":
        assert [DeltaTable(f"{storage.root}/{table}").version() for table in TABLES] == [0, 0, 0, 0]


def test_a_lake_has_one_claim_store(storage):
    assert claims_identity(storage) is None
    set_claims_identity(storage, ROCKS)
    set_claims_identity(storage, ROCKS)
    with pytest.raises(ConfigError, match=r"headgate rebuild .* --dedup"):
        set_claims_identity(storage, REDIS)
    set_claims_identity(storage, REDIS, is_rebuilt=True)
    assert claims_identity(storage) == REDIS


def test_the_lease_is_held_by_one_and_says_by_whom(tmp_path):
    first, second = LocalLease(tmp_path, lambda: 7), LocalLease(tmp_path, lambda: 8)
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    assert (second.holder().pid, second.holder().since_us) == (os.getpid(), 7)
    first.release()
    first.release()
    assert second.holder() is None
    assert second.try_acquire()
    second.release()


def test_a_full_disk_keeps_nobody_from_opening_a_lake_and_holding_its_lease(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    storage = LocalStorage(tmp_path)
    set_claims_identity(storage, ROCKS)
    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    set_claims_identity(storage, ROCKS)
    lease = LocalLease(tmp_path, lambda: 7)
    assert lease.try_acquire()
    lease.release()


def test_the_holder_of_a_lease_is_named_for_people(tmp_path):
    lease = LocalLease(tmp_path, lambda: 7)
    assert lease.try_acquire()
    assert str(lease.holder()).startswith(f"process {os.getpid()} on ")
    lease.release()


@pytest.mark.kill
def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path):
    code = (
        "import time; from headgate.lake.lease import LocalLease\n"
        f"lease = LocalLease({str(tmp_path)!r}, lambda: 0)\n"
        "print(lease.try_acquire(), flush=True); time.sleep(600)"
    )
    source = str(Path(headgate.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source}
    ) as process:
        assert process.stdout.readline() == b"True\n"
        lease = LocalLease(tmp_path, lambda: 0)
        assert not lease.try_acquire()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lease.try_acquire()
    lease.release()


def entry(i):
    moved = Range("s", "a", str(i + 1), None if i == 0 else str(i), Counts(1, 1, 0, 0))
    return Entry(
        number=0, entry_id=f"e{i}", kind="batch", committed_us=i, committed_at="", generation="g",
        ranges=[moved], counts=Counts(1, 1, 0, 0), new_types=[f"t{i}"],
    )  # fmt: skip


def test_a_snapshot_says_the_same_as_the_entries(storage):
    whole = Ledger(storage, max_event_types=100, snapshot_every=10_000)
    whole.append(
        Entry(number=0, entry_id="n", kind="note", committed_us=0, committed_at="",
              abandoned=abandoned_of({Shard("s", "dead"): None}))
    )  # fmt: skip
    writer = Ledger(storage, max_event_types=100, snapshot_every=10)
    for i in range(24):
        writer.append(entry(i))
    watched = ScriptedStorage(storage)
    read = Ledger(watched, max_event_types=100).refresh()
    assert read == whole.refresh()
    assert (read.number, read.counts, len(read.event_types), read.writer) == (
        25,
        Counts(24, 24, 0, 0),
        24,
        {},
    )
    assert sum(method == "get" for method, _ in watched.calls) < 10


def test_a_missing_snapshot_costs_only_time(storage):
    scripted = ScriptedStorage(storage)
    scripted.fail("put_if_absent", "snapshot", "before")
    writer = Ledger(scripted, max_event_types=100, snapshot_every=2)
    for i in range(3):
        writer.append(entry(i))
    assert Ledger(storage, max_event_types=100).refresh().number == 3


def test_a_torn_entry_is_named(storage):
    storage.put("_headgate/ledger/00000000000000000001.json", b"{")
    with pytest.raises(PermanentError, match=r"0{19}1\.json"):
        Ledger(storage, max_event_types=1).refresh()
