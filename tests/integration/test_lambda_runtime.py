"""The Lambda handler in AWS's own runtime client, as the container runs it, with claims in a real server."""

import json

import pytest
from deltalake import DeltaTable

from headgate.testing.event_source_mapping import EventSourceMapping, FunctionError, StreamRecord
from headgate.testing.firehose_driver import Delivered, DeliveryStream
from headgate.testing.independent import breaches, lake_format
from headgate.testing.independent import ids as found
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.records import ARRIVED_US
from headgate.testing.server_valkey import valkey

HANDLER = "headgate.entrypoints.aws_lambda.handler"
TRANSFORMATION = "headgate.entrypoints.firehose.handler"
FIRST = 49590338271490256608559692538361571095921575989136588898
MAPPING = EventSourceMapping(batch_size=10_000)


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.uri


@pytest.fixture
def env(tmp_path, claims):
    """What Terraform sets, and rows shown at once."""
    return {
        "HEADGATE__LAKE__URI": str(tmp_path / "lake"),
        "HEADGATE__DEDUP__STORE": claims,
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
    }


@pytest.fixture
def function(tmp_path, env):
    with LambdaFunction(HANDLER, tmp_path / "logs", env) as one:
        yield one


def records(count, first=0, **more):
    return [
        StreamRecord(
            "shardId-000000000000",
            FIRST + (first + n) * (1 << 70),
            json.dumps(
                {"event_uuid": f"e{first + n}", "event_name": f"type{n % 20}:b", "created_at": 1_790_000_000, **more}
            ).encode(),
            ARRIVED_US,
        )
        for n in range(count)
    ]


def ids(lake):
    return DeltaTable(str(lake / "events")).to_pyarrow_table(columns=["event_uuid"])["event_uuid"].to_pylist()


def test_the_container_is_kept_between_invocations_and_made_anew_after_a_kill(function, tmp_path):
    first = function(MAPPING.event(records(3)))
    second = function(MAPPING.event(records(3, 3)))
    function.kill()
    again = function(MAPPING.event([*records(3, 3), *records(1, 6)]))

    assert (first["accepted"], second["accepted"]) == (3, 3)
    assert (again["accepted"], again["skipped"], again["batchItemFailures"]) == (1, 3, [])
    assert function.starts == 2
    assert sorted(ids(tmp_path / "lake")) == [f"e{n}" for n in range(7)]


def emf_lines(logs):
    """The lines of embedded metrics that the children wrote, in order."""
    texts = [path.read_text() for path in sorted(logs.iterdir())]
    return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith('{"_aws"')]


@pytest.mark.parametrize("handler", [HANDLER, TRANSFORMATION])
def test_each_invocation_writes_its_metrics_as_one_line(handler, tmp_path, env):
    def invoke(function, some):
        if handler == HANDLER:
            function(MAPPING.event(some))
        else:
            put = [Delivered(f"4959{r.sequence}", r.data, r.arrived_us) for r in some]
            DeliveryStream(buffer_bytes=1 << 20).drive(put, function)

    with LambdaFunction(handler, tmp_path / "logs", env) as function:
        invoke(function, records(3))
        invoke(function, [*records(2, 3), *records(1, 5, v=1)])
    lines = emf_lines(tmp_path / "logs")
    assert [(line["Received"], line["Accepted"], line["ColdStart"], line["Failed"]) for line in lines] == [
        (3, 3, 1, 0), (3, 3, 0, 0),
    ]  # fmt: skip
    assert {line["Lake"] for line in lines} == {str(tmp_path / "lake")}


@pytest.mark.parametrize("handler", [HANDLER, TRANSFORMATION])
def test_a_container_that_cannot_be_opened_writes_a_failed_invocation_each_time(handler, tmp_path, env):
    (tmp_path / "lake").write_text("a file stands in the lake's place")
    with LambdaFunction(handler, tmp_path / "logs", env) as function:
        for _ in range(2):
            with pytest.raises(FunctionError):
                function(MAPPING.event(records(1)))
    lines = emf_lines(tmp_path / "logs")
    assert [(line["Failed"], line["Received"]) for line in lines] == [(1, 0), (1, 0)]


def test_ten_thousand_records_in_one_invocation(function, tmp_path):
    answer = function(MAPPING.event(records(10_000)))
    assert (answer["received"], answer["accepted"]) == (10_000, 10_000)
    assert len(set(ids(tmp_path / "lake"))) == 10_000


def test_an_event_of_another_kind_is_an_error_that_says_how_to_mend_it(function):
    with pytest.raises(FunctionError, match="check what invokes the function"):
        function({"detail": "a scheduled event"})


def test_a_function_makes_its_lake_in_the_format_that_is_set(tmp_path, env):
    settings = {**env, "HEADGATE__LAKE__FORMAT": "json"}
    with LambdaFunction(HANDLER, tmp_path / "logs", settings) as function:
        function(MAPPING.event(records(3)))
    assert lake_format(tmp_path / "lake") == "json"
    with LambdaFunction(HANDLER, tmp_path / "logs2", env) as function:  # nothing is set: it keeps its own
        function(MAPPING.event(records(6)))
    assert breaches(tmp_path / "lake") == []
    assert sorted(found(tmp_path / "lake")) == [f"e{n}" for n in range(6)]


def test_two_containers_share_a_lake(function, tmp_path, env):
    with LambdaFunction(HANDLER, tmp_path / "logs2", env) as other:
        for n in range(0, 40, 4):
            function(MAPPING.event(records(2, n)))
            copies = [one._replace(shard="shardId-000000000001") for one in records(4, n)]
            answer = other(MAPPING.event(copies))
            assert (answer["accepted"], answer["duplicates"]) == (2, 2)
    assert sorted(ids(tmp_path / "lake")) == sorted(f"e{n}" for n in range(40))


@pytest.mark.parametrize("handler", [HANDLER, TRANSFORMATION])
def test_a_handler_says_by_name_what_its_environment_lacks(handler, tmp_path):
    cases = [({}, "HEADGATE__LAKE__URI"), ({"HEADGATE__LAKE__URI": str(tmp_path / "lake")}, "serves one process")]
    for number, (some, said) in enumerate(cases):
        refused = pytest.raises(FunctionError, match=said)
        with LambdaFunction(handler, tmp_path / f"logs{number}", some) as shipped, refused:
            shipped(MAPPING.event(records(1)))


def test_a_delivery_stream_delivers_by_folder_while_its_function_is_killed(tmp_path, env):
    stream = DeliveryStream(buffer_bytes=2_000)
    events = [
        json.dumps({"event_uuid": f"e{n % 50}", "event_name": f"type{n % 3}:b", "created_at": 1.79e9})
        for n in range(60)
    ]
    put = [Delivered(f"4959{n:04d}000000", data.encode(), ARRIVED_US) for n, data in enumerate([*events, "rubbish"])]
    with LambdaFunction(TRANSFORMATION, tmp_path / "logs", env) as function:
        calls = iter(range(1_000))

        def invoke(event):
            answer = function(event)
            if next(calls) == 1:
                function.kill()
                raise FunctionError("the answer was lost")
            return answer

        stream.drive(put, invoke)
    stream.write(tmp_path / "landing")
    lines = [line for path in (tmp_path / "landing").rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(json.loads(line)["event_uuid"] for line in lines) == sorted(f"e{n}" for n in range(50))
    assert {path.relative_to(tmp_path / "landing").parts[1] for path in (tmp_path / "landing").rglob("*.jsonl")} == {
        f"event_type=type{n}" for n in range(3)
    }
    assert (stream.failed, stream.dropped) == ([b"rubbish"], 10)
    assert function.starts == 2
