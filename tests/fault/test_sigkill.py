"""SIGKILL at random moments of real runs, other batch sizes after each restart; then all is exact."""

import gzip
import json
import random
import signal
from itertools import count
from pathlib import Path

import pytest

from headgate.testing.independent import breaches, ledger
from headgate.testing.kills import Progress, batch_flags, run_with_kills
from headgate.testing.processes import Child, run, wait_until

pytestmark = pytest.mark.kill

EVENTS = 12_000
TYPES = 12
SIZES = (100, 900)  # events in a batch
FORMATS = ("delta", "parquet", "json")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with events.jsonl and truth.json."""
    folder = tmp_path_factory.mktemp("generated")
    code, child = run(
        [
            *("generate", "--events", str(EVENTS), "--types", str(TYPES), "--seed", "11"),
            *("--out", folder / "events.jsonl", "--truth", folder / "truth.json"),
        ],
        folder / "logs",
    )
    assert code == 0, child.errors()
    return folder


@pytest.fixture
def rng() -> random.Random:
    """Another seed every time; it is printed where the test fails."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def truth(generated: Path) -> dict[str, object]:
    return json.loads((generated / "truth.json").read_text())


def lines(generated: Path) -> list[bytes]:
    return (generated / "events.jsonl").read_bytes().splitlines(keepends=True)


def killed_run(source: Path, tmp_path: Path, table_format: str, rng: random.Random, kills: int) -> Path:
    """A run that was killed so many times and then ended well; returns the lake."""
    lake = tmp_path / "lake"
    outcome = run_with_kills(
        ["run", source, lake, "--format", table_format],
        lake,
        tmp_path / "logs",
        kills=kills,
        records=EVENTS,
        batch_events=SIZES,
        rng=rng,
    )
    assert outcome.exit_code == 0, outcome.errors
    assert outcome.kills >= kills - 2  # a fast machine may come to the end before the last ones
    return lake


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_file_is_admitted_exactly_once(
    tmp_path: Path, generated: Path, rng: random.Random, table_format: str
) -> None:
    lake = killed_run(generated / "events.jsonl", tmp_path, table_format, rng, kills=5)
    assert breaches(lake, truth(generated)) == []
    writers = {entry["writer"]["pid"] for entry in ledger(lake)}
    assert len(writers) > 2, "the kills did not spread over the run"


def test_a_gzip_file_is_admitted_exactly_once(tmp_path: Path, generated: Path, rng: random.Random) -> None:
    source = tmp_path / "events.jsonl.gz"
    source.write_bytes(gzip.compress((generated / "events.jsonl").read_bytes(), 1))
    lake = killed_run(source, tmp_path, "parquet", rng, kills=3)
    assert breaches(lake, truth(generated)) == []


def test_a_folder_of_many_files_is_admitted_exactly_once(tmp_path: Path, generated: Path, rng: random.Random) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    rest = lines(generated)
    for number in count():
        if not rest:
            break
        size = rng.randint(1, 300)
        part, rest = rest[:size], rest[size:]
        name, content = f"{number:04d}.jsonl", b"".join(part)
        if number % 3:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    lake = killed_run(folder, tmp_path, "delta", rng, kills=3)
    assert breaches(lake, truth(generated)) == []


def test_a_growing_file_that_is_followed_is_admitted_exactly_once(
    tmp_path: Path, generated: Path, rng: random.Random
) -> None:
    folder, lake = tmp_path / "source", tmp_path / "lake"
    folder.mkdir()
    rest, progress = b"".join(lines(generated)), Progress(lake)
    command = ["run", folder, lake, "--follow", "--format", "json"]
    with (folder / "growing.jsonl").open("ab", buffering=0) as producer:
        for _ in range(4):
            with Child([*command, *batch_flags(rng, SIZES)], tmp_path / "logs") as child:
                goal = progress.received() + rng.randint(1, EVENTS // 6)
                while rest and progress.received() < goal and child.is_running:
                    size = rng.randint(1, 20_000)  # ends anywhere in a line
                    producer.write(rest[:size])
                    rest = rest[size:]
                wait_until(lambda child=child, goal=goal: progress.received() >= goal, f"record {goal}")
                assert child.kill() == -9
                producer.write(rest[:10_000])  # while nobody reads
                rest = rest[10_000:]
        producer.write(rest)
    with Child([*command, "--flush-seconds", "0.2"], tmp_path / "logs") as child:
        wait_until(lambda: progress.received() >= EVENTS or not child.is_running, "the end of the file")
        child.signal(signal.SIGTERM)
        assert child.wait() == 0, child.errors()
    assert breaches(lake, truth(generated)) == []


@pytest.mark.parametrize("table_format", ["delta", "json"])
def test_kills_right_after_the_start_change_nothing(
    tmp_path: Path, generated: Path, rng: random.Random, table_format: str
) -> None:
    lake, logs = tmp_path / "lake", tmp_path / "logs"
    command = ["run", generated / "events.jsonl", lake, "--format", table_format]
    claims = lake / "_headgate" / "claims"
    moments = {
        "the lake is made": lambda: (lake / "_headgate" / "format.json").exists(),
        "the claim store opens": lambda: claims.exists(),
        "the claim store logs": lambda: any(claims.glob("*.log")),
        "a first batch is there": lambda: Progress(lake).received() > 0,
        "the claim store opens again": lambda: len(list(claims.glob("MANIFEST-*"))) != 1,
        "recovery": lambda: True,
    }
    for what, has_come in moments.items():
        with Child([*command, *batch_flags(rng, SIZES)], logs) as child:
            wait_until(lambda child=child, come=has_come: come() or not child.is_running, what)
            child.kill()
    code, child = run([*command, "--batch-events", "5000"], logs)
    assert code == 0, child.errors()
    assert breaches(lake, truth(generated)) == []
