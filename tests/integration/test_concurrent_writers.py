"""Several processes commit batches of different shards to one lake at once: numbers without gaps, rows once."""

from collections import Counter
from pathlib import Path

import pytest

from headgate.testing.independent import ledger, totals, visible_files
from headgate.testing.processes import Child, wait_until

WRITERS, BATCHES = 4, 12

WRITER = """
import sys, time
from pathlib import Path
from headgate.errors import CommitConflict
from headgate.lake.lake import LakeOptions, open_or_create
from headgate.records import Shard
from headgate.testing.lake_rows import batch

path, table_format, number, batches = sys.argv[1:]
lake = open_or_create(path, table_format, LakeOptions(), now_us=lambda: time.time_ns() // 1000)
Path(path, "ready-" + number).touch()
while not Path(path, "go").exists():
    time.sleep(0.001)
shard = Shard("source", "shard-" + number)
for i in range(int(batches)):
    start = None if i == 0 else str(10 * i)
    ids = [f"{number}-{i}-{k}" for k in range(3)]
    lake.commit(lake.stage(batch(start, str(10 * i + 10), ids, shard=shard, event_type="type-" + str(i % 2))))
    lake.publish()
lake.close()
"""


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_every_batch_of_every_writer_is_there_once(tmp_path: Path, table_format: str) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    children = [
        Child(["-c", WRITER, lake, table_format, str(n), str(BATCHES)], tmp_path / f"logs-{n}") for n in range(WRITERS)
    ]
    try:
        wait_until(
            lambda: len(list(lake.glob("ready-*"))) == WRITERS or not all(c.is_running for c in children),
            "all writers ready",
        )
        (lake / "go").touch()
        assert [child.wait() for child in children] == [0] * WRITERS, [child.errors() for child in children]
    finally:
        for child in children:
            child.kill()
    entries = ledger(lake)
    assert [entry["number"] for entry in entries] == list(range(1, WRITERS * BATCHES + 1))
    assert {entry["writer"]["pid"] for entry in entries} == {child.pid for child in children}
    moves = Counter((entry["ranges"][0]["shard"], entry["ranges"][0]["end"]) for entry in entries)
    assert set(moves.values()) == {1}
    assert totals(lake) == (3 * WRITERS * BATCHES, WRITERS * BATCHES, WRITERS * BATCHES)
    for table in ("events", "duplicates", "rejected", "quality"):
        assert len(visible_files(lake, table)) == len(set(visible_files(lake, table))) == WRITERS * BATCHES
