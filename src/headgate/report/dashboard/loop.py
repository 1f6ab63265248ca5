"""Work that is repeated in a thread of its own, and what it says of itself when it fails, waits or hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import duckdb
import msgspec
import pyarrow as pa
from deltalake.exceptions import DeltaError

from headgate.errors import HeadgateError

#: What reading a lake may raise while it is changed, moved or out of reach; the next round tries again.
FAILURES = (HeadgateError, OSError, pa.ArrowException, DeltaError, duckdb.Error, msgspec.DecodeError, MemoryError)
_LONGEST_PROBLEM = 400  # characters
_PAUSE_SECONDS = 1.0  # after a failure


class Loop:
    """Calls something again and again. A failure is kept as one sentence, and the next round may mend it.

    Attributes:
        done_us: when a round last ended well, microseconds since 1970; 0 for never.
        began_us: when the round under way began; 0 between two rounds.
        problem: why the last round failed; None where it did not.
    """

    def __init__(self, name: str, work: Callable[[], float], now_us: Callable[[], int], *, rests: float = 0.0) -> None:
        """Keep what is to be done.

        Args:
            name: of the thread.
            work: one round; returns the seconds until the next one.
            now_us: wall clock.
            rests: after a round that ended well, so many times as long as that took, whoever wakes it.
        """
        self._work, self._now_us, self._rests = work, now_us, rests
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.done_us, self.began_us = 0, 0
        self.problem: str | None = None

    def start(self) -> None:
        """Begin the first round."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round now, or once the one under way has ended and its rest is over."""
        self._wake.set()

    def stop(self) -> None:
        """Begin no other round; one that is under way, in a storage that does not answer, is not waited for."""
        self._stopped.set()
        self._wake.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._wake.clear()
                began = time.monotonic()
                pause = self._round()
                rest = 0.0 if self.problem else self._rests * (time.monotonic() - began)
                self._stopped.wait(rest)
                self._wake.wait(max(0.0, pause - rest))
        finally:
            if not self._stopped.is_set():
                self.problem = "reading has stopped: the terminal of the dashboard says why; start it again"

    def _round(self) -> float:
        self.began_us = self._now_us()
        try:
            pause = self._work()
        except FAILURES as error:
            self.problem = " ".join(str(error).split())[:_LONGEST_PROBLEM] or type(error).__name__
            pause = _PAUSE_SECONDS
        else:
            self.done_us, self.problem = self._now_us(), None
        finally:
            self.began_us = 0
        return pause
