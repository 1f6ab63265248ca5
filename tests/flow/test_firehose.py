"""The Firehose transformation: each record answered once and in order, the same at every retry, and nothing lost."""

import base64
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.config import Config, Lake
from headgate.core.partition import unescape
from headgate.core.schema import DUPLICATES, EVENTS, REJECTED
from headgate.entrypoints.firehose import function_of, transform
from headgate.errors import CommitUnknown, PermanentError, TransientError
from headgate.jobs.transform import FIREHOSE
from headgate.testing.action_log import ActionLog
from headgate.testing.containers import Platform
from headgate.testing.event_source_mapping import FunctionError
from headgate.testing.firehose_driver import Delivered, DeliveryStream, request
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.scripted_storage import Killed
from headgate.testing.strategies import shards

FIRST = 49590338271490256608559692538361571095921575989136588898
SCHEMAS = {"events": EVENTS, "duplicates": DUPLICATES, "rejected": REJECTED}


def event(n, **more):
    return json.dumps({"event_uuid": f"id-{n}", "event_name": "a:b", "created_at": 1_790_000_000, **more}).encode()


def direct(n, data=None):
    return Delivered(f"4959{n:04d}000000", event(n) if data is None else data, ARRIVED_US)


def streamed(n, data=None, **more):
    return direct(n, data)._replace(shard="shardId-000000000000", sequence=FIRST + n, **more)


def platform(**more):
    return Platform(**{"storage": MemoryStorage(), **more})


def ask(world, records, *, log=None, seconds=60.0, **more):
    answer = transform(function_of(world.container(log)), request(records), world.deadline(seconds), **more)
    assert [a["recordId"] for a in answer["records"]] == [one.record_id for one in records]
    return answer["records"]


def results(answers):
    return [answer["result"] for answer in answers]


def lines(answers):
    return [json.loads(x) for a in answers if "data" in a for x in base64.b64decode(a["data"]).splitlines()]


def kept(world, table):
    """What the objects for `build` hold, each position once."""
    rows = {}
    for path in sorted(world.storage.list(FIREHOSE)):
        if path.endswith(f"-{table}.parquet"):
            read = pq.ParquetFile(pa.BufferReader(world.storage.get(path))).read()
            assert set(read.column_names) == set(SCHEMAS[table].names)
            rows |= {(row["source"], row["shard"], row["sequence"]): row for row in read.to_pylist()}
    return list(rows.values())


@pytest.mark.parametrize("made", [direct, streamed])
def test_every_record_is_answered_once_and_in_order(made):
    world = platform()

    answers = ask(world, [made(3), made(1), made(2, event(1)), made(0, b"rubbish")])

    assert results(answers) == [
        "Ok",
        "Ok" if made is streamed else answers[1]["result"],
        answers[2]["result"],
        "ProcessingFailed",
    ]
    assert sorted(results(answers)[1:3]) == ["Dropped", "Ok"]
    assert [line["event_uuid"] for line in lines(answers)] == ["id-3", "id-1"]
    assert answers[0]["metadata"] == {"partitionKeys": {"event_type": "a", "created_date": "2026-09-21"}}
    assert len(kept(world, "duplicates")) == len(kept(world, "rejected")) == 1
    assert kept(world, "rejected")[0]["raw"] == b"rubbish"


def test_a_line_is_that_of_the_json_format():
    (line,) = lines(ask(platform(), [streamed(0)]))
    assert line["_headgate"] == {
        "arrived_at": "2026-09-21T14:13:20.000000+00:00",
        "source": "kinesis://stream",
        "shard": "shardId-000000000000",
        "sequence": str(FIRST),
    }
    assert (line["event_type"], line["event_subtype"], line["created_date"]) == ("a", "b", "2026-09-21")


def test_lines_end_with_a_line_end():
    (answer,) = ask(platform(), [direct(0)])
    assert base64.b64decode(answer["data"]).endswith(b"}\n")


@pytest.mark.parametrize("made", [direct, streamed])
def test_a_retry_gets_the_answers_of_the_first_time(made):
    world = platform()
    records = [made(0), made(1), made(2, event(0)), made(3, b"rubbish"), made(4, event(4, event_name="new"))]
    first = ask(world, records)
    objects = {path: world.storage.get(path) for path in world.storage.list(FIREHOSE)}

    again = ask(world, records)

    assert again == first
    assert {path: world.storage.get(path) for path in world.storage.list(FIREHOSE)} == objects


def test_the_content_of_a_record_is_never_its_identity():
    world = platform()
    assert results(ask(world, [direct(0)])) == ["Ok"]
    assert results(ask(world, [direct(1, event(0))])) == ["Dropped"]


@pytest.mark.parametrize("made", [direct, streamed])
@pytest.mark.parametrize(
    ("data", "result", "accepted", "copies", "rejects", "set_aside"),
    [
        (event(1) + event(2), "Ok", 2, 0, 0, 0),
        (event(1) + event(0), "Ok", 1, 1, 0, 0),
        (b'[{"event_name":"a"}]' + event(1), "Ok", 1, 0, 1, 0),
        (event(1) + event(2, event_name="other"), "ProcessingFailed", 0, 0, 0, 2),
        (event(1) + event(2, created_at=1_789_000_000), "ProcessingFailed", 0, 0, 0, 2),
        (event(0) + event(0), "Dropped", 0, 2, 0, 0),
        (b'[{"event_name":"a"}]' + event(0), "ProcessingFailed", 0, 1, 1, 0),
    ],
)
def test_a_record_of_several_events(made, data, result, accepted, copies, rejects, set_aside):
    world = platform()
    ask(world, [made(9, event(0))])
    (answer,) = answers = ask(world, [made(1, data)])
    assert answer["result"] == result
    assert len(lines(answers)) == accepted
    assert [len(kept(world, table)) for table in SCHEMAS] == [set_aside, copies, rejects]


def test_user_records_of_one_aggregate_are_told_apart():
    world = platform()
    records = [streamed(0)._replace(record_id=f"r{n}", data=event(n), subsequence=n) for n in range(4)]
    records.append(streamed(0)._replace(record_id="r4", data=event(5) + event(6), subsequence=4))
    first = ask(world, records)
    assert results(first) == ["Ok"] * 5
    assert len({line["_headgate"]["sequence"] for line in lines(first)}) == 6
    assert ask(world, records) == first


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a=b", "ä ö", ".hidden", "_private", "a%2Fb", "x" * 200])
def test_no_event_type_leaves_its_folder(name):
    (answer,) = ask(platform(), [direct(0, event(0, event_name=name))])
    value = answer["metadata"]["partitionKeys"]["event_type"]
    assert "/" not in value
    assert not value.startswith((".", "_"))
    assert unescape(value) == name


def test_what_does_not_fit_the_answer_is_kept_for_the_build_and_nothing_is_lost():
    world = platform()
    records = [direct(n, event(n, pad="x" * 500)) for n in range(20)]

    answers = ask(world, records, max_answer_bytes=8_000)

    assert len(json.dumps({"records": answers})) <= 8_000
    sent, set_aside = lines(answers), kept(world, "events")
    assert 0 < len(sent) < 20
    assert sorted([r["event_uuid"] for r in sent] + [r["event_uuid"] for r in set_aside]) == sorted(
        f"id-{n}" for n in range(20)
    )
    assert set(results(answers)) == {"Ok", "Dropped"}
    assert ask(world, records, max_answer_bytes=8_000) == answers


def test_a_full_request_of_small_events_has_an_answer_that_lambda_takes():
    answers = ask(platform(), [direct(n, b"".join(event(k) for k in range(n * 40, n * 40 + 40))) for n in range(400)])
    assert len(json.dumps({"records": answers})) < 6_291_556
    assert "Ok" in results(answers)


def test_types_beyond_the_limit_are_rejected_also_by_another_container():
    world = platform(config=Config(lake=Lake(max_event_types=1)))
    assert results(ask(world, [direct(0)])) == ["Ok"]
    assert results(ask(world, [direct(1, event(1, event_name="other"))])) == ["ProcessingFailed"]
    assert list(world.lake().refresh().event_types) == ["a"]


def test_a_verdict_that_changed_before_the_retry_replaces_what_was_kept():
    world = platform(config=Config(lake=Lake(max_event_types=1)))
    world.lake().note(new_types=["other"])
    assert results(ask(world, [direct(0)])) == ["ProcessingFailed"]
    world.config = Config()
    assert results(ask(world, [direct(0)])) == ["Ok"]
    assert kept(world, "rejected") == []


def test_no_entry_is_written_for_an_invocation():
    world = platform()
    ask(world, [direct(0)])
    number = world.lake().refresh().number
    for n in range(1, 5):
        ask(world, [direct(n)])
    assert world.lake().refresh().number == number


def test_a_store_that_lost_its_data_begins_a_generation_and_keeps_its_claims():
    world = platform()
    function = function_of(world.container())
    transform(function, request([direct(0)]), world.deadline())
    world.store.renew()

    again = transform(function, request([direct(0), direct(1, event(0))]), world.deadline())

    assert results(again["records"]) == ["Ok", "Dropped"]
    assert world.lake().refresh().generation == world.store.generation


def test_it_gives_up_before_the_deadline():
    world = platform()
    world.lake().close()
    with pytest.raises(TransientError, match="come again"):
        ask(world, [direct(0)], log=ActionLog(faults=dict.fromkeys(range(1_000), "error before")), seconds=20.0)
    assert world.clock.monotonic() < 20.0


@pytest.mark.parametrize("strange", [{}, None, {"Records": []}, {"records": [{}]}, {"records": "x"}])
def test_an_event_of_another_kind_is_refused(strange):
    world = platform()
    function = function_of(world.container())
    with pytest.raises(PermanentError, match="Firehose"):
        transform(function, strange, world.deadline())


def test_odd_records_are_answered():
    world = platform()
    odd = {"records": [
        {"recordId": "1", "data": json.dumps({"event_uuid": "u", "event_name": "a", "created_at": 1})},
        {"recordId": "2", "data": {"event_uuid": "v", "event_name": "a", "created_at": 1}},
        {"recordId": "3", "data": ""},
        {"recordId": "4"},
        {"recordId": "5", "data": base64.b64encode(event(1)).decode(), "kinesisRecordMetadata": {"shardId": "s"}},
    ]}  # fmt: skip
    answers = transform(function_of(world.container()), odd, world.deadline())["records"]
    assert [a["recordId"] for a in answers] == list("12345")
    assert [a["result"] == "Ok" for a in answers] == [True, True, False, False, True]


def test_a_request_without_records_has_an_empty_answer():
    world = platform()
    assert transform(function_of(world.container()), {"records": []}, world.deadline()) == {"records": []}


@settings(max_examples=25)
@given(world=shards(), script=st.data())
def test_whatever_fails_each_part_is_delivered_or_kept_once(world, script):
    held, sent = world
    world = platform()  # all arrivals lie within the window: Firehose asks again within minutes
    records = [
        Delivered(f"{shard}-{n}", one.data, one.arrived_us // 1000 * 1000, shard, FIRST + n)
        for shard, some in held.items()
        for n, one in enumerate(some)
    ]
    faults = st.dictionaries(
        st.integers(0, 30),
        st.sampled_from(("error before", "error after", "killed before", "killed after")),
        max_size=2,
    )

    def invoke(request_):
        try:
            log = ActionLog(faults=script.draw(faults))
            answer = transform(function_of(world.container(log)), request_, world.deadline())
        except (Killed, TransientError, CommitUnknown) as error:
            raise FunctionError(str(error)) from error
        if script.draw(st.integers(0, 3)) == 0:
            raise FunctionError("the answer was lost")
        return answer

    stream = DeliveryStream(buffer_bytes=script.draw(st.sampled_from((1, 300, 1 << 20))))
    stream.drive(records, invoke)
    calm = DeliveryStream()
    calm.drive(records, lambda r: transform(function_of(world.container()), r, world.deadline()))

    accepted = {place_of(json.loads(x)) for content in calm.files.values() for x in content.splitlines()}
    early = {place_of(json.loads(x)) for content in stream.files.values() for x in content.splitlines()}
    aside = [{(r["shard"], r["sequence"]) for r in kept(world, table)} for table in SCHEMAS]
    places = {(part.shard, part.text.replace(str(part.sequence), str(FIRST + part.sequence), 1)) for part in sent}
    assert early <= accepted | aside[0]
    assert accepted | aside[0] | aside[1] | aside[2] == places
    assert not accepted & (aside[1] | aside[2])
    assert not aside[0] & aside[1]


def place_of(line):
    return line["_headgate"]["shard"], line["_headgate"]["sequence"]
