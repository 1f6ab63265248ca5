"""Reading ahead: bounded in bytes, within the limits, and nothing that befalls a thread is lost."""

import threading

import pyarrow as pa
import pytest

from headgate.records import RECORDS
from headgate.source.kinesis.ahead import Pace, ReadAhead
from headgate.source.kinesis.lineage import ShardInfo
from headgate.source.kinesis.positions import Place
from headgate.source.kinesis.reading import Step
from headgate.testing.processes import wait_until
from headgate.testing.records import record_batch

SIZE = 100_000
FAST = Pace(calls_per_second=1e9, bytes_per_second=1e18, poll_seconds=0.001, threads=1)
ROW = record_batch([b"x"]).table


def step(*, size=SIZE, table=ROW, behind_ms=1, is_end=False):
    return Step(table=table, place=Place(position=1, is_end=is_end), behind_ms=behind_ms, size=size)


class FakeReader:
    """Gives steps as fast as it is asked."""

    def __init__(self, name, steps):
        self.info, self.steps, self.given, self.need = ShardInfo(name=name), list(steps), 0, SIZE
        self.is_closed = False

    def interrupt(self):
        pass

    def close(self):
        self.is_closed = True

    def step(self):
        self.given += 1
        return self.steps.pop(0)


@pytest.fixture
def open_ahead():
    opened = []

    def open_(pace, **options):
        defaults = {
            "once": False,
            "began_us": 0,
            "jitter": lambda: 0.5,
            "is_wanted": lambda *_: False,
            "ended": lambda *_: None,
        }
        opened.append(ReadAhead(pace, **{**defaults, **options}))
        return opened[-1]

    yield open_
    for ahead in opened:
        ahead.stop()


def test_nothing_is_fetched_beyond_the_bound(open_ahead):
    reader = FakeReader("a", [step() for _ in range(499)] + [step(is_end=True)])
    ahead = open_ahead(Pace(calls_per_second=1e9, bytes_per_second=1e18, threads=1, max_ahead_bytes=5 * SIZE))
    ahead.add([reader])
    most, taken = 0, 0
    while taken < 500:
        wait_until(lambda: reader.given - taken >= min(5, 500 - taken), "reading ahead")  # noqa: B023 - called at once
        most = max(most, reader.given - taken)
        taken += len(ahead.take(1, 5))
    assert most == 5


def test_one_answer_larger_than_the_bound_goes_through(open_ahead):
    reader = FakeReader("a", [step(size=10), step(size=10, is_end=True)])
    ahead = open_ahead(Pace(calls_per_second=1e9, bytes_per_second=1e18, max_ahead_bytes=1))
    ahead.add([reader])
    assert [len(ahead.take(1, 5)), len(ahead.take(1, 5))] == [1, 1]


def test_shards_take_turns(open_ahead):
    readers = [FakeReader(name, [step(size=1) for _ in range(9)] + [step(size=1, is_end=True)]) for name in "ab"]
    ahead = open_ahead(FAST)
    ahead.add(readers)
    wait_until(ahead_full := lambda: sum(r.given for r in readers) == 20, "all steps")
    assert ahead_full()
    assert [reader.info.name for reader, _ in ahead.take(4, 5)] in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


@pytest.mark.parametrize(
    ("given", "pause"),
    [
        (step(size=0), 0.2),
        (step(size=100_000), 0.2),
        (step(size=2 << 20), 1.0),
        (step(size=10 << 20), 5.0),
        (step(size=0, table=RECORDS.empty_table(), behind_ms=0), 1.0),
        (step(size=0, table=RECORDS.empty_table(), behind_ms=9), 0.2),
    ],
)
def test_the_pace_keeps_the_limits_of_a_shard(given, pause):
    """5 calls and 2 MB a second; at the tip one call a second is enough."""
    assert Pace().pause(given) == pause


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_code_in_a_thread_is_raised_to_whoever_reads(open_ahead):
    class Faulty(FakeReader):
        def step(self):
            raise ZeroDivisionError("a fault of the code")

    ahead = open_ahead(FAST)
    ahead.add([Faulty("a", [])])
    with pytest.raises(ZeroDivisionError):
        ahead.take(1, 5)


def test_stop_ends_all_threads(open_ahead):
    before = set(threading.enumerate())
    ahead = open_ahead(Pace(threads=3))
    ahead.add(FakeReader(str(i), [step(table=pa.table(ROW)) for _ in range(100)]) for i in range(5))
    assert len(set(threading.enumerate()) - before) == 3
    ahead.stop()
    assert not set(threading.enumerate()) - before


class PushedReader(FakeReader):
    """Says in one step how large what comes next is, and gives it in the next one."""

    def __init__(self, name, steps):
        super().__init__(name, steps)
        self.need, self.announced = 0, 0

    def step(self):
        if not self.need:
            self.announced += 1
            self.need = SIZE
            return None
        self.need = 0
        return super().step()


def test_what_is_announced_is_left_in_the_connection_while_there_is_no_room(open_ahead):
    readers = [PushedReader(name, [step() for _ in range(99)] + [step(is_end=True)]) for name in "abc"]
    ahead = open_ahead(Pace(max_ahead_bytes=5 * SIZE).pushed())
    ahead.add(readers)
    most, taken = 0, 0
    while taken < 300:
        wait_until(lambda: sum(r.given for r in readers) - taken >= min(5, 300 - taken), "reading ahead")  # noqa: B023 - called at once
        most = max(most, sum(r.given for r in readers) - taken)
        taken += len(ahead.take(1, 5))
    assert most == 5
    assert sum(r.announced for r in readers) == 300


def test_a_pushed_shard_has_a_thread_of_its_own(open_ahead):
    """One that waits for long holds up nobody."""
    wait = threading.Event()

    class Waiting(FakeReader):
        def interrupt(self):
            wait.set()

        def step(self):
            wait.wait(60)
            return super().step()

    ahead = open_ahead(Pace(threads=1).pushed())
    ahead.add([Waiting(str(i), [step(is_end=True)]) for i in range(20)])
    ahead.add([FakeReader("quick", [step(is_end=True)])])
    ((reader, _),) = ahead.take(1, 60)
    assert reader.info.name == "quick"
    wait.set()


def test_threads_of_shards_that_ended_serve_those_that_come(open_ahead):
    before = set(threading.enumerate())
    ahead = open_ahead(Pace().pushed())
    for turn in range(10):
        ahead.add([FakeReader(str(turn), [step(is_end=True)])])
        assert len(ahead.take(1, 60)) == 1
    assert len(set(threading.enumerate()) - before) == 1


def test_what_is_over_is_closed(open_ahead):
    readers = [FakeReader("ended", [step(is_end=True)]), FakeReader("open", [step()] * 1000)]
    ahead = open_ahead(Pace(max_ahead_bytes=2 * SIZE).pushed())
    ahead.add(readers)
    wait_until(lambda: readers[0].is_closed, "the end of the shard")
    assert not readers[1].is_closed
    ahead.stop()
    assert readers[1].is_closed
