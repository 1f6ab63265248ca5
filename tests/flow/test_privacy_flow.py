"""Nothing that `[privacy]` takes away is written by any entry point, in any format, whatever is killed meanwhile."""

import base64
import gzip
import hmac
import json
import re
from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.config import Config, Privacy
from headgate.config import Rule as ConfigRule
from headgate.core.envelope import Envelope
from headgate.core.privacy import Privacy as Ready
from headgate.core.rules import Rule, Rules
from headgate.entrypoints.aws_lambda import admit
from headgate.entrypoints.firehose import function_of, transform
from headgate.invocation import InvocationSettings
from headgate.jobs.transform import FIREHOSE
from headgate.lake.local import LocalStorage
from headgate.lake.read import relation
from headgate.testing.action_log import ActionLog
from headgate.testing.containers import Platform
from headgate.testing.event_source_mapping import EventSourceMapping, StreamRecord
from headgate.testing.firehose_driver import Delivered, request
from headgate.testing.lake_contents import contents
from headgate.testing.laws import rows
from headgate.testing.memory_source import Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, World

MAPPING = EventSourceMapping(batch_size=5)
KEY = "k3y-0123456789abcdef-0123456789abcdef"
SECTION = Privacy(hash=("user_id", "account.email"), mask=("card.number",), drop=("ip",), unparseable="withhold")
READY = Ready(
    hashed=SECTION.hash,
    masked=SECTION.mask,
    dropped=SECTION.drop,
    key=KEY.encode(),
    is_withholding=True,
    envelope=Envelope(),
)
RULES = Rules([Rule(name="at_home", check="payload->>'ip' LIKE 'SECRET-%'", when="event_type = 'home'")])
SECRET = re.compile(rb"(?i)secret|c2VjcmV0|U0VDUkVU")  # also as base64, where it begins at a multiple of three bytes
CREATED = ARRIVED_US // 1_000_000 - 10


def event(event_id, name="a:b", **fields):
    own = {"ip": "SECRET-1", "user_id": "SECRET-2", "account": [{"email": ["SECRET-3", None]}]}
    return json.dumps({"event_uuid": event_id, "event_name": name, "created_at": CREATED, **own, **fields}).encode()


DATA = [
    event("one", n=1, card={"number": "SECRET-4"}),
    event("home", "home"),
    event("away", "home", ip="elsewhere"),  # breaks the rule, which sees what was sent
    event("one", n=1, card={"number": "SECRET-5"}),  # differs only in what is masked: no conflict
    event("one", n=2),
    event("two", ip={"SECRET": ["SECRET"]}).replace(b'"ip"', b'"\\u0069p"'),
    b'{"event_uuid":"x","event_name":"a:b","ip":"SECRET"}',
    b"[" + event("three") + b"," + event(None, user_id="SECRET-6") + b',[{"ip":"SECRET"}]]',
    gzip.compress(event(True)),
    b'{"ip":"SECRET',
    b'"SECRET"',
    gzip.compress(b"SECRET" * 9)[:-3],
]
REASONS = {
    "rule:at_home": 1,
    "created_at_missing": 1,
    "event_uuid_missing": 1,
    "event_uuid_invalid": 1,
    "not_an_object": 2,
    "malformed_json": 2,
}
FORMATS = ["delta", "parquet", "json"]


def leaks(storage):
    return sorted({path for path, content in contents(storage) if SECRET.search(content) or KEY.encode() in content})


def table_rows(storage, table):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        return relation(connection, storage, table).to_arrow_table().to_pylist()


def hashed(text):
    return "hmac-sha256:" + hmac.new(KEY.encode(), text.encode(), "sha256").hexdigest()


def check(events, duplicates, rejected):
    """The rows of the three tables are those of DATA, protected."""
    protected = {"user_id": hashed("SECRET-2"), "account": [{"email": [hashed("SECRET-3"), None]}]}
    assert sorted(row["event_uuid"] for row in events) == ["home", "one", "three", "two"]
    for row in [*events, *duplicates]:
        found = json.loads(row["payload"])
        assert {name: found.get(name) for name in protected} == protected
        assert found.get("card", {}) in ({}, {"number": "***"})
        assert "ip" not in found
    assert sorted(row["conflict"] for row in duplicates) == [False, True]
    assert Counter(row["reason"] for row in rejected) == REASONS
    raws = [bytes(row["raw"]) for row in rejected]
    assert sum(raw.startswith(b"withheld: ") for raw in raws) == 3
    assert b"[{}]" in raws
    assert b'{"event_uuid":"x","event_name":"a:b"}' in raws
    assert sum(hashed("SECRET-3").encode() in raw for raw in raws) == 3


def records():
    return [Record(data=data, arrived_us=ARRIVED_US) for data in DATA]


@pytest.mark.parametrize("table_format", FORMATS)
def test_no_table_of_any_format_holds_what_was_taken_away(tmp_path, table_format):
    storage = LocalStorage(tmp_path)
    world = World(Stream(shards={"a": records()}), storage, table_format, MemoryClaimStore)
    world.run(Attempt(rules=RULES, privacy=READY, batch_events=5))
    check(*(table_rows(storage, name) for name in ("events", "duplicates", "rejected")))
    assert leaks(storage) == []


def test_the_search_finds_what_is_there(tmp_path):
    for table_format in FORMATS:
        storage = LocalStorage(tmp_path / table_format)
        world = World(Stream(shards={"a": records()}), storage, table_format, MemoryClaimStore)
        world.run(Attempt(rules=RULES))
        assert {path.split("/")[0] for path in leaks(storage)} == {"events", "duplicates", "rejected"}


def attempt(**more):
    return Attempt(rules=RULES, privacy=READY, batch_events=5, is_storage_logged=True, **more)


def test_a_kill_at_any_effect_leaves_nothing_behind_and_the_next_run_the_same_rows():
    log = ActionLog()
    calm = World(Stream(shards={"a": records()}), MemoryStorage(), "parquet", MemoryClaimStore)
    calm.run(attempt(log=log))
    assert len(log.effects) > 20
    for number in range(0, len(log.effects), 3):
        fault = ("killed before", "killed after")[number % 2]
        store = MemoryClaimStore(is_embedded=False)
        world = World(Stream(shards={"a": records()}), MemoryStorage(), "parquet", lambda store=store: store)
        assert world.run(attempt(log=ActionLog(faults={number: fault}))) is None
        assert leaks(world.storage) == []
        world.run(attempt())
        assert leaks(world.storage) == []
        check(*(rows(world, name) for name in ("events", "duplicates", "rejected")))


def test_a_copy_sent_before_privacy_was_on_is_still_a_copy():
    store = MemoryClaimStore(is_embedded=False)
    world = World(Stream(shards={"a": [records()[0]]}), MemoryStorage(), "parquet", lambda: store)
    world.run(Attempt())
    world.stream.shards["a"] += records()[:1]
    world.run(Attempt(privacy=READY))
    assert [row["conflict"] for row in rows(world, "duplicates")] == [True]  # the rows do differ
    store.renew()  # filled from the rows, which hold what was protected
    world.stream.shards["a"] += [*records()[4:5], *records()[4:5]]
    world.run(Attempt(privacy=READY))
    assert len(rows(world, "events")) == 1


@pytest.fixture
def function(monkeypatch):
    monkeypatch.setenv("HEADGATE_PRIVACY_KEY", KEY)
    rule = ConfigRule(name="at_home", check="payload->>'ip' LIKE 'SECRET-%'", when="event_type = 'home'")
    config = Config(privacy=SECTION, rules=(rule,))

    def made(storage):
        settings = InvocationSettings(publish_seconds=0.0)
        return Platform(storage=storage, table_format="parquet", config=config, settings=settings)

    return made


def test_a_lambda_writes_nothing_that_was_taken_away(function, tmp_path):
    world = function(LocalStorage(tmp_path))
    sent = [StreamRecord("shardId-000000000000", n, data, ARRIVED_US) for n, data in enumerate(DATA)]
    answers = [admit(world.container(), one, world.deadline()) for one in map(MAPPING.event, MAPPING.batches(sent))]
    check(*(table_rows(world.storage, name) for name in ("events", "duplicates", "rejected")))
    assert leaks(world.storage) == []
    assert "SECRET" not in str(answers) + str(world.telemetry.facts)


def ask(world, data):
    sent = [Delivered(f"4959{n:04d}000000", one, ARRIVED_US, "shardId-000000000000", n) for n, one in enumerate(data)]
    return transform(function_of(world.container()), request(sent), world.deadline())["records"]


def test_a_transformation_delivers_and_keeps_nothing_that_was_taken_away(function):
    world = function(MemoryStorage())
    answers = ask(world, DATA)
    assert ask(world, DATA) == answers
    delivered = b"".join(base64.b64decode(answer.get("data", "")) for answer in answers)
    assert not SECRET.search(delivered)
    assert leaks(world.storage) == []
    kept = {}
    for path in world.storage.list(FIREHOSE):
        content = pa.BufferReader(world.storage.get(path))
        kept[path.rpartition("-")[2]] = pq.ParquetFile(content).read().to_pylist()
    assert sorted(kept) == ["duplicates.parquet", "rejected.parquet"]
    lines = [json.loads(line) for line in delivered.splitlines()]
    events = [{"event_uuid": line["event_uuid"], "payload": json.dumps(line)} for line in lines]
    check(events, kept["duplicates.parquet"], kept["rejected.parquet"])


def test_the_names_of_a_transformations_objects_tell_nothing_of_what_was_taken_away(function):
    names = []
    for ip in ("SECRET-1", "SECRET-other", "1.2.3.4"):
        world = function(MemoryStorage())
        ask(world, [event("one", ip=ip), event("one", ip=ip)])
        names.append(sorted(world.storage.list(FIREHOSE)))
    assert names[0]
    assert names[0] == names[1] == names[2]
