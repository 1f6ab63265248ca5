"""What is known of a lake at the moment: read in the background, so that no page waits for it.

Three loops read: the ledger (every second while somebody looks), the quality rows (newest first, then what is new), and
what costs more (tables, lag; rarely). Each may hang by itself in a storage that does not answer; pages show what was
read last, when that was, and why it is no newer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from headgate.core.figures import ByType
from headgate.errors import PermanentError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.status import Status, status
from headgate.lake.entry import Head, decode_head
from headgate.lake.layout import read_format
from headgate.lake.ledger import Ledger
from headgate.lake.ledger_files import contents
from headgate.ports import LedgerState
from headgate.records import Counts
from headgate.report.dashboard import words
from headgate.report.dashboard.loop import Loop
from headgate.report.dashboard.past import RANGES, SHORTEST, Past, Window

HEADS_AT_ONCE = 120  # of the newest entries that are read in a round
MOST_HEADS = 2_000  # of them that are kept, for rates, the pulse and the list of commits
KEPT_US = 90_000_000  # microseconds back to which they are looked for while somebody looks
RATE_US = 60_000_000  # microseconds; rates are those of the last minute
LOOKED_US = 20_000_000  # microseconds after the last request in which the lake is read every second
OLD_US = 3_000_000  # microseconds after which somebody new waits for a newer answer
SLOWEST_SECONDS = 30.0  # between two looks where nobody asks
STALE_US = 6_000_000  # microseconds without an answer after which a page says so
_DIG_SECONDS = 2.0  # what takes long begins after the first page, or after this time
_HEALTH_SECONDS = 10.0
_HEALTH_SHARE = 20  # looking at the tables takes at most one part in so many of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The newest of what was read; replaced as a whole.

    Attributes:
        state: the ledger's end; None before the first answer.
        heads: the newest entries without their ranges, oldest first and without a gap.
        health: tables, shards, claims; None before they were looked at.
    """

    state: LedgerState | None = None
    heads: Sequence[Head] = ()
    health: Status | None = None

    def rates(self, now_us: int) -> tuple[float, float, float, float]:
        """Received, accepted, duplicates and rejected a second, over the last minute."""
        lately = [head for head in self.heads if head.committed_us > now_us - RATE_US]
        seconds = RATE_US / 1e6
        if lately and len(lately) == len(self.heads) and lately[0].number > 1:  # a minute holds more than are kept
            first, *lately = lately
            end_us = max([now_us, *(head.committed_us for head in lately)])  # a writer's clock may be ahead
            seconds = max(1e-3, (end_us - first.committed_us) / 1e6)
        total = sum((head.counts for head in lately if head.kind == "batch"), Counts())
        return (
            total.received / seconds,
            total.accepted / seconds,
            total.duplicates / seconds,
            total.rejected / seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old what is shown is: when the ledger was last read, and why not later (None: nothing is wrong)."""

    as_of_us: int
    problem: str | None


class Watch:
    """Reads one lake in the background. Thread-safe."""

    def __init__(self, lake: ExistingLake, now_us: Callable[[], int]) -> None:
        """Keep the lake; nothing is read before `start`."""
        self.lake = lake
        self.now_us = now_us
        self._ledger = self._new_ledger()
        self._seen = Seen()
        self._changed = threading.Condition()
        self._looked_us = now_us()
        self._read_us = 0
        self._may_dig = threading.Event()
        self._of_ledger = Loop("ledger", self._read_ledger, now_us)
        self._of_health = Loop("health", self._read_health, now_us, rests=_HEALTH_SHARE)
        self._of_past = Loop("history", self._read_past, now_us)
        self._past = self._new_past()
        self._loops = [self._of_ledger, self._of_past, self._of_health]

    @property
    def seen(self) -> Seen:
        """What is known."""
        return self._seen

    @property
    def freshness(self) -> Freshness:
        """How old it is."""
        loop, now_us = self._of_ledger, self.now_us()
        problem, began_us = loop.problem, loop.began_us
        if began_us and now_us - began_us > STALE_US:
            problem = f"the lake has not answered for {(now_us - began_us) // 1_000_000} s; it is asked on"
        return Freshness(as_of_us=loop.done_us, problem=problem)

    def start(self) -> None:
        """Begin to read."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Read no more."""
        self._may_dig.set()
        for loop in self._loops:
            loop.stop()

    def look(self, patience_seconds: float, *, is_watching: bool = True) -> Seen:
        """What is known, by somebody who wants to see it.

        Args:
            patience_seconds: wait at most so long for the first answer, or for a newer one than that of some time ago.
            is_watching: read the lake more often for a while; a probe or a scrape wants to know the ledger's end once.
        """
        now_us = self.now_us()
        is_first = not self._is_looked_at()
        is_old = is_first and now_us - self._read_us > OLD_US
        if is_watching:
            self._looked_us = now_us
        if is_old or (is_first and is_watching):  # the loops sleep for long, whenever they read last
            for loop in self._loops if is_watching else [self._of_ledger]:
                loop.wake()
        with self._changed:
            self._changed.wait_for(
                lambda: self._seen.state is not None and not (is_old and self._read_us < now_us), patience_seconds
            )
        return self._seen

    @property
    def usual_range(self) -> str:
        """The shortest range, from an hour on, in which something was committed."""
        state = self._seen.state
        age_us = self.now_us() - state.committed_us if state is not None and state.number else 0
        return next(key for key, length in RANGES.items() if key != SHORTEST and (length is None or age_us < length))

    @property
    def totals(self) -> tuple[str, ByType] | None:
        """The lake's id, and figures of its whole history by type; None before that was read."""
        past = self._past
        return None if (figures := past.totals) is None else (past.lake_id, figures)

    @property
    def health_note(self) -> str:
        """A sentence where tables, shards and claims could not be read; empty where they could."""
        loop = self._of_health
        return _as_of("tables, shards and claims", "are", loop) if loop.problem else ""

    def any_window(self) -> Window | None:
        """The longest range that is there."""
        return next((self._past.windows[key] for key in reversed(RANGES) if key in self._past.windows), None)

    def window(self, key: str) -> tuple[Window | None, str]:
        """The figures of a range, None before they are there; and a sentence about what is still being read."""
        if not self._past.want(key):
            self._of_past.wake()
        progress = self._past.progress
        if progress.is_complete:
            note = ""
        elif progress.of:
            note = f"reading the history: {100 * progress.done // progress.of} %"
        else:
            note = "reading the history"
        if self._of_past.problem:
            note = _as_of("history", "is", self._of_past)
        return self._past.windows.get(key), note

    def first_page_was_sent(self) -> None:
        """The first page is out: what takes longer may begin."""
        self._may_dig.set()

    def _read_ledger(self) -> float:
        began_us = self.now_us()
        about = read_format(self.lake.storage)
        if about is None:
            raise PermanentError(
                f"there is no lake in {self.lake.path} (any more): it was moved or removed; shown is what it was"
            )
        if about.lake_id != self.lake.about.lake_id:
            self.lake = replace(self.lake, about=about)
            self._ledger, self._past = self._new_ledger(), self._new_past()
            self._publish(state=None, heads=(), health=None)
        state = self._ledger.refresh()
        heads = self._heads(state.number)
        self._read_us = began_us
        self._publish(state=state, heads=heads)
        return 1.0 if self._is_looked_at() else SLOWEST_SECONDS

    def _heads(self, number: int) -> Sequence[Head]:
        """The newest entries: what is new, and before what is known, round by round, what the pulse shows."""
        known = self._seen.heads
        if known and number - known[-1].number > HEADS_AT_ONCE:
            known = ()  # what is kept has no gap
        after = known[-1].number if known else max(0, number - HEADS_AT_ONCE)
        new = self._read_heads(range(after + 1, number + 1))
        room = MOST_HEADS - len(known) - len(new)
        if known and room > 0 and self._is_looked_at() and known[0].committed_us > self.now_us() - KEPT_US:
            first = known[0].number
            known = (*self._read_heads(range(max(1, first - min(room, HEADS_AT_ONCE)), first)), *known)
        return (*known, *new)[-MOST_HEADS:]

    def _read_heads(self, numbers: range) -> list[Head]:
        """Entries, without what may be long and is not shown."""
        found = contents(self.lake.storage, numbers)
        heads = (decode_head(content) for content in found if content is not None)
        return [msgspec.structs.replace(head, ranges=[], new_types=[]) for head in heads]

    def _read_health(self) -> float:
        self._may_dig.wait(_DIG_SECONDS)
        self._publish(health=status(self.lake))
        return _HEALTH_SECONDS if self._is_looked_at() else SLOWEST_SECONDS

    def _read_past(self) -> float:
        self._may_dig.wait(_DIG_SECONDS)
        self._past.round()
        return 1.0 if self._is_looked_at() else SLOWEST_SECONDS

    def _is_looked_at(self) -> bool:
        return self.now_us() - self._looked_us < LOOKED_US

    def _publish(self, **changes: Any) -> None:
        with self._changed:
            known: Mapping[str, object] = {name: getattr(self._seen, name) for name in changes}
            if any(known[name] != value for name, value in changes.items()):
                self._seen = replace(self._seen, **changes)
            self._changed.notify_all()

    def _new_past(self) -> Past:
        return Past(self.lake, self.now_us)

    def _new_ledger(self) -> Ledger:
        return Ledger(self.lake.storage, max_event_types=0)


def _as_of(what: str, verb: str, loop: Loop) -> str:
    """Why something is no newer."""
    if not loop.done_us:
        return f"no {what}: {loop.problem}"
    return f"the {what} {verb} as of {words.iso(loop.done_us)[11:19]} UTC: {loop.problem}"
