"""Reading ahead: threads that fetch from many shards while the flow works, bounded in bytes, within the limits.

The service allows 5 calls and 2 MB a second for each shard, for all readers together; a subscription has 2 MB a second
of its own, and a thread. A shard that fails backs off by itself; the others go on.
"""

from __future__ import annotations

import heapq
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from headgate.errors import HeadgateError, TransientError
from headgate.source.kinesis.reading import ShardReader, Step

MAX_SUBSCRIPTIONS = 1_000  # shards read at once where the service pushes; of more, they take turns
FIRST_WAIT_SECONDS = 0.2  # of the back-off; doubles up to LONGEST_WAIT_SECONDS
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one shard is read, and how many at once.

    Attributes:
        calls_per_second: GetRecords calls; the service allows 5.
        bytes_per_second: of answers; the service allows 2 MB.
        poll_seconds: between two looks at a shard that is at its tip.
        threads: calls at once.
        max_ahead_bytes: that may wait in memory; at most one answer a thread comes on top.
    """

    calls_per_second: float = 5.0
    bytes_per_second: float = 2 << 20
    poll_seconds: float = 1.0
    threads: int = 8
    max_ahead_bytes: int = 64 << 20

    def pushed(self) -> Pace:
        """The same where the service pushes: it keeps its own pace, and each shard has a thread that waits."""
        return replace(
            self,
            calls_per_second=math.inf,
            bytes_per_second=math.inf,
            poll_seconds=0.0,
            threads=MAX_SUBSCRIPTIONS,
        )

    def pause(self, step: Step) -> float:
        """Seconds from one call for a shard to the next."""
        if step.is_at_tip:
            return self.poll_seconds
        return max(1 / self.calls_per_second, step.size / self.bytes_per_second)


class _Reading:
    """One shard's turn: its reader, what waits of it, and how it fares."""

    def __init__(self, reader: ShardReader) -> None:
        self.reader = reader
        self.waiting: deque[Step] = deque()
        self.failures = 0
        self.need = reader.need
        self.unfinished: Step | None = None  # the shard's last step, until its children are known
        self.is_over = False  # ended, or drained where that is the end
        self.behind_ms: int | None = None


class ReadAhead:
    """A pool of threads over the readers of one attempt."""

    def __init__(
        self,
        pace: Pace,
        *,
        once: bool,
        jitter: Callable[[], float],
        is_wanted: Callable[[Step, ShardReader], bool],
        ended: Callable[[ShardReader, Step], None],
        began_us: int,
    ) -> None:
        """Nothing runs before `add`.

        Args:
            pace: limits.
            once: a shard is over when it is at its tip, or at what arrived after reading began.
            jitter: gives a number in [0, 1) that spreads retries.
            is_wanted: True for a step without rows that shall be handed over all the same.
            ended: told, in a thread of the pool, when a shard ended, before its last step is handed over.
            began_us: when reading began, microseconds since 1970 UTC.
        """
        self._began_us = began_us
        self._pace, self._once, self._jitter = pace, once, jitter
        self._is_wanted, self._ended = is_wanted, ended
        self._changed = threading.Condition()
        self._readings: dict[str, _Reading] = {}
        self._due: list[tuple[float, int, _Reading]] = []
        self._order = 0
        self._turns: deque[_Reading] = deque()
        self._held = 0  # bytes that wait
        self._reserved = 0  # bytes that calls under way may bring
        self._error: TransientError | None = None
        self._fatal: BaseException | None = None
        self._is_stopped = False
        self._threads: list[threading.Thread] = []

    def add(self, readers: Iterable[ShardReader]) -> None:
        """Read these shards too."""
        with self._changed:
            for reader in readers:
                reading = self._readings[reader.info.name] = _Reading(reader)
                self._schedule(reading, 0.0)
            read = sum(not reading.is_over for reading in self._readings.values())
            while len(self._threads) < min(self._pace.threads, read) and not self._is_stopped:
                thread = threading.Thread(target=self._work, name=f"kinesis-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def take(self, max_bytes: int, timeout_seconds: float) -> list[tuple[ShardReader, Step]]:
        """What waits, shards in turn, at least one step where there is any; nothing where nothing came in time.

        Raises:
            TransientError: nothing came, and no shard can be read.
            HeadgateError: what stopped a reader for good.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._fatal or self.is_over(), timeout_seconds)
            if self._fatal is not None:
                raise self._fatal
            if not self._turns:
                self._raise_where_all_fail()
            taken: list[tuple[ShardReader, Step]] = []
            size = 0
            while self._turns and size < max_bytes:
                reading = self._turns.popleft()
                step = reading.waiting.popleft()
                if reading.waiting:
                    self._turns.append(reading)
                taken.append((reading.reader, step))
                size += step.size
            self._held -= size
            self._changed.notify_all()
            return taken

    def is_over(self) -> bool:
        """True where no shard that was added will give anything more."""
        with self._changed:
            return not self._turns and all(reading.is_over for reading in self._readings.values())

    def behind_ms(self) -> int | None:
        """The furthest that a shard is behind its tip, milliseconds; None where no shard answered yet."""
        with self._changed:
            known = [r.behind_ms for r in self._readings.values() if r.behind_ms is not None]
            return max(known, default=None)

    def stop(self) -> None:
        """End all threads; a call under way is waited for, a subscription is not."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            readers = [reading.reader for reading in self._readings.values()]
        for reader in readers:
            reader.interrupt()
        for thread in self._threads:
            thread.join()
        for reader in readers:
            reader.close()

    def _raise_where_all_fail(self) -> None:
        reading = [r for r in self._readings.values() if not r.is_over]
        if reading and self._error is not None and all(r.failures for r in reading):
            raise self._error

    def _schedule(self, reading: _Reading, at: float) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, reading))
        self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (reading := self._next()) is not None:
                self._fetch(reading)
        finally:
            with self._changed:  # whatever ends a thread ends the reading: `take` raises it
                self._fatal = self._fatal or sys.exc_info()[1]
                self._changed.notify_all()

    def _next(self) -> _Reading | None:
        """The shard whose turn it is; None where it is time to end."""
        with self._changed:
            while not (self._is_stopped or self._fatal):
                now = time.monotonic()
                if self._due and self._due[0][0] <= now and self._has_room(self._due[0][2].need):
                    reading = heapq.heappop(self._due)[2]
                    self._reserved += reading.need
                    return reading
                wait = self._due[0][0] - now if self._due else None
                self._changed.wait(wait if wait is None or wait > 0 else None)
            return None

    def _has_room(self, need: int) -> bool:
        used = self._held + self._reserved
        return not used or used + need <= self._pace.max_ahead_bytes

    def _fetch(self, reading: _Reading) -> None:
        began = time.monotonic()
        step, error = None, None
        try:
            step = reading.unfinished or reading.reader.step()
            if step is not None and step.place.is_end:
                reading.unfinished = step
                self._ended(reading.reader, step)
        except TransientError as failed:
            error = failed
        except HeadgateError as failed:
            self._stop_for(failed)
            return
        is_wanted = step is not None and self._is_wanted(step, reading.reader)  # never under this pool's own lock
        with self._changed:
            self._reserved -= reading.need
            reading.need = reading.reader.need
            if error is not None:
                self._back_off(reading, error)
            elif step is None:
                self._schedule(reading, began + 1 / self._pace.calls_per_second)
            else:
                self._keep(reading, step, began, is_wanted=is_wanted)
        if reading.is_over:
            reading.reader.close()

    def _stop_for(self, error: HeadgateError) -> None:
        with self._changed:
            self._fatal = self._fatal or error
            self._changed.notify_all()

    def _back_off(self, reading: _Reading, error: TransientError) -> None:
        self._error = error
        wait = min(FIRST_WAIT_SECONDS * 2 ** min(reading.failures, 10), LONGEST_WAIT_SECONDS)
        reading.failures += 1
        self._schedule(reading, time.monotonic() + wait * (0.5 + self._jitter()))

    def _keep(self, reading: _Reading, step: Step, began: float, *, is_wanted: bool) -> None:
        reading.failures, reading.behind_ms = 0, step.behind_ms
        if step.table.num_rows or step.place.is_end or is_wanted:
            if not reading.waiting:
                self._turns.append(reading)
            reading.waiting.append(step)
            self._held += step.size
        is_drained = step.is_at_tip or (step.table.num_rows > 0 and (step.place.seen_us or 0) >= self._began_us)
        reading.is_over = step.place.is_end or (self._once and is_drained)
        if not reading.is_over:
            self._schedule(reading, began + self._pace.pause(step))
        self._changed.notify_all()
