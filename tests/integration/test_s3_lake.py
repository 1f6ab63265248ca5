"""A lake on S3 from outside: several writing processes, and the jobs that read it."""

import math
import uuid
from collections import Counter

import pytest
from deltalake import DeltaTable

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.slo import Allowed
from headgate.errors import ConfigError, TransientError
from headgate.jobs.check import check
from headgate.jobs.existing import find_lake
from headgate.jobs.query import answer
from headgate.jobs.rebuild import rebuild
from headgate.jobs.status import status
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.delta import APP_ID
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.layout import ClaimsIdentity, claims_identity
from headgate.lake.ledger import Ledger
from headgate.lake.remote_lease import RemoteLease
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.lake_rows import batch, read_ids, read_table
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.processes import Child, wait_until
from headgate.testing.proxy import Fault, fault_proxy
from headgate.testing.server_moto import CREDENTIALS
from headgate.testing.world import WINDOW_US, Attempt, World

WRITERS, BATCHES = 4, 8

WRITER = """
import sys, time
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.records import Shard
from headgate.testing.lake_rows import batch

uri, endpoint, table_format, number, batches = sys.argv[1:]
storage = S3Storage(uri, S3Options(endpoint_url=endpoint, is_http_allowed=True))
lake = open_lake(storage, table_format, LakeOptions(), now_us=lambda: time.time_ns() // 1000)
storage.put("ready-" + number, b"")
while not storage.exists("go"):
    time.sleep(0.005)
shard = Shard("source", "shard-" + number)
for i in range(int(batches)):
    ids = [f"{number}-{i}-{k}" for k in range(3)]
    start = None if i == 0 else str(10 * i)
    lake.commit(lake.stage(batch(start, str(10 * i + 10), ids, shard=shard, event_type="type-" + str(i % 2))))
    lake.publish()
lake.close()
"""


@pytest.fixture
def options(moto, aws_credentials):
    return S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True)


@pytest.fixture
def uri(moto):
    return f"s3://{moto.make_bucket(f'lake-{uuid.uuid4().hex}')}/some/lake"


@pytest.mark.parametrize("table_format", ["delta", "json"])
def test_every_batch_of_every_writing_process_is_there_once(tmp_path, uri, options, table_format):
    storage = S3Storage(uri, options)
    arguments = [uri, options.endpoint_url, table_format]
    children = [
        Child(["-c", WRITER, *arguments, str(n), str(BATCHES)], tmp_path / f"logs-{n}", env=CREDENTIALS)
        for n in range(WRITERS)
    ]
    try:
        wait_until(
            lambda: len(list(storage.list("ready-"))) == WRITERS or not all(c.is_running for c in children), "writers"
        )
        storage.put("go", b"")
        assert [child.wait() for child in children] == [0] * WRITERS, [child.errors() for child in children]
    finally:
        for child in children:
            child.kill()
    state = Ledger(storage, max_event_types=0).refresh()
    assert state.number == WRITERS * BATCHES
    assert {known.position for known in state.shards.values()} == {str(10 * BATCHES)}
    ids = Counter(read_ids(storage))
    assert len(ids) == sum(ids.values()) == 3 * WRITERS * BATCHES
    assert read_table(storage, "rejected").num_rows == WRITERS * BATCHES
    if table_format == "delta":
        for table in ("events", "duplicates", "rejected", "quality"):
            opened = DeltaTable(f"{uri}/{table}", storage_options=storage.delta_options)
            assert opened.transaction_version(APP_ID) == state.number
            assert opened.version() <= state.number


@pytest.fixture(params=["delta", "parquet", "json"])
def filled(request, uri, options):
    lake = open_lake(S3Storage(uri, options), request.param, LakeOptions(), now_us=lambda: 1_795_000_000_000_000)
    lake.commit(lake.stage(batch(None, "10", ["a", "b"])))
    lake.publish()
    lake.commit(lake.stage(batch("10", "20", ["c"], event_type="a/b=c%2F")))
    lake.publish()
    yield lake
    lake.close()


def test_the_quality_of_a_lake_is_checked(filled, uri, options):
    allowed = Allowed(rates={"max_reject_rate": 0.1}, freshness_seconds=60.0, volume_ratio=0.5, sample=1)
    now_us = 1_795_000_000_000_000  # what is written by `filled` is staged then
    found = check(find_lake(uri, options), allowed, start_us=now_us - 1, end_us=now_us + 1)
    assert (found.figures.received, found.figures.latency) == (10, {0.0: 2, 2.5: 4, math.inf: 2})
    assert [(breach.check, breach.event_type) for breach in found.breaches] == [
        ("max_reject_rate", None),
        ("max_reject_rate", "a/b=c%2F"),
        ("max_reject_rate", "payment"),
    ]
    assert found.unjudged == ["min_volume_ratio"]
    later = check(find_lake(uri, options), Allowed(volume_ratio=0.5, sample=1), start_us=now_us + 1, end_us=now_us + 3)
    assert {breach.found for breach in later.breaches} == {0.0}


def test_a_lake_is_asked_in_sql(filled, uri, options):
    sql = "SELECT event_uuid, event_type, created_at FROM events ORDER BY event_uuid"
    with answer(find_lake(uri, options), sql, None, None) as reader:
        rows = [tuple(row.values()) for row in reader.read_all().to_pylist()]
    kinds = [("a", "payment"), ("b", "payment"), ("c", "a/b=c%2F")]
    assert rows == [(name, kind, 1_795_000_000.5) for name, kind in kinds]


def test_a_lake_s_history_is_asked_in_sql(filled, uri, options):
    if filled.about.format != "delta":
        with pytest.raises(ConfigError, match="--as-of"), answer(find_lake(uri, options), "FROM events", "2026", None):
            pass
        return
    sql = "SELECT count(*) AS n FROM events"
    with answer(find_lake(uri, options), sql, "2999-01-01T00:00:00Z", None) as reader:
        assert reader.read_all().to_pylist() == [{"n": 3}]


def test_status_tells_rows_files_and_lease(filled, uri, options):
    lease = RemoteLease(filled.storage, lambda: 7)
    assert lease.try_acquire()
    try:
        found = status(find_lake(uri, options))
    finally:
        lease.release()
    assert (found.number, found.counts.accepted, found.unpublished) == (2, 3, [])
    assert (found.lease.since_us, found.is_lease_stale) == (7, False)
    assert {table: shown.files for table, shown in found.tables.items()} == dict.fromkeys(found.tables, 2)
    assert found.tables["events"].rows == 3
    assert all(shown.size_bytes > 0 for shown in found.tables.values())
    assert status(find_lake(uri, options)).lease is None


def test_status_tells_what_is_not_published(filled, uri, options):
    filled.commit(filled.stage(batch("20", "30", ["d"])))
    assert status(find_lake(uri, options)).unpublished == [3]


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_verify_proves_a_run_and_finds_the_file_that_is_gone(uri, options, table_format):
    storage = S3Storage(uri, options)
    data = [b'{"event_uuid": "%d", "event_name": "pay:a", "created_at": 1}' % (i // 2) for i in range(9)]
    stream = Stream(shards={"s0": [Record(data=one) for one in [*data, b"{"]]})
    assert World(stream, storage, table_format, MemoryClaimStore).run(Attempt(batch_events=4))
    settings = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=WINDOW_US)

    def proof():
        return verify(find_lake(uri, options), MemorySource(stream), settings, source_name="stream")

    found = proof()
    assert (found.is_proven, found.breaches) == (True, [])
    assert found.rows == {"events": 5, "duplicates": 4, "rejected": 1}
    storage.delete(next(path for path in storage.list("events/") if "_delta_log" not in path))
    assert {breach.kind for breach in proof().breaches} >= {"lost", "missing"}


def test_rebuild_fills_a_local_claim_store_from_a_remote_lake(filled, tmp_path):
    folder, identity = tmp_path / "claims", ClaimsIdentity(kind="rocksdb", identity="here")
    lease = RemoteLease(filled.storage, lambda: 7)
    done = rebuild(
        filled,
        lease,
        identity,
        lambda: RocksDbClaimStore(folder),
        folder=folder,
        is_other=False,
        advance=lambda _: None,
    )
    assert done.claims == 3
    assert filled.refresh().generation == done.generation
    assert claims_identity(filled.storage) == identity
    assert lease.holder() is None


def test_there_is_no_lake_under_another_prefix(filled, uri, options):
    with pytest.raises(ConfigError, match=r"format\.json"):
        find_lake(f"{uri}/deeper", options)


def test_readers_of_a_storage_that_does_not_answer_say_so(filled, uri, moto, tmp_path):
    with fault_proxy(moto.port, tmp_path) as proxy:
        options = S3Options(endpoint_url=proxy.endpoint_url, is_http_allowed=True)
        lake = find_lake(uri, options)
        proxy.fail(Fault(path="/events/", effect="drop", times=None))
        proxy.fail(Fault(path="/quality/", status=403, code="AccessDenied", times=None))
        settings = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=1)
        with pytest.raises(TransientError):
            verify(lake, None, settings, source_name="source")
        with pytest.raises(TransientError), answer(lake, "FROM events", None, None) as reader:
            reader.read_all()
        with pytest.raises(TransientError), answer(lake, "FROM quality", None, None) as reader:
            reader.read_all()
