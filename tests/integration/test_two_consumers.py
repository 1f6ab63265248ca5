"""Two consumers on one lake: one works, the other stands by, says so, and takes over."""

import json
import signal
from pathlib import Path

import pytest

from headgate.testing.independent import breaches
from headgate.testing.kills import Progress
from headgate.testing.processes import Child, run, wait_until

EVENTS = 3_000


class Stage:
    """A followed folder, its lake, and the events that wait to be put there."""

    def __init__(self, folder: Path) -> None:
        self.source, self.lake, self.logs = folder / "source", folder / "lake", folder / "logs"
        self.source.mkdir()
        code, child = run(
            [
                *("generate", "--events", str(EVENTS), "--types", "4", "--seed", "9"),
                *("--out", folder / "all.jsonl", "--truth", folder / "truth.json"),
            ],
            self.logs,
        )
        assert code == 0, child.errors()
        self.truth = json.loads((folder / "truth.json").read_text())
        self._rest = (folder / "all.jsonl").read_bytes().splitlines(keepends=True)
        self.progress = Progress(self.lake)

    def put(self, lines: int) -> None:
        """Add events to the file that is followed."""
        with (self.source / "events.jsonl").open("ab") as file:
            file.write(b"".join(self._rest[:lines]))
        self._rest = self._rest[lines:]

    def start(self, *flags: str) -> Child:
        command = ["run", self.source, self.lake, "--follow", "--flush-seconds", "0.1", *flags]
        return Child(command, self.logs)

    def wait_for(self, records: int) -> None:
        wait_until(lambda: self.progress.received() >= records, f"record {records}")

    def drain(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        assert child.wait() == 0, child.errors()
        assert "Traceback" not in child.errors()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_one_that_stands_by_takes_over_from_a_killed_one(stage: Stage) -> None:
    stage.put(1000)
    with stage.start() as first:
        stage.wait_for(1000)
        with stage.start() as second:
            assert str(first.pid) in second.wait_for_line("stood_by")
            stage.put(1000)
            stage.wait_for(2000)
            assert "run_started" not in second.errors()
            assert first.kill() == -9
            second.wait_for_line("taking over")
            stage.put(1000)
            stage.wait_for(EVENTS)
            stage.drain(second)
    assert breaches(stage.lake, stage.truth) == []


def test_the_one_that_stands_by_takes_over_from_a_drained_one(stage: Stage) -> None:
    stage.put(1000)
    with stage.start() as first:
        stage.wait_for(1000)
        with stage.start() as second:
            second.wait_for_line("stood_by")
            stage.put(1000)
            stage.drain(first)
            stage.put(1000)
            stage.wait_for(EVENTS)
            stage.drain(second)
    assert breaches(stage.lake, stage.truth) == []


def test_a_holder_that_was_stopped_for_a_while_harms_nothing(stage: Stage) -> None:
    stage.put(1000)
    with stage.start() as first:
        stage.wait_for(500)
        first.signal(signal.SIGSTOP)
        with stage.start() as second:
            second.wait_for_line("stood_by")
            stage.put(2000)
            first.signal(signal.SIGCONT)
            stage.wait_for(EVENTS)
            stage.drain(second)  # it never began
            assert "run_started" not in second.errors()
        stage.drain(first)
    assert breaches(stage.lake, stage.truth) == []


def test_without_standby_a_second_one_ends_at_once(stage: Stage) -> None:
    stage.put(EVENTS)
    with stage.start() as first:
        stage.wait_for(EVENTS)
        code, second = run(["run", stage.source, stage.lake, "--follow", "--no-standby"], stage.logs)
        assert code == 1
        assert second.errors().startswith("error: the lake is in use by")
        assert len(second.errors().splitlines()) == 1
        stage.drain(first)
    assert breaches(stage.lake, stage.truth) == []
