"""The embedded store: kills, locks, damage, segments on disk, buckets that go."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from headgate.claims.buckets import Buckets, ClaimStoreCorrupt, ClaimStoreInUse
from headgate.claims.filter import SeenFilter
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.claims.runs import RUN_PREFIX
from headgate.errors import PermanentError, TransientError
from headgate.records import Claims
from headgate.testing.claim_store_suite import DAY_US, NOON_US, WINDOW_US, A, B, claims_of, owner

CLAIMER = """
import json, sys
from pathlib import Path
from headgate.claims.filter import SeenFilter
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.testing.claim_store_suite import A, WINDOW_US, claims_of, owner
store = RocksDbClaimStore(Path(sys.argv[1]), seen_filter=SeenFilter(first_capacity=4096))
store.withdraw({A: sys.argv[2]})
shard = store.shard_number(A)
begin = int(sys.argv[2])
for call in range(10**6):
    length = (10, 2500)[call % 2]
    store.claim(claims_of([(n, owner(shard, n)) for n in range(begin, begin + length)]), WINDOW_US)
    store.sync()
    begin += length
    if call % 3 == 0:
        store.mark_seen(begin, {A: str(max(0, begin - length - 100))})
    print(begin, flush=True)
"""


def rows(shard: int, names: Sequence[int], **values: int) -> Claims:
    return claims_of([(name, owner(shard, name, **values)) for name in names])


def owned(store: RocksDbClaimStore, names: range) -> list[bool]:
    """Which ids somebody owned already, asked by a stranger in an earlier time."""
    stranger = store.shard_number(B)
    asked = rows(stranger, names, arrived=NOON_US - 1)
    answer = store.claim(asked, WINDOW_US)
    store.release(asked)
    return [bool(held != own) for held, own in zip(answer, asked.owners, strict=True)]


@pytest.mark.kill
@pytest.mark.parametrize("acknowledged", [1, 4, 9])
def test_a_kill_loses_no_acknowledged_claim_and_leaves_none_that_was_not_committed(
    tmp_path: Path, acknowledged: int
) -> None:
    folder = tmp_path / "claims"
    committed = "0"
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(folder), committed], stdout=subprocess.PIPE, text=True
        ) as claimer:
            assert claimer.stdout is not None
            lines = [claimer.stdout.readline() for _ in range(acknowledged)]
            claimer.send_signal(signal.SIGKILL)
            lines += claimer.stdout.readlines()
        end = max(int(line) for line in lines if line.endswith("\n"))
        store = RocksDbClaimStore(folder)
        assert all(owned(store, range(end)))
        committed = str(end - 5)
        assert store.withdraw({A: committed}) >= 5
        assert owned(store, range(end + 6_000)) == [name < end - 5 for name in range(end + 6_000)]
        store.close()


def test_a_second_process_is_told_who_may_hold_the_store(tmp_path: Path) -> None:
    holder = f"""
import sys
from pathlib import Path
from headgate.claims.rocksdb import RocksDbClaimStore
store = RocksDbClaimStore(Path({str(tmp_path / "claims")!r}))
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ClaimStoreInUse, match="another process") as caught:
            RocksDbClaimStore(tmp_path / "claims")
        assert isinstance(caught.value, TransientError)
        other.communicate("")
    RocksDbClaimStore(tmp_path / "claims").close()


def test_a_damaged_store_is_moved_aside_and_a_new_generation_begins(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    store = RocksDbClaimStore(folder)
    store.mark_seen(7, {})
    generation = store.generation
    store.close()
    for manifest in folder.glob("MANIFEST*"):
        manifest.write_bytes(b"rubbish" * 100)
    again = RocksDbClaimStore(folder)
    assert (again.generation == generation, again.seen) == (False, 0)
    assert again.moved_aside == tmp_path / "claims.corrupt-1"
    assert again.moved_aside.is_dir()
    again.close()
    kept = RocksDbClaimStore(folder)
    assert (kept.generation, kept.moved_aside) == (again.generation, None)
    kept.close()


def test_a_block_that_cannot_be_read_stops_now_and_is_moved_aside_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    store = RocksDbClaimStore(folder)
    names = range(3_000)
    store.claim(rows(store.shard_number(A), names), WINDOW_US)
    generation = store.generation
    store.close()
    largest = max(folder.glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[: len(content) // 2] = os.urandom(len(content) // 2)
    largest.write_bytes(content)
    damaged = RocksDbClaimStore(folder)
    if damaged.moved_aside is None:
        with pytest.raises(ClaimStoreCorrupt, match="rebuilt"):
            damaged.claim(rows(damaged.shard_number(B), names), WINDOW_US)
    damaged.close()
    again = RocksDbClaimStore(folder)
    assert again.generation != generation
    assert (tmp_path / "claims.corrupt-1").is_dir()
    again.close()


def test_a_folder_that_was_deleted_is_a_new_generation(tmp_path: Path) -> None:
    first, second = RocksDbClaimStore(tmp_path / "a"), RocksDbClaimStore(tmp_path / "b")
    assert first.generation != second.generation
    first.close()
    second.close()
    second.close()


def test_a_file_in_the_place_of_the_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("a file stands where the folder should be")
    with pytest.raises(PermanentError, match="move it away"):
        RocksDbClaimStore(tmp_path / "claims")


def test_a_store_that_lacks_a_file_is_moved_aside(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    RocksDbClaimStore(folder).close()
    for manifest in folder.glob("MANIFEST*"):
        manifest.unlink()
    again = RocksDbClaimStore(folder)
    assert again.moved_aside == tmp_path / "claims.corrupt-1"
    again.close()


def test_a_damaged_byte_anywhere_is_found_or_costs_nothing(tmp_path: Path) -> None:
    """One byte of the largest file at a time: a store never forgets in silence who owns an id."""
    folder, ids = tmp_path / "claims", range(3_000)
    store = RocksDbClaimStore(folder)
    store.claim(rows(store.shard_number(A), ids), WINDOW_US)
    store.close()
    largest = max(folder.glob("*.sst"), key=lambda file: file.stat().st_size)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    size, moved = len(whole[largest.name]), 0
    for n in range(60):
        shutil.rmtree(folder)
        folder.mkdir()
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        content = bytearray(whole[largest.name])
        content[size * (40 + n) // 100] ^= 0xFF
        largest.write_bytes(content)
        damaged = RocksDbClaimStore(folder)
        if damaged.moved_aside is not None:
            moved += 1
            shutil.rmtree(damaged.moved_aside)
        else:
            with contextlib.suppress(ClaimStoreCorrupt):
                assert all(owned(damaged, ids))
        damaged.close()
    assert moved > 0


FULL_DISK = """
import resource, sys
from pathlib import Path
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.errors import PermanentError, TransientError
from headgate.testing.claim_store_suite import A, WINDOW_US, claims_of, owner
store = RocksDbClaimStore(Path(sys.argv[1]))
length = int(sys.argv[2])
shard = store.shard_number(A)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
claims = claims_of([(n, owner(shard, n)) for n in range(length)])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
for _ in range(2):
    try:
        store.claim(claims, WINDOW_US)
        print("claimed")
    except TransientError as error:
        print("transient" if str(error).endswith("; a limit forbids files of this size: raise `ulimit -f`") else error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
print((store.claim(claims, WINDOW_US) == claims.owners).all())
store.sync()
store.close()
"""


@pytest.mark.parametrize("length", [1_000, 5_000])
def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path: Path, length: int) -> None:
    """The process may write no file of more than 20 kB, then it may again."""
    folder = tmp_path / "no LOCK of RocksDB"
    command = [sys.executable, "-c", FULL_DISK, str(folder), str(length)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout.split(), run.stderr) == (["transient", "transient", "True"], "")
    store = RocksDbClaimStore(folder)
    assert all(owned(store, range(length)))
    store.close()


def test_a_store_that_cannot_be_opened_again_after_a_failed_write_forgets_no_owner(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    store = RocksDbClaimStore(folder)
    first, second = rows(store.shard_number(A), range(3_000)), rows(store.shard_number(B), range(6_000))
    store.claim(first, WINDOW_US)
    (folder / "incoming.sst").mkdir()  # the next file of claims cannot be written
    with pytest.raises(TransientError, match=r"incoming\.sst"):
        store.claim(second, WINDOW_US)
    (folder / "LOCK").rename(folder / "LOCK.gone")
    (folder / "LOCK").mkdir()  # and the store cannot be opened
    for use in (partial(store.claim, second, WINDOW_US), store.sync, partial(store.mark_seen, 1, {})) * 2:
        with pytest.raises(TransientError):
            use()
    (folder / "incoming.sst").rmdir()
    (folder / "LOCK").rmdir()
    owners = store.claim(second, WINDOW_US)
    assert (owners[:3_000] == first.owners).all()
    assert (owners[3_000:] == second.owners[3_000:]).all()
    store.close()


def test_a_store_that_was_not_opened_again_is_closed_in_silence(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    store = RocksDbClaimStore(folder)
    (folder / "incoming.sst").mkdir()
    (folder / "LOCK").rename(folder / "LOCK.gone")
    (folder / "LOCK").mkdir()
    for _ in range(2):
        with pytest.raises(TransientError):
            store.claim(rows(0, range(3_000)), WINDOW_US)
    store.close()


def test_full_segments_replace_the_runs_they_stand_for(tmp_path: Path) -> None:
    store = RocksDbClaimStore(tmp_path / "claims", seen_filter=SeenFilter(first_capacity=64))
    shard = store.shard_number(A)
    for begin in range(0, 640, 32):
        store.claim(rows(shard, range(begin, begin + 32)), WINDOW_US)
        store.mark_seen(begin, {A: str(begin)})
    store.close()
    buckets = Buckets(tmp_path / "claims")
    runs = sum(1 for bucket in buckets.numbers() for name, _ in buckets.scan(bucket, b"") if len(name) > 16)
    assert 0 < runs < 10
    buckets.close()
    again = RocksDbClaimStore(tmp_path / "claims", seen_filter=SeenFilter(first_capacity=64))
    assert again.withdraw({A: "630"}) == 10
    assert owned(again, range(700)) == [name < 630 for name in range(700)]
    again.close()


def test_a_run_of_several_shards_goes_when_the_last_of_them_is_committed(tmp_path: Path) -> None:
    """Each commit tells the positions of the shards that it moved."""
    store = RocksDbClaimStore(tmp_path / "claims", seen_filter=SeenFilter(first_capacity=8))
    a, b = store.shard_number(A), store.shard_number(B)
    store.claim(claims_of([(n, owner((a, b)[n % 2], n)) for n in range(10)]), WINDOW_US)
    store.mark_seen(1, {A: "10"})
    store.mark_seen(2, {B: "10"})
    store.close()
    buckets = Buckets(tmp_path / "claims")
    assert [name for bucket in buckets.numbers() for name, _ in buckets.scan(bucket, RUN_PREFIX)] == []
    buckets.close()


def test_dropped_buckets_take_their_claims_runs_and_segments_with_them(tmp_path: Path) -> None:
    store = RocksDbClaimStore(tmp_path / "claims", seen_filter=SeenFilter(first_capacity=64))
    shard = store.shard_number(A)
    for day in range(3):
        store.claim(rows(shard, range(day * 100, day * 100 + 100), arrived=NOON_US + day * DAY_US), WINDOW_US)
    store.expire(NOON_US + 2 * DAY_US)
    store.claim(rows(shard, range(300, 301), arrived=NOON_US + 2 * DAY_US), WINDOW_US)
    store.sync()
    store.close()
    buckets = Buckets(tmp_path / "claims")
    assert buckets.numbers() == [(NOON_US + 2 * DAY_US) // DAY_US]
    assert len({name[:-4] for name, _ in buckets.scan(None, b"segment ")}) == 1
    buckets.close()
    again = RocksDbClaimStore(tmp_path / "claims", seen_filter=SeenFilter(first_capacity=64))
    assert owned(again, range(301)) == [name >= 200 for name in range(301)]
    again.close()


def test_statistics_tell_claims_disk_and_memory(tmp_path: Path) -> None:
    store = RocksDbClaimStore(tmp_path / "claims")
    store.claim(rows(store.shard_number(A), range(3_000)), WINDOW_US)
    figures = store.statistics()
    assert 3_000 <= figures["claims"] < 3_100
    assert figures["disk_bytes"] > 3_000 * 64
    assert figures["memory_bytes"] > 0
    assert json.dumps(dict(figures))
    store.close()
