"""One shard, read from a place on: where its feed begins, the proof that nothing is missing, its end.

Law: an answer is handed on only where nothing between the last record read and its first one can have expired, or
where the operator accepted the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from headgate.core.enrich import sequence_bytes
from headgate.core.ranges import outside
from headgate.errors import SourceGapError, TransientError
from headgate.ports import Clock
from headgate.source.kinesis.answers import Answer, records_of
from headgate.source.kinesis.client import Stream, StreamCalls, after, at, oldest, since
from headgate.source.kinesis.faults import MissingError, RefusedError
from headgate.source.kinesis.lineage import ShardInfo
from headgate.source.kinesis.polling import Feed
from headgate.source.kinesis.positions import Place, instant_text

MARGIN_US = 600_000_000  # microseconds; clocks that differ from the service's, and its own tidying
FAILURES_OF_FEED = 5  # in a row, after which it begins anew
ROW_BYTES = 80  # bytes of a record's columns beside its data


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one answer moved.

    Attributes:
        table: RECORDS, possibly without rows.
        place: how far the shard is read after it.
        behind_ms: how far behind the tip, milliseconds.
        children: what came from the shard, where it ended.
        size: bytes that it holds in memory.
    """

    table: pa.Table
    place: Place
    behind_ms: int
    children: tuple[ShardInfo, ...] = ()
    size: int = 0

    @property
    def is_at_tip(self) -> bool:
        """True where nothing was there to be read."""
        return not self.table.num_rows and self.behind_ms == 0


class ShardReader:
    """Reads one shard. One thread at a time calls `step`."""

    def __init__(
        self,
        calls: StreamCalls,
        stream: Stream,
        info: ShardInfo,
        place: Place,
        feed: Feed,
        *,
        clock: Clock,
        accept_gap: bool,
        notice: Callable[[str], None],
    ) -> None:
        """Begin after a place.

        Args:
            calls: the stream's API.
            stream: the stream as it was when reading began.
            info: the shard.
            place: how far it was read.
            feed: its answers; not begun.
            clock: wall-clock time.
            accept_gap: go on where records expired unread, and say so.
            notice: takes a sentence for the operator.
        """
        self.info, self.place, self._feed = info, place, feed
        self._calls, self._stream, self._clock = calls, stream, clock
        self._accept_gap, self._notice = accept_gap, notice
        self._last = place.last(info)
        self._is_known = self._last is not None or place.seen_us is not None
        self._is_trimmed = False
        self._failures = 0

    @property
    def need(self) -> int:
        """Bytes that the next step may bring."""
        return self._feed.need

    def interrupt(self) -> None:
        """From another thread: no step is wanted any more; one under way ends soon."""
        self._feed.interrupt()

    def close(self) -> None:
        """Let go of what is held; no step comes after. May be called twice."""
        self._feed.close()

    def step(self) -> Step | None:
        """The next answer; None where nothing came yet: call again.

        Raises:
            SourceGapError: records that were not yet read expired.
            TransientError: throttled, or no answer; call again.
            PermanentError: the shard is not there any more.
        """
        if not self._feed.is_begun:
            self._begin()
        asked_us = self._clock.now_us()
        try:
            answer = self._feed.answer()
        except TransientError:
            self._failures += 1
            if self._failures % FAILURES_OF_FEED == 0:
                self._feed.forget()  # it may be the iterator or the continuation that fails
            raise
        if answer is None:
            return None
        self._failures = 0
        answer = answer.after(self._known_rows(answer))
        try:
            self._check_gap(answer, asked_us)
        except TransientError:
            self._feed.forget()  # this answer comes again
            raise
        return self._move(answer)

    def _begin(self) -> None:
        """Let the feed go on after what was read."""
        if self._last is not None:
            try:
                self._feed.begin(after(self._last))
                return
            except (MissingError, RefusedError):
                self._is_trimmed = True  # the record is gone; the real service begins at the oldest one by itself
        elif self.place.begin_us is not None:
            self._begin_since(self.place.begin_us)
            return
        self._feed.begin(oldest())

    def _begin_since(self, begin_us: int) -> None:
        try:
            self._feed.begin(since(begin_us))
        except RefusedError as error:
            if begin_us < self._clock.now_us() - MARGIN_US:
                raise
            # The service takes no time that lies ahead of its own clock.
            raise TransientError(f"{error}; reading begins at {instant_text(begin_us)}") from error

    def _known_rows(self, answer: Answer) -> int:
        """How many of the first records were read before, or arrived before reading began."""
        count = 0
        for sequence, arrived_us in zip(answer.sequences, answer.arrived_us, strict=True):
            is_early = self._last is None and self.place.begin_us is not None and arrived_us < self.place.begin_us
            if not is_early and (self._last is None or sequence > self._last):
                break
            count += 1
        return count

    def _check_gap(self, answer: Answer, asked_us: int) -> None:
        """Where records may have expired since the last one was read, find that one in the stream."""
        oldest_us = asked_us - self._stream.retention_us + MARGIN_US
        is_fresh = self.place.seen_us is not None and self.place.seen_us >= oldest_us
        if not self._is_known or is_fresh or (not self._is_trimmed and self._is_held()):
            return
        seen = instant_text(self.place.seen_us)
        since = (
            f"the oldest record there arrived {instant_text(answer.arrived_us[0])}" if answer.data else "it is empty"
        )
        said = (
            f"the stream {self._calls.stream} keeps records for {self._stream.retention_us // 3_600_000_000} hours, "
            f"and {self.info.name} was read up to {seen}; {since}: what arrived between may have expired unread"
        )
        if not self._accept_gap:
            raise SourceGapError(f"{said}; run again with --accept-gap to go on from what is left")
        self._notice(f"{said}; the gap is accepted")

    def _is_held(self) -> bool:
        """True where the stream still holds the last record read: then it holds all that came after."""
        if self._last is None:
            return False
        try:
            found = self._calls.records(self._calls.iterator(self.info.name, at(self._last)), 1)
        except (MissingError, RefusedError):
            return False
        return self._last in found.sequences

    def _move(self, answer: Answer) -> Step:
        self._is_trimmed, self._is_known = False, True
        seen_us = self.place.seen_us
        if answer.data:
            seen_us = max(answer.arrived_us[-1], seen_us or 0)
        elif answer.next_iterator is not None:
            seen_us = max(self._feed.asked_us - answer.behind_ms * 1000, seen_us or 0)
        # Else it ended at an unknown time: its children hold what arrived since it was last seen.
        if answer.data:
            self._last = answer.sequences[-1]
        self.place = replace(
            self.place,
            position=int(self.info.start) if self._last is None else self._last + 1,
            seen_us=seen_us,
            is_end=answer.next_iterator is None,
        )
        return Step(
            table=self._outside_islands(records_of(answer)),
            place=self.place,
            behind_ms=answer.behind_ms,
            children=tuple(answer.children),
            size=sum(map(len, answer.data)) + ROW_BYTES * len(answer.data),
        )

    def _outside_islands(self, table: pa.Table) -> pa.Table:
        if not self.place.islands:
            return table
        return table.filter(pa.array(outside(self.place.islands, None, sequence_bytes(table["sequence"]))))
