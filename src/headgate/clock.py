"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """Real time; see `ports.Clock`."""

    def now_us(self) -> int:
        """Wall-clock microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that only move forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
