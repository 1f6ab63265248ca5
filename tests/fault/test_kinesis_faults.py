"""What a Kinesis stream does to its reader on a bad day, put between client and server; see testing/kinesis_driver."""

import random

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.source.kinesis.client import StreamCalls, kinesis_client
from headgate.testing.kinesis_driver import StreamDriver, answer, error, intercept
from headgate.testing.kinesis_reader import StreamReader


@pytest.fixture
def stream(kinesis_url):
    return StreamDriver(kinesis_url, shards=2)


@pytest.fixture
def reader(stream):
    reader = StreamReader(stream, once=True)
    yield reader
    reader.source.close()


def put(stream, count=16):
    sent = [b'{"n":%d}' % i for i in range(count)]
    stream.put(sent)
    return sorted(sent)


def broken(seed, fault, share=0.5):
    """A fault that befalls some of the calls."""
    chance = random.Random(seed)

    def respond(_):
        return fault() if chance.random() < share else None

    return respond


def unreachable():
    raise EndpointConnectionError(endpoint_url="http://kinesis")


def silent():
    raise ReadTimeoutError(endpoint_url="http://kinesis")


FAULTS = {
    "throttled": lambda: error("ProvisionedThroughputExceededException"),
    "too many calls": lambda: error("LimitExceededException"),
    "throttled key": lambda: error("KMSThrottlingException"),
    "internal failure": lambda: error("InternalFailure", 500),
    "unavailable": lambda: error("ServiceUnavailable", 503),
    "a code that nobody knows": lambda: error("SomethingNew", 502),
    "expired iterator": lambda: error("ExpiredIteratorException"),
    "expired credentials": lambda: error("ExpiredTokenException"),
    "rights taken away": lambda: error("AccessDeniedException"),
    "not JSON": lambda: answer(200, {"Records": "none"}),
    "unreachable": unreachable,
    "no answer in time": silent,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_once_whatever_befalls_the_calls(stream, reader, fault, monkeypatch):
    """Half of all GetRecords calls fail; the real service heals in the same way, later."""
    monkeypatch.setattr("headgate.source.kinesis.polling.MAX_RECORDS", 4)
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)
    sent = put(stream)
    intercept(reader.client, "GetRecords", broken(1, FAULTS[fault]))
    drain(reader)
    assert reader.data == sent


def drain(reader):
    """As the flow does: what cannot be read now is read later."""
    while True:
        try:
            reader.step()
        except TransientError:
            continue
        except EOFError:
            return


@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "ListShards", "GetShardIterator"])
def test_every_record_once_whatever_befalls_the_other_calls(stream, reader, operation, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)
    sent = put(stream)
    stream.split(stream.open_shards()[0])
    intercept(reader.client, operation, broken(2, FAULTS["too many calls"], 0.7))
    drain(reader)
    assert reader.data == sent


def test_the_end_of_a_shard_is_not_lost_where_its_children_cannot_be_listed(stream, reader, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)
    sent = put(stream)
    stream.split(stream.open_shards()[0])
    calls = []

    def respond(_):
        calls.append(1)
        return error("LimitExceededException") if 1 < len(calls) < 6 else None

    intercept(reader.client, "ListShards", respond)
    drain(reader)
    assert len(calls) >= 6
    assert reader.data == sent


def test_a_shard_that_is_throttled_leaves_the_others_alone(stream, reader):
    """The limits of the real service are per shard."""
    reader.options["once"] = False
    reader.begin()
    first, second = stream.open_shards()
    iterators = {}

    def remember(body):
        got = stream.client.get_shard_iterator(
            StreamName=stream.name, **{k: v for k, v in body.items() if k != "StreamName"}
        )
        iterators[got["ShardIterator"]] = body["ShardId"]
        return answer(200, {"ShardIterator": got["ShardIterator"]})

    intercept(reader.client, "GetShardIterator", remember)
    intercept(
        reader.client,
        "GetRecords",
        lambda body: (
            error("ProvisionedThroughputExceededException")
            if iterators.get(body["ShardIterator"]) == first["ShardId"]
            else None
        ),
    )
    stream.put([b"lost?"], hash_key=0)
    stream.put([b"read"] * 5, hash_key=int(second["HashKeyRange"]["EndingHashKey"]))
    reader.until(lambda: len(reader.rows) == 5)
    assert {row.data for row in reader.rows} == {b"read"}
    assert reader.read(0.5) is None  # one shard works: nothing to complain of


def read_on(reader):
    while True:
        reader.read()


def test_where_no_shard_can_be_read_the_flow_is_told(stream, reader):
    put(stream)
    intercept(reader.client, "GetRecords", broken(3, FAULTS["unavailable"], 1.0))
    with pytest.raises(
        TransientError, match=f"GetRecords on the stream {stream.name}: ServiceUnavailable.*tries again"
    ):
        read_on(reader)


def test_missing_rights_at_first_contact_are_a_wrong_configuration(stream, reader):
    intercept(reader.client, "DescribeStreamSummary", lambda _: error("AccessDeniedException"))
    with pytest.raises(ConfigError, match=r"AccessDeniedException.*check the credentials"):
        reader.read()


def test_what_the_service_refuses_for_good_stops_the_reading(stream, reader):
    put(stream)
    intercept(reader.client, "GetRecords", lambda _: error("InvalidArgumentException"))
    with pytest.raises(PermanentError, match="InvalidArgumentException"):
        read_on(reader)


def test_a_stream_that_is_being_made_is_waited_for(stream, reader):
    summary = {**stream.summary(), "StreamStatus": "CREATING"}
    intercept(reader.client, "DescribeStreamSummary", lambda _: answer(200, {"StreamDescriptionSummary": summary}))
    with pytest.raises(TransientError, match="still being made"):
        reader.read()


def test_a_page_token_that_expired_lists_anew(stream):
    """The real service keeps a token of ListShards for 5 minutes."""
    reader = StreamReader(stream)
    calls = []

    def respond(body):
        calls.append(body.get("NextToken"))
        return error("ExpiredNextTokenException") if len(calls) == 2 else None

    intercept(reader.client, "ListShards", respond)
    shards = StreamCalls(reader.client, stream.name, page_shards=1).shards()
    assert len(shards) == 2
    assert [token is None for token in calls] == [True, False, True, False]


def test_a_begin_that_lies_ahead_of_the_service_is_waited_for(stream, reader, monkeypatch):
    """The real service refuses a time after its own now; clocks differ."""
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)
    refused = []

    def respond(body):
        if body["ShardIteratorType"] == "AT_TIMESTAMP" and len(refused) < 3:
            refused.append(body)
            return error("InvalidArgumentException")
        return None

    reader.options["start"] = "latest"
    reader.begin()
    intercept(reader.client, "GetShardIterator", respond)
    reader.commit(reader.some())
    sent = put(stream)
    drain(reader)
    assert len(refused) == 3
    assert reader.data == sent


def test_an_iterator_that_fails_for_ever_is_made_anew(stream, reader, monkeypatch):
    """The real service gives 500 for a while and then heals; a server that was restarted knows no old iterator."""
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)
    sent = put(stream)
    bad = set()

    def respond(body):
        if len(bad) < 2:
            bad.add(body["ShardIterator"])
        return error("InternalFailure", 500) if body["ShardIterator"] in bad else None

    intercept(reader.client, "GetRecords", respond)
    drain(reader)
    assert len(bad) == 2
    assert reader.data == sent


def test_a_client_without_region_is_a_wrong_configuration(monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="region"):
        kinesis_client()
    with pytest.raises(ConfigError, match="endpoint"):
        kinesis_client(region="us-east-1", endpoint_url="not a url")
