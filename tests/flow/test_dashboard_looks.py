"""What it costs a lake to be looked at by people, probes and scrapes, and how much of its newest commits is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import jinja2
import msgspec
import pytest

from headgate.errors import TransientError
from headgate.jobs.existing import find_lake
from headgate.lake.entry import encode, entry_path, new_entry
from headgate.lake.lake import LakeOptions, open_or_create
from headgate.records import Counts
from headgate.report.dashboard import watch as watch_module
from headgate.report.dashboard.live import PULSE_STEPS, PULSE_US
from headgate.report.dashboard.loop import Loop
from headgate.report.dashboard.pages import Pages, templates
from headgate.report.dashboard.past import Past
from headgate.report.dashboard.watch import HEADS_AT_ONCE, KEPT_US, LOOKED_US, OLD_US, Watch
from headgate.report.dashboard.web import Request
from headgate.testing.processes import wait_until

LONG = 60.0  # seconds; nothing waits that long
STEP_US = 100_000  # microseconds between two commits of a busy lake


class Clock:
    """The wall clock, which can be put forward."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1_000 + self.ahead_us


class Rounds:
    """How often what was read, and whether looking at the tables fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.health, self.past, self.fails = 0, 0, False
        status, past_round = watch_module.status, Past.round

        def health(lake: object) -> object:
            self.health += 1
            if self.fails:
                raise TransientError("the bucket  does not answer")
            return status(lake)

        def past(followed: Past) -> bool:
            self.past += 1
            return past_round(followed)

        monkeypatch.setattr(watch_module, "status", health)
        monkeypatch.setattr(Past, "round", past)
        monkeypatch.setattr(watch_module, "SLOWEST_SECONDS", 3_600.0)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slow_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at them leaves no time for it again, as if it had taken minutes."""
    monkeypatch.setattr(watch_module, "_HEALTH_SHARE", 1e9)


@pytest.fixture
def watch(tmp_path: Path, clock: Clock) -> Iterator[Watch]:
    """Of an empty lake, not yet begun."""
    open_or_create(str(tmp_path / "lake"), "json", LakeOptions(), now_us=clock.now_us).close()
    found = Watch(find_lake(str(tmp_path / "lake")), clock.now_us)
    found.first_page_was_sent()
    yield found
    found.stop()


def asks_now_and_then(watch: Watch, clock: Clock, *, is_watching: bool) -> None:
    """Somebody comes four times, each time after the ledger's end has become old."""
    for _ in range(4):
        clock.ahead_us += LOOKED_US + OLD_US
        as_of_us = watch.freshness.as_of_us
        watch.look(LONG, is_watching=is_watching)
        wait_until(lambda as_of_us=as_of_us: watch.freshness.as_of_us > as_of_us, "a newer end of the ledger")


def test_probes_and_scrapes_read_the_ledgers_end_alone(watch: Watch, clock: Clock, rounds: Rounds) -> None:
    clock.ahead_us = 2 * LOOKED_US
    watch.start()
    wait_until(lambda: watch.seen.health and watch.totals is not None and watch.freshness.as_of_us, "all was read once")
    asks_now_and_then(watch, clock, is_watching=False)
    assert (rounds.health, rounds.past) == (1, 1)
    watch.look(LONG)
    wait_until(lambda: rounds.health > 1 and rounds.past > 1, "who watches sees it all")


def test_who_comes_and_goes_leaves_slow_tables_their_rest(
    slow_tables: None, watch: Watch, clock: Clock, rounds: Rounds
) -> None:
    clock.ahead_us = 2 * LOOKED_US
    watch.start()
    wait_until(lambda: watch.seen.health and watch.totals is not None and watch.freshness.as_of_us, "all was read once")
    asks_now_and_then(watch, clock, is_watching=True)
    wait_until(lambda: rounds.past > 3, "the rest of it")
    assert rounds.health == 1


def test_a_loop_rests_whoever_wakes_it_and_ends_at_once() -> None:
    began: list[float] = []
    loop = Loop("test", lambda: began.append(0.0) or 0.0, Clock().now_us, rests=1e9)
    loop.start()
    wait_until(lambda: loop.done_us, "a round")
    loop.wake()
    loop.stop()
    loop._thread.join(LONG)
    assert (loop._thread.is_alive(), len(began), loop.problem) == (False, 1, None)


def test_a_loop_that_failed_does_not_rest() -> None:
    goes_on = threading.Event()

    def work() -> float:
        if not goes_on.is_set():
            goes_on.set()
            raise OSError("gone")
        return LONG

    loop = Loop("test", work, Clock().now_us, rests=1e9)
    loop.start()
    wait_until(lambda: loop.done_us, "another try")
    loop.stop()


def test_tables_that_cannot_be_read_are_told_on_the_page(watch: Watch, clock: Clock, rounds: Rounds) -> None:
    environment: jinja2.Environment = templates()
    pages = Pages(watch, environment, 2)

    def note() -> str:
        return pages._view("1h", is_every_type=False).note

    rounds.fails = True
    watch.start()
    said = "no tables, shards and claims: the bucket does not answer"
    wait_until(lambda: note() == said, "the reason")
    assert said in pages.overview(Request()).body.decode()
    rounds.fails = False
    wait_until(lambda: note() == "", "they are read again")
    rounds.fails = True
    clock.ahead_us += LOOKED_US
    watch._of_health.wake()
    wait_until(lambda: note().startswith("the tables, shards and claims are as of "), "the age")
    assert note().endswith(" UTC: the bucket does not answer")


def commit(watch: Watch, count: int, *, last_us: int) -> None:
    """Add entries of 100 events each, the last one at this time."""
    first = watch.seen.state.number + 1 if watch.seen.state else 1
    for i in range(count):
        made_us = last_us - (count - 1 - i) * STEP_US
        entry = new_entry(f"e{first + i}", "batch", made_us, writer={}, config="", counts=Counts(100, 90, 5, 5))
        path = Path(watch.lake.path, entry_path(first + i))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(msgspec.structs.replace(entry, number=first + i)))


def known(watch: Watch) -> int:
    """How many of the newest entries are known, without a gap up to the end."""
    numbers = [head.number for head in watch.seen.heads]
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert watch.seen.state is not None
    assert numbers[-1] == watch.seen.state.number
    return len(numbers)


def test_the_newest_commits_of_a_busy_lake_are_known_for_as_long_as_the_pulse_is(watch: Watch, clock: Clock) -> None:
    commit(watch, 1_100, last_us=clock.now_us())
    watch._read_ledger()
    assert known(watch) == HEADS_AT_ONCE  # the first page waits for no more
    for _ in range(9):
        watch._read_ledger()
    assert known(watch) >= KEPT_US // STEP_US
    newest_us = watch.seen.heads[-1].committed_us
    steps = {(newest_us - head.committed_us) // PULSE_US for head in watch.seen.heads}
    assert steps >= set(range(PULSE_STEPS))
    assert watch.seen.rates(newest_us)[0] == 100 * 1e6 / STEP_US
    before = known(watch)
    watch._read_ledger()
    assert known(watch) == before


def test_what_is_known_of_the_newest_commits_is_bounded_and_has_no_gap(
    watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "MOST_HEADS", 200)
    commit(watch, 300, last_us=clock.now_us())
    for _ in range(3):
        watch._read_ledger()
    assert known(watch) == 200
    commit(watch, 10, last_us=clock.now_us())
    watch._read_ledger()
    assert known(watch) == 200
    commit(watch, HEADS_AT_ONCE + 1, last_us=clock.now_us())
    watch._read_ledger()
    assert known(watch) == HEADS_AT_ONCE


def test_for_nobody_who_looks_nothing_older_is_read(watch: Watch, clock: Clock) -> None:
    clock.ahead_us = 2 * LOOKED_US
    commit(watch, 300, last_us=clock.now_us())
    for _ in range(3):
        watch._read_ledger()
    assert known(watch) == HEADS_AT_ONCE
