"""What the dashboard knows of a lake that stalls, fails, grows or is old; nobody who looks waits for the storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.figures import Figures
from headgate.errors import TransientError
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.records import Counts
from headgate.report import gather
from headgate.report.dashboard import past
from headgate.report.dashboard import watch as watch_module
from headgate.report.dashboard.loop import Loop
from headgate.report.dashboard.past import DAY_US, HOUR_US, MINUTE_US, RANGES, Past
from headgate.report.dashboard.watch import Watch
from headgate.testing.lake_rows import batch, quality_rows
from headgate.testing.processes import wait_until

PER_COMMIT = 5  # received, as `quality_rows` say it
LONG = 60.0  # seconds; nothing waits that long


class Clock:
    """The wall clock, which can be put forward."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def now_us(self) -> int:
        return time.time_ns() // 1_000 + self.ahead_us


class Stalling:
    """A storage that answers, fails, or waits until it is let go."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.waiting = threading.Event()
        self.fails = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def get(self, path: str) -> bytes | None:
        if self.fails:
            raise TransientError("the bucket does not answer")
        if not self.goes_on.is_set():
            self.waiting.set()
            self.goes_on.wait()
        return self._inner.get(path)


def commits(path: Path, table_format: str = "delta", *, ages_us: list[int], first: int = 0) -> TableLake:
    """A lake with a commit of each age, of types in turn."""
    start_us, now = time.time_ns() // 1_000, [0]
    lake = open_or_create(str(path), table_format, LakeOptions(), now_us=lambda: now[0])
    for i, age_us in enumerate(ages_us, first):
        now[0] = start_us - age_us
        kind = f"type-{i % 3}"
        made = replace(
            batch(str(i) if i else None, str(i + 1), [f"{i}-{n}" for n in range(3)], event_type=kind),
            quality=quality_rows([kind]),
        )
        lake.commit(lake.stage(made))
        lake.publish()
    return lake


@contextmanager
def watching(lake: ExistingLake, clock: Clock) -> Iterator[Watch]:
    watch = Watch(lake, clock.now_us)
    watch.start()
    watch.first_page_was_sent()
    try:
        yield watch
    finally:
        watch.stop()


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[ExistingLake]:
    commits(tmp_path / "lake", ages_us=[3 * MINUTE_US, MINUTE_US]).close()
    found = find_lake(str(tmp_path / "lake"))
    storage = Stalling(found.storage)
    yield replace(found, storage=storage)
    storage.goes_on.set()


def test_a_storage_that_hangs_keeps_nobody_waiting_and_is_told(stalling: ExistingLake) -> None:
    clock = Clock()
    with watching(stalling, clock) as watch:
        known = watch.look(LONG)
        assert known.state is not None
        assert watch.freshness.problem is None
        stalling.storage.goes_on.clear()
        assert stalling.storage.waiting.wait(LONG)
        clock.ahead_us = 10_000_000
        wait_until(lambda: "has not answered for" in (watch.freshness.problem or ""), "the reason")
        assert watch.look(0.0).state == known.state
        as_of_us = watch.freshness.as_of_us
        stalling.storage.goes_on.set()
        wait_until(lambda: watch.freshness.problem is None and watch.freshness.as_of_us > as_of_us, "it goes on")


def test_who_looks_after_a_quiet_time_sees_what_is_new(stalling: ExistingLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SLOWEST_SECONDS", 3_600.0)
    clock = Clock()
    with watching(stalling, clock) as watch:
        watch.look(LONG)
        clock.ahead_us = quiet_us = 2 * watch_module.LOOKED_US
        wait_until(lambda: watch.freshness.as_of_us > time.time_ns() // 1_000 + quiet_us // 2, "a quiet round")
        as_of_us = watch.freshness.as_of_us
        watch.look(0.0)
        wait_until(lambda: watch.freshness.as_of_us > as_of_us, "another round")


def test_a_storage_that_fails_is_asked_again(stalling: ExistingLake) -> None:
    with watching(stalling, Clock()) as watch:
        known = watch.look(LONG)
        stalling.storage.fails = True
        wait_until(lambda: watch.freshness.problem == "the bucket does not answer", "the reason")
        assert watch.look(0.0).state == known.state
        stalling.storage.fails = False
        wait_until(lambda: watch.freshness.problem is None, "it goes on")


def test_a_lake_that_hangs_from_the_first_moment_is_told(stalling: ExistingLake) -> None:
    clock = Clock()
    stalling.storage.goes_on.clear()
    with watching(stalling, clock) as watch:
        assert stalling.storage.waiting.wait(LONG)
        assert watch.look(0.0).state is None
        clock.ahead_us = 10_000_000
        wait_until(lambda: watch.freshness.problem, "the reason")
        assert watch.freshness.as_of_us == 0
        stalling.storage.goes_on.set()
        wait_until(lambda: watch.look(0.0).state is not None, "the first answer")


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_what_is_added_is_seen_once(tmp_path: Path, table_format: str) -> None:
    lake = commits(tmp_path / "lake", table_format, ages_us=[2 * DAY_US, 2 * MINUTE_US])
    with watching(find_lake(str(tmp_path / "lake")), Clock()) as watch:
        wait_until(lambda: watch.window("all")[0] and watch.totals, "the history")
        lake.close()
        commits(tmp_path / "lake", table_format, ages_us=[0, 0, 0], first=2).close()

        def received() -> int:
            watch.look(0.0)
            window = watch.window("all")[0]
            return window.total.received if window else 0

        wait_until(lambda: received() >= 5 * PER_COMMIT, "the new commits")
        assert received() == 5 * PER_COMMIT
        wait_until(lambda: watch.seen.state and watch.seen.state.number == 5, "the ledger's end")
        seen = watch.seen
        assert seen.state is not None
        assert seen.state.counts == Counts(5 * PER_COMMIT, 15, 5, 5)
        assert [head.number for head in seen.heads] == sorted({head.number for head in seen.heads})
        assert seen.rates(seen.state.committed_us)[0] == 3 * PER_COMMIT / 60


def test_ranges_hold_what_was_staged_in_them(tmp_path: Path) -> None:
    ages = [40 * DAY_US, 6 * DAY_US, 5 * DAY_US + 7 * MINUTE_US, 20 * HOUR_US, 30 * MINUTE_US, 4 * MINUTE_US]
    commits(tmp_path / "lake", ages_us=ages).close()
    followed = Past(find_lake(str(tmp_path / "lake")), Clock().now_us)
    for key in RANGES:
        followed.want(key)
    followed.round()
    received = {key: window.total.received // PER_COMMIT for key, window in followed.windows.items()}
    assert received == {"15m": 1, "1h": 2, "24h": 3, "7d": 5, "all": 6}
    for window in followed.windows.values():
        assert int(window.series.received.sum()) == window.total.received
        assert sum(one.received for one in window.figures.values()) == window.total.received
    assert followed.progress.is_complete
    assert followed.totals == followed.windows["all"].figures


def test_the_newest_hour_is_there_before_all_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits(tmp_path / "lake", ages_us=[9 * DAY_US, 30 * MINUTE_US]).close()
    followed = Past(find_lake(str(tmp_path / "lake")), Clock().now_us)
    told: list[dict[str, Figures]] = []
    advance = past.Gathering.advance

    def noted(gathering: past.Gathering, *args: object) -> int:
        told.append({key: window.total for key, window in followed.windows.items()})
        return advance(gathering, *args)

    monkeypatch.setattr(past.Gathering, "advance", noted)
    followed.round()
    assert told[0] == {}
    assert {key: one.received for key, one in told[1].items()} == {"1h": PER_COMMIT}
    assert followed.windows["all"].total.received == 2 * PER_COMMIT


def test_a_history_that_fails_midway_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits(tmp_path / "lake", "json", ages_us=[3 * MINUTE_US, 2 * MINUTE_US, MINUTE_US]).close()
    made: list[past.Gathering] = []
    add, begin = past.Gathering._add, past.Gathering.__init__

    def noted(gathering: past.Gathering, *args: object, **limits: object) -> None:
        made.append(gathering)
        begin(gathering, *args, **limits)

    def failing(gathering: past.Gathering, numbers: range) -> None:
        if gathering.history.since_us is None and numbers[0] == 3:
            raise TransientError("the bucket does not answer")
        add(gathering, numbers)

    monkeypatch.setattr(past.Gathering, "__init__", noted)
    monkeypatch.setattr(gather, "ENTRIES_AT_ONCE", 1)
    with monkeypatch.context() as broken:
        broken.setattr(past.Gathering, "_add", failing)
        followed = Past(find_lake(str(tmp_path / "lake")), Clock().now_us)
        for _ in range(3):
            with pytest.raises(TransientError):
                followed.round()
            assert (followed.totals, followed.progress.is_complete) == (None, False)
    assert followed.round()
    assert len(made) == 2  # of the last hour, and of everything
    assert followed.windows["all"].total.received == 3 * PER_COMMIT
    assert followed.progress.is_complete


def test_a_loop_that_ended_says_so_and_not_that_it_waits(
    stalling: ExistingLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)  # the terminal says why
    clock = Clock()
    with watching(stalling, clock) as watch:
        watch.look(LONG)
        monkeypatch.setattr(watch, "_heads", lambda *args: {}[args])  # what no storage raises
        wait_until(lambda: told, "the end of the thread")
        clock.ahead_us = HOUR_US
        assert "reading has stopped" in (watch.freshness.problem or "")


def test_a_loop_outlives_failures_and_says_what_they_were() -> None:
    tries: list[int] = []
    goes_on = threading.Event()

    def work() -> float:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("gone  \n away")
        goes_on.wait(LONG)
        return LONG

    loop = Loop("test", work, Clock().now_us)
    loop.start()
    wait_until(lambda: len(tries) == 2, "another try")
    assert loop.problem == "gone away"
    goes_on.set()
    wait_until(lambda: loop.done_us, "its end")
    assert loop.problem is None
    loop.stop()
