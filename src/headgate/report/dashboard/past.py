"""The history of a lake as the live page shows it: figures of a range up to now, made in the background.

What the newest hour says is there first; the rest is read behind it, and then what is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headgate.core.figures import ByType, Figures, total
from headgate.jobs.existing import ExistingLake
from headgate.report.gather import Gathering
from headgate.report.history import Lag, Series

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
#: What can be looked at: name to length; None is everything.
RANGES: dict[str, int | None] = {"15m": 15 * MINUTE_US, "1h": HOUR_US, "24h": DAY_US, "7d": 7 * DAY_US, "all": None}
FIRST, SHORTEST = "1h", "15m"  # those that are there before all was read
MOST_STEPS = 120  # of the chart
SPARK_STEPS = 30
_MINUTES_FOR_US = DAY_US + HOUR_US  # microseconds back to which minutes are kept; longer ranges have longer steps
_WANTED_US = 20 * 1_000_000  # microseconds after the last request in which a range is kept up to date
_TOLD_US = 1_000_000  # microseconds between two views while much is read
_VIEW_SHARE = 5  # making views takes at most one part in so many of the time


class Progress(NamedTuple):
    """How much of the history was read, in files or entries; `of` is 0 before that is known."""

    done: int
    of: int
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Figures of one range.

    Attributes:
        key: one of RANGES.
        figures: by event type.
        total: of all types.
        series: of all types, by step.
        sparks: received by event type, in fewer steps, without the one that has only begun.
        lags: of the shards, by name.
        start_us: of the range, microseconds since 1970; that of the first row where it is everything.
    """

    key: str
    figures: ByType
    total: Figures
    series: Series
    sparks: Mapping[str | None, Sequence[int]]
    lags: Mapping[str, Lag]
    start_us: int


class Past:
    """Follows the quality rows of a lake. `round` belongs to one thread; the rest is safe from any."""

    def __init__(self, lake: ExistingLake, now_us: Callable[[], int]) -> None:
        """Nothing is read yet.

        Args:
            lake: to follow.
            now_us: wall clock.
        """
        self._lake, self._now_us = lake, now_us
        self.lake_id = lake.about.lake_id
        self._recent: Gathering | None = Gathering(lake, since_us=now_us() - HOUR_US)
        self._whole: Gathering | None = None
        self._wanted: dict[str, int] = {FIRST: now_us()}
        self._made_us: dict[str, int] = {}
        self._next_us = 0
        self.windows: Mapping[str, Window] = {}
        self.progress = Progress(0, 0, False)

    def want(self, key: str) -> bool:
        """Somebody looks at a range; False where it has to be made first."""
        self._wanted = {**self._wanted, key: self._now_us()}
        return key in self.windows

    @property
    def totals(self) -> ByType | None:
        """Figures of everything by type; None before all was read."""
        whole = self.windows.get("all")
        return whole.figures if whole is not None and self.progress.is_complete else None

    def round(self) -> bool:
        """Read what is new; True where something was."""
        if self._recent is not None:
            self._recent.advance()
            self._make(self._recent, is_due=True)
            if self._whole is None:
                self._whole = Gathering(self._lake, hours_before_us=self._now_us() - _MINUTES_FOR_US)
            self._whole.advance(self._told)  # where it failed the last time, it goes on
            self._recent = None
            self.progress = Progress(self.progress.of, self.progress.of, True)
            self._made_us = {}
            self._make(self._whole, is_due=True)
            return True
        assert self._whole is not None  # noqa: S101 - the one or the other is there
        added = self._whole.advance()
        if added:
            self._made_us = {}
        self._make(self._whole, is_due=self._now_us() >= self._next_us)
        return added > 0

    def _told(self, done: int, of: int) -> None:
        """While all is read: say how far that is, and keep the newest hour up to date."""
        self.progress = Progress(done, of, False)
        if self._recent is not None and self._now_us() >= self._next_us + _TOLD_US:
            self._recent.advance()
            self._made_us = {}
            self._make(self._recent, is_due=True)

    def _make(self, gathering: Gathering, *, is_due: bool) -> None:
        """Make the views that are looked at and out of date; a range that ends now moves with every minute."""
        now_us = self._now_us()
        if not is_due:
            return
        keys = {key for key, us in self._wanted.items() if now_us - us < _WANTED_US}
        if self._recent is None:
            keys.add("all")
        else:
            keys &= {SHORTEST, FIRST}
        due = [key for key in keys if self._made_us.get(key, 0) // MINUTE_US < now_us // MINUTE_US]
        if not due:
            return
        made = {key: window_of(gathering, key, now_us) for key in due}
        self.windows = {**self.windows, **made}
        self._made_us |= dict.fromkeys(due, now_us)
        ended_us = self._now_us()
        self._next_us = ended_us + (ended_us - now_us) * _VIEW_SHARE


def window_of(gathering: Gathering, key: str, now_us: int) -> Window:
    """The view of one range, up to now."""
    history, length = gathering.history, RANGES[key]
    start = now_us - length if length is not None else history.first_us or now_us
    start -= start % (DAY_US if length is None else HOUR_US if length > DAY_US else MINUTE_US)  # as rows are held
    figures = history.figures(start)
    chart, small = (history.span(steps, start, now_us + 1) for steps in (MOST_STEPS, SPARK_STEPS))
    return Window(
        key=key,
        figures=figures,
        total=total(figures),
        series=history.series(chart),
        sparks={
            name: counts[: max(2, small.steps - 1)].tolist() for name, counts in history.grid("received", small).items()
        },
        lags=dict(history.lags),
        start_us=start,
    )
