"""A stream of two hours whose faults are known exactly: what every figure of quality has to say of it."""

from __future__ import annotations

import json
from typing import Any

from headgate.testing.memory_source import Record
from headgate.testing.records import ARRIVED_US

HOUR = 3_600  # seconds
HOUR_US = HOUR * 1_000_000
EVENTS = 1_200  # of each type in a good hour
START_US = ARRIVED_US  # of the good hour; the faulty one follows


def record(
    hour: int, i: int, kind: str, *, event_id: str | None = None, age: float = 2.0, scale: int = 1, **more: object
) -> Record:
    """The i-th event of a type in an hour; arrivals are spread over it."""
    arrived_us = START_US + hour * HOUR_US + i * (HOUR_US // EVENTS)
    created = (arrived_us / 1e6 - age) * scale
    fields = {"user": {"id": i}, **more}
    event = {"event_uuid": event_id or f"{kind}-{hour}-{i}", "event_name": f"{kind}:x", "created_at": created, **fields}
    return Record(data=json.dumps(event).encode(), arrived_us=arrived_us)


def good_hour() -> list[Record]:
    """Four event types without a fault."""
    kinds = ("pay", "click", "stops", "late")
    return sorted((record(0, i, kind) for kind in kinds for i in range(EVENTS)), key=lambda r: r.arrived_us)


def faulty_hour() -> list[Record]:
    """Of `pay` 4 % are duplicates, a third of which conflict, and 2 % lack a field; `click` switches to milliseconds
    after a quarter; `stops` stops; `late` comes an hour late.
    """
    records: list[Record] = []
    for i in range(EVENTS):
        copied = i % 25 == 24  # 4 %, of the event before
        lacks: dict[str, Any] = {"user": {}} if i % 50 == 10 else {}  # 2 %, none of them a copy
        if copied:
            age = 2.0 + HOUR / EVENTS  # created when the original was
            more: dict[str, Any] = {"n": 1} if i % 75 == 24 else {}
            records.append(record(1, i, "pay", event_id=f"pay-1-{i - 1}", age=age, user={"id": i - 1}, **more))
        else:
            records.append(record(1, i, "pay", **lacks))
        records.append(record(1, i, "click", scale=1 if i < EVENTS // 4 else 1_000))
        records.append(record(1, i, "late", age=HOUR + 60.0))
    records += [Record(data=b"{", arrived_us=START_US + HOUR_US)] * 6
    return sorted(records, key=lambda r: r.arrived_us)
