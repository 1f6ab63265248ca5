"""What a query of a large lake reads: 50,000,000 rows of 100 types over 50 days, asked by type and date.

    make bench-query
    python benchmarks/query.py [--days 50] [--rows 1000000] [--dir DIR]

The rows of one generated day are committed again for each day, with ids and times of their own, by the lake's own
staging and commit. Each query is asked as a user would ask it, start-up included, beside the same query by bare DuckDB
over the folder's files.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.schema import DUPLICATES, EVENTS, QUALITY, REJECTED, TIMESTAMP
from headgate.lake import read
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.lake.opening import open_storage
from headgate.records import Counts, Shard, ShardRange, Verdicts
from main_job import HEADGATE, measured

SHARD = Shard("bench", "days")
DAY_US = 86_400_000_000
FIRST_DAY = 20_000  # days since 1970
BATCH_ROWS = 250_000


def day_of_rows(folder: Path, rows: int) -> pa.Table:
    """EVENTS of one generated day."""
    path, lake = folder / "day.jsonl", folder / "day"
    options = ["--duplicates", "0", "--invalid", "0", "--late", "0", "--rate", str(rows / 86_000)]
    start = ["--start", np.datetime_as_string(np.datetime64(FIRST_DAY, "D")) + "T00:00:00Z"]
    subprocess.run(
        [*HEADGATE, "generate", "--events", str(rows), "--out", str(path), *options, *start],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run([*HEADGATE, "run", str(path), str(lake)], check=True, capture_output=True)
    path.unlink()
    return read.dataset(open_storage(str(lake)), "events").to_table()


def make(lake: TableLake, day: pa.Table, days: int) -> None:
    """Commit the day again and again, each time a day later."""
    position = 0
    for number in range(days):
        shift = pa.scalar(number * DAY_US, pa.duration("us"))
        columns = {name: day[name] for name in EVENTS.names}
        for name in ("created_datetime", "arrived_at"):
            columns[name] = pc.add(day[name], shift).cast(TIMESTAMP)
        columns["created_at"] = pc.add(day["created_at"], number * DAY_US / 1e6)
        columns["created_date"] = pc.add(day["created_date"].cast(pa.int32()), pa.scalar(number, pa.int32())).cast(
            pa.date32()
        )
        prefix = pa.scalar(f"{number:04d}", pa.string())
        columns["event_uuid"] = pc.binary_replace_slice(day["event_uuid"], 0, 4, prefix.as_py())
        shifted = pa.table(columns, schema=EVENTS)
        for start in range(0, shifted.num_rows, BATCH_ROWS):
            rows = shifted.slice(start, BATCH_ROWS)
            lake.commit(lake.stage(_verdicts(rows, position, position + rows.num_rows, day if not position else None)))
            position += rows.num_rows
        lake.publish()
        print(f"\r{position:,} rows", end="", flush=True)
    print()


def _verdicts(rows: pa.Table, start: int, end: int, first: pa.Table | None) -> Verdicts:
    types = [] if first is None else first["event_type"].unique().to_pylist()
    return Verdicts(
        events=rows,
        duplicates=DUPLICATES.empty_table(),
        rejected=REJECTED.empty_table(),
        quality=QUALITY.empty_table(),
        ranges=[ShardRange(shard=SHARD, start=str(start) if start else None, end=str(end), meta={})],
        shard_counts=[Counts(rows.num_rows, rows.num_rows, 0, 0)],
        new_types=types,
        warnings={},
        generation="bench",
    )


def main() -> None:
    """Make the lake and ask it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--days", type=int, default=50)
    options.add_argument("--rows", type=int, default=1_000_000, help="of each day")
    options.add_argument("--dir", type=Path, help="keep the lake there for the next time")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-query-") as scratch:
        folder = given.dir or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"lake-{given.days}x{given.rows}"
        if not path.exists():
            lake = open_or_create(str(path), "delta", LakeOptions(), now_us=lambda: time.time_ns() // 1_000)
            make(lake, day_of_rows(folder, given.rows), given.days)
            lake.close()
        ask(path)


def ask(path: Path) -> None:
    """Print each query's time and the files that it read."""
    date = np.datetime_as_string(np.datetime64(FIRST_DAY + 1, "D"))
    files = sum(1 for _ in (path / "events").rglob("*.parquet"))
    print(f"{files:,} files of events")
    for what, where in {
        "one type, one date": f"event_type = 'payment' AND created_date = '{date}'",
        "one date": f"created_date = '{date}'",
        "one type": "event_type = 'payment'",
    }.items():
        sql = f"SELECT count(*) AS n, sum((payload->>'amount')::DOUBLE) AS amount FROM events WHERE {where}"
        began = time.perf_counter()
        found = subprocess.run(
            [*HEADGATE, "query", str(path), sql, "--files", "--output", "csv"], capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        if found.returncode:
            raise SystemExit(found.stderr)
        bare = (
            "import duckdb; duckdb.sql('SET threads=2'); print(duckdb.sql(\"SELECT count(*), sum((payload->>'amount')"
            f"::DOUBLE) FROM read_parquet('{path}/events/**/*.parquet', hive_partitioning=true) "
            f'WHERE {where}").fetchall())'
        )
        wall, *_ = measured([HEADGATE[0], "-c", bare])
        answer, files_read = found.stdout.split()[-1], found.stderr.strip()
        print(
            f"{what:<20} n, amount = {answer}   {files_read}   {seconds:.2f} s   bare DuckDB {wall:.2f} s", flush=True
        )


if __name__ == "__main__":
    main()
