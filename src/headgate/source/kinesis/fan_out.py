"""Enhanced fan-out: the registered consumer of a stream, and the feed of one shard by subscriptions.

A subscription lasts 5 minutes and is renewed from the last ContinuationSequenceNumber; positions know nothing of it.
The service takes one subscription a shard and consumer every 5 seconds; a younger one ends an older one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from headgate.errors import HeadgateError, TransientError
from headgate.ports import Clock
from headgate.source.kinesis.answers import Answer, answer_of_event
from headgate.source.kinesis.client import KinesisClient, Start, at
from headgate.source.kinesis.event_stream import STREAM, EventStream, Message, keep_stream
from headgate.source.kinesis.faults import SERVER_ERROR, MissingError, RefusedError, kinesis_error

MAKING_SECONDS = 10.0  # that a consumer which is being made is waited for, before the flow is told
LOOK_SECONDS = 0.2  # between two looks at it; the service allows 20 a second and stream
SHORTEST_SECONDS = 5.0  # of a subscription that ends well; a new one is refused before (API reference)


class StreamConsumer:
    """One consumer of one stream, by name. Safe to use from several threads once it was found."""

    def __init__(self, client: KinesisClient, stream: str, name: str, clock: Clock) -> None:
        """Nothing is called yet.

        Args:
            client: boto3's.
            stream: name or ARN of the stream, for people.
            name: of the consumer.
            clock: time and waiting.
        """
        self._client, self._stream, self._name, self.clock = client, stream, name, clock
        self._arn = ""
        self._worked: set[str] = set()
        client.meta.events.register("before-parse.kinesis.SubscribeToShard", keep_stream, unique_id="headgate-stream")

    def find(self, stream_arn: str) -> None:
        """Find the consumer or register it, and wait until it is active.

        Raises:
            ConfigError: no rights.
            TransientError: no answer, or it is still being made.
        """
        end = self.clock.monotonic() + MAKING_SECONDS
        while (about := self._look(stream_arn))["ConsumerStatus"] != "ACTIVE":
            if self.clock.monotonic() >= end:
                raise TransientError(
                    f"the consumer {self._name} of the stream {self._stream} is {about['ConsumerStatus']} and not "
                    "ACTIVE; Headgate tries again"
                )
            self.clock.sleep(LOOK_SECONDS)
        self._arn = about["ConsumerARN"]

    def _look(self, stream_arn: str) -> Mapping[str, str]:
        named = {"StreamARN": stream_arn, "ConsumerName": self._name}
        try:
            found = self._call("DescribeStreamConsumer", self._client.describe_stream_consumer, **named)
        except MissingError:
            made = self._call("RegisterStreamConsumer", self._client.register_stream_consumer, **named)
            return _about(made["Consumer"])
        return _about(found["ConsumerDescription"])

    def subscribe(self, shard: str, start: Start) -> EventStream:
        """Begin a subscription.

        Raises:
            TransientError: another one is alive or too young, or no answer.
            PermanentError: the consumer, the shard or the place is not there.
        """
        call = self._client.subscribe_to_shard
        where = start.as_position()
        got = self._call("SubscribeToShard", call, shard, ConsumerARN=self._arn, ShardId=shard, StartingPosition=where)
        return EventStream(got[STREAM], self._what("SubscribeToShard", shard))

    def error(self, message: Message, shard: str) -> HeadgateError:
        """The error that a subscription ended with."""
        headers = message.headers
        code, said = headers.get(":exception-type"), _message(message.payload)
        status = 0 if code else SERVER_ERROR  # an error that the service does not model is its own fault
        about = {"Code": str(code or headers.get(":error-code")), "Message": said or str(headers.get(":error-message"))}
        error = ClientError({"Error": about, "ResponseMetadata": {"HTTPStatusCode": status}}, "SubscribeToShard")
        return kinesis_error(error, self._what("SubscribeToShard", shard), has_worked=True)

    def _call(
        self, operation: str, call: Callable[..., Mapping[str, Any]], shard: str = "", **arguments: object
    ) -> Mapping[str, Any]:
        try:
            got = call(**arguments)
        except (ClientError, BotoCoreError) as error:
            worked = operation in self._worked
            raise kinesis_error(error, self._what(operation, shard), has_worked=worked) from error
        self._worked.add(operation)
        return got

    def _what(self, operation: str, shard: str) -> str:
        of = f" of {shard}" if shard else ""
        return f"{operation}{of} for the consumer {self._name} on the stream {self._stream}"


class SubscribedShard:
    """The feed of one shard by subscriptions. See `polling.Feed`.

    A message is taken from the connection in two calls of `answer`: the first one waits for it and says in `need` how
    large it is, the second one takes it. Who does not call again holds the service back.
    """

    def __init__(self, consumer: StreamConsumer, shard: str) -> None:
        """Nothing is called before `begin`."""
        self.asked_us, self.need = 0, 0
        self._consumer, self._shard, self._clock = consumer, shard, consumer.clock
        self._events: EventStream | None = None
        self._continuation: int | None = None
        self._began = 0.0
        self._is_interrupted = False

    @property
    def is_begun(self) -> bool:
        """See Feed: True where a subscription is there, or can be renewed."""
        return self._events is not None or self._continuation is not None

    def begin(self, start: Start) -> None:
        """See Feed. What comes was sent after this call, however long it waits in the connection."""
        self.close()
        self.asked_us, self._began = self._clock.now_us(), self._clock.monotonic()
        self._events = self._consumer.subscribe(self._shard, start)
        if self._is_interrupted:
            self.interrupt()

    def answer(self) -> Answer | None:
        """See Feed: None where a message began, a subscription ended, or a new one was made."""
        if self._events is None:
            self._renew()
            return None
        try:
            return self._take(self._events)
        except HeadgateError:
            self.close()
            raise

    def forget(self) -> None:
        """See Feed."""
        self._continuation = None
        self.close()

    def interrupt(self) -> None:
        """See Feed."""
        self._is_interrupted = True
        events = self._events
        if events is not None:
            events.interrupt()

    def close(self) -> None:
        """See Feed."""
        self.need = 0
        if self._events is not None:
            self._events.close()
        self._events = None

    def _renew(self) -> None:
        if self._continuation is None:
            return
        try:
            self.begin(at(self._continuation))
        except (MissingError, RefusedError):
            self._continuation = None  # the next call begins after the last record

    def _take(self, events: EventStream) -> Answer | None:
        if not self.need:
            size = events.size()
            if size is None:
                self._end()
            self.need = size or 0
            return None
        message, self.need = events.message(self.need), 0
        if message.headers.get(":message-type") != "event":
            raise self._consumer.error(message, self._shard)
        if message.headers.get(":event-type") != "SubscribeToShardEvent":
            return None  # the initial response, or what this version does not know
        answer = answer_of_event(message.payload)
        self._continuation = None if answer.next_iterator is None else int(answer.next_iterator)
        return answer

    def _end(self) -> None:
        self.close()
        if self._clock.monotonic() - self._began < SHORTEST_SECONDS:
            raise TransientError(
                f"the service ended a subscription to {self._shard} at once; Headgate tries again"
            )  # so that there is a pause


def _about(consumer: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: str(consumer[name]) for name in ("ConsumerARN", "ConsumerStatus")}


def _message(payload: bytes) -> str:
    try:
        said = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return ""
    return str(said.get("message") or said.get("Message") or "") if isinstance(said, dict) else ""
