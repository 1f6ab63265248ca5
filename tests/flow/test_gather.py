"""Following a lake: every row of `quality` once, whoever writes, publishes late or moves rows meanwhile."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.figures import ByType, figures_of, total
from headgate.errors import TransientError
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.jobs.quality_rows import quality_between
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.records import Shard
from headgate.report.gather import Gathering
from headgate.report.history import COLUMNS
from headgate.testing.action_log import ActionLog
from headgate.testing.clock import VirtualClock
from headgate.testing.commands import ok
from headgate.testing.compaction import compacted
from headgate.testing.faulty_stream import faulty_hour, good_hour
from headgate.testing.lake_rows import batch
from headgate.testing.memory_source import Stream
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import Attempt, World

FORMATS = ("delta", "parquet", "json")
every_format = pytest.mark.parametrize("table_format", FORMATS)
STEP_US = 60_000_000


class Writers:
    """Two writers of one lake, each with a shard of its own."""

    def __init__(self, folder: Path, table_format: str) -> None:
        self.clock = VirtualClock()
        ids = (f"e{n}" for n in itertools.count())
        self.lakes = [
            open_lake(
                LocalStorage(folder), table_format, LakeOptions(), now_us=self.clock.now_us, new_id=lambda: next(ids)
            )
            for _ in range(2)
        ]
        self.number = 0

    def stage(self, who: int = 0):
        """Stage a batch of a type of its own."""
        self.number += 1
        self.clock.step(STEP_US / 1e6)
        shard = Shard("stream", f"s{self.number}")
        return self.lakes[who].stage(batch(None, "10", [str(self.number)], shard=shard, event_type=f"t{self.number}"))

    def commit(self, count: int = 1) -> TableLake:
        """Commit so many batches and show them."""
        for _ in range(count):
            self.lakes[0].commit(self.stage())
        self.lakes[0].publish()
        return self.lakes[0]


def everything(lake: ExistingLake, start_us: int = 0) -> ByType:
    return figures_of(quality_between(lake, start_us, 9_000_000_000_000_000, COLUMNS))


@every_format
def test_rows_are_added_as_they_appear(tmp_path: Path, table_format: str) -> None:
    writers = Writers(tmp_path, table_format)
    gathering = Gathering(find_lake(str(tmp_path)))
    assert (gathering.advance(), gathering.number) == (0, 0)
    for count in (1, 3, 0, 2):
        writers.commit(count)
        assert gathering.advance() == count
        assert gathering.history.figures() == everything(gathering.lake)
    assert (gathering.number, gathering.advance()) == (6, 0)


@every_format
def test_a_row_that_is_shown_late_is_neither_missed_nor_counted_twice(tmp_path: Path, table_format: str) -> None:
    writers = Writers(tmp_path, table_format)
    writers.commit(2)
    early = writers.stage(1)  # staged first, committed after a later one
    writers.commit(2)
    gathering = Gathering(find_lake(str(tmp_path)))
    assert (gathering.advance(), gathering.number) == (4, 4)
    writers.lakes[1].commit(early)
    assert (gathering.advance(), gathering.number, gathering.state.number) == (0, 4, 5)
    late = Gathering(gathering.lake)
    assert (late.advance(), late.number) == (4, 4)
    writers.commit(1)
    assert (gathering.advance(), late.advance()) == (2, 2)
    assert gathering.history.figures() == late.history.figures() == everything(gathering.lake)
    assert len(everything(gathering.lake)) == 6


@every_format
def test_only_what_was_staged_since_then_is_counted(tmp_path: Path, table_format: str) -> None:
    writers = Writers(tmp_path, table_format)
    writers.commit(4)
    since_us = ARRIVED_US + 3 * STEP_US
    gathering = Gathering(find_lake(str(tmp_path)), since_us=since_us)
    gathering.advance()
    assert set(gathering.history.figures()) == {"t3", "t4"}
    writers.commit(2)
    assert gathering.advance() == 2
    assert gathering.history.figures() == everything(gathering.lake, since_us)


def test_rows_that_compaction_moved_are_counted_once(tmp_path: Path) -> None:
    writers = Writers(tmp_path, "delta")
    writers.commit(3)
    behind = Gathering(find_lake(str(tmp_path)))
    behind.advance()
    writers.commit(4)
    ahead = Gathering(behind.lake)
    ahead.advance()
    compacted(tmp_path)
    moved = [p for p in (tmp_path / "quality").glob("*.parquet") if not p.name.startswith("joined")]
    assert len(moved) == 7
    for file in moved:
        file.unlink()  # as if their time were up
    writers.commit(2)
    assert (behind.advance(), ahead.advance()) == (6, 2)
    fresh = Gathering(behind.lake)
    fresh.advance()
    assert behind.history.figures() == ahead.history.figures() == fresh.history.figures() == everything(behind.lake)


@every_format
def test_what_failed_in_the_middle_is_done_again(tmp_path: Path, table_format: str) -> None:
    writers = Writers(tmp_path, table_format)
    writers.commit(3)

    class Failing(LocalStorage):
        reads = 0

        def get(self, path: str) -> bytes | None:
            if path.startswith("quality/") and not path.endswith(".json"):
                Failing.reads += 1
                if Failing.reads in (2, 7):
                    raise TransientError("no answer")
            return super().get(path)

    known = find_lake(str(tmp_path))
    gathering = Gathering(ExistingLake(path=known.path, storage=Failing(tmp_path), about=known.about))
    with pytest.raises(TransientError):
        gathering.advance()
    assert gathering.advance() == 3
    writers.commit(3)
    with pytest.raises(TransientError):
        gathering.advance()
    assert gathering.advance() == 3
    assert gathering.history.figures() == everything(known)


@every_format
def test_a_replay_is_followed(tmp_path: Path, table_format: str) -> None:
    source = tmp_path / "a.jsonl"
    created = 1_790_000_000
    lines = [{"event_uuid": f"i{n}", "event_name": "pay", "created_at": created, "amount": n} for n in range(20)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rule = "[[rules]]\nname = 'small'\ncheck = \"CAST(payload->>'amount' AS DOUBLE) < {}\"\n"
    for name, limit in (("strict", 5), ("loose", 15)):
        (tmp_path / f"{name}.toml").write_text(rule.format(limit))
    ok("run", source, tmp_path / "lake", "--format", table_format, "--config", tmp_path / "strict.toml")
    gathering = Gathering(find_lake(str(tmp_path / "lake")))
    gathering.advance()
    assert gathering.history.figures()["pay"].rejected == 15
    ok("replay", tmp_path / "lake", "--config", tmp_path / "loose.toml")
    assert gathering.advance() > 0
    pay = gathering.history.figures()["pay"]
    assert (pay.received, pay.accepted, pay.rejected) == (20, 15, 5)
    assert {name: count for name, count in pay.reasons.items() if count} == {"rule:small": 5}


@every_format
def test_a_writer_that_is_killed_anywhere_leaves_nothing_out_and_nothing_twice(
    tmp_path: Path, table_format: str
) -> None:
    claims = MemoryClaimStore()
    records = [*good_hour()[:40], *faulty_hour()[:40]]
    stream = Stream(shards={"s": records[:20]})
    world = World(stream, LocalStorage(tmp_path), table_format, lambda: claims)
    world.run(Attempt(batch_events=10))
    gathering = Gathering(find_lake(str(tmp_path)))
    for effect, fault in (
        ("lake.commit", "killed after"),
        ("lake.publish", "killed before"),
        ("lake.publish", "killed after"),
    ):
        log = ActionLog()
        log.fail(effect, fault, 2)
        stream.shards["s"] = records[: len(stream.shards["s"]) + 20]
        assert world.run(Attempt(batch_events=10, log=log)) is None, effect
        gathering.advance()
        assert gathering.history.figures() == everything(gathering.lake), effect
    world.run(Attempt(batch_events=10))
    gathering.advance()
    found = total(gathering.history.figures())
    assert gathering.history.figures() == everything(gathering.lake)
    assert (found.received, gathering.number) == (80, gathering.state.number)
    assert found.received == gathering.state.counts.received
