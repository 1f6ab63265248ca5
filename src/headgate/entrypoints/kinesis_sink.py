"""`--out kinesis://STREAM`: generated lines as records of a stream, at a steady rate or as fast as it takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from headgate.core.envelope import Envelope
from headgate.core.irregular import parts_of
from headgate.core.limits import Limits
from headgate.core.reasons import Reason
from headgate.entrypoints.output import Progress, number
from headgate.errors import TransientError
from headgate.ports import Clock
from headgate.source.kinesis.faults import REACTIONS, Reaction, kinesis_error

MAX_RECORDS = 500  # records a call; PutRecords API reference
MAX_BYTES = 10 << 20  # bytes a call, partition keys included; PutRecords API reference
KEY_BYTES = 16  # of a partition key, in hexadecimal digits
STEADY_SECONDS = 0.2  # between two calls at a steady rate
FIRST_WAIT_SECONDS = 0.1  # of the back-off; doubles up to LONGEST_WAIT_SECONDS
LONGEST_WAIT_SECONDS = 10.0
MAX_FAILURES = 30  # calls in a row of which nothing was taken: about 4 minutes
_ENVELOPE, _LIMITS = Envelope(), Limits()


class PutClient(Protocol):
    """What is used of boto3's Kinesis client."""

    def put_records(self, **arguments: object) -> Mapping[str, Any]:
        """See boto3."""
        ...


@dataclass(slots=True)
class Sent:
    """What became of the lines so far: events and records that the stream took, and records sent again."""

    events: int = 0
    records: int = 0
    again: int = 0


class StreamWriter:
    """Takes lines and puts them into a stream.

    Copies of an event go to any shard: the partition key is that of the record, not of the event. A call whose answer
    is lost is made again, so that the stream may hold more copies than were generated; never fewer.
    """

    def __init__(
        self,
        client: PutClient,
        stream: str,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        progress: Progress,
        rate: float | None = None,
        events_per_record: int = 1,
    ) -> None:
        """Nothing is sent yet.

        Args:
            client: boto3's.
            stream: name or ARN.
            clock: for the rate and the back-off.
            jitter: gives a number in [0, 1) that spreads retries.
            progress: shown events, rate and lag.
            rate: events a second; None for as fast as the stream takes them.
            events_per_record: more than 1 makes each record a JSON array; what is no JSON travels alone.
        """
        self.sent = Sent()
        self._client, self._clock, self._jitter, self._progress = client, clock, jitter, progress
        self._named = {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}
        self._stream, self._rate, self._events_per_record = stream, rate, events_per_record
        self._began: float | None = None
        self._records_made = 0

    @property
    def lag_seconds(self) -> float:
        """How far the stream is behind the rate; 0 without one."""
        if self._rate is None or self._began is None:
            return 0.0
        return max(0.0, self._clock.monotonic() - self._began - self.sent.events / self._rate)

    def write(self, block: bytes) -> None:
        """Put whole lines, each with its line feed.

        Raises:
            TransientError: the stream takes nothing for minutes.
            ConfigError: no such stream, or no rights.
        """
        if self._began is None:
            self._began = self._clock.monotonic()
        for chunk in self._chunks(block.split(b"\n")[:-1]):
            self._keep_pace()
            self._put([entry for entry, _ in chunk])
            events = sum(count for _, count in chunk)
            self.sent.events += events
            self.sent.records += len(chunk)
            self._progress.advance(events)
            self._progress.describe(self._said())

    def _said(self) -> str:
        seconds = self._clock.monotonic() - (self._began or 0.0)
        rate = f"{number(round(self.sent.events / seconds))} events/s" if seconds > 0 else ""
        return rate if self._rate is None else f"{rate}, {self.lag_seconds:.1f} s behind"

    def _keep_pace(self) -> None:
        if self._rate is not None and self._began is not None:
            early = self._began + self.sent.events / self._rate - self._clock.monotonic()
            if early > 0:
                self._clock.sleep(early)

    def _chunks(self, lines: Sequence[bytes]) -> Iterator[list[tuple[dict[str, object], int]]]:
        """Entries of PutRecords and their numbers of events, as many as one call takes."""
        limit = MAX_RECORDS
        if self._rate is not None:
            limit = min(limit, max(1, int(self._rate * STEADY_SECONDS / self._events_per_record)))
        chunk: list[tuple[dict[str, object], int]] = []
        size = 0
        for data, events in records_of(lines, self._events_per_record):
            if chunk and (len(chunk) == limit or size + len(data) + 2 * KEY_BYTES > MAX_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(({"Data": data, "PartitionKey": self._key()}, events))
            size += len(data) + 2 * KEY_BYTES
        if chunk:
            yield chunk

    def _key(self) -> str:
        self._records_made += 1
        return blake2b(self._records_made.to_bytes(8, "big"), digest_size=KEY_BYTES).hexdigest()

    def _put(self, entries: Sequence[dict[str, object]]) -> None:
        """Put all; those that the stream did not take again, until it does."""
        failures = 0
        while entries:
            left, said = self._try(entries)
            failures = failures + 1 if len(left) == len(entries) else 0
            if failures > MAX_FAILURES:
                raise TransientError(f"{self._stream} takes no records: {said}; add shards, or lower --rate")
            if left:
                self.sent.again += len(left)
                wait = min(FIRST_WAIT_SECONDS * 2 ** min(failures, 10), LONGEST_WAIT_SECONDS)
                self._clock.sleep(wait * (0.5 + self._jitter()))
            entries = left

    def _try(self, entries: Sequence[dict[str, object]]) -> tuple[list[dict[str, object]], str]:
        """One call: what the stream did not take, and why."""
        try:
            answer = self._client.put_records(Records=list(entries), **self._named)
        except (ClientError, BotoCoreError) as error:
            meant = kinesis_error(error, f"PutRecords on the stream {self._stream}", has_worked=self.sent.records > 0)
            if not isinstance(meant, TransientError):
                raise meant from error
            return list(entries), str(meant)
        left: list[dict[str, object]] = []
        said = ""
        for entry, result in zip(entries, answer["Records"], strict=True):
            code = result.get("ErrorCode")
            if code is None:
                continue
            said = f"{code} ({result.get('ErrorMessage', 'no message')})"
            if REACTIONS.get(code, Reaction.RETRY) not in (Reaction.RETRY, Reaction.ACCESS):
                raise TransientError(f"{self._stream} refuses a record: {said}")
            left.append(entry)
        return left, said


def records_of(lines: Sequence[bytes], events_per_record: int) -> Iterator[tuple[bytes, int]]:
    """Lines as records: one each, or arrays of so many; a line that is no JSON would spoil an array."""
    if events_per_record == 1:
        yield from ((line, 1) for line in lines)
        return
    held: list[bytes] = []
    for line in lines:
        if not _is_document(line):
            yield line, 1
            continue
        held.append(line)
        if len(held) == events_per_record:
            yield b"[" + b",".join(held) + b"]", len(held)
            held = []
    if held:
        yield b"[" + b",".join(held) + b"]", len(held)


def _is_document(line: bytes) -> bool:
    """True where the line is one part in an array, too, and its neighbours are what they are."""
    parts = parts_of(line, None, _ENVELOPE, _LIMITS)
    return len(parts) == 1 and parts[0].reason not in (Reason.MALFORMED_JSON, Reason.TOO_LARGE)
