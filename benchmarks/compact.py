"""What compaction gains: files and query time of a lake of many small commits, before and after.

    python benchmarks/compact.py [--commits 10000] [--events 20] [--dir /dev/shm]

Every commit is one of `run`: a ledger entry, a file in each table that it touches, a version of each table's log.
They are made in memory (`/dev/shm`) where that is there, because a disk that syncs each of them takes ten times as
long; the files and logs are the same.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deltalake import DeltaTable

from headgate.core.schema import TABLES
from headgate.jobs.existing import find_lake
from headgate.jobs.query import answer
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.testing.compaction import DAY_US, compacted, now_us
from headgate.testing.lake_rows import batch

TYPES = 5
QUERIES = {
    "count by type": "SELECT event_type, count(*) FROM events GROUP BY 1",
    "one type": "SELECT count(DISTINCT event_uuid) FROM events WHERE event_type = 'type-1'",
    "quality": "SELECT sum(received), sum(accepted) FROM quality",
}
REPEATS = 3  # of each query; the best counts


def main() -> None:
    """Make the lake, ask it, compact it, ask it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20, help="of each commit, all of one type")
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"))
    options = parser.parse_args()
    parent = options.dir if options.dir.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="headgate-compact-", dir=parent))
    try:
        measure(folder / "lake", options.commits, options.events)
    finally:
        shutil.rmtree(folder)


def measure(path: Path, commits: int, events: int) -> None:
    """Print all figures."""
    with timed(f"{commits:,} commits of {events} events"):
        lake = open_or_create(str(path), "delta", LakeOptions(), now_us=now_us)
        make(lake, commits, events)
        lake.close()
    before = ask(path)
    files = {table: len(DeltaTable(path / table).file_uris()) for table in TABLES}
    with timed("compaction"):
        done = compacted(path)
    after = ask(path)
    with timed("second compaction"):
        again = compacted(path)
    with timed("vacuum, 8 days later"):
        last = compacted(path, after_us=8 * DAY_US)
    for table, found in done.tables.items():
        print(f"{table:<10} {files[table]:>7,} files -> {found.files_after:>3,}, "
              f"{found.bytes_before:>12,} bytes -> {found.bytes_after:>11,}")  # fmt: skip
    print(f"second run: {sum(t.joined for t in again.tables.values())} files joined")
    print(f"vacuum: {sum(t.vacuumed for t in last.tables.values()):,} files deleted")
    for name in QUERIES:
        ratio = before[name] / after[name]
        print(f"query {name:<14} {before[name]:.2f} s -> {after[name]:.2f} s, {ratio:.0f} times as fast")


def make(lake: TableLake, commits: int, events: int) -> None:
    """Commits like those of a run that flushes all the time."""
    for k in range(commits):
        ids = [f"{k:07d}-{i:04d}" for i in range(events)]
        lake.commit(lake.stage(batch(str(k) if k else None, str(k + 1), ids, event_type=f"type-{k % TYPES}")))
        lake.publish()


def ask(path: Path) -> dict[str, float]:
    """Seconds of each query, opening the tables included."""
    found = {}
    for name, sql in QUERIES.items():
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            with answer(find_lake(str(path)), sql, None, None) as rows:
                rows.read_all()
            times.append(time.perf_counter() - began)
        found[name] = min(times)
    return found


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long it took."""
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
