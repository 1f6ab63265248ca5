"""Some of the writers of commit.py, in a process of their own: threads that are Lambda containers each.

    commit_writers.py FIRST COUNT START_TIME SECONDS PERIOD EVENTS TYPES DELAY

Every container has a lake, a claim store and clients of its own, made from the environment as the function makes
them, and is handed the batches of one shard, one after the other, again until it answers.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headgate.clock import SystemClock
from headgate.config import environment, load
from headgate.entrypoints.aws_lambda import admit
from headgate.entrypoints.container import Container, assemble
from headgate.errors import HeadgateError
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.layout import set_claims_identity
from headgate.lake.opening import open_storage
from headgate.testing.event_source_mapping import EventSourceMapping, StreamRecord
from headgate.wiring.claims import claims_of_lake, open_claims
from headgate.wiring.existing import s3_options
from headgate.wiring.lake import REMOTE_STAGE_THREADS

FIRST_SEQUENCE = 49590338271490256608559692538361571095921575989136588898
DEADLINE_SECONDS = 60.0  # of an invocation
REQUESTS = ("get", "put", "put_if_absent", "exists", "size", "tail", "delete", "list", "rename")
MAPPING = EventSourceMapping()


@dataclass
class Seen:
    """What one writer saw; times are seconds."""

    latencies: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    requests: int = 0
    appends: int = 0
    conflicts: int = 0
    failures: list[str] = field(default_factory=list)


class Pace(NamedTuple):
    """From `start` (Unix seconds) for so many seconds: a batch every `period` seconds, or one after the other for 0."""

    start: float
    seconds: float
    period: float


class MeasuredStorage:
    """A Storage that counts its requests, each of which takes so much longer."""

    is_remote = True  # a folder too is asked as S3 is

    def __init__(self, inner: Any, seen: Seen, delay_seconds: float) -> None:
        self._inner, self._seen, self._delay_seconds = inner, seen, delay_seconds

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        return self._timed(name, attribute) if name in REQUESTS else attribute

    def _timed(self, name: str, call: Any) -> Any:
        def timed(path: str, *args: Any, **options: Any) -> Any:
            time.sleep(self._delay_seconds)
            answer = call(path, *args, **options)
            seen = self._seen
            seen.requests += 1
            if name == "put_if_absent" and "/ledger/" in path:
                seen.appends += 1
                seen.conflicts += answer is False
            return answer

        return timed


class Context:
    """As Lambda's; says how much time is left."""

    def __init__(self) -> None:
        self._end = time.monotonic() + DEADLINE_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * (self._end - time.monotonic()))


class Silent:
    """Takes facts."""

    def emit(self, fact: object) -> None:
        pass


def container(seen: Seen, delay_seconds: float) -> Container:
    """As `open_container` makes it, on a storage that is measured."""
    config, clock, telemetry = load(None, environment(), {}), SystemClock(), Silent()
    storage = MeasuredStorage(open_storage(str(config.lake.uri), s3_options(config)), seen, delay_seconds)
    lake = open_lake(storage, None, LakeOptions(stage_threads=REMOTE_STAGE_THREADS), now_us=clock.now_us)
    identity = claims_of_lake(config)
    set_claims_identity(storage, identity)
    return assemble(
        config, lake, lambda: open_claims(identity, lake, config, telemetry), clock=clock, telemetry=telemetry
    )


def batch(writer: int, number: int, events: int, types: int) -> list[StreamRecord]:
    """Events of one shard, with an id each; one in twenty is a copy of the one before it."""
    records = []
    now = time.time()
    for n in range(events):
        at = number * events + n
        name = f"{writer}-{at - (n % 20 == 19)}"
        event = {"event_uuid": name, "event_name": f"type{at % types}:x", "created_at": now, "fill": "x" * 200}
        shard = f"shardId-{writer:012d}"
        records.append(StreamRecord(shard, FIRST_SEQUENCE + at, json.dumps(event).encode(), round(now * 1000) * 1000))
    return records


def write(writer: int, seen: Seen, opened: Container, pace: Pace, events: int, types: int) -> None:
    """Batches until the time is up."""
    due = pace.start + random.random() * pace.period
    number = 0
    while due < pace.start + pace.seconds:
        time.sleep(max(0.0, due - time.time()))
        event = MAPPING.event(batch(writer, number, events, types))
        began = time.time()
        seen.late.append(began - due)
        while True:
            try:
                answer = admit(opened, event, Context())
                break
            except HeadgateError as error:
                seen.failures.append(str(error)[:200])
        assert answer["received"] + answer["skipped"] == events, answer
        seen.latencies.append(time.time() - began)
        seen.ends.append(time.time())
        number += 1
        due = due + pace.period if pace.period else time.time()


def main() -> None:
    first, count, start, seconds, period, events, types, delay = map(float, sys.argv[1:])
    every = [Seen() for _ in range(int(count))]
    opened = [container(seen, delay) for seen in every]
    for seen in every:
        seen.requests = seen.appends = seen.conflicts = 0
    if time.time() > start:
        sys.exit(f"opening took {time.time() - start:.0f} s too long")
    threads = [
        threading.Thread(
            target=write,
            args=(int(first) + i, seen, opened[i], Pace(start, seconds, period), int(events), int(types)),
        )
        for i, seen in enumerate(every)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([vars(seen) for seen in every]))
    sys.stdout.flush()
    os._exit(0)  # the clients' threads are of no interest any more


if __name__ == "__main__":
    main()
