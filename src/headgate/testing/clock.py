"""A virtual clock: waiting costs nothing and is remembered."""

from __future__ import annotations

from headgate.testing.records import ARRIVED_US

SECOND_US = 1_000_000  # microseconds


class VirtualClock:
    """A Clock whose time passes only while somebody sleeps.

    Attributes:
        slept: seconds of every sleep so far, in order.
    """

    def __init__(self, start_us: int = ARRIVED_US) -> None:
        """Begin at a wall-clock time in microseconds since 1970."""
        self._start_us = start_us
        self._passed = 0.0
        self.slept: list[float] = []

    def now_us(self) -> int:
        """See Clock."""
        return self._start_us + int(self._passed * SECOND_US)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; `monotonic` goes on as before."""
        self._start_us += round(seconds * SECOND_US)

    def monotonic(self) -> float:
        """See Clock."""
        return self._passed

    def sleep(self, seconds: float) -> None:
        """See Clock; returns at once."""
        self.slept.append(seconds)
        self._passed += seconds
