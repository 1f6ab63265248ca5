"""Rows of `quality` by time: as they were written, only those of the window, and of lakes that knew fewer columns."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.core.figures import COLUMNS, Figures, figures_of
from headgate.core.schema import QUALITY
from headgate.errors import PermanentError
from headgate.jobs import quality_rows as job
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.jobs.quality_rows import SLACK_US, quality_between
from headgate.lake.lake import open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.testing.clock import VirtualClock
from headgate.testing.lake_rows import batch, quality_rows
from headgate.testing.records import ARRIVED_US

FORMATS = ("delta", "parquet", "json")
STEP_US = 2 * SLACK_US  # between two commits
OLD = QUALITY.names[: QUALITY.get_field_index("arrived_max") + 1]


class CountingStorage(LocalStorage):
    """Remembers what was read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []

    def get(self, path: str) -> bytes | None:
        self.read.append(path)
        return super().get(path)


def made(folder: Path, table_format: str, commits: int = 6, *, is_last_shown: bool = True) -> ExistingLake:
    """A lake with a commit every STEP_US from ARRIVED_US on, each of a type of its own."""
    clock, ids = VirtualClock(), (f"e{n}" for n in itertools.count())
    lake = open_lake(LocalStorage(folder), table_format, LakeOptions(), now_us=clock.now_us, new_id=lambda: next(ids))
    for n in range(commits):
        start = str(10 * n) if n else None
        lake.commit(lake.stage(batch(start, str(10 * n + 10), [f"{n}"], event_type=f"t{n}")))
        if n < commits - 1 or is_last_shown:
            lake.publish()
        clock.step(STEP_US / 1e6)
    lake.close()
    return find_lake(str(folder))


def types(lake: ExistingLake, first: int, last: int) -> list[str]:
    """Types of rows staged from the commit `first` up to, not including, the commit `last`."""
    found = quality_between(lake, ARRIVED_US + first * STEP_US, ARRIVED_US + last * STEP_US, ["event_type"])
    return sorted(name for block in found for name in block["event_type"].to_pylist())


@pytest.mark.parametrize("table_format", FORMATS)
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, table_format: str) -> None:
    lake = made(tmp_path, table_format, 1)
    found = pa.concat_tables(quality_between(lake, ARRIVED_US, ARRIVED_US + 1, QUALITY.names))
    names = [name for name in QUALITY.names if name not in ("entry_id", "staged_at")]
    assert found.select(names).to_pylist() == quality_rows(["t0"]).select(names).to_pylist()
    assert found.schema == QUALITY


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_window_has_its_start_and_not_its_end(tmp_path: Path, table_format: str) -> None:
    lake = made(tmp_path, table_format)
    assert types(lake, 2, 4) == ["t2", "t3"]
    assert types(lake, 0, 1) == ["t0"]
    assert types(lake, -9, 99) == [f"t{n}" for n in range(6)]
    assert types(lake, 6, 9) == types(lake, -9, 0) == types(lake, 3, 3) == []


@pytest.mark.parametrize("table_format", ["parquet", "json"])
def test_only_the_window_is_read(tmp_path: Path, table_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_ENTRIES_AT_ONCE", 2)
    lake = made(tmp_path, table_format, 24)
    storage = CountingStorage(tmp_path)
    counted = ExistingLake(path=lake.path, storage=storage, about=lake.about)
    assert types(counted, 20, 22) == ["t20", "t21"]
    assert sum(path.startswith("quality/") for path in storage.read) <= 4


def test_of_a_delta_lake_only_files_of_the_window_are_opened(tmp_path: Path) -> None:
    lake = made(tmp_path, "delta")
    for file in sorted((tmp_path / "quality").glob("*.parquet"))[:4]:
        file.write_bytes(b"not a parquet file")
    assert types(lake, 4, 6) == ["t4", "t5"]
    with pytest.raises(PermanentError, match="quality cannot be read"):
        types(lake, 3, 6)


@pytest.mark.parametrize("table_format", FORMATS)
def test_what_is_not_shown_yet_is_left_out(tmp_path: Path, table_format: str) -> None:
    assert types(made(tmp_path, table_format, 3, is_last_shown=False), 0, 9) == ["t0", "t1"]


@pytest.mark.parametrize("table_format", FORMATS)
def test_an_empty_lake_has_no_rows(tmp_path: Path, table_format: str) -> None:
    assert types(made(tmp_path, table_format, 0), -9, 99) == []


@pytest.mark.parametrize("table_format", FORMATS)
def test_columns_that_a_lake_did_not_know_are_null(tmp_path: Path, table_format: str) -> None:
    lake = made(tmp_path, table_format, 2)
    for file in (tmp_path / "quality").glob("*.*"):
        if table_format == "json":
            row = json.loads(gzip.decompress(file.read_bytes()))
            file.write_bytes(gzip.compress(json.dumps({name: row[name] for name in OLD}).encode()))
        else:
            pq.write_table(pq.read_table(file, columns=OLD), file)
    found = list(quality_between(lake, ARRIVED_US, ARRIVED_US + 9 * STEP_US, QUALITY.names))
    rows = pa.concat_tables(found).to_pylist()
    assert len(rows) == 2
    assert all(value is None for row in rows for name, value in row.items() if name not in OLD)
    figures = figures_of(quality_between(lake, ARRIVED_US, ARRIVED_US + STEP_US, COLUMNS))
    assert figures == {
        "t0": Figures(
            received=5,
            accepted=3,
            duplicates=1,
            rejected=1,
            arrived_us=1_795_000_000_500_000,
            reasons={"malformed_json": 1},
        )
    }
