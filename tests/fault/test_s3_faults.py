"""A lake on S3 under every fault that the service has and no emulator makes: nothing is lost, nothing doubled.

What S3 really does, by its documentation: 503 SlowDown while a prefix is scaled out, for minutes; 409
ConditionalRequestConflict where a conditional write met another change of the same key; 500 and cut connections after
the write took effect; 400 ExpiredToken; 403 for whoever lost a permission; 200 with an error inside for copies and
for the end of an upload in parts.
"""

import itertools
import random
import uuid
from collections import Counter

import pytest
from deltalake import DeltaTable

from headgate.claims.memory import MemoryClaimStore
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.errors import CommitUnknown, ConfigError, PermanentError, TransientError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.layout import read_format
from headgate.lake.read import dataset
from headgate.lake.s3 import PART_BYTES, S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.lake_rows import batch, read_ids, read_table
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.proxy import Fault, fault_proxy
from headgate.testing.world import WINDOW_US, Attempt, World

FORMATS = ["delta", "parquet", "json"]
TABLES = ("events", "duplicates", "rejected", "quality")
LEDGER = "_headgate/ledger/"

#: Of one request: what befalls it, and whether it had its effect.
STRIKES = {
    "slow down": (Fault(status=503, code="SlowDown"), False),
    "conflict": (Fault(status=409, code="ConditionalRequestConflict"), False),
    "error before": (Fault(status=500, code="InternalError"), False),
    "error after": (Fault(status=500, code="InternalError", effect="answer_after"), True),
    "gateway": (Fault(status=502, code="BadGateway", effect="answer_after"), True),
    "answer lost": (Fault(effect="lose"), True),
    "request lost": (Fault(effect="drop"), False),
    "expired": (Fault(status=400, code="ExpiredToken"), False),
    "denied": (Fault(status=403, code="AccessDenied"), False),
    "timed out": (Fault(status=400, code="RequestTimeout"), False),
}


@pytest.fixture(scope="session")
def shared_proxy(moto, tmp_path_factory):
    with fault_proxy(moto.port, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy):
    yield shared_proxy
    shared_proxy.heal()


@pytest.fixture
def bucket(moto, aws_credentials):
    return moto.make_bucket(f"fault-{uuid.uuid4().hex}")


@pytest.fixture
def direct(moto, bucket):
    """Another reader of the same lake, past the proxy."""
    return S3Storage(f"s3://{bucket}/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))


@pytest.fixture
def storage(proxy, bucket):
    return S3Storage(f"s3://{bucket}/lake", S3Options(endpoint_url=proxy.endpoint_url, is_http_allowed=True))


def lake_on(storage, table_format, prefix="h"):
    numbers = itertools.count()
    return open_lake(storage, table_format, LakeOptions(), now_us=lambda: 0, new_id=lambda: f"{prefix}{next(numbers)}")


def until_done(effect, tries=50):
    """As the pipeline does: what is transient or unknown is tried again. Returns the answer and the errors."""
    errors = []
    for _ in range(tries):
        try:
            return effect(), errors
        except (TransientError, CommitUnknown) as error:
            errors.append(error)
    raise AssertionError(errors)


def struck(fault, **where):
    return Fault(effect=fault.effect, status=fault.status, code=fault.code, **where)


@pytest.mark.parametrize("name", STRIKES)
def test_a_conditional_put_is_sent_once_and_never_answers_wrongly(storage, direct, proxy, name):
    fault, had_effect = STRIKES[name]
    proxy.fail(struck(fault, method="PUT", path="/n/1"))
    with pytest.raises(TransientError):
        storage.put_if_absent("n/1", b"mine")
    assert len(proxy.requests("PUT", f"{storage.root[5:]}/n/1")) == 1
    assert direct.get("n/1") == (b"mine" if had_effect else None)
    assert storage.put_if_absent("n/1", b"mine again") is not had_effect


@pytest.mark.parametrize("name", STRIKES)
def test_a_commit_happens_once(storage, direct, proxy, name):
    lake = lake_on(storage, "delta")
    staged = lake.stage(batch(None, "10", ["a"]))
    proxy.fail(struck(STRIKES[name][0], method="PUT", path=LEDGER))
    receipt, _ = until_done(lambda: lake.commit(staged))
    assert receipt.number == 1
    assert until_done(lake.publish)[0] == 1
    assert (lake.refresh().number, read_ids(direct)) == (1, ["a"])
    lake.close()


@pytest.mark.parametrize("name", STRIKES)
@pytest.mark.parametrize("table_format", FORMATS)
def test_a_publication_shows_each_row_once(storage, direct, proxy, table_format, name):
    fault = STRIKES[name][0]
    lake = lake_on(storage, table_format)
    lake.commit(lake.stage(batch(None, "10", ["a", "b"])))
    lake.commit(lake.stage(batch("10", "20", ["c"])))
    for table in TABLES:
        proxy.fail(struck(fault, method="PUT", path=f"/lake/{table}/"))
    proxy.fail(struck(fault, method="DELETE", path="/staging/"))
    proxy.fail(struck(fault, method="GET", path="/lake/events/"))
    proxy.fail(struck(fault, method="HEAD", path="/lake/rejected/"))
    proxy.fail(struck(fault, method="PUT", path="published.json"))
    assert until_done(lake.publish)[0] == 2
    assert lake_on(direct, table_format, "other").publish() == 2
    assert read_ids(direct) == ["a", "b", "c"]
    assert [read_table(direct, table).num_rows for table in TABLES] == [3, 2, 2, 2]
    lake.close()


@pytest.mark.parametrize("name", STRIKES)
@pytest.mark.parametrize("table_format", ["delta", "json"])
def test_a_lake_is_made_once_however_often_it_is_tried(storage, direct, proxy, table_format, name):
    for path in ("format.json", "/events/_delta_log/", "/quality/_delta_log/"):
        proxy.fail(struck(STRIKES[name][0], method="PUT", path=path))
    lake, _ = until_done(lambda: lake_on(storage, table_format, uuid.uuid4().hex))
    lake.commit(lake.stage(batch(None, "10", ["a"])))
    lake.publish()
    assert read_ids(direct) == ["a"]
    lake.close()


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_storage_that_is_down_for_long_is_waited_for(storage, direct, proxy, table_format):
    lake = lake_on(storage, table_format)
    lake.commit(lake.stage(batch(None, "10", ["a"])))
    proxy.fail(Fault(effect="drop", times=None))
    verdicts = batch("10", "20", ["b"])
    for effect in (lambda: lake.stage(verdicts), lake.refresh, lake.publish, lambda: read_ids(storage)):
        with pytest.raises(TransientError):
            effect()
    proxy.heal()
    lake.commit(lake.stage(verdicts))
    assert lake.publish() == 2
    assert read_ids(direct) == ["a", "b"]
    lake.close()


def test_no_answer_to_commit_and_question_is_unknown_and_found_later(storage, direct, proxy):
    lake = lake_on(storage, "parquet")
    staged = lake.stage(batch(None, "10", ["a"]))
    proxy.fail(Fault(method="GET", path=f"{LEDGER}{1:020d}", status=404, code="NoSuchKey"))
    proxy.fail(Fault(method="PUT", path=LEDGER, effect="lose"))
    proxy.fail(Fault(method="GET", path=f"{LEDGER}{1:020d}", status=503, times=5))  # the client tries 5 times
    with pytest.raises(CommitUnknown):
        lake.commit(staged)
    assert until_done(lambda: lake.commit(staged))[0].number == 1
    lake.publish()
    assert read_ids(direct) == ["a"]
    lake.close()


def test_a_copy_that_fails_inside_a_good_answer_loses_nothing(storage, direct, proxy):
    storage.put("staged", b"rows")
    proxy.fail(Fault(method="PUT", path="/shown", status=200, code="InternalError", times=None))
    with pytest.raises(TransientError):
        storage.rename("staged", "shown")
    assert direct.get("staged") == b"rows"
    proxy.heal()
    assert storage.rename("staged", "shown")
    assert (direct.get("shown"), direct.exists("staged")) == (b"rows", False)


def test_a_process_that_died_between_copy_and_deletion_is_finished_by_the_next(storage, direct, proxy):
    lake = lake_on(storage, "parquet")
    lake.commit(lake.stage(batch(None, "10", ["a"])))
    proxy.fail(Fault(method="DELETE", effect="drop", times=None))
    with pytest.raises(TransientError):
        lake.publish()
    assert lake_on(direct, "parquet", "next").publish() == 1
    assert read_ids(direct) == ["a"]
    assert list(direct.list("_headgate/staging/")) == []
    lake.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="PUT", path="partNumber=2", status=503),
        Fault(method="PUT", path="partNumber=1", effect="lose"),
        Fault(method="POST", path="uploadId", effect="lose"),
        Fault(method="POST", path="uploadId", status=200, code="InternalError"),
        Fault(method="POST", path="uploadId", status=404, code="NoSuchUpload", effect="answer_after"),
    ],
    ids=["part refused", "part's answer lost", "end's answer lost", "error in a good answer", "ended before"],
)
def test_a_large_file_appears_whole_or_not_at_all(storage, direct, proxy, fault):
    content = bytes(range(256)) * (PART_BYTES // 256) + b"end"
    proxy.fail(fault)
    until_done(lambda: storage.put("large", content))
    assert direct.get("large") == content


def test_an_upload_that_fails_leaves_no_file(storage, direct, proxy):
    proxy.fail(Fault(method="PUT", path="partNumber=2", status=403, code="AccessDenied", times=None))
    with pytest.raises(TransientError, match="access denied"):
        storage.put("large", bytes(PART_BYTES + 1))
    assert not direct.exists("large")


def test_expired_credentials_are_read_anew_and_the_batch_goes_on(proxy, bucket, direct, moto, monkeypatch, tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = OLDKEY\naws_secret_access_key = x\naws_session_token = t\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = S3Storage(f"s3://{bucket}/lake", S3Options(endpoint_url=proxy.endpoint_url, is_http_allowed=True))
    lake = lake_on(storage, "delta")
    proxy.fail(Fault(header="Credential=OLDKEY", status=400, code="ExpiredToken", times=None))
    verdicts = batch(None, "10", ["a"])
    with pytest.raises(TransientError, match="expired"):
        lake.stage(verdicts)
    file.write_text("[default]\naws_access_key_id = NEWKEY\naws_secret_access_key = y\n")
    staged, _ = until_done(lambda: lake.stage(verdicts))
    lake.commit(staged)
    lake.publish()
    assert read_ids(direct) == ["a"]
    assert read_ids(storage) == ["a"]
    lake.close()


def test_access_denied_and_restored_loses_nothing(storage, direct, proxy):
    lake = lake_on(storage, "delta")
    staged = lake.stage(batch(None, "10", ["a"]))
    proxy.fail(Fault(method="PUT", status=403, code="AccessDenied", times=None))
    for _ in range(3):
        with pytest.raises(TransientError, match="access denied: allow this identity s3:GetObject"):
            lake.commit(staged)
    proxy.heal()
    assert lake.commit(staged).number == 1
    proxy.fail(Fault(method="GET", status=403, code="AccessDenied", times=None))
    with pytest.raises(TransientError, match="access denied"):
        lake.publish()
    proxy.heal()
    assert lake.publish() == 1
    assert read_ids(direct) == ["a"]
    lake.close()


def test_a_bucket_that_is_not_there_is_a_configuration_error(moto, aws_credentials):
    storage = S3Storage("s3://no-such/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))
    for effect in (
        lambda: storage.get("x"),
        lambda: list(storage.list("x")),
        lambda: storage.put("x", b""),
        lambda: storage.put_if_absent("x", b""),
        lambda: storage.delete("x"),
        lambda: storage.rename("x", "y"),
        lambda: lake_on(storage, "delta"),
    ):
        with pytest.raises(ConfigError, match="no such bucket"):
            effect()


def test_a_wrong_region_is_a_configuration_error_at_first(storage, proxy):
    proxy.fail(Fault(status=301, code="PermanentRedirect", times=None))
    with pytest.raises(ConfigError, match="region"):
        storage.get("x")
    proxy.heal()
    storage.put("x", b"")
    proxy.fail(Fault(status=400, code="AuthorizationHeaderMalformed", times=None))
    with pytest.raises(PermanentError, match="region"):
        storage.get("x")


def test_a_listing_that_breaks_between_pages_is_no_short_listing(storage, proxy):
    for i in range(3):
        storage.put(f"l/{i}", b"")
    proxy.fail(Fault(method="GET", path="list-type", effect="drop", times=None))
    with pytest.raises(TransientError):
        list(storage.list("l/"))


@pytest.mark.parametrize("sse", ["AES256", "aws:kms"])
@pytest.mark.parametrize("table_format", FORMATS)
def test_every_object_is_encrypted_as_asked(moto, bucket, aws_credentials, table_format, sse):
    key = "alias/lake" if sse == "aws:kms" else None
    options = S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True, sse=sse, kms_key_id=key)
    storage = S3Storage(f"s3://{bucket}/lake", options)
    lake = lake_on(storage, table_format)
    lake.commit(lake.stage(batch(None, "10", ["a"])))
    lake.publish()
    storage.put("large", bytes(PART_BYTES + 1))
    if table_format == "delta":
        DeltaTable(f"{storage.root}/events", storage_options=storage.delta_options).create_checkpoint()
    lake.close()
    client = moto.client("s3")
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert any("checkpoint" in key for key in keys) is (table_format == "delta")
    assert {table for table in TABLES if any(key.startswith(f"lake/{table}/") for key in keys)} == set(TABLES)
    heads = [client.head_object(Bucket=bucket, Key=found) for found in keys]
    assert {head.get("ServerSideEncryption") for head in heads} == {sse}
    assert {head.get("SSEKMSKeyId") for head in heads} == {key}


def test_a_reader_that_gets_no_answer_says_so_and_not_that_rows_are_gone(storage, proxy):
    lake = lake_on(storage, "delta")
    lake.commit(lake.stage(batch(None, "10", ["a"])))
    lake.publish()
    lake.close()
    assert Counter(read_ids(storage)) == {"a": 1}
    proxy.fail(Fault(method="GET", path="_delta_log", status=503, times=None))
    with pytest.raises(TransientError, match="cannot open the Delta table"):
        dataset(storage, "events")


@pytest.mark.parametrize(("seed", "table_format"), list(enumerate(FORMATS)))
def test_a_whole_run_under_a_storm_is_exact(storage, direct, proxy, table_format, seed):
    """Every kind of fault strikes requests all over the lake, and the process dies and starts again."""
    rng = random.Random(seed)
    shards = {
        name: [
            Record(data=b'{"event_uuid": "%d", "event_name": "t%d:a", "created_at": 1}' % (k % 17, k % 2))
            for k in range(first, first + 20)
        ]
        for name, first in (("s0", 0), ("s1", 10))
    }
    shards["s1"].append(Record(data=b"{"))
    places = ["/lake/", LEDGER, "/events/", "/quality/", "/staging/", "_delta_log/", "list-type", "published"]
    for method, number in (("PUT", 40), ("GET", 20), ("HEAD", 8), ("DELETE", 8)):
        for _ in range(number):
            fault, _ = STRIKES[rng.choice(list(STRIKES))]
            proxy.fail(struck(fault, method=method, path=rng.choice(places), header=rng.choice(["", "a", "e1", "77"])))
    claims = MemoryClaimStore(is_embedded=False)
    stream = Stream(shards=shards)
    world = World(stream, storage, table_format, lambda: claims)
    for _ in range(30):
        world.run(Attempt(batch_events=5, per_read=5, max_batches=2))
    proxy.heal()
    assert world.run(Attempt(batch_events=5)) is not None
    state = world.ledger()
    counts = state.counts
    assert (
        len(proxy.requests("PUT", f"{direct.root.removeprefix('s3://')}/{LEDGER}")) > state.number
    )  # some were struck
    assert (counts.received, counts.accepted, counts.duplicates, counts.rejected) == (41, 17, 23, 1)
    settings = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=WINDOW_US)
    lake = ExistingLake(path=direct.root, storage=direct, about=read_format(direct))
    proof = verify(lake, MemorySource(stream), settings, source_name="stream")
    assert (proof.is_proven, proof.breaches) == (True, [])
