"""How the answers of one shard come: the port, and its first form, asking with GetRecords."""

from __future__ import annotations

from typing import Protocol

from headgate.ports import Clock
from headgate.source.kinesis.answers import Answer
from headgate.source.kinesis.client import MAX_RECORDS, Start, StreamCalls
from headgate.source.kinesis.faults import ExpiredError

ANSWER_BYTES = 10 << 20  # bytes; the most that one GetRecords answers (API reference)
TIP_BYTES = 1 << 20  # bytes set aside for an answer from a shard that was at its tip


class Feed(Protocol):
    """One shard's answers, in order. One thread at a time uses it, but for `interrupt`.

    Attributes:
        asked_us: the last answer was made at this time or later, microseconds since 1970.
        need: bytes that the next call of `answer` may bring.
    """

    asked_us: int
    need: int

    @property
    def is_begun(self) -> bool:
        """True where `answer` knows by itself where to go on."""
        ...

    def begin(self, start: Start) -> None:
        """Go on from there."""
        ...

    def answer(self) -> Answer | None:
        """What comes next; None where nothing came yet, and it is to be called again, perhaps after `begin`.

        Raises:
            TransientError: no answer; to be called again.
        """
        ...

    def forget(self) -> None:
        """Go on only after `begin`."""
        ...

    def interrupt(self) -> None:
        """From another thread: nothing more is wanted, what waits shall end soon."""
        ...

    def close(self) -> None:
        """Let go of what is held. May be called twice."""
        ...


class PolledShard:
    """The feed of one shard by an iterator and GetRecords."""

    def __init__(self, calls: StreamCalls, shard: str, clock: Clock) -> None:
        """Nothing is asked before `begin`."""
        self.asked_us, self.need = 0, ANSWER_BYTES
        self._calls, self._shard, self._clock = calls, shard, clock
        self._iterator: str | None = None

    @property
    def is_begun(self) -> bool:
        """See Feed."""
        return self._iterator is not None

    def begin(self, start: Start) -> None:
        """See Feed."""
        self._iterator = self._calls.iterator(self._shard, start)

    def answer(self) -> Answer | None:
        """See Feed: None where the iterator was missing or had expired."""
        if self._iterator is None:
            return None
        self.asked_us = self._clock.now_us()
        try:
            answer = self._calls.records(self._iterator, MAX_RECORDS)
        except ExpiredError:
            self._iterator = None
            return None
        self._iterator = answer.next_iterator
        self.need = ANSWER_BYTES if answer.data or answer.behind_ms else TIP_BYTES
        return answer

    def forget(self) -> None:
        """See Feed."""
        self._iterator = None

    def interrupt(self) -> None:
        """See Feed: a call under way is waited for."""

    def close(self) -> None:
        """See Feed: nothing is held."""
