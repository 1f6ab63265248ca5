"""What enhanced fan-out does to its reader on a bad day; see testing/fan_out_server for what the real service does."""

import json

import pytest

from headgate.errors import ConfigError, TransientError
from headgate.source.kinesis.faults import MissingError
from headgate.testing.fan_out_server import SubscriptionFault
from headgate.testing.kinesis_driver import StreamDriver, answer, error, intercept
from headgate.testing.kinesis_reader import StreamReader

HOUR_US = 3_600_000_000
REFUSED = ["ResourceInUseException", "LimitExceededException", "InternalFailure"]
FAILED = ["ResourceInUseException", "InternalFailureException", "KMSThrottlingException"]
FAULTS = {
    **{f"refused: {code}": SubscriptionFault(effect="refuse", code=code) for code in REFUSED},
    **{f"ended with {code}": SubscriptionFault(effect="fail", code=code, after=1) for code in FAILED},
    "ended before its first event": SubscriptionFault(effect="fail"),
    "cut in the first message": SubscriptionFault(effect="cut"),
    "cut in the middle of a message": SubscriptionFault(effect="cut", after=1),
    "a damaged message": SubscriptionFault(effect="damage", after=1),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.ahead.FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def stream(fan_out):
    return StreamDriver(fan_out.url, shards=2)


@pytest.fixture
def reader(stream):
    reader = StreamReader(stream, fan_out="lake", once=True)
    yield reader
    reader.source.close()


def put(stream, count=16):
    sent = [b'{"n":%d}' % i for i in range(count)]
    stream.put(sent)
    return sorted(sent)


def drain(reader):
    """As the flow does: what cannot be read now is read later."""
    while True:
        try:
            reader.step()
        except TransientError:
            continue
        except EOFError:
            return


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_once_whatever_befalls_subscriptions(stream, reader, fan_out, fault):
    fan_out.script.records = 2
    fan_out.script.faults.extend([FAULTS[fault]] * 6)
    sent = put(stream)
    drain(reader)
    assert not fan_out.script.faults
    assert reader.data == sent


def test_a_subscription_that_ended_is_renewed_from_its_continuation(stream, reader, fan_out, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.fan_out.SHORTEST_SECONDS", 0)
    fan_out.script.records, fan_out.script.events = 2, 1
    sent = put(stream)
    drain(reader)
    assert reader.data == sent
    by_shard = {}
    for shard, position in fan_out.script.begun:
        by_shard.setdefault(shard, []).append(position["Type"])
    assert len(by_shard) == 2
    for kinds in by_shard.values():
        assert kinds == ["TRIM_HORIZON"] + ["AT_SEQUENCE_NUMBER"] * (len(kinds) - 1)
        assert len(kinds) > 2


def test_a_continuation_that_is_no_record_is_no_position(stream, reader, fan_out, monkeypatch):
    """Through times without records the service counts on; the ledger keeps what was read."""
    monkeypatch.setattr("headgate.source.kinesis.fan_out.SHORTEST_SECONDS", 0)
    fan_out.script.events = 1
    reader.options["once"] = False
    reader.begin()
    placed = stream.put([b"first"])
    reader.until(lambda: reader.rows)
    begun = len(fan_out.script.begun)
    reader.until(lambda: len(fan_out.script.begun) > begun + 6)
    stream.put([b"second"] * 10)
    reader.until(lambda: len(reader.rows) == 11)
    assert sum(row.data == b"first" for row in reader.rows) == 1
    ends = {str(row.end) for row in reader.rows}
    starts = {s["SequenceNumberRange"]["StartingSequenceNumber"] for s in stream.shards()}
    assert {state.position for state in reader.ledger.values()} <= ends | starts
    assert str(placed[0].sequence + 1) in ends


def test_a_continuation_that_is_refused_begins_after_the_last_record(stream, reader, fan_out, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.fan_out.SHORTEST_SECONDS", 0)
    fan_out.script.records, fan_out.script.events = 2, 1
    refused = []

    def respond(body):
        position = body["StartingPosition"]
        if position["Type"] != "AT_SEQUENCE_NUMBER" or len(refused) >= 4:
            return None
        refused.append(position)
        return error("InvalidArgumentException")

    intercept(reader.client, "SubscribeToShard", respond)
    sent = put(stream)
    drain(reader)
    assert len(refused) == 4
    assert "AFTER_SEQUENCE_NUMBER" in {position["Type"] for _, position in fan_out.script.begun}
    assert reader.data == sent


def test_a_killed_reader_comes_back_while_its_subscriptions_are_too_young(stream, reader, fan_out):
    """The real service refuses a new one for 5 seconds."""
    reader.options["once"] = False
    reader.begin()
    sent = put(stream)
    reader.some()
    fan_out.script.guard_seconds = 1.0
    reader.die()
    reader.options["once"] = True
    reader.begin()
    drain(reader)
    assert reader.data == sent


def test_two_readers_of_one_name_take_from_each_other_and_miss_nothing(stream, fan_out):
    """A younger subscription ends an older one with ResourceInUseException; each lake has all all the same."""
    readers = [StreamReader(stream, fan_out="lake") for _ in range(2)]
    fan_out.script.records = 1
    sent = put(stream, 8)
    try:
        for _ in range(2_000):
            for reader in readers:
                try:
                    reader.step()
                except TransientError:
                    continue
            if all(len(reader.rows) == len(sent) for reader in readers):
                break
    finally:
        for reader in readers:
            reader.source.close()
    assert [reader.data for reader in readers] == [sent, sent]
    assert len(fan_out.script.begun) > 4  # they did


def test_what_waited_in_the_connection_tells_nothing_of_now(stream, reader, fan_out):
    """The flow may stand still for hours: what a subscription says of the tip holds from when it began."""
    reader.options["once"] = False
    reader.begin()
    put(stream, 8)
    reader.until(lambda: len(reader.rows) == 8)
    reader.clock.shift_us = 2 * HOUR_US
    stream.put([b"later"])
    reader.until(lambda: len(reader.rows) == 9)
    for _ in range(5):
        reader.step()
    now_us = reader.clock.now_us() - reader.clock.shift_us
    assert all(state.meta["seen_empty_us"] <= now_us for state in reader.ledger.values())
    assert reader.source.horizon_us() <= now_us


def test_where_no_subscription_can_be_had_the_flow_is_told(stream, reader, fan_out):
    fan_out.script.faults.extend([SubscriptionFault(effect="refuse", code="LimitExceededException")] * 1_000)
    with pytest.raises(
        TransientError, match=f"SubscribeToShard of shardId.*the consumer lake on the stream {stream.name}.*tries again"
    ):
        reader.until(lambda: reader.rows)


@pytest.mark.parametrize("operation", ["DescribeStreamConsumer", "RegisterStreamConsumer", "SubscribeToShard"])
def test_missing_rights_at_first_contact_are_a_wrong_configuration(stream, reader, operation):
    put(stream)
    intercept(reader.client, operation, lambda _: error("AccessDeniedException"))
    with pytest.raises(ConfigError, match=f"{operation}.*AccessDeniedException.*check the credentials"):
        reader.until(lambda: reader.rows)


def test_rights_that_were_taken_away_are_waited_for(stream, reader, fan_out):
    fan_out.script.records = 2
    sent = put(stream)
    fan_out.script.faults.extend([SubscriptionFault(effect="cut", after=1)] * 2)
    calls = []

    def respond(_):
        calls.append(1)
        return error("AccessDeniedException") if 2 < len(calls) < 9 else None

    intercept(reader.client, "SubscribeToShard", respond)
    drain(reader)
    assert len(calls) >= 9
    assert reader.data == sent


def test_a_consumer_that_is_long_in_the_making_is_waited_for(stream, reader, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.fan_out.MAKING_SECONDS", 0)
    arn = stream.summary()["StreamARN"]
    about = {
        "ConsumerName": "lake",
        "ConsumerARN": f"{arn}/consumer/lake:1",
        "ConsumerStatus": "CREATING",
        "ConsumerCreationTimestamp": 1,
        "StreamARN": arn,
    }
    intercept(reader.client, "DescribeStreamConsumer", lambda _: described(about))
    with pytest.raises(TransientError, match=f"the consumer lake of the stream {stream.name} is CREATING"):
        reader.read()


def described(about):
    return answer(200, json.dumps({"ConsumerDescription": about}).encode())


def test_a_consumer_is_registered_once_and_found_again(stream, reader):
    put(stream)
    drain(reader)
    reader.die()
    stream.split(stream.open_shards()[0])
    drain(reader)
    listed = stream.client.list_stream_consumers(StreamARN=stream.summary()["StreamARN"])["Consumers"]
    assert [consumer["ConsumerName"] for consumer in listed] == ["lake"]


def test_a_consumer_that_was_removed_while_reading_stops_it(stream, reader, fan_out, monkeypatch):
    monkeypatch.setattr("headgate.source.kinesis.fan_out.SHORTEST_SECONDS", 0)
    reader.options["once"] = False
    reader.begin()
    sent = put(stream)
    reader.until(lambda: reader.data == sent)
    fan_out.script.faults.extend([SubscriptionFault(effect="refuse", code="ResourceNotFoundException")] * 20)
    fan_out.script.events = 1
    with pytest.raises(MissingError, match=r"SubscribeToShard.*the consumer lake.*ResourceNotFound"):
        reader.until(lambda: False)
