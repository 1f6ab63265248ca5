"""Compaction of a lake on S3: the same promises as on local disk."""

import time
import uuid

import pytest
from deltalake import DeltaTable

from headgate.claims.memory import MemoryClaimStore
from headgate.errors import PermanentError
from headgate.jobs.rebuild import rebuild
from headgate.lake.delta import APP_ID
from headgate.lake.layout import ClaimsIdentity
from headgate.lake.remote_lease import LEASE_PATH
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.compaction import DAY_US, HOUR_US, TABLES, compacted, fill, of_storage, open_delta, rows
from headgate.testing.lake_rows import ODD_TYPES
from headgate.testing.scripted_storage import ScriptedStorage
from headgate.wiring.lake import compaction_lease

TYPES = (*ODD_TYPES[:2], "é", "x" * 240, "it's")


class S3Scripted(ScriptedStorage):
    """Fails on script; the lease has its own way to the bucket."""

    def __init__(self, inner: S3Storage) -> None:
        super().__init__(inner)
        self.get_version, self.put_version = inner.get_version, inner.put_version


@pytest.fixture
def storage(moto, aws_credentials):
    bucket = moto.make_bucket(f"lake-{uuid.uuid4().hex}")
    return S3Storage(f"s3://{bucket}/some/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))


@pytest.fixture
def lake(storage):
    lake = open_delta(storage)
    fill(lake, 0, 2 * len(TYPES), TYPES, publish_every=len(TYPES))
    yield lake
    lake.close()


def data_files(storage, table: str) -> set[str]:
    return {path for path in storage.list(f"{table}/") if path.endswith(".parquet") and "_delta_log" not in path}


def test_rows_are_the_same_in_fewer_files_until_what_was_replaced_is_deleted(storage, lake):
    before = rows(storage)
    old = data_files(storage, "events")
    done = compacted(storage=storage)
    assert (done.tables["events"].files_before, done.tables["events"].files_after) == (10, 5)
    assert rows(storage) == before
    assert compacted(storage=storage).tables["events"].joined == 0
    assert compacted(storage=storage, after_us=HOUR_US).tables["events"].vacuumed == 0
    storage.put("events/event_type=a/nobody.parquet", b"x")
    later = compacted(storage=storage, after_us=8 * DAY_US).tables["events"]
    assert (later.vacuumed, later.orphans) == (10, 1)
    assert data_files(storage, "events") & old == set()
    assert rows(storage) == before
    for table in TABLES:
        opened = DeltaTable(f"{storage.root}/{table}", storage_options=storage.delta_options)
        assert opened.transaction_version(APP_ID) == 10
    fill(lake, 10, 1)
    assert len(rows(storage)["events"]) == 11


def test_after_vacuum_the_claims_are_those_of_before(storage, lake):
    compacted(storage=storage)
    compacted(storage=storage, after_us=8 * DAY_US)
    rebuilt = rebuild(
        lake,
        None,
        ClaimsIdentity(kind="memory", identity=""),
        MemoryClaimStore,
        folder=None,
        is_other=False,
        advance=lambda _: None,
    )
    assert rebuilt.claims == 10


@pytest.mark.parametrize("fault", ["before", "after"])
def test_lost_answers_change_nothing(storage, lake, fault):
    before = rows(storage)
    scripted = S3Scripted(storage)
    for table in TABLES:
        scripted.fail("put_if_absent", f"{table}/_delta_log", fault)
    assert compacted(storage=scripted).tables["events"].joined == 10
    assert rows(storage) == before


def test_one_compaction_at_a_time_and_no_consumer_is_kept_away(storage, lake):
    clock = type("Clock", (), {"now_us": staticmethod(lambda: time.time_ns() // 1_000)})()
    held = compaction_lease(storage, clock)
    assert held.try_acquire()
    assert not storage.exists(LEASE_PATH)
    other = compaction_lease(storage, clock)
    assert not other.try_acquire()
    held.release()
    assert other.try_acquire()
    other.release()
    assert of_storage(storage).about.format == "delta"
    for path in list(storage.list("quality/_delta_log/")):
        storage.delete(path)
    with pytest.raises(PermanentError, match="no Delta table"):
        compacted(storage=storage)
