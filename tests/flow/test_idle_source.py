"""A flow that fails while its source has nothing to give ends all the same; so does one that is asked to."""

import json
import threading

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.clock import SystemClock
from headgate.core.rules import Rules
from headgate.errors import CommitConflict, TransientError
from headgate.lake.lake import LakeOptions, open_lake
from headgate.pipeline import Pipeline
from headgate.ports import LedgerState
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, FactList, settings

EVENT = json.dumps({"event_uuid": "X", "event_name": "a:b", "created_at": ARRIVED_US // 1_000_000}).encode()


class Followed(MemorySource):
    """A source that has nothing more for now, instead of being drained."""

    def read(self, timeout_seconds):
        try:
            return super().read(timeout_seconds)
        except EOFError:
            SystemClock().sleep(min(timeout_seconds, 0.01))
            return None


def flow(lake):
    source = Followed(Stream(shards={"a": [Record(data=EVENT)]}))
    source.resume({})
    return Pipeline(
        source=source,
        claims=MemoryClaimStore(),
        lake=lake,
        rules=Rules([]),
        settings=settings(Attempt(depth=1, batch_events=1)),
        clock=SystemClock(),
        telemetry=FactList(),
        jitter=lambda: 0.0,
    )


class RefusingLake:
    """A lake that fails every commit."""

    def __init__(self, error):
        self._lake = open_lake(MemoryStorage(), "parquet", LakeOptions(), now_us=lambda: ARRIVED_US)
        self._error = error
        self.asked = threading.Event()

    def __getattr__(self, name):
        return getattr(self._lake, name)

    def commit(self, staged):
        self.asked.set()
        raise self._error


@pytest.mark.timeout(30)
def test_a_conflict_is_raised_at_once():
    with pytest.raises(CommitConflict):
        list(flow(RefusingLake(CommitConflict("moved"))).run(LedgerState(), lambda: False))
    assert not [thread for thread in threading.enumerate() if thread.name in ("decode", "dedup", "stage")]


@pytest.mark.timeout(30)
def test_being_asked_to_end_ends_the_wait_for_a_lake_that_does_not_answer():
    lake = RefusingLake(TransientError("the disk is full"))
    with pytest.raises(TransientError):
        list(flow(lake).run(LedgerState(), lake.asked.is_set))


class Unreadable(Followed):
    """A source that gives one batch, and then an error for ever."""

    def read(self, timeout_seconds):
        found = super().read(timeout_seconds)
        if found is None:
            raise TransientError("cannot read b.jsonl: permission denied")
        return found


def test_what_was_read_does_not_wait_for_what_cannot_be_read():
    lake = open_lake(MemoryStorage(), "parquet", LakeOptions(), now_us=lambda: ARRIVED_US)
    source = Unreadable(Stream(shards={"a": [Record(data=EVENT)]}))
    source.resume({})
    asked_to_end = threading.Event()
    pipeline = Pipeline(
        source=source,
        claims=MemoryClaimStore(),
        lake=lake,
        rules=Rules([]),
        settings=settings(Attempt(depth=1, batch_events=10)),
        clock=SystemClock(asked_to_end.is_set),
        telemetry=FactList(),
        jitter=lambda: 0.0,
    )
    receipts = pipeline.run(LedgerState(), asked_to_end.is_set)
    threading.Timer(5.0, asked_to_end.set).start()
    assert next(receipts).counts.accepted == 1
    asked_to_end.set()
    with pytest.raises(TransientError):
        next(receipts)


def test_a_long_wait_ends_soon_after_the_process_is_asked_to_end():
    clock = SystemClock(lambda: True)
    began = clock.monotonic()
    clock.sleep(30.0)
    assert clock.monotonic() - began < 5.0
