"""What counting costs, and how large the rows of `quality` are: generated events in memory, one thread.

    python benchmarks/quality.py --events 200000

Prints the least CPU time of some tries in microseconds an event, and bytes a row as a Parquet file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from headgate.claims.memory import MemoryClaimStore
from headgate.core.decode import decode
from headgate.core.dedup import judge
from headgate.core.enrich import enrich
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.missing import Fields
from headgate.core.quality import quality_rows
from headgate.core.validate import validate
from headgate.core.verdicts import Judged
from headgate.decision import claims_of
from headgate.lake import parquet
from headgate.testing.generator import EventSpec, generate
from headgate.testing.records import ARRIVED_US, record_batch

T = TypeVar("T")
DAY_US = 86_400_000_000  # microseconds
TRIES = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    events = parser.parse_args().events
    parts, sent_bytes = parts_of(events)
    print(f"{events:,} events of {sent_bytes:,} bytes")
    for name, fields in (("common fields", ()), ("common and two of the payload", ("user_id", "device.browser"))):
        found = Fields(fields, Envelope())
        judged = judged_of(told(f"missing: {name}", events, partial(found.look, parts)))
        rows = told("quality", events, partial(quality_rows, judged, staged_us=ARRIVED_US, dedup_seconds=0.1))
    size = len(parquet.encode(parquet.prepare(rows)))
    print(f"{rows.num_rows} rows of quality in {size:,} bytes, {size / rows.num_rows:.0f} bytes a row")
    return 0


def parts_of(events: int) -> tuple[pa.Table, int]:
    """Validated parts, and how many bytes were sent."""
    spec = EventSpec(events=events, start_ms=ARRIVED_US // 1_000 - events * 4)
    lines = [line for block in generate(spec) for line in block.splitlines()]
    batch = record_batch(lines)
    return enrich(validate(decode(batch, Envelope(), Limits()), DAY_US), batch.ranges), sum(map(len, lines))


def judged_of(parts: pa.Table) -> Judged:
    rows = np.flatnonzero(np.asarray(parts["reason"].is_null()))
    claims = claims_of(parts, rows, {0: 0})
    judgement = judge(claims.keys, claims.owners, MemoryClaimStore(), DAY_US, {})
    return Judged(parts=parts, events=rows, judgement=judgement)


def told(name: str, events: int, work: Callable[[], T]) -> T:
    """The answer of the work; prints its least time."""
    times: list[float] = []
    results: Sequence[T] = ()
    for _ in range(TRIES):
        began = time.process_time()
        results = [work()]
        times.append(time.process_time() - began)
    print(f"{name:<40} {min(times) / events * 1e6:6.3f} µs an event")
    return results[0]


if __name__ == "__main__":
    sys.exit(main())
