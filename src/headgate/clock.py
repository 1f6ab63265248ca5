"""The system's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

SLICE_SECONDS = 0.2  # how soon a long wait notices that it is over


class SystemClock:
    """Real time; see `ports.Clock`."""

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Keep what says that the process shall end: no wait is long then."""
        self._stop = stop

    def now_us(self) -> int:
        """Wall-clock microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that only move forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; shorter where the process is asked to end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_SECONDS))
            if self._stop():
                return
