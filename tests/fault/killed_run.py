"""A consumer that kills its own process: `killed_run.py SOURCE LAKE FORMAT POINT NTH BATCH_EVENTS`.

A point is `storage METHOD PATH WHEN` or `claims METHOD - WHEN`, WHEN being `before` or `after` the effect.
It dies there the NTH time. The parts are the real ones; storage and claim store otherwise pass every call on.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.clock import SystemClock
from headgate.config import Config
from headgate.consumer import Consumer, Parts
from headgate.lake.lake import LakeOptions, TableLake, open_lake
from headgate.lake.layout import set_claims_identity
from headgate.lake.lease import LocalLease
from headgate.lake.local import LocalStorage
from headgate.pipeline import Pipeline
from headgate.records import Claims
from headgate.telemetry.facts import RunStarted
from headgate.wiring.claims import claims_of_lake
from headgate.wiring.flow import flow_settings, rules_of
from headgate.wiring.job import Job
from headgate.wiring.source import open_source

Answer = TypeVar("Answer")


class Point(NamedTuple):
    part: str
    method: str
    path: str
    when: str


class Trap:
    def __init__(self, point: Point, nth: int) -> None:
        self._point, self._left, self._lock = point, nth, threading.Lock()

    def around(self, part: str, method: str, path: str, effect: Callable[[], Answer]) -> Answer:
        is_hit = self._is_hit(part, method, path)
        if is_hit and self._point.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = effect()
        if is_hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def _is_hit(self, part: str, method: str, path: str) -> bool:
        if (part, method) != self._point[:2] or self._point.path.strip("-") not in path:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0


class TrappedStorage(LocalStorage):
    def __init__(self, root: str, trap: Trap) -> None:
        super().__init__(root)
        self._trap = trap

    def put(self, path, content, *, is_folder_synced=True):
        inner = super().put
        return self._trap.around(
            "storage", "put", path, lambda: inner(path, content, is_folder_synced=is_folder_synced)
        )

    def put_if_absent(self, path, content):
        inner = super().put_if_absent
        return self._trap.around("storage", "put_if_absent", path, lambda: inner(path, content))

    def rename(self, path, target):
        inner = super().rename
        return self._trap.around("storage", "rename", target, lambda: inner(path, target))

    def delete(self, path):
        inner = super().delete
        return self._trap.around("storage", "delete", path, lambda: inner(path))

    def sync_folders(self, paths):
        inner = super().sync_folders
        return self._trap.around("storage", "sync_folders", " ".join(paths), lambda: inner(paths))


class TrappedClaims(RocksDbClaimStore):
    def __init__(self, path: Path, trap: Trap) -> None:
        self._trap = trap
        super().__init__(path)

    def claim(self, claims: Claims, window_us: int):
        inner = super().claim
        return self._trap.around("claims", "claim", "", lambda: inner(claims, window_us))

    def sync(self):
        inner = super().sync
        return self._trap.around("claims", "sync", "", inner)

    def mark_seen(self, number, positions):
        inner = super().mark_seen
        return self._trap.around("claims", "mark_seen", "", lambda: inner(number, positions))

    def withdraw(self, positions):
        inner = super().withdraw
        return self._trap.around("claims", "withdraw", "", lambda: inner(positions))

    def load(self, claims):
        inner = super().load
        return self._trap.around("claims", "load", "", lambda: inner(claims))


class Silent:
    def emit(self, fact: object) -> None:
        pass


def consumer(job: Job, config: Config, trap: Trap) -> Consumer:
    """As `wiring.consumer.make_consumer` puts it together, on the wrapped parts."""
    clock, settings, rules, telemetry = SystemClock(), flow_settings(config), rules_of(config), Silent()
    source = open_source(job, config, clock)
    storage = TrappedStorage(job.lake, trap)
    lake: TableLake = open_lake(storage, job.format, LakeOptions(), now_us=clock.now_us)
    set_claims_identity(storage, claims_of_lake(config))
    state = Path(job.lake) / "_headgate"

    def open_claims() -> TrappedClaims:
        store = TrappedClaims(state / "claims", trap)
        store.bind(lake.about.lake_id)
        return store

    return Consumer(
        Parts(
            lake=lake,
            lease=LocalLease(state, clock.now_us),
            open_claims=open_claims,
            source=source,
            pipeline=lambda source, claims: Pipeline(
                source=source,
                claims=claims,
                lake=lake,
                rules=rules,
                settings=settings,
                clock=clock,
                telemetry=telemetry,
                jitter=random.random,
            ),
            started=lambda source, claims, state: RunStarted(
                source=source.name, lake=job.lake, format=job.format, claims="", ledger_number=state.number
            ),
        ),
        clock=clock,
        telemetry=telemetry,
        standby=False,
        takeover_seconds=1,
        stop=lambda: False,
    )


def main() -> None:
    source, lake, table_format, point, nth, batch_events = sys.argv[1:]
    trap = Trap(Point(*point.split(" ")), int(nth))
    config = Config()
    config = type(config)(batch=type(config.batch)(max_events=int(batch_events)))
    for _ in consumer(Job(source=source, lake=lake, format=table_format), config, trap).run():
        pass


if __name__ == "__main__":
    main()
