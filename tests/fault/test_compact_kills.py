"""SIGKILL in the middle of a compaction, alone and beside a consumer that is killed too."""

import json
import os
import random
import shutil
import signal
from itertools import count
from pathlib import Path

import pytest

from headgate.lake.local import LocalStorage
from headgate.testing.compaction import DAY_US, compacted, fill, open_delta, parquet_files, rows
from headgate.testing.independent import breaches
from headgate.testing.kills import Progress, batch_flags
from headgate.testing.processes import Child, run, wait_until

pytestmark = pytest.mark.kill

SCRIPT = Path(__file__).parent / "killed_compact.py"
EVENTS = 3_000
LATER_US = 8 * DAY_US

POINTS = [
    *((method, path, when, 1, 0) for when in ("before", "after") for method, path in [
        ("put", "joined-"), ("put_if_absent", "events/_delta_log"), ("put_if_absent", "quality/_delta_log"),
    ]),
    ("put", "joined-", "after", 3, 0),
    ("put", "removed.json", "before", 1, 0),
    ("put", "removed.json", "after", 1, LATER_US),
    ("delete", "events/", "before", 4, LATER_US),
    ("delete", "events/", "after", 12, LATER_US),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """12 commits of 4 types."""
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_delta(LocalStorage(path))
    fill(lake, 0, 12, ("a", "b", "__HIVE_DEFAULT_PARTITION__", "c/d"))
    lake.close()
    return path


@pytest.mark.parametrize("point", POINTS, ids=lambda p: "-".join(str(part).replace("/", ".") for part in p))
def test_killed_anywhere_the_next_run_finishes(made, tmp_path, point):
    lake = tmp_path / "lake"
    shutil.copytree(made, lake)
    before = rows(LocalStorage(lake))
    if point[4]:
        compacted(lake)
    code, child = run([SCRIPT, lake, *map(str, point)], tmp_path / "logs")
    assert code == -9, child.errors()
    assert rows(LocalStorage(lake)) == before
    done = compacted(lake)
    assert (done.tables["events"].files_after, done.tables["quality"].files_after) == (4, 1)
    for file in (lake / "events").rglob("*.parquet"):
        os.utime(file, (0, 0))
    compacted(lake, after_us=LATER_US)
    assert rows(LocalStorage(lake)) == before
    assert len(parquet_files(lake, "events")) == 4


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    code, child = run(
        [*("generate", "--events", str(EVENTS), "--types", "5", "--seed", "3", "--out", folder / "events.jsonl"),
         *("--truth", folder / "truth.json")],
        folder / "logs",
    )  # fmt: skip
    assert code == 0, child.errors()
    return folder


def test_a_consumer_and_compactions_that_are_all_killed_leave_every_event_there_once(tmp_path, generated, rng):
    lake, logs = tmp_path / "lake", tmp_path / "logs"
    progress, log = Progress(lake), lake / "events" / "_delta_log"
    command = ["run", generated / "events.jsonl", lake]
    compact = ["compact", lake, "--json"]
    for _ in range(2):
        with Child([*command, *batch_flags(rng, (20, 60))], logs) as consumer:
            goal = progress.received() + rng.randint(200, 700)
            wait_until(lambda goal=goal, c=consumer: progress.received() >= goal or not c.is_running, f"record {goal}")
            with Child(compact, logs) as compaction:
                known = joins(log)
                wait_until(lambda k=known, c=compaction: joins(log) > k or not c.is_running, "a compaction")
                compaction.kill()
            consumer.kill()
    with Child([*command, "--batch-events", "50"], logs) as consumer, Child(compact, logs) as compaction:
        assert compaction.wait() == 0, compaction.errors()
        assert consumer.wait() == 0, consumer.errors()
    code, child = run(compact, logs)
    assert code == 0, child.errors()
    assert breaches(lake, json.loads((generated / "truth.json").read_text())) == []
    assert joins(log) > 0
    for arguments in (["verify", generated / "events.jsonl", lake], ["rebuild", lake]):
        code, child = run(arguments, logs)
        assert code == 0, child.errors()


def joins(log: Path) -> int:
    """Versions of a log that joined files."""
    return sum(b"OPTIMIZE" in version.read_bytes() for version in sorted(log.glob("0*.json")))


AUTO = {"HEADGATE__COMPACTION__AUTO": "true", "HEADGATE__COMPACTION__SMALL_FILES": "100"}


def follow_until(said, source, lake, logs, generated):
    """A run that compacts by itself, fed with files until its log says so; it ends well."""
    source.mkdir()
    shutil.copy(generated / "events.jsonl", source / "a.jsonl")
    command = ["run", source, lake, "--follow", "--batch-events", "100", "--flush-seconds", "0.2"]
    with Child(command, logs, env=AUTO) as consumer:
        wait_until(lambda: "compaction_started" in consumer.errors() or not consumer.is_running, "a compaction")
        for number in count():  # until a batch comes after the compaction has ended
            if said in consumer.errors() or not consumer.is_running:
                break
            assert number < 500
            done = Progress(lake).received()
            shutil.copy(generated / "events.jsonl", source / f"again-{number}.jsonl")
            wait_until(lambda d=done, c=consumer: Progress(lake).received() > d or not c.is_running, "a batch")
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0, consumer.errors()
    return consumer.errors()


def test_a_run_compacts_by_itself_when_files_pile_up(tmp_path, generated):
    lake = tmp_path / "lake"
    said = follow_until("compaction_ended", tmp_path / "source", lake, tmp_path / "logs", generated)
    assert "compaction_failed" not in said
    assert joins(lake / "events" / "_delta_log") > 0
    assert breaches(lake) == []


def test_a_compaction_that_fails_beside_a_run_is_a_line_in_its_log(tmp_path, generated):
    lake = tmp_path / "lake"
    (lake / "_headgate").mkdir(parents=True)
    (lake / "_headgate" / "compaction").write_text("a file where a folder is needed")
    said = follow_until("compaction_failed", tmp_path / "source", lake, tmp_path / "logs", generated)
    assert "compaction_failed" in said
    assert breaches(lake) == []
