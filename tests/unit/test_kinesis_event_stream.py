"""Messages of an event stream: however they are cut, and whatever breaks them."""

import json
import threading
from types import SimpleNamespace

import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from headgate.errors import PermanentError, TransientError
from headgate.source.kinesis.answers import answer_of_event
from headgate.source.kinesis.client import oldest
from headgate.source.kinesis.event_stream import EventStream, encoded
from headgate.source.kinesis.fan_out import SubscribedShard
from headgate.testing.clock import VirtualClock

SENT = [b"", b"{}", b'{"n":1}' * 1000]
BYTES = b"".join(encoded({":event-type": str(i), "name": "ü"}, payload) for i, payload in enumerate(SENT))


class FakeBody:
    """Gives chunks, then raises an error where there is one."""

    def __init__(self, chunks, error=None):
        self.chunks, self.error, self.taken = chunks, error, []

    def stream(self, amt):
        yield from self.chunks
        if self.error is not None:
            raise self.error


def pieces(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def read(stream):
    found = []
    while (size := stream.size()) is not None:
        message = stream.message(size)
        assert message.headers == {":event-type": str(len(found)), "name": "ü"}
        found.append(message.payload)
    return found


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_messages_are_whole_however_their_bytes_come(size):
    assert read(EventStream(FakeBody(pieces(BYTES, size)), "reading")) == SENT


def test_the_size_is_known_before_the_message_is_there():
    stream = EventStream(FakeBody([BYTES[:12]]), "reading")
    assert stream.size() == len(encoded({":event-type": "0", "name": "ü"}, b""))


@pytest.mark.parametrize("length", [1, 11, 12, 20, len(BYTES) - 1])
def test_a_message_that_breaks_off_is_tried_again(length):
    with pytest.raises(TransientError, match=r"reading broke off.*tries again"):
        read(EventStream(FakeBody([BYTES[:length]]), "reading"))


@pytest.mark.parametrize("at", range(0, 60, 5))
def test_a_damaged_byte_is_seen(at):
    first = len(encoded({":event-type": "0", "name": "ü"}, b""))
    damaged = BYTES[: at % first] + bytes([BYTES[at % first] ^ 0x40]) + BYTES[at % first + 1 :]
    with pytest.raises(TransientError, match="reading broke off"):
        read(EventStream(FakeBody([damaged]), "reading"))


@pytest.mark.parametrize(
    "error", [ProtocolError("cut"), ReadTimeoutError(None, "/", "silent"), ConnectionResetError("reset"), OSError("x")]
)
def test_a_connection_that_breaks_is_tried_again(error):
    with pytest.raises(TransientError, match="reading broke off"):
        read(EventStream(FakeBody([BYTES], error), "reading"))


def test_who_waits_for_a_message_is_woken():
    class Silent(FakeBody):
        def __init__(self):
            self.is_shut = threading.Event()

        def stream(self, amt):
            self.is_shut.wait(60)
            yield from ()

        def shutdown(self):
            self.is_shut.set()

    stream, sizes = EventStream(Silent(), "reading"), []
    thread = threading.Thread(target=lambda: sizes.append(stream.size()))
    thread.start()
    stream.interrupt()
    thread.join(60)
    assert sizes == [None]


def event(**fields):
    return json.dumps({"Records": [], "MillisBehindLatest": 0, **fields}).encode()


def test_the_end_of_a_shard_names_its_children():
    child = {
        "ShardId": "b",
        "ParentShards": ["a"],
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
    }
    answer = answer_of_event(event(ChildShards=[child]))
    assert answer.next_iterator is None
    assert [info.name for info in answer.children] == ["b"]
    assert answer_of_event(event(ContinuationSequenceNumber="7", ChildShards=[child])).next_iterator == "7"


def test_an_end_without_children_is_no_end():
    with pytest.raises(TransientError, match="without its children"):
        answer_of_event(event())
    with pytest.raises(TransientError, match="without its children"):
        answer_of_event(event(ChildShards=[]))


def test_what_is_no_event_is_tried_again():
    with pytest.raises(TransientError, match="cannot be read"):
        answer_of_event(b"<html>")


def test_a_continuation_that_is_no_number_is_refused():
    with pytest.raises(PermanentError, match="no sequence number"):
        answer_of_event(event(ContinuationSequenceNumber="abc"))


def test_a_message_is_taken_only_by_the_call_after_the_one_that_told_of_it():
    """In between there may be no room: then it stays in the connection, and so does all that follows."""
    headers = {":message-type": "event", ":event-type": "SubscribeToShardEvent"}
    message = encoded(headers, event(ContinuationSequenceNumber="7"))
    body = FakeBody(pieces(message, 12))
    body.chunks = (body.taken.append(piece) or piece for piece in body.chunks)
    stream = EventStream(body, "reading")
    feed = SubscribedShard(SimpleNamespace(clock=VirtualClock(), subscribe=lambda *_: stream), "shard")
    feed.begin(oldest())
    assert feed.need == 0
    assert feed.answer() is None
    assert feed.need == len(message)
    assert len(body.taken) == 1
    assert feed.answer().next_iterator == "7"
    assert feed.need == 0
    assert b"".join(body.taken) == message
