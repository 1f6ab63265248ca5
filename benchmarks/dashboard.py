"""How long the dashboard takes over a large lake: 10,000 commits that count 50,000,000 events of 100 types.

    make bench-dashboard
    python benchmarks/dashboard.py [--commits 10000] [--events 50000000] [--dir DIR]

Every commit is one of `run`: a ledger entry, files of events, a file of quality with a row a type, a version of each
table's log. What is counted is written in full; of the events themselves each file holds one, because the dashboard
reads none of them. The lake is made in memory (`/dev/shm`) where that is there. Times are those of a cold process: from
its start to the printed address, from there to the first page, and to the figures of the whole history.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pyarrow as pa

from headgate.core.schema import DUPLICATES, EVENTS, QUALITY, REJECTED, TIMESTAMP
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.records import Counts, Shard, ShardRange, Verdicts
from main_job import HEADGATE

SHARD = Shard("bench", "shard-0")
TYPES = 100
FILES_EVERY = 5  # of so many commits one has files of events, duplicates and rejects; the others of events alone
STEP_US = 60_000_000  # microseconds between two commits; 10,000 of them are a week
PATIENCE_SECONDS = 300.0


def main() -> None:
    """Make the lake and look at it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--commits", type=int, default=10_000)
    options.add_argument("--events", type=int, default=50_000_000, help="of all commits together")
    options.add_argument("--starts", type=int, default=3, help="cold processes that are measured")
    options.add_argument("--dir", type=Path, help="keep the lake there for the next time")
    given = options.parse_args()
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="headgate-dashboard-", dir=memory if memory.is_dir() else None))
    try:
        path = (given.dir or scratch) / f"lake-{given.commits}"
        if not path.exists():
            began = time.perf_counter()
            make(path, given.commits, given.events)
            print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
        for number in range(given.starts):
            measure(path, f"start {number + 1}")
    finally:
        shutil.rmtree(scratch)


def make(path: Path, commits: int, events: int) -> None:
    """Commits a minute apart, up to now."""
    start_us = time.time_ns() // 1_000 - commits * STEP_US
    now = [start_us]
    lake = open_or_create(str(path), "delta", LakeOptions(), now_us=lambda: now[0])
    for number in range(commits):
        now[0] = start_us + (number + 1) * STEP_US
        commit(lake, number, events // commits, now[0])
        if number % 500 == 499:
            print(f"\r{number + 1:,} commits", end="", flush=True)
    print()
    lake.close()


def commit(lake: TableLake, number: int, events: int, now_us: int) -> None:
    """One batch as `run` writes it."""
    counts = Counts(events, events - events // 20 - events // 100, events // 20, events // 100)
    is_full = number % FILES_EVERY == 0
    verdicts = Verdicts(
        events=rows(EVENTS, [event(number, i, now_us) for i in range(2)]),
        duplicates=rows(DUPLICATES, [copy(number, now_us)] if is_full else []),
        rejected=rows(REJECTED, [reject(number, now_us)] if is_full else []),
        quality=quality(number, events, now_us),
        ranges=[ShardRange(shard=SHARD, start=str(number) if number else None, end=str(number + 1), meta={})],
        shard_counts=[counts],
        new_types=[] if number else [f"type-{i:03d}" for i in range(TYPES)],
        warnings={},
        generation="bench",
    )
    lake.commit(lake.stage(verdicts))
    lake.publish()


def quality(number: int, events: int, now_us: int) -> pa.Table:
    """A row a type, larger types first."""
    weights = [TYPES / (i + 1) for i in range(TYPES)]
    scale = events / sum(weights)
    found = []
    for i, weight in enumerate(weights):
        received = max(1, round(weight * scale))
        duplicates, rejected = received // 20, received // 100
        found.append(
            {
                "entry_id": "",
                "staged_at": now_us,
                "event_type": f"type-{i:03d}",
                "received": received,
                "accepted": received - duplicates - rejected,
                "duplicates": duplicates,
                "conflicts": duplicates // 3,
                "rejected": rejected,
                "reasons": [("malformed_json", rejected)] if rejected else [],
                "warnings": [],
                "payload_bytes": 300 * received,
                "created_min": now_us - 60_000_000,
                "created_max": now_us,
                "arrived_max": now_us,
                "missing": [("event_uuid", 0), ("event_name", 0), ("created_at", 0)],
                "rule_passes": [],
                "rule_failures": [],
                "units": [("seconds", received)],
                "created_to_arrived": [(1.0, received // 2), (5.0, received - received // 2)],
                "created_to_arrived_sum": 2.0 * received,
                "created_to_arrived_max": 4.5,
                "arrived_to_staged": [(5.0, received)],
                "arrived_to_staged_sum": 3.0 * received,
                "arrived_to_staged_max": 4.0,
                "dedup_seconds": 0.1 if i == 0 else None,
                "shard_lag": [("shard-0", 2.0)] if i == 0 else None,
            }
        )
    return rows(QUALITY, found)


def event(number: int, i: int, now_us: int) -> dict[str, object]:
    """A row of `events`."""
    kind = f"type-{(2 * number + i) % TYPES:03d}"
    return {
        "event_uuid": f"{number}-{i}",
        "event_name": f"{kind}:made",
        "event_type": kind,
        "event_subtype": "made",
        "created_at": now_us / 1e6,
        "created_datetime": now_us,
        "created_date": now_us // 86_400_000_000,
        "payload": f'{{"event_uuid":"{number}-{i}"}}',
        "arrived_at": now_us,
        "source": SHARD.source,
        "shard": SHARD.name,
        "sequence": f"{number}#{i}",
    }


def copy(number: int, now_us: int) -> dict[str, object]:
    """A row of `duplicates`."""
    more = {"original_shard": SHARD.name, "original_sequence": f"{number}#0", "conflict": False}
    return {**event(number, 0, now_us), **more, "sequence": f"{number}#2", "arrival_date": now_us // 86_400_000_000}


def reject(number: int, now_us: int) -> dict[str, object]:
    """A row of `rejected`."""
    return {
        "raw": b"{broken",
        "reason": "malformed_json",
        "detail": "not JSON",
        "arrived_at": now_us,
        "source": SHARD.source,
        "shard": SHARD.name,
        "sequence": f"{number}#3",
        "headgate_version": "0.1.0",
        "arrival_date": now_us // 86_400_000_000,
    }


def rows(schema: pa.Schema, found: list[dict[str, object]]) -> pa.Table:
    """Rows in a schema; times are microseconds, dates days."""
    columns = []
    for field in schema:
        stored = pa.int64() if field.type == TIMESTAMP else field.type
        columns.append(pa.array([row.get(field.name) for row in found], stored).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def measure(path: Path, what: str) -> None:
    """Start a process, and ask it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*HEADGATE, "dashboard", str(path), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the dashboard ended")
            text += line
        printed = time.perf_counter()
        url = json.loads(text)["url"]
        page = get(url)
        answered = time.perf_counter()
        assert "50,000,000" in page or path.name != "lake-10000", "the first page has the totals"
        again = time.perf_counter()
        get(url)
        second = time.perf_counter() - again
        window = wait(url, began, lambda view: view["points"])
        whole = wait(url, began, lambda view: not view["note"])
        browsed = time.perf_counter()
        get(f"{url}rejects")
        browsed = time.perf_counter() - browsed
        print(
            f"{what}: address after {printed - began:.2f} s, first page {answered - printed:.2f} s later, the next "
            f"{second * 1e3:.0f} ms; last hour after {window:.1f} s, whole history after {whole:.1f} s; "
            f"rejects {browsed:.2f} s; {peak_mb(process.pid):.0f} MB",
            flush=True,
        )
    finally:
        process.terminate()
        process.wait()


def wait(url: str, began: float, is_there) -> float:
    """Seconds since the start until a view is as it should be."""
    while not is_there(json.loads(get(f"{url}api/live"))):
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise SystemExit("the history was not read")
        time.sleep(0.2)
    return time.perf_counter() - began


def get(url: str) -> str:
    """The answer of an address."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def peak_mb(pid: int) -> float:
    """The most memory that a process had, MB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
