"""A Delta lake of many small files, a compaction of it at any time, and all rows of all tables."""

from __future__ import annotations

import time
from pathlib import Path

from headgate.clock import SystemClock
from headgate.jobs.compact import Compacted, CompactSettings, Watch, compact
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.layout import read_format
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.lake.storage import Storage
from headgate.testing.lake_rows import ODD_TYPES, batch, read_table
from headgate.wiring.lake import compaction_lease

TABLES = ("events", "duplicates", "rejected", "quality")
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MIB = 1 << 20


def now_us() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def open_delta(storage: Storage) -> TableLake:
    """A writer of a lake of format delta."""
    return open_lake(storage, "delta", LakeOptions(), now_us=now_us)


def fill(
    lake: TableLake, first: int, count: int, types: tuple[str, ...] = ODD_TYPES, *, publish_every: int = 1
) -> list[str]:
    """Make so many commits of one event each; positions and ids count from `first`."""
    ids = []
    for k in range(first, first + count):
        ids.append(f"{k:05d}")
        start = None if k == 0 else str(k)
        lake.commit(lake.stage(batch(start, str(k + 1), ids[-1:], event_type=types[k % len(types)])))
        if len(ids) % publish_every == 0:
            lake.publish()
    lake.publish()
    return ids


def compacted(
    path: Path | str = "",
    *,
    after_us: int = 0,
    retention_us: int = 7 * DAY_US,
    target: int = 128 * MIB,
    storage: Storage | None = None,
    watch: Watch | None = None,
    is_dry_run: bool = False,
    with_orphans: bool = True,
) -> Compacted:
    """Compact a lake on local disk, or that of `storage`, so many microseconds after now."""
    lake = find_lake(str(path)) if storage is None else of_storage(storage)
    return compact(
        lake,
        compaction_lease(lake.storage if lake.storage.is_remote else LocalStorage(lake.storage.root), SystemClock()),
        CompactSettings(
            target_file_bytes=target, retention_us=retention_us, is_dry_run=is_dry_run, with_orphans=with_orphans
        ),
        now_us=lambda: now_us() + after_us,
        watch=watch,
        sleep=lambda _: None,
    )


def of_storage(storage: Storage) -> ExistingLake:
    """The lake on a storage."""
    about = read_format(storage)
    assert about is not None  # noqa: S101  it was made by the test
    return ExistingLake(path=storage.root, storage=storage, about=about)


def rows(storage: Storage) -> dict[str, list[str]]:
    """All rows of all tables as text, in order."""
    return {table: sorted(map(str, read_table(storage, table).to_pylist())) for table in TABLES}


def parquet_files(lake: Path, table: str) -> set[str]:
    """Data files below a table, relative to the lake."""
    return {str(p.relative_to(lake)) for p in (lake / table).rglob("*.parquet") if "_delta_log" not in p.parts}
